# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Postgres: a dump of each database in the custom format, and the roles.

Rows are counted, and some tables summed up, in the same snapshot that is dumped: what is restored can be compared.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import tempfile
from collections.abc import Sequence
from typing import IO, Any

from .config import BackupError
from .postgres_sums import read_sums, sums_of_some
from .restic import input_of, output_of, start
from .saver import Saver
from .stack import POSTGRES, Container, Stack
from .streams import Deadline, Producer, end, watchdog

# How long to wait for a lock that a migration or a forgotten session holds on a table.
LOCK_WAIT = "10min"
# Tells our sessions from those of the application.
NAME = "hypercode-backup"
# In the container: its own environment says who the owner of the databases is, as for the official image.
LOGIN = (
    f'export PGAPPNAME={NAME} PGOPTIONS="${{PGOPTIONS:-}} -c lock_timeout={LOCK_WAIT}"; '
    'export PGUSER="${POSTGRES_USER:-postgres}" PGCONNECT_TIMEOUT=20; '
    'if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then PGPASSWORD=$(cat "$POSTGRES_PASSWORD_FILE"); '
    'else PGPASSWORD="${POSTGRES_PASSWORD:-}"; fi; export PGPASSWORD; exec "$@"'
)
# From where servers are asked: it is in each of them, and a restore never replaces it, as it may "postgres".
HOME = "template1"
PSQL = ("psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1")
_LEFTOVERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "  # noqa: S608  No value in it is from outside.
    f"WHERE application_name = '{NAME}' AND pid <> pg_backend_pid();\n"
)
_DATABASES = "SELECT json_agg(datname ORDER BY datname) FROM pg_database WHERE datallowconn AND NOT datistemplate;\n"
# One statement for each table, run by psql; the answer of each is a line of JSON.
COUNT = """
SELECT format('SELECT json_build_array(%L, count(*)) FROM ONLY %I.%I', nspname || '.' || relname, nspname, relname)
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind = 'r' AND relpersistence <> 't' AND nspname <> 'information_schema' AND nspname !~ '^pg_'
ORDER BY 1
\\gexec
"""
_END = "SELECT '[null, 0]';\n"
_BEGIN = (
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\nSELECT pg_export_snapshot();\nSHOW server_version;\n"
    "SELECT pg_database_size(current_database());\n"
)


def command(stack: Stack, container: Container, *words: str, name: str = NAME) -> list[str]:
    """The command that runs one of Postgres's programs in its container, as the owner of the databases."""
    return stack.inside(container, LOGIN.replace(f"={NAME} ", f"={name} "), *words)


def back_up(stack: Stack, service: str, saver: Saver) -> None:
    """Save all databases of a service, and its roles. Raises BackupError."""
    container = stack.container(service)
    # A docker client that is killed leaves its program in the container, and a session that waits for a lock or holds
    # a snapshot. Only the server can end those: of a run that was killed, and of this one.
    end_sessions(stack, container)
    try:
        _back_up(stack, container, saver)
    finally:
        with contextlib.suppress(BackupError):
            end_sessions(stack, container)


def end_sessions(stack: Stack, container: Container) -> None:
    """End all sessions of backups in this server. The lock of backups is the caller's. Raises BackupError."""
    ask(stack, container, HOME, _LEFTOVERS, timeout=60)


def _back_up(stack: Stack, container: Container, saver: Saver) -> None:
    service = container.service
    databases = json.loads(ask(stack, container, "postgres", _DATABASES).strip() or "[]") or []
    back_up_roles(stack, container, saver)
    prefix = f"{POSTGRES}/{service}/database/"
    had = [item for item in saver.last if item.startswith(prefix)]
    for name in databases:
        try:
            back_up_database(stack, container, name, saver)
        except BackupError as error:
            saver.fail(error)
    for item in had:
        if item.removeprefix(prefix) not in databases:
            # The guard knows whether there was data in it.
            saver.guard_gone(item)


def back_up_roles(stack: Stack, container: Container, saver: Saver) -> None:
    """Save the roles of a server. Raises BackupError."""
    dump = command(stack, container, "pg_dumpall", "--globals-only", "--database=postgres")
    what = f"pg_dumpall of {container.service}"
    saver.stream(f"{POSTGRES}/{container.service}/roles", Producer(dump, what, begins=b"--"))


def back_up_database(stack: Stack, container: Container, database: str, saver: Saver) -> None:
    """Save one database. Raises BackupError."""
    with Session(stack, container, database, saver.deadline) as session:
        rows = session.count()
        sums = session.sum_up(saver.run_id)
        argv = command(
            stack,
            container,
            "pg_dump",
            "--format=custom",
            # restic packs it, and what is packed already is new to it each night, whatever little has changed.
            "--compress=0",
            f"--lock-wait-timeout={LOCK_WAIT}",
            f"--snapshot={session.snapshot}",
            f"--dbname={conninfo(database)}",
        )
        producer = Producer(argv, f"pg_dump of {database} in {container.service}", begins=b"PGDMP")
        saver.stream(
            f"{POSTGRES}/{container.service}/database/{database}",
            producer,
            rows=rows,
            sums=sums,
            version=session.version,
            size=session.size,
            owner=container.environment.get("POSTGRES_USER") or "postgres",
            image=container.image,
        )


def ask(stack: Stack, container: Container, database: str, sql: str, timeout: float = 600, *, name: str = NAME) -> str:
    """Run statements and return what psql prints. `name` is what the server knows us by. Raises BackupError."""
    with tempfile.TemporaryFile() as said:
        argv = command(stack, container, *PSQL, f"--dbname={conninfo(database)}", name=name)
        process = start(argv, stdin=subprocess.PIPE, stderr=said)
        try:
            stdout, _none = process.communicate(sql.encode(errors="surrogateescape"), timeout=timeout)
        except subprocess.TimeoutExpired as error:
            raise BackupError(
                f"{container.service} did not answer in {timeout:.0f} s. Fix: see docker logs of it"
            ) from error
        finally:
            end(process)
        if process.returncode != 0:
            raise problem(container.service, said)
        return stdout.decode(errors="surrogateescape")


def count_rows(stack: Stack, container: Container, database: str) -> dict[str, int]:
    """The rows of each table of a database that nobody writes to."""
    return dict(_counts(ask(stack, container, database, COUNT).splitlines()))


class Session:
    """A transaction that stays open while its snapshot is dumped. At the deadline it is ended."""

    def __init__(self, stack: Stack, container: Container, database: str, deadline: Deadline) -> None:
        self._service = container.service
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  It lives as long as the session.
        argv = command(stack, container, *PSQL, f"--dbname={conninfo(database)}")
        self._process = start(argv, stdin=subprocess.PIPE, stderr=self._said)
        self._deadline = deadline
        self._watched = contextlib.ExitStack()
        self.snapshot = self.version = ""
        # On disk, in bytes.
        self.size = 0

    def __enter__(self) -> Session:
        self._watched.enter_context(watchdog(self._deadline, self._process))
        try:
            self._say(_BEGIN)
            self.snapshot, self.version, self.size = self._line(), self._line(), int(self._line())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self._watched.close()
        try:
            if self._process.stdin is not None:
                self._process.stdin.close()
        except OSError:
            pass
        end(self._process)
        self._said.close()

    def count(self) -> dict[str, int]:
        """The rows of each table, in this snapshot."""
        return dict(_counts(self._lines(COUNT)))

    def sum_up(self, salt: str) -> dict[str, str]:
        """The sums of a few tables, in this snapshot."""
        return read_sums(self._lines(sums_of_some(salt)))

    def _lines(self, statements: str) -> list[str]:
        self._say(statements + _END)
        lines = []
        while (line := self._line()) != "[null, 0]":
            lines.append(line)
        return lines

    def _say(self, text: str) -> None:
        try:
            stream = input_of(self._process)
            stream.write(text.encode())
            stream.flush()
        except OSError as error:
            self._process.wait()
            raise problem(self._service, self._said) from error

    def _line(self) -> str:
        line = output_of(self._process).readline()
        if not line:
            self._process.wait()
            if self._deadline.passed():
                raise BackupError(
                    f"Postgres in {self._service} took too long to answer and was ended. Fix: see pg_stat_activity for "
                    "what holds its locks, or raise backup_timeout_hours"
                )
            raise problem(self._service, self._said)
        return line.decode().rstrip("\n")


def problem(service: str, said: IO[bytes]) -> BackupError:
    """What a program in the container said, as an error."""
    said.seek(0)
    lines = said.read().decode(errors="replace").strip().splitlines() or ["it ended without a word"]
    # Behind the reason, psql shows the place in the statement.
    reason = next((line for line in lines if re.search(r"\b(ERROR|FATAL):", line)), lines[-1])
    return BackupError(f"Postgres in {service} refused: {reason[:300].rstrip('.')}. Fix: see docker logs of {service}")


def _counts(lines: Sequence[str]) -> list[tuple[str, int]]:
    pairs: list[list[Any]] = [json.loads(line) for line in lines if line]
    return [(str(name), int(count)) for name, count in pairs]


def conninfo(database: str) -> str:
    """A name for --dbname, which would take one with an = for a whole connection string."""
    escaped = database.replace("\\", "\\\\").replace("'", "\\'")
    return f"dbname='{escaped}'"
