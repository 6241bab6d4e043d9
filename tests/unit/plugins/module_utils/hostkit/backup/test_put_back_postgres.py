"""A real PostgreSQL gets a database back, beside the old one; at whatever moment that ends, it can be undone."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup import put_back_plan, put_back_see
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup import put_back_postgres as pg
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.config import BackupError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.put_back import PutBack
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.put_back_plan import make_plan
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.put_back_record import (
    Record,
    place_of_record,
    read_record,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.stack import call_docker
from fakes.backup_host import BackupHost, copy_newer_programs, missing, postgres, sql
from fakes.put_back_host import FakeRelease, hands

needs_all = pytest.mark.skipif(bool(missing()), reason=f"not installed: {missing()}")
SHOP = "postgres/db/database/shop"
GLOBALS = "\n".join(
    [
        "--",
        'CREATE ROLE "odd ""name""";',
        r'''ALTER ROLE "odd ""name""" WITH LOGIN PASSWORD 'SCRAM-SHA-256$4096:a';''',
        "CREATE ROLE shop;",
        r"""ALTER ROLE shop WITH SUPERUSER LOGIN PASSWORD 'SCRAM-SHA-256$4096:b';""",
        r"""ALTER ROLE shop SET search_path TO 'x', 'y';""",
        "CREATE ROLE team;",
        "GRANT team TO shop GRANTED BY shop;",
        "GRANT other TO shop GRANTED BY shop;",
    ]
)


def test_only_roles_that_are_missing_are_made() -> None:
    """The password of one that is there is what the release in use logs in with."""
    made, statements = pg.missing_roles(GLOBALS, ["shop", "other"])
    assert made == ['odd "name"', "team"]
    assert statements.splitlines() == [
        'CREATE ROLE "odd ""name""";',
        'ALTER ROLE "odd ""name""" WITH LOGIN PASSWORD \'SCRAM-SHA-256$4096:a\';',
        "CREATE ROLE team;",
        "GRANT team TO shop GRANTED BY shop;",
    ]


def test_a_database_is_made_as_it_was_under_another_name() -> None:
    said = "CREATE DATABASE \"a WITH b\" WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE = 'C';\nALTER DATABASE x;\n"
    making, after = pg.split(said, "beside")
    assert making == "CREATE DATABASE \"beside\" WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE = 'C';\n"
    assert after == "ALTER DATABASE x;\n"
    assert pg.split("", "beside")[0] == 'CREATE DATABASE "beside" TEMPLATE template0;\n'


@pytest.fixture
def ready(host: BackupHost, database: Path, monkeypatch: pytest.MonkeyPatch) -> BackupHost:
    """A host with a good run, whose database has lost something since."""
    host.add_postgres(database)
    host.add_service("app", "example/app:1", {})
    sql(database, "shop", "DROP ROLE IF EXISTS reader; CREATE ROLE reader; GRANT SELECT ON account TO reader")
    sql(database, "shop", "ALTER DATABASE shop SET work_mem TO '8MB'")
    assert host.backup().run() == []
    sql(database, "shop", 'DROP TABLE "Odd, name"."a|b"; DELETE FROM account WHERE id > 10; DROP OWNED BY reader')
    sql(database, "shop", "DROP ROLE reader")
    real = call_docker
    monkeypatch.setattr(
        put_back_plan,
        "call_docker",
        lambda docker, *words, **named: "(PostgreSQL) 99.1" if words[0] == "run" else real(docker, *words, **named),
    )
    monkeypatch.setattr(put_back_see, "_CLIENTS", "SELECT NULL WHERE false;\n")
    host.now += 3600
    return host


def names(database: Path) -> list[str]:
    return sql(database, "template1", "SELECT datname FROM pg_database ORDER BY 1").split()


def restore(host: BackupHost, *wanted: str, broken: str = "") -> tuple[str, FakeRelease]:
    hand, release = hands(host, {"db": [], "app": ["db"]})
    plan = make_plan(hand.backup, release, hand.backup.find("latest"), wanted)  # type: ignore[arg-type]
    release.broken = {broken} if broken else set()
    try:
        return PutBack(hand, plan).go(), release
    except BackupError as error:
        release.done.append(str(error))
        raise


def check_as_saved(database: Path) -> None:
    """The odd table, the setting and the privilege are there again, and no database too many."""
    assert sql(database, "shop", 'SELECT count(*) FROM "Odd, name"."a|b"') == "2"
    assert sql(database, "shop", "SHOW work_mem") == "8MB"
    assert sql(database, "shop", "SELECT has_table_privilege('reader', 'account', 'SELECT')") == "t"
    assert names(database) == ["postgres", "shop", "template0", "template1"]


def test_it_comes_back_and_can_be_taken_back(ready: BackupHost, database: Path) -> None:
    safety, release = restore(ready)
    assert sql(database, "shop", "SELECT count(*) FROM account") == "200"
    check_as_saved(database)
    assert release.done[0] == "stop app"
    assert "up app" in release.done
    assert not any("stop db" in line for line in release.done)
    assert not place_of_record(ready.paths).exists()
    assert not (ready.paths.state / "restore").exists()

    # What was there before is a run, and "latest" is not it.
    backup = ready.backup()
    _restic, found, manifest = backup.find(safety)
    assert found.safety
    assert manifest["items"][SHOP]["rows"] == {"public.account": 10}
    assert backup.find("latest")[1].id != safety
    hand, release = hands(ready, {"db": [], "app": ["db"]})
    plan = make_plan(hand.backup, release, backup.find(safety), [SHOP])  # type: ignore[arg-type]
    PutBack(hand, plan).go()
    assert sql(database, "shop", "SELECT count(*) FROM account") == "10"
    # And the next backup is compared with the last one, not with what was replaced.
    ready.now += 3600
    assert [line for line in backup.run() if "account" not in line] == []


@pytest.fixture
def newer() -> Iterator[tuple[Path, Path]]:
    """A PostgreSQL of a newer version, which holds nothing yet: its programs, and the folder of its socket."""
    with tempfile.TemporaryDirectory(prefix="hypercode-pg-new-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        programs = copy_newer_programs(Path(folder))
        with postgres(programs) as socket_folder:
            yield programs, socket_folder


def test_it_goes_into_a_newer_postgres(ready: BackupHost, database: Path, newer: tuple[Path, Path]) -> None:
    """As after an update of the image to another major version, which begins with nothing."""
    programs, cluster = newer
    saved, there = (int(sql(place, "postgres", "SHOW server_version_num")) // 10000 for place in (database, cluster))
    assert saved < there
    ready.engine.found = [item for item in ready.engine.found if item["Id"] != "db-1"]
    ready.add_postgres(cluster, programs=programs)
    safety, _release = restore(ready)
    assert sql(cluster, "shop", "SELECT count(*), sum(balance) FROM account") == "200|0"
    check_as_saved(cluster)
    # The one that it was saved from is as it was.
    assert sql(database, "shop", "SELECT count(*) FROM account") == "10"
    # And it can be backed up from there.
    ready.now += 3600
    backup = ready.backup()
    assert backup.run() == []
    assert backup.find("latest")[2]["items"][SHOP]["version"].startswith(str(there))
    assert safety


def test_a_service_that_does_not_get_well_has_its_old_data_back(ready: BackupHost, database: Path) -> None:
    with pytest.raises(BackupError, match=r"app did not get healthy\. The old data was put back\. Not well since: app"):
        restore(ready, broken="app")
    assert sql(database, "shop", "SELECT count(*) FROM account") == "10"
    assert names(database) == ["postgres", "shop", "template0", "template1"]
    assert sql(database, "postgres", "SELECT count(*) FROM pg_roles WHERE rolname = 'reader'") == "0"
    assert not place_of_record(ready.paths).exists()


def test_rows_that_differ_put_the_old_data_back(ready: BackupHost, database: Path) -> None:
    path = next(ready.paths.manifests.iterdir())
    path.write_text(path.read_text().replace('"public.account": 200', '"public.account": 201'))
    with pytest.raises(BackupError, match=r"200 rows in public\.account, and 201 were.*The old data was put back"):
        restore(ready)
    assert sql(database, "shop", "SELECT count(*) FROM account") == "10"
    assert names(database) == ["postgres", "shop", "template0", "template1"]


def test_what_cannot_be_saved_first_is_not_replaced(ready: BackupHost, database: Path) -> None:
    ready.replace_program("db", "pg_dump", "echo 'pg_dump: error: no' >&2; exit 1")
    with pytest.raises(BackupError, match=r"could not be saved first: .*The old data was put back\. The services run"):
        restore(ready)
    assert sql(database, "shop", "SELECT count(*) FROM account") == "10"


def test_a_dump_that_is_damaged_is_seen_before_anything_is_touched(ready: BackupHost, database: Path) -> None:
    path = next(ready.paths.manifests.iterdir())
    path.write_text(path.read_text().replace('"sha256": "', '"sha256": "0'))
    with pytest.raises(BackupError, match="other than it was saved"):
        restore(ready)
    assert not any(line.startswith("stop") for line in ready.commands.splitlines())
    assert not (ready.paths.state / "restore").exists()


class Killed(BaseException):
    """Nothing of the process is left to tidy up."""


@pytest.mark.parametrize("moment", range(1, 9))
def test_killed_at_any_moment(ready: BackupHost, database: Path, monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    """At each time that it writes down what comes next: what is on the disk is all that is known afterwards."""
    left = [moment]
    real = Record.write

    def write(record: Record, *, moved: bool = False) -> None:
        real(record, moved=moved)
        left[0] -= 1
        if left[0] == 0:
            raise Killed

    hand, release = hands(ready, {"db": [], "app": ["db"]})
    plan = make_plan(hand.backup, release, hand.backup.find("latest"), [])  # type: ignore[arg-type]
    work = PutBack(hand, plan)
    with monkeypatch.context() as patched:
        patched.setattr(Record, "write", write)
        patched.setattr(PutBack, "_undo", lambda *_words: None)
        with pytest.raises(Killed):
            work.go()
    found = read_record(ready.paths)
    assert found is not None
    hand.undo(found)
    if found.phase != "done":
        assert sql(database, "shop", "SELECT count(*) FROM account") == "10"
    assert names(database) == ["postgres", "shop", "template0", "template1"]
    closed = "SELECT count(*) FROM pg_database WHERE NOT datallowconn AND datname <> 'template0'"
    assert sql(database, "postgres", closed) == "0"
    assert not place_of_record(ready.paths).exists()


def test_the_host_name_of_a_lost_host(ready: BackupHost, database: Path) -> None:
    """A host that was built anew under the old name backs itself up after the restore, without a further word."""
    ready.paths.facts.unlink()
    assert any("This is the first run of this host" in line for line in ready.backup().run())
    restore(ready)
    ready.now += 60
    assert ready.backup().run() == []
