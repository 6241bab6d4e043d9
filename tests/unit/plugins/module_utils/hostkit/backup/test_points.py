"""Points in time, without a database: which can be restored, what goes, what is due, and how it is told."""

from __future__ import annotations

import argparse
from collections import namedtuple
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup import points, wal, wal_stream
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.config import (
    BackupError,
    Config,
    Repository,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.point_command import parse_time
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.points import Base
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.restic import Snapshot
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.runs import make_id
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.wal_chain import Chain, Folder, Shipped
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.wal_facts import (
    board,
    exposition,
    judge,
    read_chains,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.wal_receiver import refused
from hypothesis import given
from hypothesis import strategies as st

NOW = 1_800_000_000.0
DAY = 86400.0
MB16 = 16 << 20
CONFIG = Config("shop", (Repository("far", "/srv/far", "/p"),), "web1", point_in_time=True)


def snapshot(name: str, *tags: str, host: str = "web1", time: str = "2026-11-30T01:00:00Z") -> Snapshot:
    return Snapshot(name, time, host, (points.TAG, *tags), ("/ship",))


class Listed:
    """A repository that holds these snapshots."""

    def __init__(self, *snapshots: Snapshot) -> None:
        self.found = list(snapshots)

    def snapshots(self, *_tags: str, host: str = "") -> list[Snapshot]:
        return self.found


def base(began: float, ends: float, service: str = "db", name: str = "") -> Base:
    """A base that was begun a minute before its first point."""
    salt = name or "aaaa"
    found = Base(make_id(began - 60, salt), service, "chain")
    found.base, found.wal = snapshot(f"b{began:.0f}{service}"), snapshot(f"w{began:.0f}{service}")
    found.begins, found.ends = began, ends
    return found


# --- the log ----------------------------------------------------------------------------------------------------------


def test_positions_and_names_as_postgres_writes_them() -> None:
    assert wal.position("0/1500710") == 0x1500710
    assert wal.position("2A/FF000028") == 0x2AFF000028
    assert wal.position(None) == 0
    assert wal.segment_name(1, wal.position("0/2000028"), MB16) == "000000010000000000000002"
    assert wal.segment_name(3, wal.position("2A/FF000028"), MB16) == "000000030000002A000000FF"
    # With segments of 64 MB there are 64 of them in each file number.
    assert wal.segment_name(1, wal.position("1/0"), 64 << 20) == "000000010000000100000000"


@given(st.integers(0, 2**48), st.sampled_from([1 << 20, MB16, 64 << 20, 1 << 30]))
def test_a_segment_tells_where_it_begins(place: int, size: int) -> None:
    assert wal.begin_of(wal.segment_name(1, place, size), size) == place // size * size
    assert wal.position(wal.written(place)) == place


def test_a_log_that_breaks_off_is_seen() -> None:
    held = [MB16 * number for number in (2, 3, 4)]
    assert wal.first_missing(held, 2 * MB16 + 40, MB16) is None
    assert wal.first_missing(held, 3 * MB16 + 40, MB16) is None
    assert wal.first_missing(held, MB16 + 40, MB16) == MB16 + 40
    assert wal.first_missing([], MB16, MB16) == MB16
    assert wal.first_missing([*held, 6 * MB16], 2 * MB16, MB16) == 5 * MB16


def test_links_follow_a_segment_that_is_completed(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.make()
    names = [wal.segment_name(1, number * MB16, MB16) for number in (1, 2, 3)]
    for name in (names[0], f"{names[1]}.partial", "stray", "00000002.history"):
        (folder.wal / name).write_text(name)
    ship = folder.ship("c1", "far")
    folder.link(ship)
    assert {path.name for path in ship.iterdir()} == {names[0], f"{names[1]}.partial", "00000002.history"}
    # While nobody looked it was completed, and the next one begun.
    (folder.wal / f"{names[1]}.partial").rename(folder.wal / names[1])
    (folder.wal / f"{names[2]}.partial").write_text("3")
    folder.about(ship / points.ABOUT, {"base": 1})
    folder.link(ship)
    assert {path.name for path in ship.iterdir()} == {
        *(names[0], names[1], f"{names[2]}.partial", "00000002.history", points.ABOUT)
    }
    assert (ship / names[1]).stat().st_ino == (folder.wal / names[1]).stat().st_ino
    folder.prune(2 * MB16 + 5, MB16)
    assert not (folder.wal / names[0]).exists()
    assert not (ship / names[0]).exists()
    assert (folder.wal / names[1]).exists()
    # What was received before a gap stays beside the new log, once.
    folder.clear()
    assert list(folder.wal.iterdir()) == []
    assert (tmp_path / "before" / names[1]).exists()


def test_what_is_remembered_comes_back_and_damage_begins_anew(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "wal" / "db")
    folder.make()
    chain = Chain("db", "c1", "77", 2, MB16, NOW)
    chain.bases["b1"] = {"start": 5}
    chain.of("far").base = "b1"
    folder.write(chain)
    assert folder.read("db") == chain
    assert chain.used() == {"b1"}
    # One that has no base yet needs nothing of what was before that.
    chain.of("near")
    assert chain.used() == {"b1"}
    folder.state.write_text('{"service": "db", "repositories": {"far": {"nonsense": 1}}}')
    assert folder.read("db") == Chain("db")


# --- what repositories hold -------------------------------------------------------------------------------------------


def wal_tags(name: str, begins: int, until: int) -> Sequence[str]:
    return ("kind=wal", "service=db", "chain=c", f"base={name}", f"from={begins}", f"until={until}")


def test_a_base_counts_with_its_log_and_only_the_newest_log_counts() -> None:
    one, two = make_id(NOW, "aaaa"), make_id(NOW + 100, "bbbb")
    listed = Listed(
        snapshot("1", "kind=base", "service=db", "chain=c", f"base={one}"),
        snapshot("2", *wal_tags(one, 1000, 2000)),
        snapshot("3", *wal_tags(one, 1000, 3000)),
        snapshot("4", "kind=base", "service=db", "chain=c", f"base={two}"),
        snapshot("5", *wal_tags(one, 1000, 9000), host="web2"),
        snapshot("6", "run=20261130T010000Z-aaaa", "item=postgres/db/roles"),
        snapshot("7", "kind=wal", "service=db", f"base={one}", "from=x", "until=y"),
    )
    found = points.read_bases(listed, "web1")  # type: ignore[arg-type]
    assert [(entry.id, entry.good, entry.begins, entry.ends) for entry in found] == [
        (one, True, 1000, 3000),
        (two, False, 0, 0),
    ]
    assert points.superseded(found) == ["2"]


def test_bases_whose_log_reaches_the_next_are_one_span() -> None:
    assert points.spans([base(1000, 2000), base(2001, 3000), base(5000, 6000)]) == [(1000, 3000), (5000, 6000)]
    assert points.spans([base(1000, 2500), base(2001, 2000)]) == [(1000, 2500)]


def test_the_newest_base_before_a_moment_is_taken() -> None:
    found = [base(1000, 2000), base(2001, 3000), base(5000, 6000), base(100, 9000, "other")]
    assert points.choose(found, "db", 1500, "far", NOW).begins == 1000
    assert points.choose(found, "db", 2001, "far", NOW).begins == 2001
    assert points.choose(found, "db", None, "far", NOW).begins == 5000


@pytest.mark.parametrize("moment", [999.0, 3001.0, 6001.0])
def test_a_moment_that_is_not_kept_names_those_that_are(moment: float) -> None:
    found = [base(1000, 2000), base(2001, 3000), base(5000, 6000)]
    with pytest.raises(BackupError, match="1970-01-01T00:16:40Z to 1970-01-01T00:50:00Z; 1970-01-01T01:23:20Z to"):
        points.choose(found, "db", moment, "far", NOW)


def test_a_service_without_a_base_is_told() -> None:
    with pytest.raises(BackupError, match=r"no base backup of shop.*Services that have: db"):
        points.choose([base(1000, 2000)], "shop", None, "far", NOW)


def test_every_point_of_the_days_stays() -> None:
    daily = [base(NOW - day * DAY, NOW - (day - 1) * DAY) for day in range(40, 0, -1)]
    gone = points.to_forget(daily, NOW, 30)
    left = [entry for entry in daily if not set(entry.ids()) & set(gone)]
    # One from before these days is the base of their first hours.
    assert [round((NOW - entry.begins) / DAY) for entry in left] == list(range(31, 0, -1))
    assert points.spans(left)[0][0] <= NOW - 30 * DAY
    old = [base(NOW - day * DAY, NOW - (day - 1) * DAY) for day in (40, 35)]
    assert set(points.to_forget(old, NOW, 30)) == set(old[0].ids())


def test_services_and_unfinished_bases_are_told_apart() -> None:
    first, other = base(NOW - 40 * DAY, NOW - 39 * DAY), base(NOW - 35 * DAY, NOW - 34 * DAY, "other")
    unfinished, fresh = base(NOW - 2 * DAY, 0), base(NOW - 3600, 0, name="bbbb")
    unfinished.wal = fresh.wal = None
    first.superseded = [snapshot("older")]
    gone = points.to_forget([first, other, unfinished, fresh], NOW, 30)
    assert gone == sorted(["older", *unfinished.ids()])


def test_with_a_base_from_the_future_nothing_goes_for_its_age() -> None:
    found = [base(NOW - day * DAY, NOW - (day - 1) * DAY) for day in (50, 40, 35)] + [
        base(NOW + 9 * DAY, NOW + 10 * DAY)
    ]
    found[0].superseded = [snapshot("older")]
    assert points.to_forget(found, NOW, 30) == ["older"]


# --- what is due ------------------------------------------------------------------------------------------------------


def chain_with(began: float, **shipped: Any) -> Chain:
    chain = Chain("db", "c1", "77", 1, MB16, began)
    chain.bases["b1"] = {"began": began, "ended": began + 60, "start": 0, "bytes": 5_000_000}
    chain.repositories["far"] = Shipped("b1", **shipped)
    return chain


def test_a_base_is_made_after_each_nightly_run_and_where_none_is() -> None:
    assert wal_stream.due(chain_with(NOW - 10 * 3600), {"ended": NOW - 60}, NOW) == []
    assert wal_stream.due(chain_with(NOW - 23 * 3600), {}, NOW) == []
    assert wal_stream.due(chain_with(NOW - 23 * 3600), {"ended": NOW - 60}, NOW) == ["far"]
    assert wal_stream.due(chain_with(NOW - 23 * 3600), {"ended": NOW - 24 * 3600}, NOW) == []
    assert wal_stream.due(chain_with(NOW - 27 * 3600), {}, NOW) == ["far"]
    chain = chain_with(NOW - 60)
    chain.of("near")
    assert wal_stream.due(chain, {}, NOW) == ["near"]


def test_a_base_that_failed_is_tried_ever_more_slowly() -> None:
    chain = chain_with(NOW - 60)
    chain.repositories["near"] = Shipped(failed=1, tried=NOW - 59)
    assert wal_stream.due(chain, {}, NOW) == []
    assert wal_stream.due(chain, {}, NOW + 2) == ["near"]
    chain.repositories["near"].failed = 30
    assert wal_stream.due(chain, {}, NOW + 3400) == []
    assert wal_stream.due(chain, {}, NOW + 3600) == ["near"]


def test_what_waits_is_let_go_before_it_fills_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    disk = usage(100 << 30, 0, 50 << 30)
    monkeypatch.setattr(wal_stream.shutil, "disk_usage", lambda _path: disk)
    assert wal_stream.too_much(7 << 30, "/") == ""
    assert "9 GB of WAL waited" in wal_stream.too_much(9 << 30, "/").replace("GiB", "GB").replace(".0", "")
    disk = usage(100 << 30, 0, 4 << 30)
    assert "has only" in wal_stream.too_much(1 << 30, "/")
    # Little waits: it is not what fills the disk.
    assert wal_stream.too_much(100 << 20, "/") == ""


@pytest.mark.parametrize(
    ("said", "fix"),
    [
        (
            'FATAL:  no pg_hba.conf entry for replication connection from host "127.0.0.1"',
            "host replication all 127.0.0.1",
        ),
        ("Connection refused", "listen_addresses"),
        ('exec: "pg_receivewal": executable file not found in $PATH', "take an image that has pg_receivewal"),
        ("all replication slots are in use", "max_replication_slots"),
        ("can only write single tablespace to stdout, database has 2", "backup_point_in_time to false"),
        ("something else", "docker logs of db"),
    ],
)
def test_a_refusal_names_the_fix(said: str, fix: str) -> None:
    assert fix in str(refused("db", said)).partition("Fix: ")[2]


# --- how it is told ---------------------------------------------------------------------------------------------------


def test_the_board_tells_the_newest_point() -> None:
    rows = judge(CONFIG, [chain_with(NOW - 7200, until=NOW - 20)], NOW)
    assert [row["good"] for row in rows] == [True]
    assert board(rows) == ["point in time db in far: up to 2027-01-15T07:59:40Z (20 s ago), base 119 min old"]


def test_what_lags_and_why_is_told() -> None:
    chain = chain_with(NOW - 7200, until=NOW - 400)
    chain.seen = NOW - 400
    row = judge(CONFIG, [chain], NOW)[0]
    assert not row["good"]
    assert "Fix: systemctl start hypercode-backup-wal" in row["message"]
    chain.failure = "db is exited"
    assert judge(CONFIG, [chain], NOW)[0]["message"] == "db is exited"
    chain.of("far").failure = "its disk is full"
    assert judge(CONFIG, [chain], NOW)[0]["message"] == "its disk is full"
    assert board(judge(CONFIG, [chain], NOW))[1] == "  its disk is full"


def test_the_first_base_may_take_a_while() -> None:
    assert judge(CONFIG, [Chain("db", "c", began=NOW - 3600)], NOW)[0]["good"]
    late = judge(CONFIG, [Chain("db", "c", began=NOW - 7 * 3600)], NOW)
    assert not late[0]["good"]
    assert board(late)[0] == "point in time db in far: FAILED, no base yet"


def test_the_metrics() -> None:
    chain = chain_with(NOW - 7200, until=NOW - 20.5)
    chain.attached, chain.retained = True, 4711
    text = exposition([chain, Chain('o"dd', began=NOW)], {("db", "far"): NOW - 9000}, NOW)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert 'hypercode_backup_wal_lag_seconds{service="db",repository="far"} 20' in lines
    assert (
        f'hypercode_backup_wal_newest_point_timestamp_seconds{{service="db",repository="far"}} {NOW - 21:.0f}' in lines
    )
    assert (
        f'hypercode_backup_wal_oldest_point_timestamp_seconds{{service="db",repository="far"}} {NOW - 9000:.0f}'
        in lines
    )
    assert 'hypercode_backup_wal_slot_retained_bytes{service="db"} 4711' in lines
    assert 'hypercode_backup_wal_attached{service="o\\"dd"} 0' in lines
    assert "gap_timestamp" not in text
    chain.reason = "a gap"
    assert f'gap_timestamp_seconds{{service="db"}} {NOW - 7200:.0f}' in exposition([chain], {}, NOW)


def test_chains_are_read_from_the_host(tmp_path: Path) -> None:
    from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.config import Paths  # noqa: PLC0415

    paths = Paths(tmp_path)
    assert read_chains(paths) == []
    folder = Folder.of(paths, "db")
    folder.make()
    folder.write(chain_with(NOW))
    assert [chain.service for chain in read_chains(paths)] == ["db"]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2027-01-15T08:00:00Z", NOW),
        ("2027-01-15 08:00", NOW),
        ("2027-01-15T09:00:00+01:00", NOW),
        ("newest", float("inf")),
    ],
)
def test_a_time_as_it_is_written(text: str, moment: float) -> None:
    assert parse_time(text) == moment


def test_what_is_no_time_is_told() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"'yesterday' is no time\. Fix: write it as"):
        parse_time("yesterday")
