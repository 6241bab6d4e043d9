"""The module in check mode and in real mode, on a fake host."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import deploy
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.converge import Converge
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.launcher import Launcher
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import Paths, lock
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.rollout_run import run_release
from ansible_collections.hypercode.deploy.plugins.modules import stack_rollout
from fakes.docker_host import Behaviour
from fakes.small_stack import CANARY, NEEDS, SmallStack, image_of, make_wanted


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallStack]:
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
    made = SmallStack(tmp_path / "root", served=True)
    monkeypatch.setattr(stack_rollout, "Paths", lambda: Paths(tmp_path / "root"))
    monkeypatch.setattr(stack_rollout, "Engine", lambda: made.engine)
    run = functools.partial(run_release, rollout=made.rollout, run=made.docker, lock_wait=0)
    docker = made.docker
    launcher = Launcher(sleep=docker.sleep, clock=docker.clock, systemd=tmp_path / "none", run_here=run)
    options = {"launcher": launcher, "clock": docker.clock, "sleep": docker.sleep, "rollout": made.rollout}
    monkeypatch.setattr(stack_rollout, "Converge", functools.partial(Converge, **options))
    yield made
    made.close()


@pytest.fixture
def call(stack: SmallStack, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(wanted: deploy.Wanted | None = None, *, check: bool = False, diff: bool = False, **more: Any) -> Any:
        wanted = wanted or make_wanted()
        arguments = {
            "project": wanted.project,
            "compose": wanted.model,
            "services": wanted.services,
            "order": wanted.order,
            "secrets": wanted.secrets,
            "version": wanted.version,
            "ready_timeout": 30,
            **more,
            "_ansible_check_mode": check,
            "_ansible_diff": diff,
        }
        with patch_module_args(arguments), pytest.raises(SystemExit):
            stack_rollout.main()
        output = capsys.readouterr()
        assert "Traceback" not in output.err
        result = json.loads(output.out)
        # Ansible repeats the arguments and masks what is marked; the rest is the module's own.
        assert "Canary" not in output.out + output.err
        return result

    return run


def test_check_mode_on_a_bare_host_predicts_what_the_run_does(call: Any, stack: SmallStack) -> None:
    stack.docker.stop()
    predicted = call(check=True, diff=True)
    assert predicted["changed"] is True
    assert predicted["plan"] == dict.fromkeys(NEEDS, "start")
    assert predicted["diff"][0]["before"] == ""
    assert image_of("web") in predicted["diff"][0]["after"]
    assert "${DB_PASSWORD}" in predicted["diff"][0]["after"]
    assert "web: start" in predicted["diff"][1]["prepared"]
    assert "hypercode_board" not in predicted
    assert not stack.store.paths.root.exists()
    stack.docker.start()
    done = call(diff=True)
    assert {key: done[key] for key in ("changed", "plan", "diff")} == {
        key: predicted[key] for key in ("changed", "plan", "diff")
    }
    assert done["release"]["status"] == "done"
    assert [row["ready"] for row in done["hypercode_board"]] == [True] * 3


def test_the_second_run_changes_nothing(call: Any, stack: SmallStack) -> None:
    first = call()
    for check in (False, True):
        again = call(check=check, diff=True)
        assert (again["changed"], again["plan"], again["release"]) == (False, {}, first["release"])
        assert "diff" not in again


def test_an_update_in_check_mode_then_for_real(call: Any, stack: SmallStack) -> None:
    call()
    predicted = call(make_wanted("2"), check=True, diff=True)
    assert predicted["release"]["version"] == "1"
    assert stack.docker.running() == {name: image_of(name) for name in NEEDS}
    done = call(make_wanted("2"))
    assert (done["plan"], done["release"]["version"]) == (predicted["plan"], "2")


def test_the_plan_tells_the_hooks_and_no_command(call: Any, stack: SmallStack) -> None:
    hooks = {
        "before_rollout": [{"service": "web", "command": ["migrate", CANARY]}],
        "after_rollout": [{"service": "db", "command": ["look"]}],
    }
    first = call(hooks=hooks, check=True, diff=True)["diff"][1]["prepared"]
    assert ("before_rollout" in first, "after_rollout hook: a command in a container of db" in first) == (False, True)
    call()
    told = call(make_wanted("2"), hooks=hooks, check=True, diff=True)["diff"][1]["prepared"].splitlines()
    assert told[1].startswith("no restore point, since no backups are set up on this host: a hook runs before")
    assert told[2] == "before_rollout hook: a command in a container of web"
    assert told[-2] == "after_rollout hook: a command in a container of db"
    # Other hooks alone are no change.
    assert call(hooks=hooks, check=True, diff=True)["changed"] is False


def test_a_failure_names_service_evidence_and_fix(call: Any, stack: SmallStack) -> None:
    call()
    stack.docker.by_image[image_of("web", "2")] = Behaviour(healthy_after=None, probe=f"login {CANARY} refused")
    result = call(make_wanted("2"))
    assert result["failed"] is True
    assert "web did not get healthy within 30 s" in result["msg"]
    assert "login *** refused" in result["msg"]
    assert "The previous release" in result["msg"]
    assert (result["service"], result["release"]["status"]) == ("web", "reverted")
    assert Path(result["evidence"], "web.log").exists()
    assert {row["service"]: row["ready"] for row in result["hypercode_board"]} == dict.fromkeys(NEEDS, True)
    assert call()["changed"] is False


def test_unhealthy_where_nothing_is_to_do(call: Any, stack: SmallStack) -> None:
    call()
    stack.docker.of("web").behaviour = Behaviour(healthy_after=None)
    assert call(check=True)["changed"] is False
    result = call()
    assert (result["failed"], result["changed"], result["plan"], result["service"]) == (True, False, {}, "web")
    assert "Fix: read its log in" in result["msg"]


def test_without_docker(call: Any, stack: SmallStack) -> None:
    call()
    stack.docker.stop()
    checked = call(check=True)
    assert checked["changed"] is False
    assert "Docker does not answer" in str(checked["warnings"])
    result = call()
    assert result["failed"] is True
    assert "Fix: systemctl start docker" in result["msg"]


def test_another_rollout_is_at_work(call: Any, stack: SmallStack) -> None:
    call()
    with lock(stack.store.paths, holder="20270101T000000Z-00000000"):
        result = call(make_wanted("2"))
    assert "Another rollout is at work on this host (20270101T000000Z-00000000)" in result["msg"]
    assert len(stack.store.all()) == 1


@pytest.mark.parametrize("file", ["release.json", "model.json"])
def test_a_torn_record(call: Any, stack: SmallStack, file: str) -> None:
    first = call()
    (stack.store.get(first["release"]["id"]).folder / file).write_text('{"services": ')
    predicted = call(check=True, diff=True)
    assert predicted["changed"] is True
    done = call(diff=True)
    assert (done["changed"], done["release"]["status"]) == (True, "done")
    assert done["release"]["id"] != first["release"]["id"]


@pytest.mark.parametrize("value", [None, True, 1.5, [CANARY], {"a": CANARY}])
def test_a_secret_that_is_no_text(call: Any, value: object) -> None:
    result = call(secrets={"DB_PASSWORD": value})
    assert result["failed"] is True
    assert result["msg"] == (
        "These secrets are not text: DB_PASSWORD. Nothing was changed. Fix: put their values in quotes"
    )


def test_a_secret_that_is_a_number(call: Any, stack: SmallStack) -> None:
    call(secrets={"DB_PASSWORD": 123456})
    assert stack.docker.of("db").environment["PASSWORD"] == "123456"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"secrets": {}}, "These secrets have no value: DB_PASSWORD"),
        ({"compose": {}}, "has no services"),
        ({"compose": {"services": "x"}}, "has no services"),
        ({"order": []}, "differ: db, web, worker"),
        ({"services": {"db": 1}}, "different services"),
        ({"project": "A B"}, "no name for a Compose project"),
        ({"timeout": 0}, "timeout is 0"),
        ({"ready_timeout": -1}, "ready_timeout is -1"),
        ({"keep_releases": 0}, "keep_releases is 0"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_bad_input(call: Any, stack: SmallStack, arguments: Mapping[str, Any], words: str, check: bool) -> None:
    result = call(check=check, **arguments)
    assert result["failed"] is True
    assert words in result["msg"]
    assert "Nothing was changed. Fix: " in result["msg"]
    assert not stack.store.paths.root.exists()


@pytest.mark.parametrize("version", ["1.10", 2, 1.5])
def test_versions_of_any_kind(call: Any, version: object) -> None:
    assert call(version=version)["release"]["version"] == str(version)
    assert call(version=version)["changed"] is False


def test_the_record_says_who_and_why(call: Any, stack: SmallStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "ann")
    call(reason="because")
    about = stack.store.all()[0].read()
    assert (about["who"], about["why"], about["keep_releases"], about["local_images"]) == ("ann", "because", 5, [])
    assert "Canary" not in stack.everything_written()
