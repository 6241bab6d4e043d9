"""What could lose a point in time, or fill a disk, without a word: a real PostgreSQL and a real restic in trouble."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup import (
    postgres,
    recover,
    wal,
    wal_base,
    wal_ship,
    wal_stream,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.point_command import STAYS, run_stream
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.points import (
    newest_of_lines,
    read_about,
    read_bases,
    superseded,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.streams import Deadline
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.wal_leave import guard
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.wal_supervisor import Supervisor
from fakes import backup_host
from fakes.backup_host import BackupHost
from fakes.running_stream import Running

pytestmark = pytest.mark.skipif(bool(backup_host.missing()), reason=f"not here: {backup_host.missing()}")
SLOTS = "SELECT count(*) FROM pg_replication_slots"


def with_base(running: Running, *names: str) -> None:
    """Wait for the base in each repository, and for all that was written."""
    for name in names or ("main",):
        running.until(lambda name=name: running.base(name))  # type: ignore[misc]
        running.until_shipped(name)
    assert running.stream.base
    running.stream.base.join()


def hang(host: BackupHost, running: Running, repository: str) -> Path:
    """Have restic wait for ever with this repository while the file that is returned is there."""
    program, switch = host.folder / "restic", host.folder / "hangs"
    program.write_text(
        f"#!/bin/sh\ncase $RESTIC_REPOSITORY in *{repository}) while [ -e {switch} ]; do sleep 0.2; done ;; esac\n"
        f'exec {backup_host.RESTIC} "$@"\n'
    )
    program.chmod(0o755)
    running.backup.repositories[:] = [replace(entry, program=str(program)) for entry in running.backup.repositories]
    return switch


def test_a_store_that_hangs_keeps_nobody_waiting(host: BackupHost, running: Running) -> None:
    host.add_repository("far")
    running.anew()
    switch = hang(host, running, "far")
    with_base(running, "main", "far")
    switch.touch()
    try:
        running.sql("INSERT INTO account VALUES (6000, 0)")
        running.until_shipped()
        # The receiver is watched all the same.
        os.kill(running.pid(), signal.SIGKILL)
        running.until(lambda: host.told.count("db: receiving from db-1") == 2)
        running.sql("INSERT INTO account VALUES (6001, 0)")
        running.until_shipped()
        assert running.stream.chain.of("far").until < running.stream.chain.of("main").until - 1
    finally:
        switch.unlink()
    running.until_shipped("far")
    running.stream.stop()


def test_a_base_comes_where_another_repository_is_away(host: BackupHost, running: Running, tmp_path: Path) -> None:
    host.add_repository("far")
    running.anew()
    with_base(running, "main", "far")
    base = running.base()
    (tmp_path / "repository-far").rename(tmp_path / "away")
    running.stream.chain.bases[base]["began"] -= 27 * 3600
    running.until(lambda: running.base() != base)
    running.until(lambda: running.stream.chain.of("far").base_failure)
    assert running.base("far") == base
    running.stream.stop()


def test_who_is_away_is_told_of_once_and_when_it_is_over(host: BackupHost, running: Running, tmp_path: Path) -> None:
    host.add_repository("far")
    running.anew()
    with_base(running, "main", "far")
    (tmp_path / "repository-far").rename(tmp_path / "away")
    running.sql("INSERT INTO account VALUES (7000, 0)")
    running.until(lambda: running.stream.shipper.failures.get("far", (0, 0))[0] >= 2)
    (tmp_path / "away").rename(tmp_path / "repository-far")
    running.until_shipped("far")
    said = [line for line in host.told if line.startswith("db: far: ")]
    assert len(said) == 2, said
    assert "Fix: " in said[0]
    assert said[1] == "db: far: the log is sent again"
    running.stream.stop()


def test_who_is_away_for_long_costs_the_others_nothing(
    host: BackupHost, running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.add_repository("far")
    running.anew()
    with_base(running, "main", "far")
    chain, base = running.stream.chain, running.base()
    (tmp_path / "repository-far").rename(tmp_path / "away")
    running.switch(3)
    running.until(lambda: chain.of("far").failure)
    chain.bases[base]["began"] -= 27 * 3600
    running.until(lambda: running.base() != base)
    running.until_shipped()
    kept = running.stream.folder.size()
    real = wal_stream.too_much
    monkeypatch.setattr(
        wal_stream, "too_much", lambda size, folder: "it is full" if size > kept - 1 else real(0, folder)
    )
    running.until(lambda: not chain.of("far").base)
    assert running.stream.folder.size() < kept
    assert "db: it is full, so far needs a new base" in host.told
    monkeypatch.setattr(wal_stream, "too_much", real)
    running.until_shipped()
    # Neither the slot nor the chain was given up, and the healthy one has all.
    assert running.stream.chain is chain
    assert running.sql(SLOTS) == "1"
    (tmp_path / "away").rename(tmp_path / "repository-far")
    running.stream.chain.of("far").tried = 0
    running.until(lambda: chain.of("far").base)
    running.stream.stop()


def test_a_repository_that_was_made_anew_gets_a_base(running: Running, tmp_path: Path) -> None:
    with_base(running)
    base, restic = running.base(), running.backup.repository()
    shutil.rmtree(tmp_path / "repository-main")
    restic.init()
    time.sleep(1.1)
    Supervisor(running.backup, {"db": running.stream}).tidy()
    assert running.base() == ""
    assert "has lost the base" in running.stream.chain.of("main").base_failure
    running.until(lambda: running.base() not in ("", base))
    running.until_shipped()
    assert [entry.good for entry in read_bases(restic, "web1")] == [True]


def test_another_store_under_the_same_name_gets_a_base(host: BackupHost, running: Running, tmp_path: Path) -> None:
    with_base(running)
    host.repositories.clear()
    host.made.clear()
    host.add_repository("main", str(tmp_path / "elsewhere"))
    running.anew()
    assert running.base() == ""
    with_base(running)


def test_a_receiver_that_is_killed_says_nothing_of_what_it_has(running: Running) -> None:
    with_base(running)
    until = running.stream.shipper.until
    os.kill(running.pid(), signal.SIGKILL)
    receiver = running.stream.receiver
    assert receiver
    while receiver.alive() or not receiver.ended:
        time.sleep(0.05)
    running.stream.tick()
    assert running.stream.shipper.until == until < receiver.ended


def test_a_server_that_shuts_down_hands_out_all_there_is(running: Running) -> None:
    with_base(running)
    receiver, programs = running.stream.receiver, backup_host.postgres_programs()
    assert receiver
    user = "postgres" if os.geteuid() == 0 else None
    words = [f"{programs}/pg_ctl", "-D", str(running.cluster / "data"), "-w", "-m", "fast", "restart"]
    subprocess.run(words, user=user, cwd=running.cluster, check=True, stdout=subprocess.DEVNULL)
    while receiver.alive() or not receiver.ended:
        time.sleep(0.05)
    assert receiver.had_all()
    running.stream.tick()
    assert running.stream.shipper.until >= receiver.ended
    running.until_shipped()


def test_data_with_the_same_past_begins_a_new_log(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """After two restores in a row the server has the same name and timeline as before, and other data."""
    with_base(running)
    real = wal_stream.ask_server

    def second(*words: Any) -> Any:
        return replace(real(*words), timeline=2)

    monkeypatch.setattr(wal_stream, "ask_server", second)
    monkeypatch.setattr(wal_base, "ask_server", second)
    first = running.stream.chain
    first.timeline = 2
    running.stream.stop()
    running.stream.receiver = None
    backup_host.sql(running.cluster, "postgres", "SELECT pg_drop_replication_slot('hypercode_wal')")
    running.until(lambda: running.stream.chain.id != first.id)
    assert running.stream.chain.line not in ("", first.line)
    with_base(running)
    found = newest_of_lines(read_bases(running.backup.repository(), "web1"), "db", time.time())
    assert [base.chain for base in found] == [running.stream.chain.id, first.id]


def test_data_that_is_older_than_what_was_sent_begins_a_new_log(running: Running) -> None:
    with_base(running)
    chain = running.stream.chain
    running.stream.stop()
    running.stream.receiver = None
    running.stream.shipper.place += 1 << 30
    running.until(lambda: running.stream.chain.id != chain.id)
    assert running.stream.chain.reason == "its data is older than before"


def test_what_the_hourly_look_let_go_is_the_same_data(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    with_base(running)
    line, chain = running.stream.chain.line, running.stream.chain.id
    running.stream.stop()
    running.stream.receiver = None
    monkeypatch.setattr(wal_stream, "SLOT_MAX", -1)
    guard(running.backup)
    monkeypatch.setattr(wal_stream, "SLOT_MAX", 1 << 40)
    assert running.sql(SLOTS) == "0"
    running.until(lambda: running.stream.chain.id != chain)
    assert running.stream.chain.line == line
    assert "waited for the backups" in running.stream.chain.reason


def test_no_slot_stays_in_a_service_that_is_called_otherwise(running: Running) -> None:
    with_base(running)
    host, supervisor = running.host, Supervisor(running.backup, {"db": running.stream})
    model = dict(host.model)
    host.settings["services"] = {"db": "none"}
    supervisor.backup = host.backup(point_in_time=True)
    (host.docker_folder / "db-1.env").rename(host.docker_folder / "away")
    supervisor.look()
    # It could not be asked: that is not forgotten.
    assert running.sql(SLOTS) == "1"
    assert [path.name for path in running.stream.folder.root.iterdir()] == ["gone"]
    (host.docker_folder / "away").rename(host.docker_folder / "db-1.env")
    guard(supervisor.backup)
    assert running.sql(SLOTS) == "0"
    assert not running.stream.folder.root.exists()
    assert host.model == model


def test_switched_off_while_the_database_is_down_it_is_let_go_later(
    running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    with_base(running)
    running.stream.stop()
    host = running.host
    (host.docker_folder / "db-1.env").rename(host.docker_folder / "away")
    assert run_stream(running.backup, off=True) == STAYS
    said = capsys.readouterr().out
    assert "not taken away: db keeps its log for the backups until its disk is full" in said
    assert "Fix: start it" in said
    (host.docker_folder / "away").rename(host.docker_folder / "db-1.env")
    assert running.sql(SLOTS) == "1"
    guard(host.backup(point_in_time=False))
    assert running.sql(SLOTS) == "0"
    assert not running.stream.folder.root.exists()


def test_a_restore_wins_against_newer_shipments(running: Running, tmp_path: Path) -> None:
    with_base(running)
    restic = running.backup.repository()
    listed = read_bases(restic, "web1")[0]
    running.sql("INSERT INTO account VALUES (7000, 0)")
    running.until_shipped()
    restic.call("forget", "--quiet", *superseded(read_bases(restic, "web1")))
    with pytest.raises(Exception, match=r"no matching|cannot be read back"):
        read_about(restic, listed)
    folder = tmp_path / "target"
    folder.mkdir()
    deadline = Deadline.after(120)
    work = recover.fetch_current(running.backup, restic, listed, folder, deadline, "1g")
    work.unpack()
    assert (folder / "data" / "PG_VERSION").exists()
    assert any((folder / "wal").iterdir())
    assert work.base.wal != listed.wal


def test_a_base_waits_for_who_has_the_repository_for_himself(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    with_base(running)
    base, real, tries = running.base(), wal_ship.Restic.back_up_paths, list[str]()

    def locked(self: Any, *words: Any) -> Any:
        if threading.current_thread() is running.stream.base and len(tries) < 2:
            tries.append("locked")
            raise wal_ship.Locked("the repository is locked")
        return real(self, *words)

    monkeypatch.setattr(wal_ship.Restic, "back_up_paths", locked)
    monkeypatch.setattr(wal_base, "LOCK_POLL", 0.2)
    running.stream.chain.bases[base]["began"] -= 27 * 3600
    running.until(lambda: running.base() != base)
    # Once or twice: who sends the log may have come in between.
    assert tries
    assert running.stream.chain.of("main").base_failure == ""
    running.until_shipped()


def test_the_end_of_a_run_leaves_our_questions_alone(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = running.backup.stack()
    container = stack.container("db")
    monkeypatch.setattr(wal, "_QUESTION", "SELECT pg_sleep(1.5);\n" + wal._QUESTION)
    found: list[wal.Server] = []
    thread = threading.Thread(target=lambda: found.append(wal.ask_server(stack, container)))
    thread.start()
    time.sleep(0.7)
    postgres.end_sessions(stack, container)
    thread.join()
    assert found[0].version >= wal.OLDEST


def test_what_is_not_all_here_is_not_sent(running: Running) -> None:
    with_base(running)
    running.switch(3)
    running.until_shipped()
    chain, size = running.stream.chain, running.stream.chain.segment
    held = sorted((begin, name) for name, begin in wal.segments(running.stream.folder.wal, size).items())
    (running.stream.folder.wal / held[1][1]).unlink()
    late = chain.of("main").until
    running.sql("INSERT INTO account VALUES (8000, 0)")
    running.until(lambda: "so it was not sent" in chain.of("main").failure)
    assert chain.of("main").until == late
