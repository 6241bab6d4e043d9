"""The watch as a module, in check mode and in real mode."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.limits_unit import WatchError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.limits_watch import Bounds
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import Paths
from ansible_collections.hypercode.deploy.plugins.modules import limits_watch
from fakes.small_stack import SmallStack, make_wanted

REPORT = {"held": True, "seconds": 5.0, "looks": 5, "services": [], "points": []}


class Unit:
    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.error = ""

    def start(self, seconds: float, bounds: Bounds) -> None:
        self.calls.append((seconds, bounds))
        if self.error:
            raise WatchError(self.error)

    def stop(self) -> dict[str, Any]:
        self.calls.append("stop")
        return REPORT


@pytest.fixture
def unit(monkeypatch: pytest.MonkeyPatch) -> Unit:
    made = Unit()
    monkeypatch.setattr(limits_watch, "WatchUnit", lambda: made)
    return made


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallStack]:
    monkeypatch.setattr(os, "fsync", lambda _handle: None)
    made = SmallStack(tmp_path / "root", served=True)
    yield made
    made.close()


@pytest.fixture
def call(unit: Unit, stack: SmallStack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setattr(limits_watch, "Paths", lambda: Paths(stack.store.paths.root))
    monkeypatch.setattr(limits_watch, "Engine", lambda: stack.engine)

    def run(**arguments: Any) -> Any:
        with patch_module_args(arguments), pytest.raises(SystemExit):
            limits_watch.main()
        result = json.loads(capsys.readouterr().out)
        assert result.get("changed", False) is False
        return result

    return run


def test_it_starts_and_says_where_services_answer(call: Any, unit: Unit, stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    stack.docker.address = "198.51.100.7"
    result = call(state="started", seconds=60, memory_share=0.8)
    assert unit.calls == [(60.0, Bounds(0.8, 0.25))]
    assert len(result["addresses"]) == 3
    assert all(places == ["198.51.100.7"] for places in result["addresses"].values())


def test_it_ends_with_the_report(call: Any, unit: Unit) -> None:
    result = call(state="stopped")
    assert (unit.calls, result["report"]) == (["stop"], REPORT)
    assert result["table"][0].startswith("service")


@pytest.mark.parametrize("state", ["started", "stopped"])
def test_check_mode_watches_nothing(call: Any, unit: Unit, state: str) -> None:
    result = call(state=state, _ansible_check_mode=True)
    assert (unit.calls, "report" in result, result.get("failed", False)) == ([], False, False)


def test_why_it_did_not_start(call: Any, unit: Unit) -> None:
    unit.error = "Another load test watches this host. Fix: wait"
    result = call(state="started")
    assert (result["failed"], result["msg"]) == (True, "Another load test watches this host. Fix: wait")
