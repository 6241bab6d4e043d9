"""A run with real PostgreSQL, Redis, SQLite and restic: what is in the repository afterwards, and what comes back."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup import runs as runs_module
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.facts import read_facts
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.restore import restore_to_folder
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.runs import read_runs
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.streams import Deadline
from fakes import backup_host
from fakes.backup_host import DATA_PASSWORD, BackupHost, missing, sql

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"not installed: {missing()}")
DATABASE = "postgres/db/database/shop"


def add_grafana(host: BackupHost) -> Path:
    """Grafana's volume, with a database that is open and has changes which are not in its main file yet."""
    folder = host.folder / "grafana"
    host.engine.add_volume("shop_grafana", folder, {"com.docker.compose.project": "shop"})
    (folder / "plugins").mkdir()
    (folder / "plugins" / "one.txt").write_text("plugin")
    mount = {"Type": "volume", "Name": "shop_grafana", "Source": str(folder), "Destination": "/var/lib/grafana"}
    # A volume beside the one with the data: Grafana's backup does not hold it.
    host.engine.add_volume("shop_models", host.folder / "models", {"com.docker.compose.project": "shop"})
    beside = {**mount, "Name": "shop_models", "Destination": "/models"}
    host.add_service("grafana", "grafana/grafana:12.4", {}, [mount, beside])
    return folder


def test_everything_comes_back_as_it_was(host: BackupHost, database: Path, redis_port: int, tmp_path: Path) -> None:
    host.add_postgres(database)
    host.add_redis(redis_port)
    folder = add_grafana(host)
    open_database = sqlite3.connect(folder / "grafana.db")
    open_database.execute("PRAGMA journal_mode = WAL")
    open_database.execute("CREATE TABLE dashboard (title TEXT)")
    open_database.executemany("INSERT INTO dashboard VALUES (?)", [("one",), ("two",)])
    open_database.commit()
    host.engine.add_volume("notes", host.folder / "notes", {"hypercode.backup": "true"})
    (host.folder / "notes" / "note").write_text("hello")
    backup = host.backup()

    assert backup.run() == []

    restic, run, manifest = backup.find("latest")
    assert set(manifest["items"]) == {
        *(DATABASE, "postgres/db/database/postgres", "postgres/db/roles", "redis/cache"),
        *("grafana/grafana/database", "grafana/grafana/files", "release", "volume/notes"),
    }
    assert set(run.snapshots) == {*manifest["items"], "manifest"}
    rows = manifest["items"][DATABASE]["rows"]
    assert rows == {"public.account": 200, "Odd, name.a|b": 2}
    assert manifest["items"]["redis/cache"]["keys"] == {"0": [50, 50], "3": [1, 1]}
    assert manifest["items"]["grafana/grafana/database"]["rows"] == {"dashboard": 2}
    assert read_facts(host.paths)["unplanned"] == ["shop_models"]
    assert DATA_PASSWORD not in host.commands

    target = tmp_path / "back"
    written = restore_to_folder(restic, run, manifest, list(manifest["items"]), target, Deadline.after(60))
    assert len(written) == 8
    sql(database, "postgres", "CREATE DATABASE again")
    words = ["pg_restore", "--exit-on-error", "-h", str(database), "-U", "hypercode", "-d", "again"]
    subprocess.run([*words, target / DATABASE], check=True)
    assert sql(database, "again", "SELECT count(*), sum(balance) FROM account") == "200|0"
    assert "hypercode" in (target / "postgres/db/roles").read_text()
    with sqlite3.connect(target / "grafana/grafana/database") as copy:
        assert copy.execute("SELECT title FROM dashboard").fetchall() == [("one",), ("two",)]
    assert [path.name for path in (target / "grafana/grafana/files").rglob("*") if path.is_file()] == ["one.txt"]
    assert next((target / "volume/notes").rglob("note")).read_text() == "hello"
    assert next((target / "release").rglob("env")).read_text() == "API_KEY=abc\n"
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    shutil.copy(target / "redis/cache", fresh / "dump.rdb")
    with backup_host.redis(fresh) as port:
        assert backup_host.redis_cli(port, "dbsize") == "50"
        assert backup_host.redis_cli(port, "get", "key:7") == "value 7"
        assert backup_host.redis_cli(port, "-n", "3", "get", "other") == "x"


def test_rows_are_those_of_the_dump_while_others_write(host: BackupHost, database: Path, tmp_path: Path) -> None:
    """Each transaction moves money and adds a line: in any one moment the sum is nought."""
    host.add_postgres(database)
    sql(database, "shop", "CREATE TABLE line (id bigserial, n int)")
    script = tmp_path / "writer.sql"
    script.write_text(
        "\\set a random(1, 200)\n\\set b random(1, 200)\nBEGIN;\n"
        "UPDATE account SET balance = balance - 5 WHERE id = :a;\nINSERT INTO line (n) VALUES (:a);\n"
        "UPDATE account SET balance = balance + 5 WHERE id = :b;\nEND;\n"
    )
    programs = backup_host.postgres_programs()
    words = [f"{programs}/pgbench", "-n", "-h", str(database), "-U", "hypercode", "-f", str(script), "-T", "60", "shop"]
    writer = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert host.backup().run() == []
        assert writer.poll() is None
    finally:
        writer.kill()
        writer.wait()
    restic, run, manifest = host.backup().find("latest")
    target = tmp_path / "back"
    restore_to_folder(restic, run, manifest, [DATABASE], target, Deadline.after(60))
    sql(database, "postgres", "CREATE DATABASE again")
    words = ["pg_restore", "--exit-on-error", "-h", str(database), "-U", "hypercode", "-d", "again"]
    subprocess.run([*words, target / DATABASE], check=True)
    assert sql(database, "again", "SELECT sum(balance) FROM account") == "0"
    lines = int(sql(database, "again", "SELECT count(*) FROM line"))
    assert lines == manifest["items"][DATABASE]["rows"]["public.line"]
    assert lines < int(sql(database, "shop", "SELECT count(*) FROM line"))


def test_it_says_what_it_did(host: BackupHost) -> None:
    host.backup().run()
    facts = read_facts(host.paths)
    assert facts["repositories"]["main"]["failure"] == ""
    assert facts["repositories"]["main"]["good"]["id"] == facts["last"]["id"]
    metrics = host.paths.metrics.read_text()
    assert 'hypercode_backup_last_run_success{repository="main"} 1' in metrics
    assert 'hypercode_backup_last_success_timestamp_seconds{repository="main"} 1800000000' in metrics
    assert 'hypercode_backup_item_bytes{item="release"}' in metrics
    events = [json.loads(line)["event"] for line in (host.paths.state / "journal.jsonl").read_text().splitlines()]
    assert events == ["began", "done"]
    assert not host.paths.work.exists()
    if shutil.which("promtool"):
        subprocess.run(["promtool", "check", "metrics"], input=metrics, text=True, check=True)


def test_what_is_old_goes_and_what_is_not_ours_stays(host: BackupHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_module, "KEEP", 1)
    backup = host.backup()
    restic = backup.repository()
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(host.folder), **restic.environment}
    for words in (["--host", "web1"], ["--host", "web2", "--tag", "hypercode,run=20200101T000000Z-aaaa,item=release"]):
        subprocess.run([restic.program, "backup", "-q", *words, host.docker_folder], env=environment, check=True)
    for day in (0, 1, 40):
        host.now = 1_800_000_000.0 + day * 86400
        assert backup.run() == []
    runs = read_runs(restic, "web1")
    # Of the two that are older than 30 days the newer one is the base of those days.
    assert [round((run.time - 1_800_000_000) / 86400) for run in runs] == [1, 40]
    hosts = sorted(snapshot.host for snapshot in restic.snapshots() if "item=manifest" not in snapshot.tags)
    assert hosts == ["web1", "web1", "web1", "web2"]


def test_after_a_run_from_the_future_nothing_is_forgotten(host: BackupHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs_module, "KEEP", 1)
    for day in (0, 1, 400, 40):
        host.now = 1_800_000_000.0 + day * 86400
        assert host.backup().run() == []
        if day == 1:
            host.settings["retention_days"] = 1000
    host.settings["retention_days"] = 30
    host.told.clear()
    assert host.backup().run() == []
    assert any("a run from the future, so nothing is forgotten" in line for line in host.told)
    assert len(read_runs(host.backup().repository(), "web1")) == 5
    assert host.backup().find("latest")[1].time == host.now
