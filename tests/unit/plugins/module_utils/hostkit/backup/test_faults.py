"""What may go wrong in a run. Each time: words, a run that does not count, and earlier runs that are still whole."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup import postgres
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.facts import read_facts
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.runs import read_runs
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.certificates.wanted import (
    Paths as CertificatePaths,
)
from fakes import backup_host
from fakes.backup_host import BackupHost, missing, sql

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"not installed: {missing()}")
ITEM = "postgres/db/database/shop"


def items_in(host: BackupHost) -> list[str]:
    """The items of the newest run, complete or not."""
    runs = read_runs(host.backup().repository(), "web1")
    return sorted(runs[-1].snapshots) if runs else []


def assert_failed(host: BackupHost, failures: list[str], words: str) -> None:
    assert any(words in failure for failure in failures), failures
    assert 'hypercode_backup_last_run_success{repository="main"} 0' in host.paths.metrics.read_text()
    assert "manifest" not in items_in(host)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            "{real} \"$@\" | head -c 700; echo 'pg_dump: error: connection lost' >&2; exit 1",
            "broke off: pg_dump: error",
        ),
        ('{real} "$@" | head -c 700; kill -9 $$', "broke off"),
        ("exit 0", "gave 0 bytes"),
        ("echo this is no dump", "no such dump"),
    ],
)
def test_a_dump_that_is_not_whole_leaves_no_snapshot(host: BackupHost, database: Path, script: str, words: str) -> None:
    host.add_postgres(database)
    host.replace_program("db", "pg_dump", script.format(real=f"{backup_host.postgres_programs()}/pg_dump"))
    assert_failed(host, host.backup().run(), words)
    # What could be saved was: the roles, and the release.
    assert items_in(host) == ["postgres/db/roles", "release"]
    assert not list((host.folder / "repository-main" / "locks").iterdir())


def test_an_engine_that_goes_away(host: BackupHost, database: Path) -> None:
    host.add_postgres(database)
    (host.docker_folder / "db-1.away").touch()
    assert_failed(host, host.backup().run(), "container db-1 is not running")


@pytest.mark.parametrize(
    ("state", "words"),
    [({"Status": "exited"}, "db is exited"), ({"Status": "running", "Health": {"Status": "unhealthy"}}, "unhealthy")],
)
def test_a_container_that_is_not_well(host: BackupHost, database: Path, state: dict[str, object], words: str) -> None:
    host.add_postgres(database)
    host.engine.found[0]["State"] = state
    assert_failed(host, host.backup().run(), words)


def test_an_empty_database_where_data_was(host: BackupHost, database: Path) -> None:
    host.add_postgres(database)
    assert host.backup().run() == []
    sql(database, "postgres", "DROP DATABASE shop WITH (FORCE)")
    sql(database, "postgres", "CREATE DATABASE shop")
    host.now += 86400
    assert_failed(host, host.backup().run(), f"{ITEM} is empty, and had 202 rows")
    # With the whole volume gone, so is the database. Nothing is forgotten, however long that goes on.
    sql(database, "postgres", "DROP DATABASE shop WITH (FORCE)")
    host.now += 90 * 86400
    assert_failed(host, host.backup().run(), f"{ITEM} is empty, and had 202 rows")
    assert next(run.good for run in read_runs(host.backup().repository(), "web1"))
    host.now += 86400
    assert host.backup().run(accept_loss=True) == []


def test_an_empty_redis_and_an_empty_volume(host: BackupHost, redis_port: int) -> None:
    host.add_redis(redis_port)
    host.engine.add_volume("notes", host.folder / "notes", {"hypercode.backup": "true"})
    (host.folder / "notes" / "note").write_text("hello")
    assert host.backup().run() == []
    backup_host.redis_cli(redis_port, "flushall")
    (host.folder / "notes" / "note").unlink()
    host.now += 86400
    failures = host.backup().run()
    assert_failed(host, failures, "redis/cache is empty, and had 51 rows or keys")
    assert_failed(host, failures, "volume/notes is empty, and had 1 files")
    assert items_in(host) == ["release"]


def test_redis_refuses_the_password(host: BackupHost, redis_port: int) -> None:
    host.add_redis(redis_port)
    with (host.docker_folder / "cache-1.env").open("a") as stream:
        stream.write("REDIS_PASSWORD=another\n")
    assert_failed(host, host.backup().run(), "Redis in cache refused")


def test_a_path_that_is_not_there(host: BackupHost) -> None:
    """restic itself leaves it out and calls that a success."""
    assert_failed(host, host.backup(paths=("/srv/none",)).run(), "/srv/none is to be backed up and is not there")


def test_restic_dies_in_the_middle(host: BackupHost, database: Path) -> None:
    host.add_postgres(database)
    real = f"{backup_host.postgres_programs()}/pg_dump"
    host.replace_program("db", "pg_dump", f'{real} "$@"; sleep 3')
    found: list[int] = []

    def kill_it() -> None:
        until = time.monotonic() + 30
        while not found and time.monotonic() < until:
            # Of this process: other tests may run at the same time.
            words = ["pgrep", "--parent", str(os.getpid()), "-f", "--", "--stdin-filename postgres--db--database"]
            done = subprocess.run(words, capture_output=True, check=False)
            found.extend(int(word) for word in done.stdout.split())
            time.sleep(0.05)
        time.sleep(1)
        for number in found:
            os.kill(number, signal.SIGKILL)

    killer = threading.Thread(target=kill_it)
    killer.start()
    failures = host.backup().run()
    killer.join()
    assert found
    assert_failed(host, failures, "The repository 'main'")


def test_a_dump_that_never_ends(host: BackupHost, database: Path) -> None:
    host.add_postgres(database)
    host.replace_program("db", "pg_dump", "printf PGDMP; exec sleep 300")
    began = time.monotonic()
    failures = host.backup(timeout=5.0).run()
    assert time.monotonic() - began < 30
    assert_failed(host, failures, "pg_dump of")


def test_a_source_that_is_found_no_more(host: BackupHost, redis_port: int) -> None:
    """An image with another name, a volume without its label, certificates that are gone."""
    host.add_redis(redis_port)
    host.engine.add_volume("notes", host.folder / "notes", {"hypercode.backup": "true"})
    (host.folder / "notes" / "note").write_text("hello")
    storage = CertificatePaths(host.paths.root).storage
    storage.mkdir(parents=True)
    (storage / "key").write_text("k")
    assert host.backup().run() == []
    (storage / "key").unlink()
    storage.rmdir()
    host.model["services"]["cache"]["image"] = "registry.test/fast-store:7"
    host.write_release()
    host.engine.volumes["notes"]["Labels"] = {}
    host.now += 86400
    assert_failed(host, host.backup().run(), "The last good run had certificates, redis/cache, volume/notes, and")
    host.now += 86400
    assert host.backup().run(accept_loss=True) == []


def test_a_release_that_is_not_there(host: BackupHost) -> None:
    assert host.backup().run() == []
    host.paths.current.unlink()
    host.paths.current.symlink_to("releases/20200101T000000Z-00000000")
    host.now += 86400
    failures = host.backup().run(accept_loss=True)
    assert "where no release is" in failures[0]
    assert len([run for run in read_runs(host.backup().repository(), "web1") if run.good]) == 1


def test_a_name_that_no_service_has(host: BackupHost, redis_port: int) -> None:
    host.add_redis(redis_port)
    assert_failed(host, host.backup(services={"cahce": "redis"}).run(), "backup_services names cahce")


def test_a_lasting_failure_fills_no_disk(host: BackupHost) -> None:
    assert host.backup().run() == []
    for number in (1, 2, 3):
        host.now += 3600
        assert host.backup(paths=("/srv/none",)).run()
        assert read_facts(host.paths)["failed"] == number
    runs = read_runs(host.backup().repository(), "web1")
    assert [run.good for run in runs] == [True, False]
    assert runs[-1].time == host.now
    # What the next one does not have stays.
    host.paths.current.unlink()
    host.now += 3600
    assert host.backup().run()
    assert "release" in read_runs(host.backup().repository(), "web1")[1].snapshots
    host.write_release()
    assert host.backup().run() == []
    assert read_facts(host.paths)["failed"] == 0


def test_a_list_of_certificates_or_a_release_that_is_damaged(host: BackupHost) -> None:
    wanted = CertificatePaths(host.paths.root).wanted
    wanted.parent.mkdir(parents=True)
    wanted.write_text("{")
    (host.paths.at("/srv")).mkdir()
    assert_failed(host, host.backup(paths=("/srv",)).run(), "certificates.json")
    assert items_in(host) == ["configuration", "path/srv", "release"]
    (host.paths.current.resolve() / "model.json").write_text("{")
    host.now += 3600
    assert_failed(host, host.backup().run(), "model.json cannot be used")


@pytest.fixture
def locked_table(database: Path) -> Iterator[Path]:
    """A migration has a table for itself, and does not end."""
    programs = backup_host.postgres_programs()
    words = [f"{programs}/psql", "-XAtq", "-h", str(database), "-U", "hypercode", "-d", "shop"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("BEGIN; LOCK account IN ACCESS EXCLUSIVE MODE; SELECT 1;\n")
        process.stdin.flush()
        assert process.stdout.readline() == "1\n"
        yield database
        process.kill()


def test_a_table_that_stays_locked(host: BackupHost, locked_table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "LOGIN", postgres.LOGIN.replace("10min", "2s"))
    host.add_postgres(locked_table)
    # In case nothing ends it but the time-out of the whole run.
    failures = host.backup(timeout=120.0).run()
    assert_failed(host, failures, "canceling statement due to lock timeout")
    assert len(failures) == 1


def test_no_session_stays_behind(host: BackupHost, locked_table: Path) -> None:
    """A server does not see that its client is gone while it waits for a lock."""
    host.add_postgres(locked_table)
    failures = host.backup(timeout=20.0).run()
    assert_failed(host, failures, "took too long to answer")
    left = "SELECT count(*) FROM pg_stat_activity WHERE application_name <> 'psql' AND query LIKE '%account%'"
    assert sql(locked_table, "postgres", left) == "0"


def test_a_host_that_was_built_anew_does_not_replace_its_own_history(host: BackupHost) -> None:
    assert host.backup().run() == []
    host.paths.facts.unlink()
    for _hour in range(2):
        host.now += 3600
        assert_failed(host, host.backup().run(), "This is the first run of this host, and there are runs of a web1")
    assert host.backup().find("latest")[1].time == 1_800_000_000
    host.now += 3600
    assert host.backup().run(accept_loss=True) == []
    host.now += 3600
    assert host.backup().run() == []


def test_most_of_a_database_or_of_redis_is_gone(host: BackupHost, database: Path, redis_port: int) -> None:
    host.add_postgres(database)
    host.add_redis(redis_port)
    sql(database, "shop", "CREATE TABLE orders AS SELECT generate_series(1, 2000) AS n")
    backup_host.redis_cli(redis_port, "eval", "for n = 1, 1500 do redis.call('set', 'k' .. n, n) end", "0")
    assert host.backup().run() == []
    sql(database, "shop", "DELETE FROM orders")
    backup_host.redis_cli(redis_port, "eval", "for n = 1, 1500 do redis.call('del', 'k' .. n) end", "0")
    host.now += 86400
    failures = host.backup().run()
    assert_failed(host, failures, f"the table public.orders in {ITEM} is empty, and had 2000 rows")
    assert_failed(host, failures, "redis/cache has only 50 left, and had 1550")
