"""A rollout on a fake host: what runs afterwards, what was written down, and what a person is told."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.journal import Journal
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import ReleaseError, lock
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.rollout import (
    BUSY,
    STARTING,
    RolloutError,
    run_release,
)
from fakes.docker_host import Behaviour, KilledError
from fakes.small_stack import CANARY, NEEDS, SmallStack, image_of, levels_of, make_wanted
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ONE = {name: image_of(name, "1") for name in NEEDS}
TWO = {name: image_of(name, "2") for name in NEEDS}


def failing(stack: SmallStack, wanted: Any) -> RolloutError:
    with pytest.raises(RolloutError) as caught:
        stack.deploy(wanted)
    return caught.value


def newest(stack: SmallStack) -> dict[str, Any]:
    return stack.store.all()[-1].read()


def events(stack: SmallStack, release: str = "") -> list[str]:
    name = release or stack.store.all()[-1].id
    return [event["event"] for event in Journal(stack.store.paths, name).read()]


# ---- it works ---------------------------------------------------------------------------------------------------


def test_the_first_release(stack: SmallStack) -> None:
    about = stack.deploy(make_wanted())
    assert stack.docker.running() == ONE
    assert about["status"] == "done"
    assert about["previous"] is None
    current = stack.store.current()
    assert current
    assert current.id == about["id"]
    assert str(stack.store.paths.current.readlink()) == f"releases/{current.id}"
    assert events(stack) == ["started", "pulling", "pulled", "bringing up", "up", "ready", "up", "ready", "done"]


def test_digests_are_recorded_and_written_into_compose_yaml(stack: SmallStack) -> None:
    about = stack.deploy(make_wanted())
    current = stack.store.current()
    assert current
    written = yaml.safe_load(current.compose_file.read_text(encoding="utf-8"))
    for name in NEEDS:
        digest = stack.docker.registry[image_of(name)]
        assert about["services"][name]["digest"] == digest
        assert about["services"][name]["image"] == image_of(name)
        assert about["services"][name]["image_id"] == stack.docker.of(name).image_id
        assert about["services"][name]["config_hash"] == stack.docker.of(name).hash
        assert written["services"][name]["image"] == f"{image_of(name)}@{digest}"
    # What was asked for stays as it was: the next run compares with it.
    assert current.read_model()["services"]["db"]["image"] == image_of("db")


def test_levels_come_in_order_and_wait_for_each_other(stack: SmallStack) -> None:
    seen: list[tuple[list[str], dict[str, str]]] = []

    def look(words: list[str]) -> None:
        if "up" in words and "--remove-orphans" not in words:
            healthy = {
                item.service: stack.docker.inspect(item)["State"]["Health"]["Status"]
                for item in stack.docker.containers.values()
            }
            seen.append((words[words.index("never") + 1 :], healthy))

    stack.docker.before = look
    stack.deploy(make_wanted())
    assert seen == [(["db"], {}), (["web", "worker"], {"db": "healthy"})]


def test_everything_is_pulled_before_anything_is_stopped(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    stack.docker.commands.clear()
    stack.deploy(make_wanted("2"))
    kinds = [words[1] for words in stack.docker.commands]
    assert kinds == ["pull"] * 3 + ["compose"] * (len(kinds) - 3)
    assert stack.docker.running() == TWO
    assert newest(stack)["previous"] == stack.store.all()[0].id


def test_only_what_changed_is_replaced(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    db = stack.docker.of("db").id
    stack.deploy(make_wanted(images={"web": image_of("web", "2")}))
    assert stack.docker.of("db").id == db
    assert stack.docker.running()["web"] == image_of("web", "2")


def test_compose_sees_no_variable_of_this_process_and_no_secret_on_its_command_line(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    assert all(
        environment["inherit"] == "False"
        for words, environment in zip(stack.docker.commands, stack.docker.environments, strict=True)
        if "compose" in words
    )
    assert CANARY not in json.dumps(stack.docker.commands + stack.docker.environments)
    assert stack.docker.of("db").environment["PASSWORD"] == CANARY


def test_a_service_that_left_the_stack_is_removed_and_foreign_containers_are_not(stack: SmallStack) -> None:
    stack.docker.add("other", "worker", {"image": "foreign:1"})
    once = stack.docker.add("demo", "web", {"image": "once:1"})
    once.oneoff = True
    stack.deploy(make_wanted())
    stack.deploy(make_wanted("2", needs={"db": [], "web": ["db"]}))
    assert {(item.project, item.service) for item in stack.docker.containers.values()} == {
        ("demo", "db"),
        ("demo", "web"),
        ("other", "worker"),
    }


def test_images_are_never_removed(stack: SmallStack) -> None:
    for version in ("1", "2", "3"):
        stack.deploy(make_wanted(version, keep_releases=1))
    assert len(stack.store.all()) == 2
    assert not stack.docker.words("rmi")
    assert not stack.docker.words("prune")


def test_what_was_built_here_is_not_pulled(stack: SmallStack) -> None:
    local = "localhost/hypercode/web:0123456789ab"
    stack.docker.keep_image(local)
    about = stack.deploy(make_wanted(images={"web": local}, local_images=[local]))
    assert about["services"]["web"]["digest"] == ""
    assert stack.docker.running()["web"] == local
    assert not stack.docker.words("pull", local)


def test_an_image_by_digest_that_is_here_is_not_pulled(stack: SmallStack) -> None:
    digest = stack.docker.registry[image_of("web")]
    stack.docker.keep_image(image_of("web"), digest)
    stack.docker.commands.clear()
    stack.deploy(make_wanted(images={"web": f"{image_of('web')}@{digest}"}))
    assert not [words for words in stack.docker.words("pull") if "web" in words[-1]]


@pytest.mark.parametrize("listed", ["redis", "docker.io/library/redis"])
def test_docker_shortens_the_names_of_its_own_hub(stack: SmallStack, listed: str) -> None:
    digest = stack.docker.push("docker.io/library/redis:7")

    def pulled(words: list[str]) -> CommandResult | None:
        if words[:2] != ["docker", "pull"] or not words[-1].startswith("docker.io/library/redis"):
            return None
        stack.docker.keep_image("docker.io/library/redis:7", digest)
        stack.docker.images["docker.io/library/redis:7"]["RepoDigests"] = ["else@sha256:00", f"{listed}@{digest}"]
        return CommandResult(0)

    stack.docker.before = pulled
    about = stack.deploy(make_wanted(images={"web": "docker.io/library/redis:7"}))
    assert about["services"]["web"]["digest"] == digest


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
    assert "web stopped with exit code" in str(error)
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


# ---- jobs, paused containers, networks --------------------------------------------------------------------------

MIGRATE = {"db": [], "migrate": ["db"], "web": ["migrate"]}
ONCE = {"migrate": "service_completed_successfully"}


def with_job(stack: SmallStack, version: str = "1", **behaviour: Any) -> Any:
    for number in ("1", "2"):
        stack.docker.push(image_of("migrate", number))
    stack.docker.behaviours["migrate"] = Behaviour(check=False, **({"exits_after": 4.0, "exit_code": 0} | behaviour))
    return make_wanted(version, needs=MIGRATE, conditions=ONCE)


def test_a_job_is_ready_when_it_ended_well(stack: SmallStack) -> None:
    stack.deploy(with_job(stack))
    assert set(stack.docker.running()) == {"db", "web"}
    assert stack.docker.of("web").started - stack.docker.of("migrate").started >= 4
    assert stack.plan(with_job(stack)).actions == {}


def test_a_job_that_fails_stops_the_release(stack: SmallStack) -> None:
    error = failing(stack, with_job(stack, exit_code=2))
    assert "migrate stopped with exit code 2" in str(error)
    assert "web" not in stack.docker.running()


def test_a_job_that_never_ends(stack: SmallStack) -> None:
    assert "migrate did not end its work within 30 s" in str(failing(stack, with_job(stack, exits_after=None)))


def test_a_repair_does_not_run_a_job_again(stack: SmallStack) -> None:
    stack.deploy(with_job(stack))
    job = stack.docker.of("migrate")
    started = job.started
    stack.docker.containers.pop(stack.docker.of("web").id)
    stack.deploy(with_job(stack))
    assert stack.docker.of("migrate").started == started
    assert set(stack.docker.running()) == {"db", "web"}
    stack.deploy(with_job(stack, "2"))
    assert stack.docker.of("migrate").id != job.id


def test_a_paused_container_is_let_go(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    stack.docker.of("web").state = "paused"
    assert stack.plan(make_wanted()).actions == {"web": "repair: paused"}
    stack.deploy(make_wanted())
    assert stack.docker.running() == ONE


def test_a_network_that_changed_is_made_anew(stack: SmallStack) -> None:
    stack.deploy(make_wanted(networks={"back": {}}))
    assert stack.docker.networks["demo_back"]["Internal"] is False
    left = stack.docker.add("demo", "left-over", {"image": "x:1"}, networks=["demo_back"])
    stack.deploy(make_wanted(networks={"back": {"internal": True}}))
    assert stack.docker.networks["demo_back"]["Internal"] is True
    assert stack.docker.running() == ONE
    assert left.id not in stack.docker.containers
    stack.docker.commands.clear()
    stack.deploy(make_wanted("2", networks={"back": {"internal": True}}))
    assert not stack.docker.words("network")


def test_a_network_that_a_foreign_container_uses(stack: SmallStack) -> None:
    stack.deploy(make_wanted(networks={"back": {}}))
    stack.docker.add("other", "guest", {"image": "x:1"}, networks=["demo_back"])
    error = failing(stack, make_wanted(networks={"back": {"internal": True}}))
    assert "The network demo_back cannot be replaced (internal is false, wanted is true)" in str(error)
    assert "docker network inspect demo_back" in str(error)
    assert newest(stack)["status"] == "reverted"
    assert stack.docker.running() == {**ONE, "guest": "x:1"}


# ---- cut off, and done again ------------------------------------------------------------------------------------


def killed_at(stack: SmallStack, wanted: Any, condition: Callable[[list[str]], bool]) -> None:
    def kill(words: list[str]) -> None:
        if condition(words):
            raise KilledError

    stack.docker.before = kill
    with pytest.raises(KilledError):
        stack.deploy(wanted)
    stack.docker.before = lambda _words: None
    stack.docker.commands.clear()


@pytest.mark.parametrize("first", [True, False])
def test_killed_while_bringing_up(stack: SmallStack, first: bool) -> None:
    if not first:
        stack.deploy(make_wanted())
    killed_at(stack, make_wanted("2"), lambda words: words[-1] == "worker" and "up" in words)
    unfinished = stack.store.unfinished()
    assert unfinished
    assert newest(stack)["status"] == "running"
    # The tag moves meanwhile: what was pulled first counts.
    stack.docker.push(image_of("web", "2"), "moved")
    about = stack.deploy(make_wanted("2"))
    assert about["id"] == unfinished.id
    assert about["status"] == "done"
    assert stack.docker.running() == TWO
    assert not stack.docker.words("pull")


def test_killed_while_pulling(stack: SmallStack) -> None:
    killed_at(stack, make_wanted(), lambda words: words[-1] == image_of("worker"))
    assert stack.docker.containers == {}
    assert stack.deploy(make_wanted())["status"] == "done"
    assert len(stack.docker.words("pull")) == 3


def test_killed_then_the_second_attempt_cannot_pull(stack: SmallStack) -> None:
    """The host stands between two releases, so the way back is right although this attempt touched nothing."""
    stack.deploy(make_wanted())
    killed_at(stack, make_wanted("2"), lambda words: words[-1] == "worker" and "up" in words)
    stack.docker.drop_images()
    stack.docker.keep_image(image_of("db"), stack.docker.registry[image_of("db")])
    stack.docker.keep_image(image_of("web"), stack.docker.registry[image_of("web")])
    stack.docker.keep_image(image_of("worker"), stack.docker.registry[image_of("worker")])
    stack.docker.registry_answers = False
    failing(stack, make_wanted("2"))
    assert newest(stack)["status"] == "reverted"
    assert stack.docker.running() == ONE


def test_an_attempt_that_ended_long_ago_says_nothing_about_this_one(stack: SmallStack) -> None:
    """The release was brought up once; a later attempt that fails before it touches anything reverts nothing."""
    first = stack.deploy(make_wanted())
    stack.deploy(make_wanted("2"))
    again = stack.store.get(first["id"])
    again.update(status="prepared")
    stack.docker.drop_images()
    stack.docker.registry_answers = False
    stack.docker.commands.clear()
    with pytest.raises(RolloutError, match="cannot be pulled"):
        stack.apply(again)
    assert again.read()["status"] == "failed"
    assert not stack.docker.words("compose")


def test_another_release_takes_the_place_of_an_unfinished_one(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    killed_at(stack, make_wanted("2"), lambda words: "up" in words)
    cut = stack.store.all()[-1]
    stack.deploy(make_wanted("3"))
    assert cut.read()["status"] == "abandoned"
    assert set(stack.docker.running().values()) == {image_of(name, "3") for name in NEEDS}


def test_back_to_the_old_release_after_a_cut(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    killed_at(stack, make_wanted("2", needs={**NEEDS, "db": []}), lambda words: words[-1] == "worker" and "up" in words)
    cut = stack.store.all()[-1]
    assert stack.plan(make_wanted()).actions == {"db": "repair: runs another image than the release"}
    stack.deploy(make_wanted())
    assert stack.docker.running() == ONE
    assert cut.read()["status"] == "abandoned"


def test_killed_between_the_switch_and_the_end(stack: SmallStack, monkeypatch: pytest.MonkeyPatch) -> None:
    release = stack.prepare(make_wanted())

    def kill(_release: Any) -> None:
        raise KilledError

    monkeypatch.setattr(stack.store, "switch", kill)
    with pytest.raises(KilledError):
        stack.apply(release)
    monkeypatch.undo()
    assert stack.deploy(make_wanted())["id"] == release.id


# ---- repair -----------------------------------------------------------------------------------------------------


def test_a_repair_needs_no_registry_and_ignores_a_tag_that_moved(stack: SmallStack) -> None:
    first = stack.deploy(make_wanted())
    for name in NEEDS:
        stack.docker.push(image_of(name), "moved")
    stack.docker.registry_answers = False
    stack.docker.containers.pop(stack.docker.of("web").id)
    stack.docker.commands.clear()
    about = stack.deploy(make_wanted())
    assert about["id"] == first["id"]
    assert about["services"] == first["services"]
    assert not stack.docker.words("pull")
    assert stack.docker.running() == ONE


@pytest.mark.parametrize("status", ["running", "failed", "prepared", "done"])
def test_a_repair_keeps_the_digests_whatever_became_of_the_last_one(stack: SmallStack, status: str) -> None:
    first = stack.deploy(make_wanted())
    current = stack.store.current()
    assert current
    current.update(status=status)
    for name in NEEDS:
        stack.docker.push(image_of(name), "moved")
    stack.docker.containers.pop(stack.docker.of("web").id)
    about = stack.deploy(make_wanted())
    assert about["services"] == first["services"]
    assert about["created"] == first["created"]


def test_a_repair_pulls_by_digest_what_is_missing(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    digest = stack.docker.registry[image_of("web")]
    stack.docker.push(image_of("web"), "moved")
    stack.docker.drop_images()
    stack.docker.commands.clear()
    stack.docker.containers.pop(stack.docker.of("web").id)
    stack.deploy(make_wanted())
    assert f"{image_of('web')}@{digest}" in [words[-1] for words in stack.docker.words("pull")]
    assert stack.docker.of("web").reference.endswith(digest)


def test_a_repair_that_fails_leaves_the_release_in_use(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    stack.docker.containers.pop(stack.docker.of("web").id)
    stack.docker.behaviours["web"] = Behaviour(exits_after=0.0)
    failing(stack, make_wanted())
    assert newest(stack)["status"] == "failed"
    assert stack.store.current() == stack.store.all()[0]
    assert set(stack.docker.running()) == {"db", "worker"}
    stack.docker.of("web").behaviour = Behaviour()
    assert stack.deploy(make_wanted())["status"] == "done"


# ---- under the lock ---------------------------------------------------------------------------------------------


def run(stack: SmallStack, release: Any, wait: float = 0.0) -> int:
    return run_release(stack.store, release, stack.engine, rollout=stack.rollout, lock_wait=wait, run=stack.docker)


def test_exit_codes(stack: SmallStack, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(stack, stack.prepare(make_wanted())) == 0
    stack.docker.by_image[image_of("db", "2")] = Behaviour(exits_after=0.0)
    assert run(stack, stack.prepare(make_wanted("2"))) == 1
    assert "db stopped" in capsys.readouterr().err


def test_another_rollout_is_at_work(stack: SmallStack) -> None:
    release = stack.prepare(make_wanted())
    with lock(stack.store.paths, holder="somebody else"):
        assert run(stack, release) == BUSY
    assert stack.docker.commands == []
    assert release.read()["status"] == "prepared"


def test_a_rollout_waits_for_the_start_at_boot(stack: SmallStack, monkeypatch: pytest.MonkeyPatch) -> None:
    release = stack.prepare(make_wanted())
    with lock(stack.store.paths, holder=STARTING) as held:
        assert held
        monkeypatch.setattr(f"{run_release.__module__}.START_TIMEOUT", 0.0)
        assert run(stack, release) == BUSY
    monkeypatch.setattr(f"{run_release.__module__}.START_TIMEOUT", 5.0)
    assert run(stack, release) == 0


def test_an_abandoned_release_is_not_rolled_out(stack: SmallStack) -> None:
    release = stack.prepare(make_wanted())
    stack.prepare(make_wanted("2"))
    assert run(stack, release) == 1
    assert stack.docker.commands == []


def test_a_release_that_cannot_be_read(stack: SmallStack, capsys: pytest.CaptureFixture[str]) -> None:
    release = stack.prepare(make_wanted())
    (release.folder / "release.json").write_text("[]")
    assert run(stack, release) == 1
    assert re.search(r"release\.json cannot be used: it does not hold a mapping", capsys.readouterr().err)


# ---- any graph --------------------------------------------------------------------------------------------------


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    names = [f"s{number}" for number in range(draw(st.integers(1, 5)))]
    return {
        name: draw(st.lists(st.sampled_from(names[:index]), unique=True)) if index else []
        for index, name in enumerate(names)
    }


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(graph=graphs())
def test_a_service_starts_when_all_it_needs_is_healthy(stack: SmallStack, graph: dict[str, list[str]]) -> None:
    stack.docker.containers.clear()
    for name in graph:
        stack.docker.push(image_of(name))
    about = stack.deploy(make_wanted(needs=graph, secret=f"secret of {sorted(graph.items())}"))
    assert about["order"] == levels_of(graph)
    for name, needed in graph.items():
        for other in needed:
            ready = stack.docker.of(other).started + 2
            assert stack.docker.of(name).started >= ready
