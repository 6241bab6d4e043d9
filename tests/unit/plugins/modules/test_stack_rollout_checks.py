"""The module's options for forbidden packages and for secrets that services keep, on a fake host."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import deploy
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.converge import Converge
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.launcher import Launcher
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import Paths
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.rollout_run import run_release
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.scram import make_verifier
from ansible_collections.hypercode.deploy.plugins.modules import stack_rollout
from fakes.image_contents import ImageHost, installed, make_tar
from fakes.kept_secrets import ROLE, KeepingStack
from fakes.small_stack import NEEDS, image_of, make_wanted

FIRST = "Canary-1"
JOSE = {"package": "python-jose", "service": "web", "reason": "Replaced in 2.1."}


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeepingStack]:
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
    made = KeepingStack(tmp_path / "root", served=True)
    host = ImageHost(made.docker)
    host.contents[image_of("web", "2")] = make_tar(installed("python-jose", "3.3.0"))
    docker = made.docker
    rollout = functools.partial(made.rollout, stream=host.stream)
    run = functools.partial(run_release, rollout=rollout, run=docker, lock_wait=0)
    launcher = Launcher(sleep=docker.sleep, clock=docker.clock, systemd=tmp_path / "none", run_here=run)
    options = {
        "launcher": launcher,
        "clock": docker.clock,
        "sleep": docker.sleep,
        "rollout": rollout,
        "tell": made.kept,
    }
    monkeypatch.setattr(stack_rollout, "Paths", lambda: Paths(tmp_path / "root"))
    monkeypatch.setattr(stack_rollout, "Engine", lambda: made.engine)
    monkeypatch.setattr(stack_rollout, "Converge", functools.partial(Converge, **options))
    monkeypatch.setattr(stack_rollout.deploy, "make_plan", functools.partial(deploy.make_plan, tell=made.kept))
    yield made
    made.close()


@pytest.fixture
def call(stack: KeepingStack, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(version: str = "1", *, secret: str = FIRST, check: bool = False, **more: Any) -> Any:
        wanted = make_wanted(version, secret=secret)
        arguments = {
            "project": wanted.project,
            "compose": wanted.model,
            "services": wanted.services,
            "order": wanted.order,
            "secrets": wanted.secrets,
            "version": version,
            "ready_timeout": 30,
            "credentials": [ROLE],
            "forbidden_python_packages": ["python-jose"],
            **more,
            "_ansible_check_mode": check,
            "_ansible_diff": True,
        }
        with patch_module_args(arguments), pytest.raises(SystemExit):
            stack_rollout.main()
        output = capsys.readouterr()
        assert "Traceback" not in output.err
        assert "Canary" not in output.out + output.err
        assert "SCRAM" not in output.out + output.err
        return json.loads(output.out)

    return run


def test_a_forbidden_package(call: Any, stack: KeepingStack) -> None:
    call()
    assert call("2", check=True)["changed"] is True
    result = call("2")
    assert result["failed"] is True
    assert result["msg"].startswith(
        "The release is refused. Images hold Python packages that are forbidden (python-jose)"
    )
    assert (result["service"], result["release"]["status"]) == ("web", "failed")
    assert stack.docker.running() == {name: image_of(name) for name in NEEDS}
    done = call("2", allowed_packages=[JOSE])
    assert (done["changed"], done["release"]["status"]) == (True, "done")
    assert call("2", allowed_packages=[JOSE])["changed"] is False
    # The exception is taken back: nothing is as wanted any more.
    for check in (True, False):
        result = call("2", check=check)
        assert result["failed"] is True
        assert "The release in use is refused" in result["msg"]


@pytest.mark.parametrize("check", [True, False])
def test_an_exception_without_a_reason(call: Any, stack: KeepingStack, check: bool) -> None:
    result = call(check=check, allowed_packages=[{"package": "python-jose"}])
    assert result["msg"] == (
        "Entry 1 of allowed_packages (python-jose) has no reason. Nothing was changed. "
        "Fix: add 'reason' and say in it why python-jose may be there"
    )
    assert not stack.store.paths.root.exists()


def test_a_rotation_in_check_mode_then_for_real(call: Any, stack: KeepingStack) -> None:
    call()
    predicted = call(check=True, secret="Canary-2")
    assert predicted["plan"]["db"].endswith("; set the password of role app")
    assert stack.kept.accepts(FIRST)
    assert call(secret="Canary-2")["plan"] == predicted["plan"]
    assert stack.kept.accepts("Canary-2")
    assert call(secret="Canary-2")["changed"] is False


def test_a_password_that_was_changed_by_hand(call: Any, stack: KeepingStack) -> None:
    call()
    stack.kept.roles["app"] = make_verifier("Canary-by-hand")
    for check in (True, False):
        result = call(check=check)
        assert (result["changed"], result["plan"]) == (True, {"db": "set the password of role app"})
        assert "db: set the password of role app" in result["diff"][1]["prepared"]
    assert call()["changed"] is False


def test_what_cannot_be_told_in_check_mode_is_a_warning(call: Any, stack: KeepingStack) -> None:
    call()
    stack.kept.before = lambda _argv, _text: CommandResult(2, "", "psql: error: the database system is starting up\n")
    result = call(check=True)
    assert result["changed"] is False
    assert "It cannot be told whether this differs. The password of role app in db" in str(result["warnings"])


@pytest.mark.parametrize("check", [True, False])
def test_a_kind_that_is_not_known(call: Any, stack: KeepingStack, check: bool) -> None:
    result = call(check=check, credentials=[{**ROLE, "kind": "mysql_user"}])
    assert (
        "a kind that is not known. Nothing was changed. Fix: use one of: postgres_role, grafana_admin" in result["msg"]
    )
    assert not stack.store.paths.root.exists()
