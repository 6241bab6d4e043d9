# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Postgres comes back into a new database beside the old one, is compared, and then takes over its name.

Until all is well the old one stays under another name, closed. Roles that are there stay as they are, with their
passwords: those are what the release in use logs in with. Only roles that are missing are made.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ..credentials import POSTGRES_ROLE, Credential
from ..credentials_exec import tell_program
from ..credentials_postgres import PostgresRole, identifier, literal
from .config import BackupError
from .drill import compare, compare_sums
from .postgres import HOME, LOGIN, NAME, ask, command, conninfo, count_rows
from .postgres_sums import read_sums, sums_of
from .put_back_record import Deed, Record
from .restic import start
from .stack import Container, Stack
from .streams import Deadline, end

DATABASE, ROLES = "database", "roles"
# The states: nothing, the new one is being filled, the names are being exchanged.
NEW, BESIDE, EXCHANGING = "new", "beside", "exchanging"
# Entries of an archive that are about the database itself, and not about what is in it.
_ABOUT = re.compile(r"^\d+; \d+ \d+ (?:DATABASE|DATABASE PROPERTIES|(?:ACL|COMMENT|SECURITY LABEL) - DATABASE) ")
# $1: the entries that are wanted. The archive is on standard input, so they come another way.
_STATEMENTS = "exec pg_restore --create --file=- --use-list=/dev/fd/3 3<<LIST\n$1\nLIST\n"
_CREATE, _TEMPLATE = "CREATE DATABASE ", " WITH TEMPLATE = template0"
_NAME = r'("(?:[^"]|"")+"|[^\s;"]+)'
_ROLE = re.compile(rf"^(CREATE ROLE|ALTER ROLE) {_NAME}( .*)?;$")
_GRANT = re.compile(rf"^GRANT {_NAME} TO {_NAME}( .*)?;$")
_AWAY = 30.0


def deed_of(item: str, service: str, database: str, mark: str) -> Deed:
    """A database that is to be put back. `mark` makes the names of the new and the old one."""
    return {
        "kind": DATABASE,
        "item": item,
        "service": service,
        "database": database,
        "beside": f"hypercode_restored_{mark}",
        "aside": f"hypercode_aside_{mark}",
        "existed": False,
        # Which of all that ever had its name is the new one.
        "oid": "",
        "state": NEW,
        "after": "",
    }


# --- roles ------------------------------------------------------------------------------------------------------------


def missing_roles(text: str, there: Collection[str]) -> tuple[list[str], str]:
    """From what pg_dumpall wrote: the roles that are not there, and the statements that make them."""
    made = []
    lines = []
    for line in text.splitlines():
        found = _ROLE.match(line)
        if found and _plain(found[2]) not in there:
            lines.append(line)
            if found[1] == "CREATE ROLE":
                made.append(_plain(found[2]))
    for line in text.splitlines():
        found = _GRANT.match(line)
        if found and {_plain(found[1]), _plain(found[2])} & set(made):
            lines.append(line)
    return made, "".join(f"{line}\n" for line in lines)


def _plain(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def make_roles(stack: Stack, container: Container, text: str, record: Record) -> list[str]:
    """Make the roles that are missing; return their names, which are written down before. BackupError."""
    there = json.loads(ask(stack, container, HOME, "SELECT json_agg(rolname) FROM pg_roles;\n", timeout=60))
    made, statements = missing_roles(text, there)
    if made:
        record.deeds.append({"kind": ROLES, "service": container.service, "names": made, "state": "made"})
        record.write()
        ask(stack, container, HOME, _QUIET + statements, timeout=60)
    return made


# Verifiers of passwords are nothing for the server's log.
_QUIET = "SET log_statement = 'none';\nSET log_min_error_statement = 'panic';\n"


def give_own_password(container: Container) -> None:
    """Let the superuser of the image have the password that the release in use has: files bring an older one back.

    CredentialError where it cannot be told.
    """
    password, service = container.environment.get("POSTGRES_PASSWORD"), container.service
    if password:
        role = container.environment.get("POSTGRES_USER") or "postgres"
        found = {"Id": container.id, "Config": {"Env": [f"POSTGRES_USER={role}"]}}
        teller = PostgresRole(Credential("POSTGRES_PASSWORD", POSTGRES_ROLE, service, role), found, tell_program)
        if not teller.has(password):
            teller.give(password)


def drop_roles(stack: Stack, container: Container, names: Collection[str]) -> None:
    """Remove roles that were made. One that owns something by now stays."""
    for name in names:
        try:
            ask(stack, container, HOME, f"DROP ROLE IF EXISTS {identifier(name)};\n", timeout=60)
        except BackupError:
            continue


# --- a database -------------------------------------------------------------------------------------------------------


def load(
    stack: Stack,
    container: Container,
    deed: Deed,
    dump: Path,
    facts: Mapping[str, Any],
    record: Record,
    deadline: Deadline,
) -> None:
    """Restore the dump into the new database, and compare it. The old one is not touched. BackupError."""
    name = deed["beside"]
    statements = about_database(stack, container, dump, deadline)
    making, deed["after"] = split(statements, name)
    deed["existed"] = deed["database"] in databases(stack, container)
    deed["state"] = BESIDE
    record.write()
    ask(stack, container, HOME, making, timeout=600)
    deed["oid"] = _oid(stack, container, name)
    argv = command(stack, container, "pg_restore", "--exit-on-error", f"--dbname={conninfo(name)}")
    feed(argv, dump, f"pg_restore of {deed['database']} in {deed['service']}", deadline)
    if "rows" in facts:
        compare(deed["item"], facts["rows"], count_rows(stack, container, name))
    sums = facts.get("sums") or {}
    compare_sums(deed["item"], sums, read_sums(ask(stack, container, name, sums_of(sums)).splitlines()))
    # Without statistics the first queries are as slow as on an empty table.
    ask(stack, container, name, "ANALYZE;\n", timeout=deadline.left())


def about_database(stack: Stack, container: Container, dump: Path, deadline: Deadline) -> str:
    """The statements of an archive that make the database itself, with its settings and privileges."""
    listed = feed(
        command(stack, container, "pg_restore", "--create", "--list"), dump, "pg_restore --list", deadline
    ).decode(errors="surrogateescape")
    lines = [line for line in listed.splitlines() if _ABOUT.match(line)]
    argv = stack.inside(container, LOGIN, "sh", "-c", _STATEMENTS, "sh", "\n".join(lines))
    return feed(argv, dump, "pg_restore", deadline).decode(errors="surrogateescape")


def split(statements: str, name: str) -> tuple[str, str]:
    """What makes the database under another name, and what is to be said once it has its own."""
    making = f"{_CREATE}{identifier(name)} TEMPLATE template0;\n"
    after = []
    for line in statements.splitlines():
        if line.startswith(_CREATE) and _TEMPLATE in line:
            making = f"{_CREATE}{identifier(name)}{line[line.rindex(_TEMPLATE) :]}\n"
        else:
            after.append(line)
    return making, "\n".join(after) + "\n"


def databases(stack: Stack, container: Container, *, connectable: bool = False) -> list[str]:
    """All databases of a server, or those with data that can be asked for."""
    wanted = "WHERE datallowconn AND NOT datistemplate" if connectable else ""
    sql = f"SELECT json_agg(datname) FROM pg_database {wanted};\n"  # noqa: S608  No value in it is from outside.
    found = json.loads(ask(stack, container, HOME, sql, timeout=60)) or []
    return [str(name) for name in found]


def exchange(stack: Stack, container: Container, deed: Deed, record: Record) -> None:
    """Give the new database the name of the old one, in one step. Sessions in it are ended. BackupError."""
    name, beside, aside = (identifier(deed[key]) for key in ("database", "beside", "aside"))
    deed["state"] = EXCHANGING
    record.write()
    if deed["existed"]:
        close(stack, container, deed["database"])
    renames = f"ALTER DATABASE {name} RENAME TO {aside};\n" if deed["existed"] else ""
    ask(stack, container, HOME, f"BEGIN;\n{renames}ALTER DATABASE {beside} RENAME TO {name};\nCOMMIT;\n", timeout=60)
    ask(stack, container, HOME, deed["after"], timeout=60)


def close(stack: Stack, container: Container, database: str) -> None:
    """Let nobody into a database, and end who is in there. BackupError when somebody stays."""
    ask(stack, container, HOME, f"ALTER DATABASE {identifier(database)} ALLOW_CONNECTIONS false;\n", timeout=60)
    stays = _end_those(stack, container, f"datname = {literal(database)}")
    if stays:
        raise BackupError(
            f"Somebody stays connected to the database {database} in {container.service}. "
            "Fix: see pg_stat_activity for who it is, end that, then run it again"
        )


def _end_those(stack: Stack, container: Container, which: str) -> bool:
    """End sessions, and wait until they are gone; return whether some stay."""
    within = f"FROM pg_stat_activity WHERE {which} AND pid <> pg_backend_pid();\n"
    until = time.monotonic() + _AWAY
    while True:
        ask(stack, container, HOME, f"SELECT pg_terminate_backend(pid) {within}", timeout=60)
        if ask(stack, container, HOME, f"SELECT count(*) {within}", timeout=60).strip() == "0":
            return False
        if time.monotonic() > until:
            return True
        time.sleep(0.2)


def undo(stack: Stack, container: Container, deed: Deed, record: Record) -> None:
    """Let the old database be what it was, from whatever moment. May be done again. BackupError."""
    if deed["state"] == NEW:
        return
    # Of a restore that was killed, the programs in the container live on.
    _end_those(stack, container, f"application_name = {literal(NAME)}")
    name, beside, aside = deed["database"], deed["beside"], deed["aside"]
    there = databases(stack, container)
    is_new = name in there and bool(deed["oid"]) and _oid(stack, container, name) == deed["oid"]
    if is_new:
        drop(stack, container, name)
    elif aside in there and name in there:
        raise BackupError(
            f"Somebody made another database {name} in {container.service} meanwhile, and the old one is {aside} now. "
            f"Fix: rename that other one, then run this again"
        )
    if aside in there:
        ask(stack, container, HOME, f"ALTER DATABASE {identifier(aside)} RENAME TO {identifier(name)};\n", timeout=60)
    if beside in there:
        drop(stack, container, beside)
    if deed["existed"] and name in databases(stack, container):
        ask(stack, container, HOME, f"ALTER DATABASE {identifier(name)} ALLOW_CONNECTIONS true;\n", timeout=60)
    deed["state"] = NEW
    record.write()


def finish(stack: Stack, container: Container, deed: Deed) -> None:
    """Remove the old database."""
    if deed["aside"] in databases(stack, container):
        drop(stack, container, deed["aside"])


def drop(stack: Stack, container: Container, database: str) -> None:
    close(stack, container, database)
    ask(stack, container, HOME, f"DROP DATABASE {identifier(database)};\n", timeout=600)


def _oid(stack: Stack, container: Container, database: str) -> str:
    """What a database is known by, whatever its name; "" where there is none."""
    sql = f"SELECT oid FROM pg_database WHERE datname = {literal(database)};\n"  # noqa: S608  It is quoted.
    return ask(stack, container, HOME, sql, timeout=60).strip()


# --- programs ---------------------------------------------------------------------------------------------------------


def feed(argv: list[str], source: Path, what: str, deadline: Deadline) -> bytes:
    """Run a program with a file on its standard input; return what it printed. BackupError with its reason."""
    with source.open("rb") as stream, tempfile.TemporaryFile() as said:
        process = start(argv, stdin=stream.fileno(), stderr=said)
        try:
            stdout, _none = process.communicate(timeout=deadline.left())
        except subprocess.TimeoutExpired as error:
            raise BackupError(f"{what} took too long. Fix: raise backup_timeout_hours") from error
        finally:
            end(process)
        if process.returncode != 0:
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines() or ["it ended without a word"]
            reason = next((line for line in lines if re.search(r"\berror:", line)), lines[-1])
            raise BackupError(
                f"{what} refused what was saved: {reason[:300].rstrip('.')}. Fix: look at an earlier run "
                "(hypercode backup list), or at the image of the service"
            )
        return stdout
