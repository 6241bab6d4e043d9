"""What is said while a soak is waited for, and what becomes of a host that goes away meanwhile."""

from __future__ import annotations

import time
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible_collections.hypercode.deploy.plugins.action import soak_check

BAR = "20270101T000000Z-soak  ████  3 h left"


class Desk:
    """A host that answers one after the other, and a time that passes only with each answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.answers, self.asked = 0.0, [], []  # type: tuple[float, list[dict[str, Any]], list[dict[str, Any]]]
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "sleep", self.pass_by)
        self.said: list[str] = []

    def pass_by(self, seconds: float) -> None:
        self.now += seconds

    def host(self, module_name: str, module_args: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        assert module_name == soak_check.MODULE
        self.asked.append(module_args)
        self.now += float(module_args.get("wait") or 0)
        return self.answers.pop(0)

    def run(self, *answers: dict[str, Any], check: bool = False, **args: Any) -> dict[str, Any]:
        self.answers = list(answers)
        task = MagicMock(args={"state": "finished", **args}, async_val=0, check_mode=check)
        action = soak_check.ActionModule(task, MagicMock(), MagicMock(), DataLoader(), MagicMock(), MagicMock())
        action._execute_module = self.host
        action._display = MagicMock(display=self.said.append)
        result: dict[str, Any] = action.run(task_vars={"inventory_hostname": "web1"})
        return result


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(monkeypatch)


def going(*findings: str) -> dict[str, Any]:
    return {"running": True, "lines": [BAR, *findings]}


ENDED = {"running": False, "verdict": "PASS", "lines": []}


def test_it_waits_in_short_steps_until_the_end(desk: Desk) -> None:
    assert desk.run(*[going("No findings so far.")] * 7, ENDED)["verdict"] == "PASS"
    assert {call["wait"] for call in desk.asked} == {"20.000"}
    # After 20, 80 and 140 seconds.
    assert desk.said == [f"  web1: {BAR}", "  web1: No findings so far."] * 3


def test_what_is_new_is_said_at_once(desk: Desk) -> None:
    desk.run(going("No findings so far."), going("FAIL: Restarts: 3"), going("FAIL: Restarts: 3"), ENDED)
    assert [line for line in desk.said if BAR not in line] == [
        "  web1: No findings so far.",
        "  web1: FAIL: Restarts: 3",
    ]


def test_it_waits_no_longer_than_it_is_told(desk: Desk) -> None:
    result = desk.run(going(), going(), going(), going(), wait="50s")
    assert result["running"]
    assert [call["wait"] for call in desk.asked] == ["20.000", "20.000", "10.000", "0.000"]
    assert "has to be a time" in desk.run(wait="soon")["msg"]


def test_a_host_that_boots_is_waited_for(desk: Desk) -> None:
    away = {"unreachable": True, "msg": "no route"}
    assert desk.run(going(), away, away, going(), ENDED)["verdict"] == "PASS"
    assert desk.run(going(), *[away] * 1000)["unreachable"]


def test_all_else_is_asked_once(desk: Desk) -> None:
    assert desk.run({"changed": True}, state="started")["changed"]
    assert desk.run({"running": True}, check=True)["running"]
    assert desk.run({"failed": True, "msg": "no soak"})["failed"]
    assert len(desk.asked) == 3
