"""What could bring back the wrong point in time, or hide that none can be: without a database."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup import (
    drill_points,
    points,
    wal,
    wal_base,
    wal_stream,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.config import (
    BackupError,
    Config,
    Paths,
    Repository,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.points import Base
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.restic import Restic, Snapshot
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.run import Backup
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.runs import make_id
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.wal_chain import Chain, Folder, Shipped
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.wal_facts import board, exposition, judge
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.wal_receiver import Receiver
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.wal_ship import Shipper
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult

NOW = 1_800_000_000.0
DAY = 86400.0
SIZE = 16 << 20
FAR = Repository("far", "/srv/far", "/p")
CONFIG = Config("shop", (FAR, Repository("near", "/srv/near", "/p")), "web1", point_in_time=True)


def base(began: float, ends: float, line: str = "one") -> Base:
    found = Base(make_id(began - 60, "aaaa"), "db", "chain", line)
    found.base = found.wal = Snapshot("1", "2026-11-30T01:00:00Z", "web1", (points.TAG,), ("/ship",))
    found.begins, found.ends = began, ends
    return found


class Listed:
    """A repository that holds these snapshots."""

    def __init__(self, *snapshots: Snapshot) -> None:
        self.found = list(snapshots)

    def snapshots(self, *_tags: str, host: str = "") -> list[Snapshot]:
        return self.found


# --- which point comes back -------------------------------------------------------------------------------------------


def test_after_a_loss_the_newest_point_is_asked_for() -> None:
    """A volume was lost, and the server began with nothing: its first base must not be taken for what is wanted."""
    found = [base(NOW - 3 * DAY, NOW - 2 * DAY), base(NOW - 2 * DAY, NOW - 600), base(NOW - 300, NOW - 30, "two")]
    with pytest.raises(BackupError) as refused:
        points.choose(found, "db", None, "far", NOW)
    before, now = points.stamp(NOW - 600), points.stamp(NOW - 30)
    assert f"--time {before} for the newest of what was before, --time {now} for what came then" in str(refused.value)
    # Either can be had, and a drill brings both back.
    assert points.choose(found, "db", NOW - 600, "far", NOW) is found[1]
    assert points.choose(found, "db", NOW - 30, "far", NOW) is found[2]
    assert points.newest_of_lines(found, "db", NOW) == [found[2], found[1]]
    # After two days somebody would have said so.
    assert points.choose(found, "db", None, "far", NOW + 2 * DAY) is found[2]
    assert points.newest_of_lines(found, "db", NOW + 2 * DAY) == [found[2]]


def test_a_drill_brings_back_what_was_before_a_loss_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [base(NOW - 2 * DAY, NOW - 600), base(NOW - 300, NOW - 30, "two")]
    monkeypatch.setattr(drill_points, "read_bases", lambda _restic, _host: found)
    about = {"base": {"bytes": 0, "start": 0}, "place": 0}
    monkeypatch.setattr(drill_points, "read_about", lambda _restic, _base: about)
    backup = Backup(CONFIG, Paths(tmp_path), None, clock=lambda: NOW)  # type: ignore[arg-type]
    drill = SimpleNamespace(backup=backup, restic=backup.repository(), folder=tmp_path, left_out=[])
    parts = drill_points.point_parts(drill)  # type: ignore[arg-type]
    wanted = [f"the log of db, to {points.stamp(moment)}" for moment in (NOW - 30, NOW - 600)]
    assert [name for name, _part in parts] + drill.left_out == wanted


def test_over_a_gap_the_newest_point_is_the_newest() -> None:
    found = [base(NOW - 2 * DAY, NOW - DAY), base(NOW - 300, NOW - 30)]
    assert points.choose(found, "db", None, "far", NOW) is found[1]


def test_the_newest_log_is_the_one_that_goes_farthest() -> None:
    """The clock was set back between the two: at the end of summer time, or since it was ahead."""
    name = make_id(NOW, "aaaa")

    def log(snapshot: str, time: str, place: int, number: int, until: int) -> Snapshot:
        tags = ("kind=wal", "service=db", "chain=c", f"base={name}", "from=1", f"until={until}")
        return Snapshot(snapshot, time, "web1", (points.TAG, *tags, f"place={place}", f"number={number}"), ("/ship",))

    newer = log("newer", "2026-10-25T02:10:00+01:00", 900, 7, 5000)
    quiet = log("quiet", "2026-10-25T02:15:00+01:00", 900, 8, 5100)
    older = log("older", "2026-10-25T02:50:00+02:00", 800, 6, 9000)
    found = points.read_bases(Listed(newer, quiet, older), "web1")  # type: ignore[arg-type]
    assert found[0].wal is quiet
    assert found[0].ends == 5100
    assert sorted(points.superseded(found)) == ["newer", "older"]


def test_lists_are_in_the_order_of_time_whatever_the_zone_was() -> None:
    times = ("2026-10-25T02:50:00.5+02:00", "2026-10-25T02:10:00.123456789+01:00", "2026-10-25T00:55:00Z")
    entries = [{"id": str(number), "time": time} for number, time in enumerate(times)]
    restic = Restic(FAR, Path("/"), run=lambda *_words, **_more: CommandResult(0, json.dumps(entries)))
    assert [snapshot.id for snapshot in restic.snapshots()] == ["0", "2", "1"]


def test_a_copy_that_is_not_whole_is_refused() -> None:
    said = "pg_basebackup: base backup completed"
    assert wal_base._whole(1024, said) == 0
    for size, words in ((1000, said), (1024, "pg_basebackup: checkpoint completed")):
        with pytest.raises(BackupError, match="has not said that its copy is whole"):
            wal_base._whole(size, words)


# --- what is sent -----------------------------------------------------------------------------------------------------


@pytest.fixture
def shipper(tmp_path: Path) -> Shipper:
    """One whose log has four segments here, and a base in each of two repositories: far has the older one."""
    clock = [NOW]
    backup = Backup(CONFIG, Paths(tmp_path), None, clock=lambda: clock[0])  # type: ignore[arg-type]
    folder = Folder(tmp_path / "wal")
    folder.make()
    chain = Chain("db", "c1", "77", 1, SIZE, NOW - DAY, line="c1")
    for number in (1, 2, 3, 4):
        (folder.wal / wal.segment_name(1, number * SIZE, SIZE)).write_bytes(b"w" * 1000)
    for name, start in (("far", SIZE + 40), ("near", 3 * SIZE + 40)):
        chain.bases[f"b-{name}"] = {"start": start, "ended": NOW - 3600.0, "began": NOW - 3700.0, "bytes": 5000}
        chain.repositories[name] = Shipped(f"b-{name}", place=4 * SIZE + 500, until=NOW - 20, at=NOW - 20)
    found = Shipper(backup, chain, folder, place=4 * SIZE + 500)
    found.clock = clock  # type: ignore[attr-defined]
    return found


def link(shipper: Shipper, name: str = "far", place: int = 4 * SIZE + 500) -> list[str]:
    folder = shipper.folder.ship("c1", name)
    return sorted(shipper._link(shipper.chain, folder, shipper.chain.bases[f"b-{name}"], (NOW, place, 0)))


def test_what_lacks_a_segment_is_not_sent(shipper: Shipper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    names = [wal.segment_name(1, number * SIZE, SIZE) for number in (1, 2, 3, 4)]
    assert link(shipper) == names
    # Up to the very end of a segment, the next one need not be there.
    assert link(shipper, place=5 * SIZE) == names
    with pytest.raises(BackupError, match=r"lacks what is from 0/5000000 on, so it was not sent\. Fix: "):
        link(shipper, place=5 * SIZE + 1)
    (shipper.folder.wal / names[2]).unlink()
    with pytest.raises(BackupError, match="lacks what is from 0/3000000 on"):
        link(shipper)
    assert (shipper.folder.ship("c1", "far") / points.ABOUT).exists()


def test_room_is_made_by_those_whose_base_is_oldest(shipper: Shipper) -> None:
    shipper.prune()
    assert len(list(shipper.folder.wal.iterdir())) == 4
    assert shipper.give_up("it is full") == ["far"]
    assert shipper.chain.of("far").base == ""
    assert "it is full, so its log was let go: it needs a new base. Fix: " in shipper.chain.of("far").base_failure
    # What only they needed is gone; the others have all.
    assert [path.name for path in sorted(shipper.folder.wal.iterdir())] == [
        wal.segment_name(1, number * SIZE, SIZE) for number in (3, 4)
    ]
    assert shipper.give_up("it is full") == ["near"]
    assert len(list(shipper.folder.wal.iterdir())) == 1
    assert shipper.give_up("it is full") == []


def test_what_a_base_needs_that_is_being_made_stays(shipper: Shipper) -> None:
    shipper.chain.repositories.clear()
    shipper.making = 2 * SIZE + 7
    shipper.prune()
    assert len(list(shipper.folder.wal.iterdir())) == 3


def test_a_clock_that_was_ahead_promises_nothing(shipper: Shipper) -> None:
    shipper.note(NOW - 1, 4 * SIZE + 600)
    assert (shipper.until, shipper.place, shipper.sure) == (NOW - 1, 4 * SIZE + 600, 4 * SIZE + 500)
    shipper.note(NOW - 5, 4 * SIZE)
    assert (shipper.until, shipper.place) == (NOW - 1, 4 * SIZE + 600)
    shipper.clock[0] = NOW - 3600  # type: ignore[attr-defined]
    shipper.note(NOW - 3601, 4 * SIZE + 700)
    assert (shipper.until, shipper.place) == (NOW - 3601, 4 * SIZE + 700)


def test_a_base_that_a_repository_has_not_got_is_none(shipper: Shipper) -> None:
    kept = base(NOW - 3600, NOW - 20)
    kept.id = "b-far"
    shipper.compare("far", [kept], NOW)
    assert shipper.chain.of("far").base == "b-far"
    # One that was listed before it was done says nothing.
    shipper.compare("far", [], NOW - 3600)
    assert shipper.chain.of("far").base == "b-far"
    kept.wal = None
    shipper.chain.of("far").at = NOW
    shipper.compare("far", [kept], NOW)
    assert shipper.chain.of("far").base == "b-far"
    shipper.compare("far", [kept], NOW + 1)
    assert shipper.chain.of("far").base == ""
    assert "has lost the base" in shipper.chain.of("far").base_failure


@pytest.mark.parametrize(
    ("said", "reason", "had_all"),
    [
        (
            "pg_receivewal: error: could not write 8192 bytes to WAL file: No space left on device\n"
            "pg_receivewal: error: disconnected",
            "pg_receivewal: error: could not write 8192 bytes to WAL file: No space left on device",
            False,
        ),
        (
            "pg_receivewal: error: replication stream was terminated before stop point\n"
            "pg_receivewal: error: disconnected\n",
            "pg_receivewal: error: replication stream was terminated before stop point",
            True,
        ),
        (
            "docker: Error response from daemon: no.\nSee 'docker run --help'.",
            "docker: Error response from daemon: no",
            0,
        ),
        ("pg_receivewal: error: disconnected", "it ended without a word", False),
    ],
)
def test_why_a_receiver_ended(said: str, reason: str, had_all: bool) -> None:
    receiver = Receiver(None, None, Path("/"))  # type: ignore[arg-type]
    receiver._said = tempfile.TemporaryFile()  # noqa: SIM115
    receiver._said.write(said.encode())
    assert receiver.reason() == reason
    assert receiver.had_all() == had_all
    receiver._said.close()


# --- what is due, and how it is told ----------------------------------------------------------------------------------


def chain_with(**facts: Any) -> Chain:
    chain = Chain("db", "c1", "77", 1, SIZE, NOW - DAY)
    chain.bases["b1"] = {"began": NOW - 7260, "ended": NOW - 7200, "start": 0, "bytes": 5_000_000, **facts}
    chain.repositories = {"far": Shipped("b1", until=NOW - 20), "near": Shipped()}
    return chain


def test_with_another_image_or_much_here_a_base_is_made() -> None:
    chain = chain_with(image_id="sha256:1")
    del chain.repositories["near"]
    assert wal_stream.due(chain, {}, NOW, image="sha256:1") == []
    assert wal_stream.due(chain, {}, NOW, image="sha256:2") == ["far"]
    assert wal_stream.due(chain, {}, NOW, full=True) == ["far"]
    assert wal_stream.due(chain, {}, NOW - 5000, full=True) == []


def test_a_database_that_never_was_attached_to_is_told() -> None:
    chain = Chain("db", began=NOW - 3600, failure="Postgres in db has wal_level = minimal")
    chain.repositories = {"far": Shipped(), "near": Shipped()}
    assert [row["message"] for row in judge(CONFIG, [chain], NOW)] == [chain.failure] * 2
    assert 'hypercode_backup_wal_failed{service="db",repository="near"} 1' in exposition([chain], {}, NOW)


def test_a_repository_without_a_base_is_told() -> None:
    text = exposition([chain_with()], {}, NOW)
    assert 'hypercode_backup_wal_failed{service="db",repository="far"} 0' in text
    assert 'hypercode_backup_wal_failed{service="db",repository="near"} 1' in text


def test_a_base_whose_log_is_on_the_way_has_no_lag() -> None:
    chain = chain_with()
    chain.of("far").until = 0.0
    row = judge(CONFIG, [chain], NOW)[0]
    assert (row["lag_seconds"], row["newest"], row["good"]) == (None, None, True)
    assert board([row]) == ["point in time db in far: base 2 h old, its log is on the way"]
    assert "lag_seconds{" not in exposition([chain], {}, NOW)
