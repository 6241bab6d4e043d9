"""The lease that keeps two updates of a fleet apart."""

from __future__ import annotations

import multiprocessing
import threading
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.files import FileError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.fleet_lease import (
    LeaseHeldError,
    LeaseLostError,
    Leases,
)

NOON = 1_795_953_600.0


class Clock:
    now = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def leases(tmp_path: Path, clock: Clock) -> Leases:
    return Leases(tmp_path / "fleet", clock, "web2")


def test_the_second_is_told_who_has_it_since_when_and_how_to_free_it(leases: Leases, clock: Clock) -> None:
    leases.take("a", "alice@laptop", 600)
    clock.now += 60
    with pytest.raises(LeaseHeldError) as refused:
        leases.take("b", "bob@desk", 600)
    said = str(refused.value)
    assert "web2 is locked by another update: alice@laptop, since 2026-11-29 12:00:00 UTC" in said
    assert "ends at 2026-11-29 12:10:00 UTC (540 s)" in said
    assert "fleet_lock -a 'state=absent force=true'" in said
    held = leases.holder()
    assert held is not None
    assert held.owner == "a"


def test_its_owner_renews_it_and_since_stays(leases: Leases, clock: Clock) -> None:
    leases.take("a", "alice", 600)
    clock.now += 500
    lease = leases.renew("a", 600)
    assert (lease.since, lease.renewed, lease.who) == (NOON, NOON + 500, "alice")
    clock.now += 599
    with pytest.raises(LeaseHeldError):
        leases.take("b", "bob", 600)


def test_it_ends_by_itself(leases: Leases, clock: Clock) -> None:
    leases.take("a", "alice", 600)
    clock.now += 600
    assert leases.holder() is None
    assert leases.take("b", "bob", 600).since == NOON + 600
    # The first one comes back too late, and is told.
    with pytest.raises(LeaseHeldError, match="bob"):
        leases.renew("a", 600)
    assert not leases.free("a")
    assert leases.holder() is not None


def test_one_that_ended_and_that_nobody_took_is_renewed(leases: Leases, clock: Clock) -> None:
    leases.take("a", "alice", 600)
    clock.now += 700
    assert leases.renew("a", 600).left(clock.now) == 600


def test_one_that_was_freed_is_not_renewed(leases: Leases) -> None:
    leases.take("a", "alice", 600)
    assert leases.free("whoever", force=True)
    with pytest.raises(LeaseLostError, match="web2 is gone: somebody freed it"):
        leases.renew("a", 600)
    assert not leases.free("a")


def test_a_clock_that_was_set_back_blocks_for_one_length_only(leases: Leases, clock: Clock) -> None:
    leases.take("a", "alice", 600)
    clock.now -= 86_400
    with pytest.raises(LeaseHeldError, match=r"since 2026-11-28 12:00:00 UTC.*\(600 s\)"):
        leases.take("b", "bob", 600)
    clock.now += 599
    with pytest.raises(LeaseHeldError):
        leases.take("b", "bob", 600)
    clock.now += 1
    assert leases.take("b", "bob", 600).owner == "b"


def test_a_look_writes_nothing(leases: Leases, clock: Clock) -> None:
    leases.look("b")
    assert not leases.free("b")
    assert leases.holder() is None
    assert not leases.folder.exists()
    leases.take("a", "alice", 600)
    before = leases.path.read_bytes()
    clock.now -= 86_400
    with pytest.raises(LeaseHeldError):
        leases.look("b")
    leases.look("a")
    assert leases.path.read_bytes() == before


@pytest.mark.parametrize(
    "damaged",
    [b"", b'{"owner": "a"', b"[]", b"null", b"\xff\xfe", b'{"owner": "a", "who": "x", "since": "?"}'],
)
def test_a_damaged_file_blocks_nobody(leases: Leases, damaged: bytes) -> None:
    leases.folder.mkdir()
    leases.path.write_bytes(damaged)
    assert leases.holder() is None
    assert leases.take("b", "bob", 600).owner == "b"
    leases.path.write_bytes(damaged)
    assert leases.free("c")
    assert not leases.path.exists()


def test_what_cannot_be_read_is_told(leases: Leases) -> None:
    leases.path.mkdir(parents=True)
    with pytest.raises(FileError, match=r"lease\.json cannot be read"):
        leases.take("a", "alice", 600)


def test_of_many_takers_in_threads_one_gets_it(tmp_path: Path) -> None:
    won: list[str] = []
    start = threading.Barrier(8)

    def take(name: str) -> None:
        start.wait()
        try:
            Leases(tmp_path).take(name, name, 600)
        except LeaseHeldError:
            return
        won.append(name)

    threads = [threading.Thread(target=take, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    held = Leases(tmp_path).holder()
    assert held is not None
    assert won == [held.owner]


def _take(folder: Path, name: str) -> bool:
    try:
        Leases(folder).take(name, name, 600)
    except LeaseHeldError:
        return False
    return True


def test_of_many_processes_one_gets_it_each_time(tmp_path: Path) -> None:
    with multiprocessing.get_context("fork").Pool(4) as pool:
        for turn in range(10):
            folder = tmp_path / str(turn)
            won = pool.starmap(_take, [(folder, str(number)) for number in range(8)], chunksize=2)
            assert sum(won) == 1, won
