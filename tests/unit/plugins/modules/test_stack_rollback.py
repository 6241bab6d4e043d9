"""The module in check mode and in real mode, on a fake host."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import Paths
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.rollback import GoBack
from ansible_collections.hypercode.deploy.plugins.modules import stack_rollback
from fakes.docker_host import Behaviour
from fakes.rollouts import ONE, TWO
from fakes.small_stack import CANARY, NEEDS, SmallStack, image_of, make_wanted


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallStack]:
    """A host on which version 2 follows version 1."""
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
    made = SmallStack(tmp_path / "root")
    monkeypatch.setattr(stack_rollback, "Paths", lambda: Paths(tmp_path / "root"))
    monkeypatch.setattr(stack_rollback, "Engine", lambda: made.engine)
    docker = made.docker
    options = {"launcher": made.launcher(), "clock": docker.clock, "sleep": docker.sleep, "rollout": made.rollout}
    monkeypatch.setattr(stack_rollback, "GoBack", functools.partial(GoBack, **options))
    for version in ("1", "2"):
        made.deploy(make_wanted(version))
    yield made
    made.close()


@pytest.fixture
def call(stack: SmallStack, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*, check: bool = False, diff: bool = False, **arguments: Any) -> Any:
        given = {**arguments, "_ansible_check_mode": check, "_ansible_diff": diff}
        with patch_module_args(given), pytest.raises(SystemExit):
            stack_rollback.main()
        output = capsys.readouterr()
        assert "Traceback" not in output.err
        assert CANARY not in output.out + output.err
        return json.loads(output.out)

    return run


def test_check_mode_predicts_what_the_run_does(call: Any, stack: SmallStack) -> None:
    before = stack.everything_written()
    predicted = call(check=True, diff=True)
    assert predicted["changed"] is True
    assert predicted["plan"] == {name: f"replace: {TWO[name]} -> {ONE[name]}" for name in NEEDS}
    assert image_of("web", "2") in predicted["diff"][0]["before"]
    assert image_of("web", "1") in predicted["diff"][0]["after"]
    assert "web: replace: " in predicted["diff"][1]["prepared"]
    assert (stack.everything_written(), stack.docker.running()) == (before, TWO)
    done = call(diff=True)
    same = ("changed", "plan", "diff", "note", "left")
    assert {key: done[key] for key in same} == {key: predicted[key] for key in same}
    assert (done["left"]["version"], done["release"]["version"], done["release"]["status"]) == ("2", "1", "done")
    assert [row["ready"] for row in done["hypercode_board"]] == [True] * 3
    assert stack.docker.running() == ONE


def test_the_second_run_changes_nothing(call: Any) -> None:
    first = call(to="1")
    for check in (False, True):
        again = call(to="1", check=check, diff=True)
        assert (again["changed"], again["plan"], again["release"]) == (False, {}, first["release"])
        assert "in use already" in again["note"]
        assert "diff" not in again


@pytest.mark.parametrize("check", [False, True])
def test_a_release_that_is_not_here(call: Any, stack: SmallStack, check: bool) -> None:
    result = call(to="7", check=check)
    assert (result["failed"], "no version '7'" in result["msg"]) == (True, True)
    assert stack.docker.running() == TWO


def test_check_mode_without_docker(call: Any, stack: SmallStack) -> None:
    stack.docker.stop()
    result = call(check=True)
    assert (len(result["plan"]), "Docker does not answer" in str(result["warnings"])) == (3, True)
    assert call()["failed"] is True


def test_a_failure_names_service_and_evidence_and_the_host_is_where_it_was(call: Any, stack: SmallStack) -> None:
    stack.docker.by_image[image_of("web", "1")] = Behaviour(healthy_after=None, probe=f"login {CANARY} refused")
    result = call(reason="a try")
    assert result["failed"] is True
    assert "web did not get healthy" in result["msg"]
    assert (result["service"], result["release"]["status"]) == ("web", "reverted")
    assert Path(result["evidence"], "web.log").exists()
    assert len(result["plan"]) == 3
    assert {row["ready"] for row in result["hypercode_board"]} == {True}
    assert stack.docker.running() == TWO
