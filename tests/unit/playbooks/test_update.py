"""playbooks/update.yml in real runs, on hosts that are folders: what happens to a fleet when one host fails."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from fakes.fleet import Fleet

pytestmark = pytest.mark.playbook
THREE = {"web1": "1", "web2": "1", "web3": "1"}


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path, dict(THREE))


def test_one_host_first_then_the_others_and_nothing_the_second_time(fleet: Fleet) -> None:
    done = fleet.update()
    assert done.code == 0, done.output
    assert fleet.now() == dict.fromkeys(THREE, "2")
    assert fleet.log() == ["web1 rollout 2", "web2 rollout 2", "web3 rollout 2"]
    assert "app: replace: its image changed" in done.output
    assert "All 3 hosts are on version 2." in done.output
    assert fleet.leases() == []
    again = fleet.update()
    assert again.code == 0, again.output
    assert "changed=0" in again.output
    assert "changed=1" not in again.output
    assert len(fleet.log()) == 3


def test_check_mode_shows_the_plan_and_touches_nothing(fleet: Fleet) -> None:
    shown = fleet.update("--check", "--diff")
    assert shown.code == 0, shown.output
    assert "web3  1    2     app: replace: its image changed" in shown.output
    assert (fleet.now(), fleet.log(), fleet.leases()) == (THREE, [], [])


def test_one_fails_and_those_before_it_go_back(fleet: Fleet) -> None:
    fleet.put("web2", "broken", "2")
    done = fleet.update()
    assert done.code != 0
    assert fleet.now() == THREE, done.output
    assert fleet.log() == ["web1 rollout 2", "web2 rollout 2", "web2 rollback 1", "web1 rollback 1"]
    assert "The update to 2 failed on web2: app did not get healthy" in done.output
    assert "All 3 hosts are on version 1 again." in done.output
    assert fleet.leases() == []


def test_one_that_is_not_healthy_afterwards_has_failed_too(fleet: Fleet) -> None:
    fleet.put("web3", "unhealthy", "2")
    done = fleet.update()
    assert done.code != 0
    assert fleet.now() == THREE, done.output
    assert fleet.log()[-3:] == ["web3 rollback 1", "web2 rollback 1", "web1 rollback 1"]
    assert "failed on web3: app is not healthy" in done.output


def test_the_others_of_its_batch_go_back_too(tmp_path: Path) -> None:
    versions = {f"web{number}": "1" for number in range(1, 6)}
    fleet = Fleet(tmp_path, versions, {"update_serial": [1, 3, "100%"]})
    fleet.put("web3", "broken", "2")
    done = fleet.update()
    assert done.code != 0
    assert fleet.now() == versions, done.output
    assert not any(line.startswith("web5") for line in fleet.log())
    assert "All 5 hosts are on version 1 again." in done.output


@pytest.mark.parametrize("moment", ["rollout 2", "edge drain"])
def test_one_that_stops_answering_is_named_and_the_others_go_back(fleet: Fleet, moment: str) -> None:
    fleet.variables = {"edge_health_path": "/health", "update_drain_seconds": 0}
    fleet.put("web2", "gone-at", moment)
    done = fleet.update()
    assert done.code != 0
    assert fleet.now()["web1"] == fleet.now()["web3"] == "1", done.output
    assert "failed on web2: web2 stopped answering" in done.output
    assert "2 of 3 hosts are on version 1 again." in done.output
    assert "web2 could not go back to 1: it cannot be reached" in done.output
    assert "--limit web2 -e rollback_to=id-1" in done.output
    assert not any(line.startswith("web3 rollout") for line in fleet.log())


def test_one_that_is_gone_when_its_turn_would_come_is_noticed_before(fleet: Fleet) -> None:
    fleet.put("web1", "gone-at", "never")
    # It goes while another one is updated.
    fleet.put("web2", "slow", "0")
    process = fleet.start()
    deadline = time.monotonic() + 60
    while "web1 rollout 2" not in fleet.log():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (fleet.home("web3") / "gone").touch()
    output, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert fleet.now() == THREE, output
    assert "web3 cannot be reached" in output
    assert "2 of 3 hosts are on version 1 again." in output


def test_a_way_back_that_fails_is_told(fleet: Fleet) -> None:
    fleet.put("web2", "broken", "2")
    fleet.put("web1", "no-way-back")
    done = fleet.update()
    assert done.code != 0
    assert "web1 could not go back to 1: the disk is full" in done.output
    assert fleet.now() == {"web1": "2", "web2": "1", "web3": "1"}


def test_a_host_that_is_gone_before_stops_everything(fleet: Fleet) -> None:
    (fleet.home("web3") / "gone").touch()
    done = fleet.update()
    assert done.code != 0
    assert (fleet.now(), fleet.log(), fleet.leases()) == (THREE, [], []), done.output
    assert "web3 cannot be reached" in done.output


def test_a_host_without_a_release_stops_everything(fleet: Fleet) -> None:
    fleet.put("web2", "version", "")
    done = fleet.update()
    assert done.code != 0
    assert (fleet.log(), fleet.leases()) == ([], []), done.output
    assert "web2 has no release in use yet. Fix: run site.yml for it first." in done.output


def test_each_goes_back_to_what_it_had(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, {"web1": "1", "web2": "0", "web3": "1"})
    fleet.put("web3", "broken", "2")
    done = fleet.update()
    assert done.code != 0
    assert fleet.now() == {"web1": "1", "web2": "0", "web3": "1"}, done.output
    assert "The hosts are not on one version now." in done.output
    assert "these are not one version: 0, 1." in done.output


def test_the_edge_is_drained_only_where_something_changes(fleet: Fleet) -> None:
    fleet.variables = {"edge_health_path": "/health", "update_drain_seconds": 3}
    fleet.put("web1", "version", "2")
    done = fleet.update()
    assert done.code == 0, done.output
    assert fleet.log() == [
        *("web2 edge drain --wait 3", "web2 rollout 2", "web2 edge undrain"),
        *("web3 edge drain --wait 3", "web3 rollout 2", "web3 edge undrain"),
    ]


def lease(fleet: Fleet, host: str, *, age: float, seconds: int = 600) -> None:
    renewed = time.time() - age
    document = {"owner": "x", "who": "alice@laptop", "since": renewed, "renewed": renewed, "seconds": seconds}
    (fleet.home(host) / "fleet").mkdir()
    fleet.put(host, "fleet/lease.json", json.dumps(document))


@pytest.mark.parametrize("host", ["web1", "web3"])
def test_a_second_update_is_refused(fleet: Fleet, host: str) -> None:
    lease(fleet, host, age=60)
    for words in ((), ("--check",)):
        done = fleet.update(*words)
        assert done.code != 0
        assert "locked by another update: alice@laptop, since" in done.output, done.output
        assert "state=absent force=true" in done.output
        assert (fleet.now(), fleet.log(), fleet.leases()) == (THREE, [], [host])


def test_a_lock_that_is_taken_away_stops_the_update(fleet: Fleet) -> None:
    fleet.put("web1", "slow", "2")
    process = fleet.start()
    deadline = time.monotonic() + 60
    while "web1 rollout 2" not in fleet.log():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    fleet.put("web3", "fleet/lease.json", "damaged")
    (fleet.home("web3") / "fleet" / "lease.json").unlink()
    output, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert fleet.now() == THREE, output
    assert "is gone: somebody freed it" in output


def test_a_killed_controller_blocks_only_until_its_lock_ends(fleet: Fleet) -> None:
    fleet.variables = {"update_lock_seconds": 4}
    fleet.put("web2", "slow", "1")
    process = fleet.start()
    deadline = time.monotonic() + 60
    while "web2 rollout 2" not in fleet.log():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert fleet.leases() == sorted(THREE)
    assert "locked by another update" in fleet.update().output
    time.sleep(4)
    done = fleet.update()
    assert done.code == 0, done.output
    assert fleet.now() == dict.fromkeys(THREE, "2")
    assert fleet.leases() == []
