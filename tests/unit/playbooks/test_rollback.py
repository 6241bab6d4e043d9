"""playbooks/rollback.yml in real runs, on hosts that are folders: it and updates keep out of each other's way."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.fleet import Fleet

pytestmark = pytest.mark.playbook
THREE = {"web1": "2", "web2": "2", "web3": "2"}


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path, dict(THREE))


def test_it_waits_for_no_update_but_can_end_one(fleet: Fleet) -> None:
    fleet.lease("web3", age=60)
    refused = fleet.rollback(version="1")
    assert refused.code != 0
    assert "locked by another update: alice@laptop, since" in refused.output, refused.output
    assert "Nothing was changed on any host." in refused.output
    assert (fleet.now(), fleet.log(), fleet.leases()) == (THREE, [], ["web3"])
    # The end of an update that left a host behind names its lock.
    done = fleet.rollback("-e", "rollback_lock=x", version="1")
    assert done.code == 0, done.output
    assert (fleet.now(), fleet.leases()) == (dict.fromkeys(THREE, "1"), [])
    assert "web3 is on version 1 (release id-1; back to release id-1)." in done.output


def test_where_one_does_not_have_the_release_nothing_is_changed(fleet: Fleet) -> None:
    fleet.put("web2", "not-here")
    (fleet.home("web3") / "gone").touch()
    done = fleet.rollback(version="1")
    assert done.code != 0
    assert "This host has no version 1" in done.output, done.output
    assert "web3 cannot be reached" in done.output
    assert (fleet.now(), fleet.log(), fleet.leases()) == (THREE, [], [])


def test_one_that_fails_is_named_and_no_host_stays_locked(fleet: Fleet) -> None:
    fleet.put("web2", "no-way-back")
    fleet.put("web3", "gone-at", "rollback 1")
    done = fleet.rollback(version="1")
    assert done.code != 0
    assert "web2 did not go back: the disk is full" in done.output, done.output
    assert "web3 did not go back: it stopped answering" in done.output
    assert "web1 is on version 1 (release id-1" in done.output
    # One that does not answer cannot be freed. Its lock ends by itself.
    assert fleet.leases() == ["web3"]


def test_check_mode_locks_nothing(fleet: Fleet) -> None:
    shown = fleet.rollback("--check", "--diff", version="1")
    assert shown.code == 0, shown.output
    assert "web1 would be on version 1" in shown.output
    assert (fleet.now(), fleet.log(), fleet.leases()) == (THREE, [], [])
