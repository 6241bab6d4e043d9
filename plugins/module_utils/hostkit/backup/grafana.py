# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Grafana: its SQLite database by SQLite's online backup, and its other files. Never a copy of a live database."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from .config import BackupError
from .saver import Saver
from .stack import GRAFANA, Stack
from .streams import Producer

DATA = "/var/lib/grafana"
DATABASE = "grafana.db"
BUSY = 30.0


def back_up(stack: Stack, service: str, saver: Saver, work: Path) -> None:
    """Save the database and the files of a service. Raises BackupError."""
    container = stack.container(service)
    folder = stack.folder_in(container, Path(DATA))
    if folder is None:
        raise BackupError(
            f"{service} keeps nothing: no volume is mounted at {DATA}. Fix: mount one in the Compose file"
        )
    database = folder / DATABASE
    if database.exists():
        copy = work / f"{service}.db"
        try:
            rows = copy_database(database, copy)
            producer = Producer(["cat", str(copy)], f"the database of {service}", begins=b"SQLite format 3")
            saver.stream(f"{GRAFANA}/{service}/database", producer, rows=rows, image=container.image)
        finally:
            copy.unlink(missing_ok=True)
    elif f"{GRAFANA}/{service}/database" in saver.last:
        saver.guard_gone(f"{GRAFANA}/{service}/database")
    saver.tree(f"{GRAFANA}/{service}/files", [str(folder)], exclude=[f"{folder}/{DATABASE}*"], ours=True)


def copy_database(database: Path, copy: Path) -> dict[str, int]:
    """Copy a database that is in use; return the rows of each table. BackupError where it is damaged."""
    copy.unlink(missing_ok=True)
    try:
        with (
            contextlib.closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=BUSY)) as source,
            contextlib.closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
    except sqlite3.Error as error:
        raise BackupError(f"{database} cannot be copied: {error}. Fix: run it again; else look at that file") from error
    return count_database(copy, database)


def count_database(path: Path, whose: Path) -> dict[str, int]:
    """The rows of each table of a database that nobody has open. BackupError where it is damaged."""
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            verdict = str(connection.execute("PRAGMA quick_check").fetchone()[0])
            if verdict != "ok":
                raise BackupError(f"{whose} is damaged: {verdict}. Fix: restore it from an earlier run")
            listed = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
            return {str(name): _count(connection, str(name)) for (name,) in listed}
    except sqlite3.Error as error:
        raise BackupError(f"{whose} cannot be read: {error}. Fix: restore it from an earlier run") from error


def _count(connection: sqlite3.Connection, table: str) -> int:
    quoted = table.replace('"', '""')
    return int(connection.execute(f'SELECT count(*) FROM "{quoted}"').fetchone()[0])  # noqa: S608  It is quoted.
