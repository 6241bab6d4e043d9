"""Starting a rollout under systemd, waiting for it, and what is said of its end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.launcher import (
    DEAD_AFTER,
    Launcher,
    LaunchError,
    failure_of,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.release import Paths, Release, lock
from fakes.small_stack import SmallStack, make_wanted

TAKEN = "Failed to start transient service unit: Unit x.service was already loaded or has a fragment file."


class Systemd:
    """systemd-run and systemctl; time that moves when somebody sleeps."""

    def __init__(self, tmp_path: Path, *answers: CommandResult) -> None:
        self.answers = list(answers)
        self.calls: list[list[str]] = []
        self.active = False
        self.journal = ""
        self.now = 0.0
        self.at: dict[float, Callable[[], object]] = {}
        command = tmp_path / "hypercode"
        command.write_text("")
        self.launcher = Launcher(
            self.run, self.sleep, command, clock=lambda: self.now, systemd=tmp_path, run_here=self.run_here
        )
        self.ran_here: list[str] = []

    def run(self, argv: list[str], *, timeout: float) -> CommandResult:
        self.calls.append(argv)
        if argv[0] == "journalctl":
            return CommandResult(0, self.journal)
        if argv[0] == "systemctl":
            return CommandResult(0 if self.active else 3)
        return self.answers.pop(0) if self.answers else CommandResult(0)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for when in [when for when in self.at if when <= self.now]:
            self.at.pop(when)()

    def run_here(self, _store: object, release: Release, _engine: object) -> int:
        self.ran_here.append(release.id)
        return 0


@pytest.fixture
def systemd(tmp_path: Path) -> Systemd:
    return Systemd(tmp_path)


@pytest.fixture
def release(stack: SmallStack) -> Release:
    return stack.prepare(make_wanted())


# ---- start ------------------------------------------------------------------------------------------------------


def test_it_starts_a_unit_of_its_own(systemd: Systemd, stack: SmallStack, release: Release) -> None:
    systemd.launcher.start(stack.store, release, stack.engine)
    (words,) = systemd.calls
    assert words[0] == "systemd-run"
    assert f"--unit=hypercode-rollout-{release.id}" in words
    assert words[-3:] == ["rollout", "apply", release.id]
    assert systemd.launcher.unit == f"hypercode-rollout-{release.id}"


def test_the_unit_of_an_earlier_attempt_is_still_there(tmp_path: Path, stack: SmallStack, release: Release) -> None:
    systemd = Systemd(tmp_path, CommandResult(1, "", TAKEN), CommandResult(1, "", TAKEN), CommandResult(0))
    systemd.launcher.start(stack.store, release, stack.engine)
    assert systemd.launcher.unit == f"hypercode-rollout-{release.id}-3"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (CommandResult(1, "", "Failed to connect to bus: No such file or directory\n"), "Failed to connect to bus"),
        (CommandResult(127, "", "systemd-run: command not found"), "command not found"),
        (CommandResult(124), "exit code 124"),
    ],
)
def test_systemd_does_not_start_it(
    tmp_path: Path, stack: SmallStack, release: Release, answer: CommandResult, reason: str
) -> None:
    systemd = Systemd(tmp_path, answer)
    with pytest.raises(LaunchError, match=rf"systemd did not start the rollout: .*{reason}.*Nothing was changed. Fix:"):
        systemd.launcher.start(stack.store, release, stack.engine)
    assert len(systemd.calls) == 1
    assert release.status == "prepared"


def test_always_taken(tmp_path: Path, stack: SmallStack, release: Release) -> None:
    systemd = Systemd(tmp_path, *[CommandResult(1, "", TAKEN)] * 20)
    with pytest.raises(LaunchError, match="already loaded"):
        systemd.launcher.start(stack.store, release, stack.engine)


@pytest.mark.parametrize("missing", ["systemd", "command"])
def test_without_systemd_it_runs_here(tmp_path: Path, stack: SmallStack, release: Release, missing: str) -> None:
    systemd = Systemd(tmp_path)
    systemd.launcher = Launcher(
        systemd.run,
        systemd.sleep,
        tmp_path / ("none" if missing == "command" else "hypercode"),
        systemd=tmp_path / ("none" if missing == "systemd" else ""),
        run_here=systemd.run_here,
    )
    systemd.launcher.start(stack.store, release, stack.engine)
    assert (systemd.ran_here, systemd.calls) == ([release.id], [])


# ---- wait -------------------------------------------------------------------------------------------------------


def test_it_waits_for_the_end(systemd: Systemd, stack: SmallStack, release: Release) -> None:
    with lock(stack.store.paths, holder=release.id):
        systemd.at = {40.0: lambda: release.update(status="done")}
        assert systemd.launcher.wait(stack.store, release, 100)["status"] == "done"
    assert systemd.now == 40


def test_it_ended_at_once(systemd: Systemd, stack: SmallStack, release: Release) -> None:
    release.update(status="failed")
    assert systemd.launcher.wait(stack.store, release, 100)["status"] == "failed"
    assert systemd.now == 0


def test_it_takes_long(systemd: Systemd, stack: SmallStack, release: Release) -> None:
    with lock(stack.store.paths, holder=release.id):
        about = systemd.launcher.wait(stack.store, release, 100)
    assert (about["status"], systemd.now) == ("prepared", 100)


def test_its_process_died(systemd: Systemd, stack: SmallStack, release: Release) -> None:
    release.update(status="running")
    assert systemd.launcher.wait(stack.store, release, 100)["status"] == "died"
    assert systemd.now == DEAD_AFTER
    assert release.status == "running"


def test_it_died_in_the_middle(systemd: Systemd, stack: SmallStack, release: Release) -> None:
    release.update(status="running")
    manager = lock(stack.store.paths, holder=release.id)
    manager.__enter__()
    systemd.at = {30.0: lambda: manager.__exit__(None, None, None)}
    assert systemd.launcher.wait(stack.store, release, 100)["status"] == "died"
    assert systemd.now == 30 + DEAD_AFTER


def test_a_slow_start_is_no_death(systemd: Systemd, stack: SmallStack, release: Release) -> None:
    systemd.launcher.start(stack.store, release, stack.engine)
    systemd.active = True
    systemd.at = {20.0: lambda: release.update(status="done")}
    assert systemd.launcher.wait(stack.store, release, 100)["status"] == "done"
    assert systemd.now == 20


def test_another_one_has_the_lock(systemd: Systemd, stack: SmallStack, release: Release) -> None:
    """Ours gave up (exit code 75): waiting half an hour for it would be in vain."""
    with lock(stack.store.paths, holder="somebody else"):
        assert systemd.launcher.wait(stack.store, release, 1800)["status"] == "died"
    assert systemd.now < 10


# ---- words ------------------------------------------------------------------------------------------------------

FAILED = {"id": "r2", "previous": "r1", "status": "failed"}


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"status": "running"}, "still at work after 60 s. Fix: run the same command again; it waits on"),
        ({"status": "died"}, "ended without a result. Fix: run the same command again; it finishes the job."),
        ({"status": "abandoned"}, "Another rollout took the place of this one"),
        ({"status": "reverted", "failure": {"message": "M"}}, "M. The previous release r1 is running again"),
        (
            {"failure": {"message": "M", "revert": "R", "touched": True}},
            "M. Putting the previous release r1 back",
        ),
        ({"failure": {"message": "M", "touched": True}}, "M. Nothing was running before; what started is left for you"),
        ({"failure": {"message": "M", "touched": False}}, "M"),
        ({}, "left no reason"),
    ],
)
def test_failures_in_words(tmp_path: Path, about: dict[str, Any], words: str) -> None:
    assert words in failure_of({**FAILED, **about}, Paths(tmp_path), timeout=60)


def test_a_repair_that_failed(stack: SmallStack) -> None:
    stack.deploy(make_wanted())
    about = {**FAILED, "failure": {"message": "M", "touched": True}}
    assert failure_of(about, stack.store.paths, timeout=1) == "M. The other services of the release go on running"


def test_one_that_could_not_write_its_result_says_why(systemd: Systemd, stack: SmallStack, release: Release) -> None:
    """As with a full disk: release.json says nothing of it."""
    systemd.launcher.start(stack.store, release, stack.engine)
    systemd.journal = (
        "moved services=['app']\nhypercode: release.json cannot be written. Fix: free some space\nfailed\n"
    )
    about = systemd.launcher.wait(stack.store, release, 60)
    said = failure_of(about, stack.store.paths, timeout=60)
    assert said.startswith("The rollout's process ended without a result. release.json cannot be written. Fix: free")
    assert f"journalctl --unit 'hypercode-rollout-{release.id}*'" in said
