"""playbooks/update.yml in real runs, on hosts that are folders: what happens to a fleet when one host fails."""

from __future__ import annotations

import json
import os
import platform
import re
import signal
import subprocess
import time
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


def test_one_host_first_then_the_others_and_nothing_the_second_time(fleet: Fleet) -> None:
    fleet.variables = {"edge_health_path": "/health", "edge_sites": [{}], "update_drain_seconds": 3}
    done = fleet.update()
    assert done.code == 0, done.output
    assert fleet.now() == dict.fromkeys(THREE, "2")
    steps = ("edge drain --wait 3", "rollout 2", "edge undrain")
    assert fleet.log() == [f"{host} {step}" for host in THREE for step in steps]
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
    fleet = Fleet(tmp_path, before, {"update_serial": [1, 3, "100%"]})
    fleet.put("web3", "unhealthy", "2")
    done = fleet.update()
    assert done.code != 0
    assert fleet.now() == before, done.output
    assert {line for line in fleet.log() if "rollout" in line} == {f"web{number} rollout 2" for number in range(1, 5)}
    assert "failed on web3: app is not healthy" in done.output
    assert "All 5 hosts are on version 1 again." in done.output


def test_one_that_stops_answering_is_named_and_the_others_go_back(fleet: Fleet) -> None:
    fleet.put("web2", "gone-at", "rollout 2")
    done = fleet.update()
    assert done.code != 0
    assert fleet.now()["web1"] == fleet.now()["web3"] == "1", done.output
    assert "failed on web2: web2 stopped answering" in done.output
    assert "2 of 3 hosts are on version 1 again." in done.output
    assert "web2 could not go back to 1: it cannot be reached" in done.output
    assert "--limit web2 -e rollback_to=id-1" in done.output
    assert not any(line.startswith("web3") for line in fleet.log())


def test_one_that_goes_before_its_turn_and_a_lock_that_is_freed_stop_it(fleet: Fleet) -> None:
    fleet.put("web1", "slow", "1")
    process = during(fleet, "web1 rollout 2")
    (fleet.home("web3") / "gone").touch()
    (fleet.home("web2") / "fleet" / "lease.json").unlink()
    output, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert fleet.now() == THREE, output
    assert fleet.log() == ["web1 rollout 2", "web1 rollback 1"]
    assert "web2 is gone: somebody freed it" in output.replace(platform.node(), "web2")
    assert "web3 cannot be reached" in output


def test_a_way_back_that_fails_is_told(fleet: Fleet) -> None:
    fleet.put("web2", "broken", "2")
    fleet.put("web1", "no-way-back")
    done = fleet.update()
    assert done.code != 0
    assert "web1 could not go back to 1: the disk is full" in done.output
    assert fleet.now() == {"web1": "2", "web2": "1", "web3": "1"}


def test_a_host_that_is_gone_or_has_no_release_stops_everything(fleet: Fleet) -> None:
    fleet.put("web2", "version", "")
    (fleet.home("web3") / "gone").touch()
    done = fleet.update()
    assert done.code != 0
    assert (fleet.log(), fleet.leases()) == ([], []), done.output
    assert "web2 has no release in use yet. Fix: run site.yml for it first." in done.output
    assert "web3 cannot be reached" in done.output


def lease(fleet: Fleet, host: str, *, age: float, seconds: int = 600) -> None:
    renewed = time.time() - age
    document = {"owner": "x", "who": "alice@laptop", "since": renewed, "renewed": renewed, "seconds": seconds}
    (fleet.home(host) / "fleet").mkdir(exist_ok=True)
    fleet.put(host, "fleet/lease.json", json.dumps(document))


@pytest.mark.parametrize(("host", "words"), [("web1", ["--check"]), ("web3", [])])
def test_a_second_update_is_refused(fleet: Fleet, host: str, words: list[str]) -> None:
    lease(fleet, host, age=60)
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
        lease(fleet, host, age=600)
    done = fleet.update()
    assert done.code == 0, done.output
    assert fleet.now() == dict.fromkeys(THREE, "2")
    assert fleet.leases() == []
