"""A host with real PostgreSQL, Redis and restic."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup import wal_ship, wal_stream
from fakes import backup_host, receiving_docker
from fakes.backup_host import BackupHost
from fakes.running_stream import Running


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Real parts take minutes, and the unit tests are to take seconds: these tests run with the playbooks."""
    here = Path(__file__).parent
    for item in items:
        if item.path.parent == here and "host" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.playbook)


@pytest.fixture
def host(tmp_path: Path) -> BackupHost:
    return BackupHost(tmp_path)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Path]:
    with backup_host.postgres() as socket_folder:
        yield socket_folder


@pytest.fixture
def database(cluster: Path) -> Iterator[Path]:
    """A PostgreSQL with one database, shop, in which a ledger of 200 accounts sums up to nothing."""
    backup_host.sql(cluster, "postgres", "CREATE DATABASE shop")
    backup_host.sql(
        cluster,
        "shop",
        "CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL);"
        "INSERT INTO account SELECT n, CASE WHEN n % 2 = 0 THEN 7 ELSE -7 END FROM generate_series(1, 200) n;"
        'CREATE SCHEMA "Odd, name"; CREATE TABLE "Odd, name"."a|b" (note text);'
        """INSERT INTO "Odd, name"."a|b" VALUES ('ä'), (NULL);""",
    )
    yield cluster
    for name in ("shop", "again"):
        backup_host.sql(cluster, "postgres", f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def redis_port(tmp_path: Path) -> Iterator[int]:
    with backup_host.redis(tmp_path / "redis", "--appendonly", "yes") as port:
        for number in range(50):
            backup_host.redis_cli(port, "set", f"key:{number}", f"value {number}")
        backup_host.redis_cli(port, "-n", "3", "set", "other", "x", "ex", "1000")
        yield port


@pytest.fixture
def running(host: BackupHost, database: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr(wal_stream, "SHIP", 0.5)
    monkeypatch.setattr(wal_stream, "TICK", 0.05)
    monkeypatch.setattr(wal_ship, "COOL_MIN", 0.5)
    host.add_postgres(database)
    programs = backup_host.postgres_programs()
    assert programs
    receiving_docker.install(host.docker, database, programs)
    found = Running(host, database)
    yield found
    found.stream.stop()
    if found.stream.base:
        found.stream.base.join()
    backup_host.sql(database, "postgres", "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
