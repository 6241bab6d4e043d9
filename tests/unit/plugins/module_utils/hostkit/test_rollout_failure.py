"""A rollout that does not work: what is said, what is kept, and the way back."""

from __future__ import annotations

import json

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.journal import Journal
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import ReleaseError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.rollout import (
    RolloutError,
)
from fakes.docker_host import Behaviour
from fakes.rollouts import ONE, failing, newest
from fakes.small_stack import CANARY, SmallStack, image_of, make_wanted

# ---- it does not work -------------------------------------------------------------------------------------------


def test_an_image_that_cannot_be_pulled_touches_nothing(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    before = {item.id for item in stack.docker.containers.values()}
    error = failing(stack, make_wanted("2", images={"worker": image_of("worker", "9.9")}))
    assert image_of("worker", "9.9") in str(error)
    assert "Fix: check its name and tag" in str(error)
    assert {item.id for item in stack.docker.containers.values()} == before
    assert newest(stack)["status"] == "failed"
    assert newest(stack)["failure"]["touched"] is False
    assert stack.store.current() == stack.store.all()[0]


@pytest.mark.parametrize(
    ("said", "fix"),
    [
        ("manifest for x:1 not found: manifest unknown", "name and tag"),
        ("pull access denied for x, repository does not exist", "docker_registries"),
        ("Get https://r/v2/: no basic auth credentials", "docker_registries"),
        ("tls: failed to verify certificate: x509: unknown authority", "ca_file"),
        ("write /var/lib/docker/x: no space left on device", "make room"),
        ("dial tcp: i/o timeout", "reaches the registry"),
        ("", "reaches the registry"),
    ],
)
def test_a_failed_pull_names_the_fix(stack: SmallStack, said: str, fix: str) -> None:
    stack.docker.before = lambda words: CommandResult(1, "", said) if "pull" in words else None
    error = failing(stack, make_wanted())
    assert image_of("db") in str(error)
    assert said in str(error)
    assert fix in str(error).partition("Fix:")[2]


def test_no_docker_client(stack: SmallStack) -> None:
    stack.docker.before = lambda words: CommandResult(127, "", "docker: command not found")
    assert "install the docker client" in str(failing(stack, make_wanted()))


def test_a_service_that_never_gets_healthy_is_put_back(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    stack.docker.by_image[image_of("web", "2")] = Behaviour(healthy_after=None, probe="HTTP 503")
    error = failing(stack, make_wanted("2"))
    assert str(error).startswith(
        "web did not get healthy within 30 s (state running, health starting). Its health check says: HTTP 503. "
    )
    assert "Fix: read its log in" in str(error)
    assert error.service == "web"
    assert stack.docker.running() == ONE
    about = newest(stack)
    assert about["status"] == "reverted"
    assert about["failure"]["service"] == "web"
    assert stack.store.current() == stack.store.all()[0]
    assert stack.docker.now < 1000 + 3 * 30


def test_a_service_that_stops_is_put_back_at_once(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    stack.docker.by_image[image_of("db", "2")] = Behaviour(exits_after=0.5, exit_code=3)
    start = stack.docker.now
    error = failing(stack, make_wanted("2"))
    assert str(error).startswith("db stopped with exit code 3 after 0 restarts. Fix:")
    assert stack.docker.running() == ONE
    assert stack.docker.now - start < 15


@pytest.mark.parametrize("check", [True, False])
def test_a_service_that_restarts_again_and_again_is_put_back(stack: SmallStack, check: bool) -> None:
    """It is seen as running at every look, so only the count of its restarts tells."""
    stack.deploy(make_wanted())
    crash_loop = Behaviour(check=check, healthy_after=None, restarts_every=1.4)
    stack.docker.by_image[image_of("web", "2")] = crash_loop
    error = failing(stack, make_wanted("2"))
    assert "web crashes over and over: " in str(error)
    assert stack.docker.running() == ONE


def test_a_service_without_a_health_check_has_to_run_for_a_while(stack: SmallStack) -> None:
    stack.docker.behaviours["db"] = Behaviour(check=False)
    start = stack.docker.now
    stack.deploy(make_wanted(needs={"db": []}))
    assert stack.docker.now - start >= 3


def test_evidence_of_both_failures_is_kept_without_secrets(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    told = json.dumps(CANARY)[1:-1]
    stack.docker.by_image[image_of("web", "2")] = Behaviour(
        healthy_after=None, log=f"cannot log in with {CANARY}\n", probe=f"redis://:{told}@db refused"
    )
    stack.docker.by_image[image_of("web", "1")] = Behaviour(exits_after=0.0, log="the old one fails too\n")
    error = failing(stack, make_wanted("2"))
    folder = stack.store.paths.evidence / newest(stack)["id"]
    assert error.evidence == str(folder)
    assert (folder / "web.log").read_text(encoding="utf-8") == "cannot log in with ***\n"
    facts = json.loads((folder / "web.json").read_text(encoding="utf-8"))
    assert facts["state"]["Health"]["Status"] == "starting"
    assert facts["healthcheck"]["Test"][1] == "probe --password ***"
    assert (folder / "revert" / "web.log").read_text(encoding="utf-8") == "the old one fails too\n"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "web.log").stat().st_mode & 0o777 == 0o600
    assert "Canary" not in stack.everything_written() + str(error)


def test_a_secret_that_is_a_common_word_does_not_hide_our_own_words(stack: SmallStack) -> None:
    stack.docker.behaviours["worker"] = Behaviour(healthy_after=None, probe="login with worker refused")
    error = failing(stack, make_wanted(secret="worker"))
    assert str(error).startswith("worker did not get healthy")
    assert "says: login with *** refused" in str(error)
    assert error.evidence in str(error)


def test_what_docker_says_is_told_without_secrets(stack: SmallStack) -> None:
    stack.docker.before = lambda words: (
        CommandResult(1, "", f'line 1\nline 2\ninvalid value "{CANARY}" for port') if "up" in words else None
    )
    error = failing(stack, make_wanted())
    assert 'Docker could not start db: line 2 invalid value "***" for port. Fix:' in str(error)
    written = stack.everything_written()
    assert "line 1" in written
    assert "Canary" not in written + str(error)


def test_the_first_release_fails_and_nothing_is_put_back(stack: SmallStack) -> None:
    stack.docker.behaviours["web"] = Behaviour(healthy_after=None)
    failing(stack, make_wanted())
    assert newest(stack)["status"] == "failed"
    assert newest(stack)["failure"]["touched"] is True
    assert stack.store.current() is None
    assert "db" in stack.docker.running()
    # The same command, once it is mended.
    stack.docker.behaviours["web"] = Behaviour()
    assert stack.deploy(make_wanted("2"))["status"] == "done"


def test_putting_back_fails_too(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    stack.docker.by_image[image_of("db", "2")] = Behaviour(exits_after=0.0)
    stack.docker.by_image[image_of("web", "1")] = Behaviour(exits_after=0.0)
    stack.docker.of("web").behaviour = Behaviour(exits_after=0.0)
    failing(stack, make_wanted("2"))
    about = newest(stack)
    assert about["status"] == "failed"
    assert "web stopped with exit code 1" in about["failure"]["revert"]
    # What can run of the old release does.
    assert stack.docker.running() == {"db": image_of("db"), "worker": image_of("worker")}


def test_the_way_back_pulls_by_digest_what_somebody_removed(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    digest = stack.docker.registry[image_of("worker")]
    stack.docker.by_image[image_of("db", "2")] = Behaviour(exits_after=0.0)

    def prune(words: list[str]) -> None:
        if "up" in words and not stack.docker.ups()[1:]:
            return
        if "up" in words and stack.docker.images.pop(image_of("worker"), None):
            stack.docker.images.pop(f"{image_of('worker').rpartition(':')[0]}@{digest}")
            stack.docker.containers.pop(stack.docker.of("worker").id)

    stack.docker.before = prune
    stack.docker.push(image_of("worker"), "the tag moved")
    failing(stack, make_wanted("2"))
    assert newest(stack)["status"] == "reverted"
    assert stack.docker.of("worker").reference == f"{image_of('worker')}@{digest}"


def test_the_record_of_the_previous_release_is_torn(stack: SmallStack) -> None:
    first = stack.deploy(make_wanted())
    release = stack.prepare(make_wanted("2"))
    (stack.store.get(first["id"]).folder / "release.json").write_text('{"stat')
    stack.docker.by_image[image_of("db", "2")] = Behaviour(exits_after=0.0)
    with pytest.raises(RolloutError, match="db stopped"):
        stack.apply(release)
    assert "release.json cannot be used: it is no JSON" in release.read()["failure"]["revert"]


def test_docker_goes_away_for_a_moment(stack: SmallStack) -> None:
    """The engine restarts while we wait; live-restore keeps the containers."""
    looks: list[int] = []

    def restart() -> None:
        looks.append(1)
        if len(looks) == 1:
            stack.docker.stop()
        if len(looks) == 3:
            stack.docker.start()

    stack.docker.behaviours["db"] = Behaviour(healthy_after=6)
    stack.docker.on_sleep = restart
    assert stack.deploy(make_wanted())["status"] == "done"


def test_docker_goes_away_for_good(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    stack.docker.on_sleep = stack.docker.stop
    error = failing(stack, make_wanted("2"))
    assert "Docker is not running here" in str(error)
    assert "Fix: systemctl start docker" in newest(stack)["failure"]["revert"]


def test_what_nobody_foresaw_is_put_back_too(stack: SmallStack, capsys: pytest.CaptureFixture[str]) -> None:
    stack.deploy(make_wanted())

    def explode(words: list[str]) -> None:
        if "up" in words and image_of("db", "2") in stack.docker.images and len(stack.docker.ups()) == 3:
            raise ZeroDivisionError

    stack.docker.before = explode
    error = failing(stack, make_wanted("2"))
    assert "something unforeseen (ZeroDivisionError). Fix: journalctl" in str(error)
    assert newest(stack)["status"] == "reverted"
    assert "Traceback" in capsys.readouterr().err


def test_a_full_disk_while_writing_the_journal_stops_nothing(stack: SmallStack) -> None:
    release = stack.prepare(make_wanted())
    Journal(stack.store.paths, release.id).path.mkdir()
    assert stack.apply(release)["status"] == "done"


def test_old_folders_that_cannot_be_removed_do_no_harm(stack: SmallStack, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_keep: int) -> list[str]:
        raise ReleaseError("no")

    release = stack.prepare(make_wanted())
    monkeypatch.setattr(stack.store, "prune", refuse)
    assert stack.apply(release)["status"] == "done"


def test_a_service_without_a_model(stack: SmallStack) -> None:
    release = stack.prepare(make_wanted())
    model = release.read_model()
    del model["services"]["web"]
    (release.folder / "model.json").write_text(json.dumps(model))
    with pytest.raises(RolloutError, match=r"model\.json names no image for web\. Fix: run site\.yml again"):
        stack.apply(release)
