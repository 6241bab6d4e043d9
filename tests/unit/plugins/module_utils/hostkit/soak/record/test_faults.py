"""What is broken on purpose, when, and how long it takes to be well again."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.record.faults import Faults, kill_process
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.watch.roster import Facts

from .test_targets import WEB

WALL = 1_800_000_000.0


def stack(*names: str) -> list[Facts]:
    return [
        replace(WEB, id=name * 8, service=name, name=f"demo-{name}-1", pid=100 + number)
        for number, name in enumerate(names)
    ]


def run(faults: Faults, known: list[Facts], until: float, step: float = 10, quiet: bool = True) -> list[Any]:
    """Let time pass; what was told, with its time."""
    told = []
    for number in range(int(until / step) + 1):
        now = number * step
        for event in faults.due(now, WALL + now, known, [facts.service for facts in known], quiet):
            told.append((now, event))
    return told


def test_nothing_is_broken_unasked() -> None:
    assert run(Faults({}, 1000), stack("a", "b"), 1000) == []
    assert run(Faults({"kill": False, "reboot": False}, 1000), stack("a", "b"), 1000) == []


def test_each_that_keeps_no_data_is_killed_once_in_the_middle_of_the_time() -> None:
    killed: list[int] = []
    known = stack("a", "b", "c", "d")
    known[2] = replace(known[2], keeps_data=True)
    known[3] = replace(known[3], heal_allowed=False)
    faults = Faults({"kill": True}, 1000, kill=killed.append)

    def die(pid: int) -> None:
        killed.append(pid)
        place = next(number for number, facts in enumerate(known) if facts.pid == pid)
        known[place] = replace(known[place], pid=pid + 1000, started=known[place].started + 100)

    faults.kill = die
    told = run(faults, known, 1000)
    assert killed == [100, 101]
    assert [(when, event["service"], event.get("recovered", "-")) for when, event in told] == [
        (250, "a", "-"),
        (260, "a", 10.0),
        (500, "b", "-"),
        (510, "b", 10.0),
    ]
    # Another process of the recorder knows what was done.
    again = Faults({"kill": True}, 1000, faults.state, kill=killed.append)
    assert run(again, known, 1000) == []


def test_one_that_does_not_recover_is_told_so() -> None:
    known = stack("a")
    faults = Faults({"kill": True}, 1000, kill=lambda _pid: None)
    told = run(faults, known, 1000)
    assert [(when, event.get("recovered", "-")) for when, event in told] == [(250, "-"), (380, None)]
    assert faults.patience == 125


def test_a_new_container_is_a_recovery_too_and_one_that_starts_is_none_yet() -> None:
    known = stack("a")
    faults = Faults({"kill": True}, 1000, kill=lambda _pid: None)
    assert run(faults, known, 250)
    starting = replace(known[0], started=900.0, health="starting")
    assert faults.due(260, WALL, [starting], ["a"], True) == []
    other = replace(known[0], id="z" * 8, started=1.0)
    assert faults.due(270, WALL, [other], ["a"], True)[0]["recovered"] == 20.0


def test_while_somebody_is_at_work_nothing_is_broken() -> None:
    killed: list[int] = []
    assert run(Faults({"kill": True, "reboot": True}, 1000, kill=killed.append), stack("a"), 1000, quiet=False) == []
    assert killed == []


def test_the_host_is_rebooted_once() -> None:
    known = stack("a", "b")
    faults = Faults({"reboot": True}, 1000)
    told = run(faults, known, 690)
    assert told == [(600, {"event": "fault", "fault": "reboot", "service": ""})]
    # All is well, but it has not been away yet.
    assert faults.due(620, WALL, known, ["a", "b"], True) == []
    faults.booted()
    assert faults.due(630, WALL, known[:1], ["a", "b"], True) == []
    (event,) = faults.due(645, WALL, known, ["a", "b"], True)
    assert event["recovered"] == 45.0
    assert run(faults, known, 1000) == []


def test_a_process_is_ended_as_by_a_crash() -> None:
    process = subprocess.Popen(["sleep", "60"])
    kill_process(process.pid)
    assert process.wait(10) == -9
