"""What a restore saves first where the data is damaged, and how it reads a snapshot of Redis."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup import (
    put_back_redis,
    put_back_safety,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.config import BackupError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.put_back_plan import Plan, part_of
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.put_back_record import (
    Record,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.put_back_redis import Layout
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.runs import Run
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.streams import Deadline
from fakes.backup_host import RESTIC, BackupHost
from fakes.put_back_host import hands

pytestmark = pytest.mark.skipif(not RESTIC, reason="not installed: restic")


def test_damaged_data_that_runs_is_saved_as_files(host: BackupHost) -> None:
    """A restore is needed just then: a database of Grafana that cannot be read is no reason to refuse it."""
    folder = host.folder / "volumes" / "grafana" / "_data"
    host.engine.add_volume("grafana", folder, {})
    mount = {"Type": "volume", "Name": "grafana", "Source": str(folder), "Destination": "/var/lib/grafana"}
    host.add_service("board", "grafana/grafana:12.4", {}, [mount])
    (folder / "grafana.db").write_bytes(b"SQLite format 3\0" + b"damaged" * 1000)
    hand, release = hands(host, {"board": []})
    restic = hand.backup.repository()
    item = "grafana/board/database"
    plan = Plan(Run("20261129T020000Z-1a2b"), restic, {"items": {item: {"kind": "stream"}}}, [part_of(item)], 1)
    record = Record(host.paths, "abcd", plan.run.id)
    run = put_back_safety.take(hand, plan, record, Deadline.after(600))
    assert release.done == ["stop board"]
    assert "volume/grafana" in hand.backup.find(run)[2]["items"]
    assert any("board cannot be saved as usual" in line for line in host.told)


def test_a_database_that_cannot_be_dumped_is_saved_as_files_and_runs_again(host: BackupHost, database: Path) -> None:
    """One page that cannot be read is enough for pg_dump to end."""
    host.add_postgres(database)
    host.engine.add_volume("db", host.folder / "volumes" / "db", {})
    (host.folder / "volumes" / "db" / "PG_VERSION").write_text("15")
    volume = {"type": "volume", "source": "db", "target": "/var/lib/postgresql/data"}
    host.model["services"]["db"]["volumes"] = [volume]
    host.model["volumes"]["db"] = {"name": "db"}
    host.write_release()
    host.replace_program("db", "pg_dump", "echo 'pg_dump: error: invalid page in block 7' >&2; exit 1")
    hand, release = hands(host, {"db": []})
    item = "postgres/db/database/shop"
    items = {"items": {item: {"kind": "stream"}}}
    plan = Plan(Run("20261129T020000Z-1a2b"), hand.backup.repository(), items, [part_of(item)], 1)
    run = put_back_safety.take(hand, plan, Record(host.paths, "abcd", plan.run.id), Deadline.after(600))
    assert release.done == ["stop db", "up db"]
    assert set(hand.backup.find(run)[2]["items"]) == {"postgres/db/roles", "volume/db"}


def test_a_scratch_server_that_has_ended_is_not_waited_for(host: BackupHost) -> None:
    host.add_service("cache", "redis:7.4", {})
    script = "case $1 in inspect) echo false ;; logs) echo 'Bad file format reading the RDB.' ;; *) exit 1 ;; esac"
    host.docker.write_text(f"#!/bin/sh\n{script}\n")
    stack = hands(host, {"cache": []})[0].stack
    with pytest.raises(BackupError, match=r"the scratch server ended: Bad file format reading the RDB\. Fix"):
        put_back_redis._wait(stack, stack.container("cache"), "redis/cache", 60, ("loading:0",))


def test_without_an_append_only_file_none_is_put_back() -> None:
    """Who turns it on months later must not find the state of the restore in it."""
    assert Layout(Path("/x"), appends=False).names == ["dump.rdb", "temp-*.rdb"]
    assert "appendonlydir" in Layout(Path("/x")).names
