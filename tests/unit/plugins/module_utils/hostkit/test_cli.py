"""The host command, as an operator types it."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import cli
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.wanted import Paths
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import lock
from fakes.certificates import DAY, issue, keep, want
from fakes.docker_host import Behaviour, KilledError
from fakes.small_stack import NEEDS, SmallStack, image_of, make_wanted

Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(stack: SmallStack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Type a command; return exit code, output and what was said on standard error."""

    def run(words: str) -> tuple[int, str, str]:
        host = cli.Host(stack.store, stack.engine, stack.docker, stack.rollout, Paths(tmp_path))
        capsys.readouterr()
        try:
            code = cli.main(words.split(), host)
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, said.err

    return run


@pytest.mark.parametrize("words", ["", "stauts", "rollout", "stack", "stack signal", "status --jsn"])
def test_typed_wrong(typed: Typed, words: str) -> None:
    code, _, said = typed(words)
    assert code == 2
    assert "usage: hypercode" in said


def test_help_and_version(typed: Typed) -> None:
    assert "75 another one is at work" in typed("--help")[1]
    assert typed("--version")[1].startswith("hypercode ")


def test_it_works_on_this_host_by_default() -> None:
    host = cli.Host()
    assert str(host.store.paths.current) == "/opt/hypercode/current"
    assert host.run is cli.run_docker


# ---- status -----------------------------------------------------------------------------------------------------


def test_status_of_a_bare_host(typed: Typed) -> None:
    assert typed("status") == (1, "hypercode: nothing is deployed on this host yet. Next: run site.yml for it\n", "")
    code, output, _ = typed("status --json")
    assert (code, json.loads(output)) == (1, {"release": None, "board": []})


def test_status(typed: Typed, stack: SmallStack) -> None:
    about = stack.deploy(make_wanted())
    code, output, _ = typed("status")
    assert code == 0
    assert "3 of 3 services healthy" in output
    assert output.rstrip().endswith(f"release {about['id']}  version 1  status done")
    document = json.loads(typed("status --json")[1])
    assert (document["release"], [row["service"] for row in document["board"]]) == (about["id"], sorted(NEEDS))


def test_status_shows_the_certificates(typed: Typed, stack: SmallStack, tmp_path: Path) -> None:
    stack.deploy(make_wanted())
    want(tmp_path, {"name": "app.example.com"})
    code, output, _ = typed("status")
    assert (code, "certificates: 0 of 1 in order" in output) == (1, True)
    now = time.time()
    keep(tmp_path, "app.example.com", issue(begin=now - DAY, end=now + 80 * DAY))
    code, output, _ = typed("status")
    assert (code, "certificates: 1 of 1 in order" in output) == (0, True)
    document = json.loads(typed("status --json")[1])
    assert [(row["name"], row["state"]) for row in document["certificates"]] == [("app.example.com", "ok")]


def test_status_when_something_is_wrong(typed: Typed, stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    stack.docker.containers.pop(stack.docker.of("web").id)
    code, output, _ = typed("status")
    assert code == 1
    assert "no container" in output


def test_status_after_a_first_deploy_that_failed(typed: Typed, stack: SmallStack) -> None:
    stack.docker.behaviours["web"] = Behaviour(exits_after=0.0)
    assert typed(f"rollout apply {stack.prepare(make_wanted()).id}")[0] == 1
    code, output, _ = typed("status")
    assert code == 1
    assert "status failed" in output
    assert "web" in output


def test_status_with_a_link_that_leads_nowhere(typed: Typed, stack: SmallStack) -> None:
    about = stack.deploy(make_wanted())
    folder = stack.store.get(about["id"]).folder
    folder.rename(folder.with_name("moved"))
    code, output, _ = typed("status")
    assert (code, "is gone from the disk. Next: run site.yml" in output) == (1, True)


def test_status_with_a_torn_record(typed: Typed, stack: SmallStack) -> None:
    about = stack.deploy(make_wanted())
    (stack.store.get(about["id"]).folder / "release.json").write_text('{"id": ')
    for words in ("status", "stack start", "stack stop", "stack signal web HUP", "rollout status"):
        code, _, said = typed(words)
        assert code == 1
        assert "Fix: run site.yml again" in said


def test_status_without_docker(typed: Typed, stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    stack.docker.stop()
    code, _, said = typed("status")
    assert (code, "Fix: systemctl start docker" in said) == (1, True)


def test_status_of_a_user_who_may_not(typed: Typed, stack: SmallStack, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise PermissionError(13, "Permission denied", "/opt/hypercode/current")

    monkeypatch.setattr(stack.store, "current", refuse)
    code, _, said = typed("status")
    assert code == 1
    assert said.endswith("'/opt/hypercode/current'. Fix: run it with sudo\n")


def test_the_reader_of_the_output_goes_away(stack: SmallStack, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    assert cli.main(["status"], cli.Host(stack.store, stack.engine)) == 0


# ---- rollout ----------------------------------------------------------------------------------------------------


def test_rollout_status(typed: Typed, stack: SmallStack) -> None:
    assert typed("rollout status") == (1, "hypercode: no rollout has run on this host\n", "")
    stack.deploy(make_wanted())
    code, output, _ = typed("rollout status")
    assert code == 0
    assert "  up  services=['db']\n" in output
    assert output.rstrip().endswith("done")


def test_rollout_status_of_one_that_failed(typed: Typed, stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    stack.docker.by_image[image_of("db", "2")] = Behaviour(exits_after=0.0)
    release = stack.prepare(make_wanted("2"))
    code, output, said = typed(f"rollout apply {release.id}")
    assert (code, "db stopped with exit code 1" in said) == (1, True)
    assert "bringing up" in output
    code, output, _ = typed("rollout status")
    assert code == 1
    assert output.rstrip().endswith("is running again")


def test_rollout_status_of_one_that_was_cut_off(typed: Typed, stack: SmallStack) -> None:
    release = stack.prepare(make_wanted())
    release.update(status="running")
    code, output, _ = typed("rollout status")
    assert (code, "It was cut off" in output) == (1, True)
    with lock(stack.store.paths, holder=release.id):
        assert "cut off" not in typed("rollout status")[1]


def test_rollout_apply(typed: Typed, stack: SmallStack) -> None:
    release = stack.prepare(make_wanted())
    assert typed(f"rollout apply {release.id}")[0] == 0
    assert release.status == "done"
    code, _, said = typed("rollout apply nonsense")
    assert code == 1
    assert f"There is no release 'nonsense' here. Releases: {release.id}" in said


def test_ctrl_c(typed: Typed, stack: SmallStack) -> None:
    release = stack.prepare(make_wanted())

    def interrupt(_words: list[str]) -> None:
        raise KeyboardInterrupt

    stack.docker.before = interrupt
    code, _, said = typed(f"rollout apply {release.id}")
    assert code == 130
    assert "goes on where this ended" in said
    stack.docker.before = lambda _words: None
    assert typed(f"rollout apply {release.id}")[0] == 0


# ---- the stack at boot and at shutdown --------------------------------------------------------------------------


def test_start_and_stop_of_nothing(typed: Typed) -> None:
    for words in ("stack start", "stack stop", "stack signal web HUP"):
        assert typed(words)[0] == 0


def test_stop_then_start(typed: Typed, stack: SmallStack) -> None:
    about = stack.deploy(make_wanted())
    assert typed("stack stop")[0] == 0
    assert stack.docker.running() == {}
    stack.docker.commands.clear()
    assert typed("stack start") == (0, f"hypercode: release {about['id']} is up\n", "")
    assert stack.docker.ups() == [["db"], ["web", "worker"]]
    assert stack.plan(make_wanted()).actions == {}


def test_start_goes_on_when_a_service_stays_ill(typed: Typed, stack: SmallStack) -> None:
    """Nobody is there at a boot to try again, and others may need nothing of it."""
    stack.deploy(make_wanted())
    typed("stack stop")
    stack.docker.of("db").behaviour = Behaviour(healthy_after=None)
    code, output, said = typed("stack start")
    assert code == 1
    assert set(stack.docker.running()) == set(NEEDS)
    assert "db did not get healthy within 30 s" in said
    assert "Next: hypercode status" in output


def test_start_waits_for_the_others_of_a_level(typed: Typed, stack: SmallStack) -> None:
    """One crashes at once; what needs the other one still starts after it."""
    stack.docker.push(image_of("cache"))
    stack.deploy(make_wanted(needs={"cache": [], "db": [], "web": ["db"]}))
    typed("stack stop")
    stack.docker.of("cache").behaviour = Behaviour(exits_after=0.0)
    stack.docker.of("db").behaviour = Behaviour(healthy_after=9)
    assert typed("stack start")[0] == 1
    assert stack.docker.of("web").started - stack.docker.of("db").started >= 9


def test_start_goes_on_when_an_image_is_gone(typed: Typed, stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    stack.docker.containers.pop(stack.docker.of("web").id)
    typed("stack stop")
    stack.docker.drop_images()
    for name in ("db", "worker"):
        stack.docker.keep_image(image_of(name), stack.docker.registry[image_of(name)])
    stack.docker.registry_answers = False
    code, _, said = typed("stack start")
    assert code == 1
    assert set(stack.docker.running()) == {"db", "worker"}
    assert "Docker could not start web: Error response from daemon: No such image" in said


def test_start_fetches_an_image_that_is_gone(typed: Typed, stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    stack.docker.containers.clear()
    stack.docker.drop_images()
    assert typed("stack start")[0] == 0
    assert set(stack.docker.running()) == set(NEEDS)


def test_start_with_every_service_crashing(typed: Typed, stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    typed("stack stop")
    for name in NEEDS:
        stack.docker.of(name).behaviour = Behaviour(exits_after=0.0, exit_code=7)
    code, _, said = typed("stack start")
    assert code == 1
    assert "db stopped with exit code 7" in said
    assert "web stopped with exit code 7" in said
    assert "Not ready either: worker" in said


def test_start_after_a_rollout_was_cut_off_by_a_reboot(typed: Typed, stack: SmallStack) -> None:
    """The release in use comes back; the unfinished one waits for site.yml."""
    stack.deploy(make_wanted())
    release = stack.prepare(make_wanted("2"))

    def kill(words: list[str]) -> None:
        if words[-1] == "worker":
            raise KilledError

    stack.docker.before = kill
    with pytest.raises(KilledError):
        stack.apply(release)
    stack.docker.before = lambda _words: None
    assert typed("stack start")[0] == 0
    assert set(stack.docker.running().values()) == {image_of(name) for name in NEEDS}
    assert release.status == "running"
    assert stack.plan(make_wanted("2")).release == release


def test_start_after_a_repair_was_cut_off(typed: Typed, stack: SmallStack) -> None:
    about = stack.deploy(make_wanted())
    stack.store.get(about["id"]).update(status="running")
    typed("stack start")
    assert stack.store.get(about["id"]).status == "done"


def test_start_leaves_it_to_a_rollout(typed: Typed, stack: SmallStack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.deploy(make_wanted())
    stack.docker.commands.clear()
    monkeypatch.setattr(cli, "LOCK_WAIT", 0.0)
    with lock(stack.store.paths, holder="x"):
        code, output, _ = typed("stack start")
    assert (code, output) == (0, "hypercode: a rollout is at work; it starts the stack\n")
    assert stack.docker.commands == []


def test_stop_that_fails(typed: Typed, stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    stack.docker.before = lambda words: CommandResult(1, "", "cannot stop") if "stop" in words else None
    code, _, said = typed("stack stop")
    assert (code, "Docker could not stop the stack: cannot stop" in said) == (1, True)


# ---- signals ----------------------------------------------------------------------------------------------------


def test_signal(typed: Typed, stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    assert typed("stack signal web HUP")[0] == 0
    assert stack.docker.commands[-1] == ["docker", "kill", "--signal", "HUP", stack.docker.of("web").id]


def test_signal_to_nobody(typed: Typed, stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    stack.docker.of("web").state = "exited"
    code, output, _ = typed("stack signal web HUP")
    assert (code, output) == (0, "hypercode: web is not running, so there is nobody to tell\n")
    code, _, said = typed("stack signal wbe HUP")
    assert (code, said) == (2, "hypercode: there is no service 'wbe'. Services: db, web, worker\n")
    # A role need not know whether the release in use has the service already.
    assert typed("stack signal wbe HUP --if-there") == (0, "", "")


def test_signal_that_docker_refuses(typed: Typed, stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    stack.docker.before = lambda _words: CommandResult(1, "", "Invalid signal: HUPP\n")
    code, _, said = typed("stack signal web HUPP")
    assert (code, said) == (1, "hypercode: web did not take the signal HUPP: Invalid signal: HUPP\n")
