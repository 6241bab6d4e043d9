"""The log of a real PostgreSQL is received and shipped with a real restic, through what goes wrong with either."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup import wal_ship, wal_stream
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.facts import alone
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.points import (
    read_about,
    read_bases,
    superseded,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.runs import read_runs
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.wal import first_missing, segments
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.wal_leave import guard, switch_off
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.wal_supervisor import Supervisor
from fakes import backup_host
from fakes.backup_host import BackupHost
from fakes.running_stream import Running

pytestmark = pytest.mark.skipif(bool(backup_host.missing()), reason=f"not here: {backup_host.missing()}")
SLOTS = "SELECT count(*) FROM pg_replication_slots"


def test_the_log_reaches_the_repository(running: Running) -> None:
    running.until(running.base)
    running.until_shipped()
    restic = running.backup.repository()
    found = read_bases(restic, "web1")
    assert [(base.service, base.good) for base in found] == [("db", True)]
    assert found[0].begins <= found[0].ends
    about = read_about(restic, found[0])
    held = segments(running.stream.folder.ship(running.stream.chain.id, "main"), about["segment"])
    assert first_missing(held.values(), about["base"]["start"], about["segment"]) is None
    # Each later one holds all of the one before.
    running.sql("INSERT INTO account SELECT n, 0 FROM generate_series(1000, 1100) n")
    running.until_shipped()
    later = read_bases(restic, "web1")
    assert later[0].ends > found[0].begins
    assert superseded(later)
    restic.call("forget", "--quiet", *superseded(later))
    assert superseded(read_bases(restic, "web1")) == []
    # Neither is taken for the other, nor for another host's.
    assert read_runs(restic, "web1") == []
    assert read_bases(restic, "web2") == []
    assert (running.stream.folder.root.stat().st_mode & 0o777) == 0o700
    # No password is in a command line.
    assert backup_host.DATA_PASSWORD not in running.host.commands
    assert "PGPASSWORD" in running.host.commands


def test_a_receiver_that_is_killed_is_there_again_and_nothing_is_missing(running: Running) -> None:
    running.until(running.base)
    running.until_shipped()
    base, chain = running.base(), running.stream.chain.id
    running.sql("INSERT INTO account VALUES (2000, 0)")
    os.kill(running.pid(), signal.SIGKILL)
    running.until(lambda: running.host.told.count("db: receiving from db-1") == 2)
    running.until_shipped()
    assert (running.base(), running.stream.chain.id) == (base, chain)


def test_a_stream_that_is_begun_anew_goes_on(running: Running) -> None:
    running.until(running.base)
    running.until_shipped()
    base = running.base()
    running.stream.stop()
    running.sql("INSERT INTO account VALUES (2001, 0); SELECT pg_switch_wal()")
    running.stream = wal_stream.Stream(running.backup, running.backup.stack(), "db")
    running.until_shipped()
    assert running.base() == base
    assert running.stream.chain.reason == ""


def test_a_gap_begins_a_new_log_with_a_base(running: Running) -> None:
    running.until(running.base)
    running.until_shipped()
    base = running.base()
    running.stream.stop()
    running.stream.receiver = None
    backup_host.sql(running.cluster, "postgres", "SELECT pg_drop_replication_slot('hypercode_wal')")
    running.switch(4)
    running.until(lambda: running.base() not in ("", base))
    assert "the server no longer has what is missing here" in running.stream.chain.reason
    running.until_shipped()
    found = read_bases(running.backup.repository(), "web1")
    assert [entry.good for entry in found] == [True, True]
    assert found[0].chain != found[1].chain


def test_a_repository_that_is_away_gets_all_of_it_later(host: BackupHost, running: Running, tmp_path: Path) -> None:
    host.add_repository("far")
    running.anew()
    running.until(lambda: running.base() and running.base("far"))
    # Not the folder: restic would begin one of its own there, and it could not come back.
    away, place = tmp_path / "away", tmp_path / "repository-far" / "config"
    place.rename(away)
    running.sql("INSERT INTO account VALUES (4000, 0)")
    running.until_shipped()
    running.until(lambda: "far" in running.stream.chain.of("far").failure)
    late = running.stream.chain.of("far").until
    assert late < running.stream.chain.of("main").until
    away.rename(place)
    running.until_shipped("far")
    assert running.stream.chain.of("far").failure == ""
    running.stream.stop()


def test_a_repository_that_is_locked_is_no_failure(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    running.until(running.base)
    running.until_shipped()
    real = wal_ship.Restic.back_up_paths

    def locked(self: Any, *_words: Any) -> Any:
        raise wal_ship.Locked("the repository is locked")

    monkeypatch.setattr(wal_ship.Restic, "back_up_paths", locked)
    late = running.stream.chain.of("main").until
    running.sql("INSERT INTO account VALUES (5000, 0)")
    running.until(lambda: "the repository is locked" in " ".join(running.host.told))
    shipped = running.stream.chain.of("main")
    assert (shipped.failure, shipped.until) == ("", late)
    monkeypatch.setattr(wal_ship.Restic, "back_up_paths", real)
    running.until_shipped()


def test_a_new_base_takes_over_without_a_gap_between(running: Running) -> None:
    running.until(running.base)
    base = running.base()
    running.switch(3)
    running.until_shipped()
    size = running.stream.chain.segment
    before = min(segments(running.stream.folder.wal, size).values())
    # As after a night.
    running.stream.chain.bases[base]["began"] -= 27 * 3600
    running.until(lambda: running.base() != base)
    running.until_shipped()
    first, second = read_bases(running.backup.repository(), "web1")
    assert first.good
    assert second.good
    assert second.begins <= first.ends + 1
    # What only the old base needed is gone here.
    assert min(segments(running.stream.folder.wal, size).values()) > before
    assert list(running.stream.chain.bases) == [second.id]


def test_what_fills_the_disk_is_let_go(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    running.until(running.base)
    running.until_shipped()
    monkeypatch.setattr(wal_stream, "SLOT_MAX", -1)
    running.until(lambda: "so it was let go" in running.stream.chain.failure)
    assert running.sql(SLOTS) == "0"
    assert running.stream.receiver is None
    monkeypatch.setattr(wal_stream, "SLOT_MAX", 1 << 40)
    running.stream.retry = 0
    base = running.base()
    running.until(lambda: running.base() not in ("", base))
    assert "waited for the backups" in running.stream.chain.reason


def test_without_a_stream_the_hourly_look_lets_it_go(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    running.until(running.base)
    running.stream.stop()
    guard(running.backup)
    assert running.sql(SLOTS) == "1"
    monkeypatch.setattr(wal_stream, "SLOT_MAX", -1)
    guard(running.backup)
    assert running.sql(SLOTS) == "0"
    assert "nobody fetched its log" in running.host.told[-1]


def test_switched_off_nothing_is_left_in_the_database(running: Running) -> None:
    running.until(running.base)
    running.stream.stop()
    assert running.stream.base
    running.stream.base.join()
    done, stays = switch_off(running.backup)
    assert stays == []
    assert running.sql(SLOTS) == "0"
    assert "what db kept of its log for the backups" in done
    assert not (running.backup.paths.state / "wal").exists()
    assert switch_off(running.backup) == ([], [])


def test_a_service_that_is_no_more_is_left(running: Running) -> None:
    running.until(running.base)
    assert running.stream.base
    running.stream.base.join()
    supervisor = Supervisor(running.backup, {"db": running.stream})
    model = running.host.model
    running.host.model = {"services": {}, "volumes": {}}
    running.host.write_release()
    supervisor.look()
    # Nothing is deployed: that says nothing about the service.
    assert supervisor.streams
    running.host.model = {"services": {"web": {"image": "nginx"}}, "volumes": {}}
    running.host.write_release()
    supervisor.look()
    assert supervisor.streams == {}
    assert running.stream.over.is_set()
    assert not running.stream.folder.root.exists()
    assert [base.good for base in read_bases(running.backup.repository(), "web1")] == [True]
    running.host.model = model


def test_what_newer_shipments_hold_is_forgotten_unless_a_run_is_at_work(running: Running) -> None:
    running.until(running.base)
    running.until_shipped()
    running.sql("UPDATE account SET balance = balance")
    running.until_shipped()
    supervisor, restic = Supervisor(running.backup, {"db": running.stream}), running.backup.repository()
    with alone(running.backup.paths, "run"):
        supervisor.tidy()
    assert superseded(read_bases(restic, "web1"))
    supervisor.tidy()
    found = read_bases(restic, "web1")
    assert superseded(found) == []
    assert [base.good for base in found] == [True]
    assert supervisor.oldest == {("db", "main"): found[0].begins}
