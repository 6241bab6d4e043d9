"""A drill: real PostgreSQL, Redis and restic, in the place of scratch containers."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup import drill as drill_module
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.drill import Drill
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.facts import read_facts
from fakes import backup_host
from fakes.backup_host import DATA_PASSWORD, BackupHost, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"not installed: {missing()}")


@pytest.fixture
def ready(host: BackupHost, database: Path, redis_port: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[BackupHost]:
    """A host with a good run, and an empty PostgreSQL for the drill."""
    monkeypatch.setattr(drill_module, "READY", 10.0)
    host.add_postgres(database)
    host.add_redis(redis_port)
    folder = host.folder / "grafana"
    host.engine.add_volume("grafana", folder, {"hypercode.backup": "true"})
    mount = {"Type": "volume", "Name": "grafana", "Source": str(folder), "Destination": "/var/lib/grafana"}
    host.add_service("grafana", "grafana/grafana:12.4", {}, [mount])
    with sqlite3.connect(folder / "grafana.db") as connection:
        connection.execute("CREATE TABLE dashboard (title TEXT)")
        connection.execute("INSERT INTO dashboard VALUES ('one')")
    assert host.backup().run() == []
    with backup_host.postgres() as scratch:
        programs = backup_host.postgres_programs()
        (host.docker_folder / "scratch-db-1.env").write_text(
            f"PGHOST={scratch}\nPOSTGRES_USER=hypercode\nPATH={programs}:/usr/bin:/bin\n"
        )
        (host.docker_folder / "scratch-cache-1.env").write_text("PATH=/usr/bin:/bin\n")
        host.replace_program("scratch-db", "pg_isready", "exit 0")
        yield host
        subprocess.run([host.docker, "rm"], check=True)


def test_everything_comes_back(ready: BackupHost) -> None:
    ready.now += 7200
    report = Drill(ready.backup()).go()
    assert report["failures"] == []
    assert report["left_out"] == []
    assert report["rpo_seconds"] == 7200
    assert "as it was saved: postgres/db" in ready.told
    assert not [line for line in ready.told if "pg_amcheck" in line]
    runs = [line for line in ready.commands.splitlines() if line.startswith("run ")]
    assert len(runs) == 2
    assert all("--network none" in line and "--label hypercode.purpose=drill" in line for line in runs)
    # Where memory runs out, it is not the stack that pays.
    assert all(re.search(r"--memory [1-9]\d{7,} --oom-score-adj 1000 ", line) for line in runs)
    assert DATA_PASSWORD not in ready.commands
    assert "POSTGRES_PASSWORD=" not in ready.commands
    assert not (ready.docker_folder / "scratches").exists()
    metrics = ready.paths.metrics.read_text()
    assert "hypercode_backup_drill_success 1" in metrics
    assert "hypercode_backup_drill_rpo_seconds 7200" in metrics
    # The same again: what it left would be in its way.
    assert not ready.paths.work.joinpath("drill").exists()


def test_what_comes_back_otherwise_is_told(ready: BackupHost) -> None:
    """Here it is the manifest that says something else."""
    path = next(ready.paths.manifests.iterdir())
    document = json.loads(path.read_text())
    items = document["items"]
    items["postgres/db/database/shop"]["rows"]["public.account"] = 201
    items["redis/cache"]["keys"]["0"] = [60, 70]
    items["grafana/grafana/database"]["rows"]["dashboard"] = 2
    items["release"]["files_in"]["main"] = 5
    path.write_text(json.dumps(document))
    report = Drill(ready.backup()).go()
    told = "\n".join(report["failures"])
    assert len(report["failures"]) == 4, told
    assert "200 rows in public.account, and 201 were saved" in told
    assert "came back with 50 keys in database 0; 60 to 70 were saved" in told
    assert "1 rows in dashboard, and 2 were saved" in told
    assert "release came back with 3 files, and 5 were saved" in told
    assert read_facts(ready.paths)["drill"]["failures"] == report["failures"]
    assert "hypercode_backup_drill_success 0" in ready.paths.metrics.read_text()
    assert not (ready.docker_folder / "scratches").exists()


def test_a_dump_that_restores_with_errors(ready: BackupHost) -> None:
    ready.replace_program(
        "scratch-db", "pg_restore", "cat > /dev/null; echo 'pg_restore: error: no such role' >&2; exit 1"
    )
    report = Drill(ready.backup()).go()
    assert len(report["failures"]) == 1
    assert "refused what was saved: pg_restore: error: no such role" in report["failures"][0]


def test_other_words_in_as_many_rows_are_told(ready: BackupHost) -> None:
    path = next(ready.paths.manifests.iterdir())
    document = json.loads(path.read_text())
    sums = document["items"]["postgres/db/database/shop"]["sums"]
    assert set(sums) == {"public.account", "Odd, name.a|b"}
    sums["Odd, name.a|b"] = str(int(sums["Odd, name.a|b"]) + 1)
    path.write_text(json.dumps(document))
    report = Drill(ready.backup()).go()
    assert len(report["failures"]) == 1
    assert "as many rows in Odd, name.a|b as were saved, and something else in them" in report["failures"][0]


def test_an_index_that_is_damaged_is_told(ready: BackupHost) -> None:
    ready.replace_program(
        "scratch-db",
        "pg_amcheck",
        "echo 'btree index \"shop.public.account_pkey\": item order invariant violated'; exit 2",
    )
    report = Drill(ready.backup()).go()
    (told,) = report["failures"]
    assert 'came back damaged, says pg_amcheck: btree index "shop.public.account_pkey": item order' in told


def test_an_image_without_the_means_to_look_is_told(ready: BackupHost) -> None:
    programs = backup_host.postgres_programs()
    environment = ready.docker_folder / "scratch-db-1.env"
    beside = ready.folder / "without"
    beside.mkdir()
    for program in (*programs.iterdir(), Path("/usr/bin/psql"), Path("/bin/sh"), Path("/bin/cat")):
        if program.name != "pg_amcheck" and not (beside / program.name).exists():
            (beside / program.name).symlink_to(program)
    environment.write_text(environment.read_text().replace(f"{programs}:/usr/bin:/bin", str(beside)))
    ready.replace_program("scratch-db", "pg_isready", "exit 0")
    report = Drill(ready.backup()).go()
    assert report["failures"] == []
    why = "its tables and indexes were not looked at, pg_amcheck is not in its image"
    assert f"{why}: postgres/db/database/shop" in ready.told


def test_what_would_fill_the_disk_or_the_memory_is_left_out(ready: BackupHost) -> None:
    path = next(ready.paths.manifests.iterdir())
    document = json.loads(path.read_text())
    shop = document["items"]["postgres/db/database/shop"]
    assert shop["size"] > 1 << 20
    assert document["items"]["redis/cache"]["memory"] > 100_000
    shop["size"] = document["items"]["redis/cache"]["memory"] = 1 << 60
    path.write_text(json.dumps(document))
    report = Drill(ready.backup()).go()
    assert report["failures"] == []
    assert report["left_out"] == ["postgres/db/database/shop", "redis/cache"]


def test_a_run_takes_away_what_a_drill_left(ready: BackupHost) -> None:
    (ready.docker_folder / "scratches").write_text("scratch-db-1\n")
    ready.now += 3600
    assert ready.backup().run() == []
    assert not (ready.docker_folder / "scratches").exists()
