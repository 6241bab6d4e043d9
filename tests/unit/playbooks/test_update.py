"""playbooks/update.yml in real runs, on hosts that are folders: what happens to a fleet when one host fails."""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
import time
from itertools import pairwise
from pathlib import Path

import pytest
from fakes.fleet import Fleet

pytestmark = pytest.mark.playbook
THREE = {"web1": "1", "web2": "1", "web3": "1"}
ONE_BY_ONE = ("-e", '{"update_serial": [1]}')


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path, dict(THREE))


def during(fleet: Fleet, what: str) -> subprocess.Popen[str]:
    """Begin an update; return when the log says that something was done."""
    process = fleet.start()
    deadline = time.monotonic() + 60
    while what not in fleet.log():
        assert time.monotonic() < deadline, f"{what} did not happen: {fleet.log()}"
        time.sleep(0.05)
    return process


def drained(fleet: Fleet) -> list[set[str]]:
    """After each step, the hosts that a load balancer sends nothing to."""
    moments: list[set[str]] = [set()]
    for line in fleet.log():
        host, _space, step = line.partition(" ")
        changed = {host} if step.startswith("edge ") else set()
        moments.append(moments[-1] | changed if "edge drain" in step else moments[-1] - changed)
    return moments


def peaks(fleet: Fleet) -> list[int]:
    """How many hosts were drained at once, each time before one of them serves again."""
    return [len(now) for now, after in pairwise(drained(fleet)) if len(after) < len(now)]


def test_who_alone_serves_a_name_is_not_drained(tmp_path: Path) -> None:
    hosts = dict.fromkeys(("web1", "web2", "web3", "web4"), "1")
    settings = {"edge_health_path": "/health", "update_drain_seconds": 0, "update_serial": [1, 1, 2]}
    fleet = Fleet(tmp_path, hosts, settings)
    # web1 alone has board.test; those that have api.test are in one batch. Only web2 has somebody who stands in for it.
    fleet.own = {
        "web1": {"edge_sites": [{"name": "app.test"}, {"name": "board.test"}]},
        "web2": {"edge_sites": [{"name": "app.test"}]},
        **{host: {"edge_sites": [{"name": "api.test"}]} for host in ("web3", "web4")},
    }
    done = fleet.update()
    assert done.code == 0, done.output
    assert fleet.now() == dict.fromkeys(hosts, "2")
    assert {line.split()[0] for line in fleet.log() if "edge" in line} == {"web2"}


def test_one_host_first_then_the_others_and_nothing_the_second_time(fleet: Fleet) -> None:
    fleet.variables = {"edge_health_path": "/health", "edge_sites": [{"name": "app.test"}], "update_drain_seconds": 3}
    done = fleet.update()
    assert done.code == 0, done.output
    assert fleet.now() == dict.fromkeys(THREE, "2")
    steps = ("edge drain --for-update --wait 3", "rollout 2", "edge undrain --for-update")
    assert fleet.log() == [f"{host} {step}" for host in THREE for step in steps]
    assert peaks(fleet) == [1, 1, 1], "somebody serves at each moment"
    assert "app: replace: its image changed" in done.output
    assert "All 3 hosts are on version 2." in done.output
    assert fleet.leases() == []
    again = fleet.update()
    assert again.code == 0, again.output
    assert re.findall(r"changed=(\d+)", again.output) == ["0", "0", "0"]
    assert len(fleet.log()) == 9


def test_check_mode_shows_the_plan_and_touches_nothing(fleet: Fleet) -> None:
    shown = fleet.update("--check", "--diff")
    assert shown.code == 0, shown.output
    assert "web3  1    2     app: replace: its image changed" in shown.output
    assert (fleet.now(), fleet.log(), fleet.leases()) == (THREE, [], [])


def test_one_fails_and_those_before_it_go_back_to_what_each_had(tmp_path: Path) -> None:
    before = {"web1": "1", "web2": "0", "web3": "1", "web4": "1"}
    fleet = Fleet(tmp_path, before)
    fleet.put("web3", "broken", "2")
    # The connection broke, and the host is still at work.
    fleet.put("web1", "busy")
    done = fleet.update(*ONE_BY_ONE)
    assert done.code != 0
    assert fleet.now() == before, done.output
    back = ["web3 rollback 1", "web2 rollback 0", "web1 rollback 1"]
    assert fleet.log() == ["web1 rollout 2", "web2 rollout 2", "web3 rollout 2", *back]
    assert "The update to 2 failed on web3: app did not get healthy" in done.output
    assert "The hosts are not on one version now." in done.output
    assert "these are not one version: 0, 1." in done.output
    assert fleet.leases() == []


def test_one_that_is_not_healthy_afterwards_takes_back_its_batch_too(tmp_path: Path) -> None:
    before = {f"web{number}": "1" for number in range(1, 6)}
    edge = {"edge_health_path": "/health", "edge_sites": [{"name": "app.test"}], "update_drain_seconds": 1}
    fleet = Fleet(tmp_path, before, edge)
    fleet.put("web3", "unhealthy", "2")
    done = fleet.update()
    assert done.code != 0
    assert fleet.now() == before, done.output
    assert {line for line in fleet.log() if "rollout" in line} == {f"web{number} rollout 2" for number in range(1, 6)}
    assert "failed on web3: app is not healthy" in done.output
    # Its rollout had undrained it. On its way back it is drained once more, and nobody waits for that.
    assert [line.removeprefix("web3 ") for line in fleet.log() if line.startswith("web3")] == [
        *("edge drain --for-update --wait 1", "rollout 2"),
        *("edge drain --for-update --wait 0", "rollback 1", "edge undrain --for-update"),
    ]
    # One, then a quarter, then the rest: two serve meanwhile. On the way back, one host at a time.
    assert peaks(fleet)[:4] == [1, 1, 3, 2]
    assert max(peaks(fleet)) == 3
    assert drained(fleet)[-1] == set()
    assert "All 5 hosts are on version 1 again." in done.output


def test_one_that_stops_answering_is_named_and_the_others_go_back(fleet: Fleet) -> None:
    fleet.put("web2", "gone-at", "rollout 2")
    done = fleet.update()
    assert done.code != 0
    assert fleet.now()["web1"] == fleet.now()["web3"] == "1", done.output
    assert "failed on web2: web2 stopped answering" in done.output
    assert "2 of 3 hosts are on version 1 again." in done.output
    assert "web2 could not go back to 1: it cannot be reached" in done.output
    assert not any(line.startswith("web3") for line in fleet.log())
    # It could not be freed. The command that is named has its lock.
    command = re.search(r"--limit web2 -e rollback_to=id-1 -e rollback_lock=(\S+)", done.output)
    assert command, done.output
    for name in ("gone", "gone-at"):
        (fleet.home("web2") / name).unlink()
    assert fleet.leases() == ["web2"]
    back = fleet.rollback("--limit", "web2", "-e", f"rollback_lock={command[1]}", version="id-1")
    assert (back.code, fleet.now(), fleet.leases()) == (0, THREE, []), back.output


def test_one_that_goes_before_its_turn_and_a_lock_that_is_freed_stop_it(fleet: Fleet) -> None:
    fleet.put("web1", "slow", "1")
    process = during(fleet, "web1 rollout 2")
    (fleet.home("web3") / "gone").touch()
    (fleet.home("web2") / "fleet" / "lease.json").unlink()
    output, _ = process.communicate(timeout=240)
    assert process.returncode != 0
    assert fleet.now() == THREE, output
    assert fleet.log() == ["web1 rollout 2", "web1 rollback 1"]
    assert "web2 is gone: somebody freed it" in output.replace(platform.node(), "web2")
    assert "web3 cannot be reached" in output


def test_a_way_back_that_fails_is_told(tmp_path: Path) -> None:
    site = {"edge_health_path": "/health", "edge_sites": [{"name": "app.test"}], "update_drain_seconds": 0}
    fleet = Fleet(tmp_path, {"web1": "1", "web2": "1"}, site)
    fleet.put("web2", "unhealthy", "2")
    fleet.put("web2", "no-way-back")
    done = fleet.update()
    assert done.code != 0
    assert "web2 could not go back to 1: the disk is full" in done.output
    assert fleet.now() == {"web1": "1", "web2": "2"}
    # The one that is down stays drained, so the other one does not get drained on its way back.
    assert drained(fleet)[-1] == {"web2"}
    assert max(len(now) for now in drained(fleet)) == 1


def test_a_host_that_is_gone_or_has_no_release_stops_everything(fleet: Fleet) -> None:
    fleet.put("web2", "version", "")
    (fleet.home("web3") / "gone").touch()
    done = fleet.update()
    assert done.code != 0
    assert (fleet.log(), fleet.leases()) == ([], []), done.output
    assert "web2 has no release in use yet. Fix: run site.yml for it first." in done.output
    assert "web3 cannot be reached" in done.output


@pytest.mark.parametrize(("host", "words"), [("web1", ["--check"]), ("web3", [])])
def test_a_second_update_is_refused(fleet: Fleet, host: str, words: list[str]) -> None:
    fleet.lease(host, age=60)
    done = fleet.update(*words)
    assert done.code != 0
    assert "locked by another update: alice@laptop, since" in done.output, done.output
    assert "state=absent force=true" in done.output
    assert (fleet.now(), fleet.log(), fleet.leases()) == (THREE, [], [host])


def test_the_same_command_finishes_when_the_lock_of_a_killed_one_has_ended(fleet: Fleet) -> None:
    fleet.put("web2", "slow", "1")
    process = during(fleet, "web2 rollout 2")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert fleet.leases() == sorted(THREE)
    for host in THREE:
        fleet.lease(host, age=600)
    done = fleet.update()
    assert done.code == 0, done.output
    assert fleet.now() == dict.fromkeys(THREE, "2")
    assert fleet.leases() == []
