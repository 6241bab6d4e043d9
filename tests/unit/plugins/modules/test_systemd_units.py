# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.modules import systemd_units

OFF = "LoadState=loaded\nActiveState=inactive\nSubState=dead\nUnitFileState=disabled\n"
ON = "LoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled\n"


class Runner:
    def __init__(self, answer: str) -> None:
        self.answer = answer
        self.calls: list[list[str]] = []

    def __call__(self, argv: Sequence[str]) -> CommandResult:
        self.calls.append(list(argv))
        if argv[1] == "show":
            return CommandResult(0, self.answer)
        if argv[1] == "start":
            self.answer = ON
        return CommandResult(0)


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Runner:
    fake = Runner(OFF)
    monkeypatch.setattr(systemd_units, "_run", fake)
    return fake


def run(capsys: pytest.CaptureFixture[str], **arguments: Any) -> dict[str, Any]:
    with patch_module_args(arguments), pytest.raises(SystemExit):
        systemd_units.main()
    return dict(json.loads(capsys.readouterr().out))


CRON = {"name": "cron", "enabled": True, "state": "started"}


def test_real_mode(runner: Runner, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, units=[CRON])
    assert result["changed"] is True
    assert result["changed_units"] == ["cron.service"]
    assert result["actions"] == ["enable cron.service", "start cron.service"]
    assert result["units"][0]["before"] == {"load": "loaded", "active": "inactive", "sub": "dead", "file": "disabled"}
    assert result["units"][0]["after"]["active"] == "active"
    assert "diff" not in result
    assert [call[1] for call in runner.calls] == ["show", "enable", "start", "show"]


def test_check_mode_with_diff(runner: Runner, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, units=[CRON], _ansible_check_mode=True, _ansible_diff=True)
    assert result["changed"] is True
    assert result["diff"]["before"] == "cron.service: disabled, inactive\n"
    assert result["diff"]["after"] == "cron.service: enabled, active (enable, start)\n"
    assert [call[1] for call in runner.calls] == ["show"]


def test_nothing_to_do(runner: Runner, capsys: pytest.CaptureFixture[str]) -> None:
    runner.answer = ON
    result = run(capsys, units=[CRON], _ansible_diff=True)
    assert (result["changed"], result["actions"]) == (False, [])
    assert result["diff"]["before"] == result["diff"]["after"] == ""


def test_error_is_one_clear_message(runner: Runner, capsys: pytest.CaptureFixture[str]) -> None:
    runner.answer = OFF.replace("loaded", "not-found")
    result = run(capsys, units=[CRON])
    assert result["failed"] is True
    assert "cron.service does not exist on " in result["msg"]
    assert result["changed"] is False


@pytest.mark.parametrize(
    "units", [[{}], [{"name": "a", "state": "up"}], [{"name": "a", "nonsense": 1}], [{"name": "*"}]]
)
def test_bad_input(runner: Runner, capsys: pytest.CaptureFixture[str], units: list[dict[str, Any]]) -> None:
    result = run(capsys, units=units)
    assert result["failed"] is True
    assert "Traceback" not in result["msg"]
    assert runner.calls == []


def test_a_static_unit_gives_a_warning(runner: Runner, capsys: pytest.CaptureFixture[str]) -> None:
    runner.answer = ON.replace("enabled", "static")
    result = run(capsys, units=[CRON])
    assert result["changed"] is False
    assert "has no [Install] section" in str(result["warnings"])
