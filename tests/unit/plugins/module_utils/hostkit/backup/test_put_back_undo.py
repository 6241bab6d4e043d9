"""A restore is undone, that is cut off too, and it is undone again: the old data is never touched by it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup import put_back_files
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup import put_back_postgres as pg
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.config import BackupError
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.put_back_hands import Hands
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.put_back_record import (
    Record,
    place_of_record,
    read_record,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.backup.streams import Deadline
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.command import CommandResult
from fakes.backup_host import BackupHost, missing, postgres_programs, sql
from fakes.put_back_host import FakeRelease, hands

pytestmark = pytest.mark.skipif(bool(missing()), reason=f"not installed: {missing()}")
COUNT = "SELECT count(*) FROM account"
CLOSED = "SELECT count(*) FROM pg_database WHERE NOT datallowconn AND datname <> 'template0'"


class Killed(BaseException):
    """Nothing of the process is left to tidy up."""


def dying(monkeypatch: pytest.MonkeyPatch, moment: int, *where: tuple[Any, str]) -> list[int]:
    """Die before the call number `moment` of these functions. Returns how many were left, to be looked at."""
    left = [moment]

    def mortal(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*words: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] <= 0:
                raise Killed
            return real(*words, **named)

        return call

    for owner, name in where:
        monkeypatch.setattr(owner, name, mortal(getattr(owner, name)))
    return left


def dump(socket_folder: Path, database: str, target: Path) -> Path:
    words = ["pg_dump", "-Fc", "-h", str(socket_folder), "-U", "hypercode", "-f", str(target), "-d", database]
    subprocess.run([f"{postgres_programs()}/{words[0]}", *words[1:]], check=True)
    return target


# --- a database that runs ---------------------------------------------------------------------------------------------


class Two:
    """Two databases of a real server come back: shop, and postgres, from where others are looked after as a rule."""

    def __init__(self, host: BackupHost, socket_folder: Path) -> None:
        self.socket, self.host = socket_folder, host
        host.add_postgres(socket_folder)
        host.add_service("app", "example/app:1", {})
        sql(socket_folder, "postgres", "CREATE TABLE IF NOT EXISTS account (id int)")
        self.dumps = {name: dump(socket_folder, name, host.folder / name) for name in ("shop", "postgres")}
        sql(socket_folder, "shop", "DELETE FROM account WHERE id > 10")
        self.hand, self.release = hands(host, {"db": [], "app": ["db"]})

    def go(self) -> None:
        record = Record(self.host.paths, "abcd", "20261129T020000Z-1a2b", ["app"], ["app"])
        record.write()
        for number, (name, path) in enumerate(self.dumps.items()):
            deed = pg.deed_of(f"postgres/db/database/{name}", "db", name, f"abcd_{number}")
            record.deeds.append(deed)
            container = self.hand.container("db")
            pg.load(self.hand.stack, container, deed, path, {}, record, Deadline.after(600))
        for deed in record.of_kind(pg.DATABASE):
            pg.exchange(self.hand.stack, self.hand.container("db"), deed, record)

    def undo(self) -> None:
        found = read_record(self.host.paths)
        assert found is not None
        self.hand.undo(found)

    def check(self) -> None:
        assert sql(self.socket, "template1", CLOSED) == "0"
        assert sql(self.socket, "shop", COUNT) == "10"
        listed = sql(self.socket, "template1", "SELECT datname FROM pg_database ORDER BY 1").split()
        assert listed == ["postgres", "shop", "template0", "template1"]
        assert not place_of_record(self.host.paths).exists()


@pytest.fixture
def two(host: BackupHost, database: Path) -> Two:
    return Two(host, database)


def test_killed_at_any_question_on_the_way_forward(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the database "postgres" is closed and not yet renamed."""
    for moment in range(1, 60):
        with monkeypatch.context() as patched:
            left = dying(patched, moment, (pg, "ask"))
            with suppress(Killed):
                two.go()
        two.undo()
        two.check()
        if left[0] > 0:
            break
    assert moment > 10


def test_killed_at_any_question_on_the_way_back(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    for moment in range(1, 60):
        two.go()
        with monkeypatch.context() as patched:
            left = dying(patched, moment, (pg, "ask"), (Record, "write"))
            with suppress(Killed):
                two.undo()
        if left[0] > 0:
            break
        two.undo()
        two.check()
    assert moment > 10


def test_a_database_that_is_nobody_of_ours_stays(two: Two) -> None:
    """The application made it under the name that was free, before the new one could have that name."""
    sql(two.socket, "template1", "DROP DATABASE shop")
    record = Record(two.host.paths, "abcd", "20261129T020000Z-1a2b", ["app"], ["app"])
    deed = pg.deed_of("postgres/db/database/shop", "db", "shop", "abcd_1")
    record.deeds.append(deed)
    container = two.hand.container("db")
    pg.load(two.hand.stack, container, deed, two.dumps["shop"], {}, record, Deadline.after(600))
    sql(two.socket, "template1", "CREATE DATABASE shop")
    sql(two.socket, "shop", "CREATE TABLE account AS SELECT generate_series(1, 3)")
    with pytest.raises(BackupError, match="already exists"):
        pg.exchange(two.hand.stack, container, deed, record)
    text = place_of_record(two.host.paths).read_text()
    two.undo()
    # Cut off before that it was done could be written down.
    place_of_record(two.host.paths).write_text(text)
    two.undo()
    assert sql(two.socket, "shop", COUNT) == "3"


def test_a_database_that_was_dropped_meanwhile_jams_nothing(two: Two) -> None:
    two.go()
    found = read_record(two.host.paths)
    assert found is not None
    sql(two.socket, "template1", f"DROP DATABASE {found.deeds[0]['aside']}; DROP DATABASE shop")
    two.undo()
    assert not place_of_record(two.host.paths).exists()


def test_roles_are_written_down_before_they_are_made(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    record = Record(two.host.paths, "abcd", "20261129T020000Z-1a2b", ["app"], ["app"])
    with monkeypatch.context() as patched:
        # The second question makes them.
        dying(patched, 2, (pg, "ask"))
        with pytest.raises(Killed):
            pg.make_roles(two.hand.stack, two.hand.container("db"), "CREATE ROLE visitor;\n", record)
    assert json.loads(place_of_record(two.host.paths).read_text())["deeds"][0]["names"] == ["visitor"]
    two.undo()


# --- a database that is lost, and begins anew -------------------------------------------------------------------------


class Cluster(FakeRelease):
    """A release whose service db is a real server with files of its own, which it makes where there are none."""

    place: Path

    def _run(self, *words: str) -> None:
        user = "postgres" if os.geteuid() == 0 else None
        done = subprocess.run(words, user=user, cwd=self.place, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def make(self) -> None:
        self.data = self.place / "volumes" / "data"
        words = ("-U", "hypercode", "--auth=trust", "--no-sync", "-E", "UTF8")
        self._run(f"{postgres_programs()}/initdb", "-D", str(self.place / "template"), *words)

    def compose_up(self, names: Sequence[str]) -> None:
        super().compose_up(names)
        if "db" in names and not (self.data / "postmaster.pid").exists():
            if not list(self.data.iterdir()):
                shutil.rmtree(self.data)
                self._run("cp", "--archive", str(self.place / "template"), str(self.data))
            options = f"-c listen_addresses='' -c unix_socket_directories={self.place} -c fsync=off"
            log = str(self.place / "log")
            self._run(f"{postgres_programs()}/pg_ctl", "-D", str(self.data), "-w", "-l", log, "-o", options, "start")

    def compose(self, *words: str) -> CommandResult:
        if words[0] == "stop" and "db" in words[1:]:
            self.end()
        return super().compose(*words)

    def end(self) -> None:
        if (self.data / "postmaster.pid").exists():
            self._run(f"{postgres_programs()}/pg_ctl", "-D", str(self.data), "-m", "fast", "-w", "stop")


@pytest.fixture
def cluster_of_its_own(host: BackupHost) -> Iterator[Cluster]:
    place = Path(tempfile.mkdtemp(prefix="hypercode-pg-", dir="/tmp"))
    place.chmod(0o755)
    (place / "volumes" / "data").mkdir(parents=True)
    if os.geteuid() == 0:
        for path in (place, place / "volumes", place / "volumes" / "data"):
            shutil.chown(path, "postgres")
    host.add_postgres(place)
    host.add_service("app", "example/app:1", {})
    release = Cluster(host, {"db": [], "app": ["db"]})
    release.place = place
    try:
        release.make()
        yield release
    finally:
        release.end()
        shutil.rmtree(place)


def test_a_lost_database_that_began_anew_is_back_however_often_the_undo_is_cut_off(
    host: BackupHost, cluster_of_its_own: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    release = cluster_of_its_own
    place, data = release.place, release.data
    hand = Hands(host.backup(), release)  # type: ignore[arg-type]
    release.compose_up(["db"])
    sql(place, "template1", "CREATE ROLE reader; CREATE DATABASE shop")
    sql(place, "shop", "CREATE TABLE account AS SELECT generate_series(1, 10)")
    saved = dump(place, "shop", tmp_path / "dump")
    # What a restore does where the server does not run any more.
    record = Record(host.paths, "abcd", "20261129T020000Z-1a2b", ["app", "db"], ["app", "db"])
    release.compose("stop", "db", "app")
    files = put_back_files.exchange_of("volume/db", data, None, ["db"], "abcd_1")
    files["whole"] = "db"
    record.deeds.append(files)
    put_back_files.put(files, record)
    release.compose_up(["db"])
    container = hand.container("db")
    pg.make_roles(hand.stack, container, "CREATE ROLE reader;\n", record)
    deed = pg.deed_of("postgres/db/database/shop", "db", "shop", "abcd_2")
    record.deeds.append(deed)
    pg.load(hand.stack, container, deed, saved, {}, record, Deadline.after(600))
    pg.exchange(hand.stack, container, deed, record)
    release.compose("stop", "db")
    text = place_of_record(host.paths).read_text()
    copy = ("cp", "--archive", str(place / "volumes"), str(place / "kept"))
    subprocess.run(copy, check=True)

    for moment in range(1, 40):
        release.compose("stop", "db")
        shutil.rmtree(place / "volumes")
        subprocess.run([*copy[:2], copy[3], copy[2]], check=True)
        place_of_record(host.paths).write_text(text)
        with monkeypatch.context() as patched:
            left = dying(patched, moment, (Record, "write"), (Record, "close"), (Cluster, "compose_up"))
            found = read_record(host.paths)
            assert found is not None
            with suppress(Killed):
                hand.undo(found)
        found = read_record(host.paths)
        if found is not None:
            assert hand.undo(found) == []
        assert sql(place, "shop", COUNT) == "10"
        assert sql(place, "shop", "SELECT count(*) FROM pg_roles WHERE rolname = 'reader'") == "1"
        if left[0] > 0:
            break
    assert moment > 5
