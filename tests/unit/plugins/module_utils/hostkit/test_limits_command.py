"""`hypercode limits`, and the unit that runs it during a load test."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit import cli, limits_command, limits_unit
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.limits_unit import WatchError, WatchUnit
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.limits_watch import Bounds, Watch
from fakes.small_stack import SmallStack, make_wanted


def typed(stack: SmallStack, *words: str) -> int:
    return cli.main(["limits", *words], cli.Host(stack.store, stack.engine, stack.docker, stack.rollout))


def test_on_a_host_with_nothing_on_it(stack: SmallStack, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed(stack, "--seconds", "0") == 1
    assert "Fix: run site.yml" in capsys.readouterr().err


def test_the_report_says_what_cannot_be_read(
    stack: SmallStack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The containers of the fake host have no control groups: that is never a good verdict."""
    stack.deploy(make_wanted())
    report = tmp_path / "there" / "limits.json"
    assert typed(stack, "--seconds", "0", "--report", str(report)) == 1
    found = json.loads(report.read_text())
    assert found["held"] is False
    assert {point["rule"] for point in found["points"]} == {"unread"}
    assert "cannot be read" in capsys.readouterr().out


def test_a_signal_ends_it_with_the_report_so_far(stack: SmallStack, tmp_path: Path, monkeypatch: Any) -> None:
    """systemctl stop is the way in which a load test ends the watch."""
    stack.deploy(make_wanted())
    report = tmp_path / "limits.json"
    looks: list[dict[str, Any]] = []
    usual = signal.getsignal(signal.SIGTERM)

    def sleep(_seconds: float) -> None:
        looks.append(json.loads(report.read_text()))
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(limits_command, "Watch", lambda *args: Watch(*args, sleep=sleep))
    assert typed(stack, "--seconds", "3600", "--report", str(report)) == 1
    assert looks == [{"watching": True}]
    assert "held" in json.loads(report.read_text())
    assert signal.getsignal(signal.SIGTERM) == usual


class Systemd:
    """Takes the commands of the unit; `writes` is what the watch leaves when it begins and when it is stopped."""

    def __init__(self, folder: Path) -> None:
        self.report = folder / "limits.json"
        self.active = False
        self.starts: dict[str, Any] | None = {"watching": True}
        self.ends: dict[str, Any] | None = {"held": True, "points": []}
        self.commands: list[list[str]] = []
        self.answer = CommandResult(0)
        self.now = 0.0

    def __call__(self, argv: list[str], **_options: Any) -> CommandResult:
        self.commands.append(argv)
        if argv[0] == "systemd-run":
            self.active = self.answer.code == 0 and self.starts is not None
            if self.active:
                self.report.write_text(json.dumps(self.starts))
            return self.answer
        if argv[1] == "stop":
            self.active = False
            if self.ends is not None:
                self.report.write_text(json.dumps(self.ends))
            return CommandResult(0)
        return CommandResult(0 if self.active else 3)

    def unit(self, command: Path) -> WatchUnit:
        def sleep(seconds: float) -> None:
            self.now += seconds

        return WatchUnit(self, sleep, lambda: self.now, command, self.report)


@pytest.fixture
def systemd(tmp_path: Path) -> Systemd:
    return Systemd(tmp_path)


@pytest.fixture
def command(tmp_path: Path) -> Path:
    path = tmp_path / "hypercode"
    path.touch()
    return path


def test_a_watch_from_start_to_end(systemd: Systemd, command: Path) -> None:
    unit = systemd.unit(command)
    unit.start(120, Bounds(0.8, 0.5))
    started = systemd.commands[1]
    assert started[:2] == ["systemd-run", "--quiet"]
    assert started[-9:] == [
        *("limits", "--seconds", "120", "--memory-share", "0.8", "--throttled-share", "0.5", "--report"),
        str(systemd.report),
    ]
    assert unit.stop() == {"held": True, "points": []}
    assert systemd.commands[-1] == ["systemctl", "stop", f"{limits_unit.UNIT}.service"]


def test_two_at_once_are_refused(systemd: Systemd, command: Path) -> None:
    systemd.active = True
    with pytest.raises(WatchError, match=r"Another load test watches this host\. Fix: wait for its end"):
        systemd.unit(command).start(60, Bounds())
    assert not any(words[0] == "systemd-run" for words in systemd.commands)


def test_a_host_without_the_command(systemd: Systemd, tmp_path: Path) -> None:
    with pytest.raises(WatchError, match=r"Fix: run site\.yml"):
        systemd.unit(tmp_path / "missing").start(60, Bounds())


def test_systemd_refuses(systemd: Systemd, command: Path) -> None:
    systemd.answer = CommandResult(1, "", "Failed to connect to bus.\n")
    with pytest.raises(WatchError, match=r"did not start the watch: Failed to connect to bus\. Fix"):
        systemd.unit(command).start(60, Bounds())


def test_a_watch_that_dies_at_once(systemd: Systemd, command: Path) -> None:
    systemd.starts = None
    with pytest.raises(WatchError, match=r"has not begun\. Fix: run site\.yml, .* journalctl"):
        systemd.unit(command).start(60, Bounds())


def test_a_watch_that_was_killed_is_no_good_verdict(systemd: Systemd, command: Path) -> None:
    systemd.ends = None
    unit = systemd.unit(command)
    unit.start(60, Bounds())
    with pytest.raises(WatchError, match="nobody knows whether the limits held"):
        unit.stop()


def test_an_old_report_is_not_taken_for_a_new_one(systemd: Systemd, command: Path) -> None:
    systemd.report.write_text(json.dumps({"held": True, "points": []}))
    systemd.starts = None
    with pytest.raises(WatchError):
        systemd.unit(command).start(60, Bounds())
    assert not systemd.report.exists()
