# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A small value that is kept in each Postgres and Redis during a soak, and read again: whether data stays."""

from __future__ import annotations

from collections.abc import Sequence

from ...backup.postgres import LOGIN, PSQL
from ...backup.redis import CLIENT
from ...backup.stack import POSTGRES, REDIS
from ...command import CommandResult, run_command

OK, MISSING, WRONG, UNREACHABLE = "ok", "missing", "wrong", "unreachable"
WRITE, CHECK, REMOVE = "write", "check", "remove"
# Of no application: the database that each server has.
_DATABASE = "postgres"
_TIMEOUT = 30.0
_SQL = {
    WRITE: (
        "SET client_min_messages = warning; CREATE SCHEMA IF NOT EXISTS hypercode_soak; "
        "CREATE TABLE IF NOT EXISTS hypercode_soak.canary (run text PRIMARY KEY, value text NOT NULL); "
        "INSERT INTO hypercode_soak.canary VALUES (:'run', :'value') "
        "ON CONFLICT (run) DO UPDATE SET value = excluded.value;\n"
        "SELECT value FROM hypercode_soak.canary WHERE run = :'run';\n"
    ),
    CHECK: "SELECT value FROM hypercode_soak.canary WHERE run = :'run';\n",
    REMOVE: "SET client_min_messages = warning; DROP SCHEMA IF EXISTS hypercode_soak CASCADE;\n",
}


def do(verb: str, kind: str, container: str, run: str, value: str, docker: Sequence[str] = ("docker",)) -> str:
    """Write, check or remove the value in one server; how it stands. Nothing is said of one that may throw it away."""
    act = _in_postgres if kind == POSTGRES else _in_redis
    return act(verb, [*docker, "exec", "--interactive", container, "sh", "-c"], run, value)


def _in_postgres(verb: str, inside: list[str], run: str, value: str) -> str:
    # The value is no secret. It goes in by psql's own variables, which it quotes.
    words = [*PSQL, f"--dbname={_DATABASE}", f"--set=run={run}", f"--set=value={value}"]
    done = run_command([*inside, LOGIN, "sh", *words], timeout=_TIMEOUT, text=_SQL[verb])
    if done.code != 0:
        return MISSING if "does not exist" in done.stderr and verb == CHECK else UNREACHABLE
    return OK if verb == REMOVE else _compared(done.stdout, value)


def _in_redis(verb: str, inside: list[str], run: str, value: str) -> str:
    key = f"hypercode:soak:{run}"

    def ask(*words: str) -> CommandResult:
        return run_command([*inside, CLIENT, "sh", *words], timeout=_TIMEOUT)

    if verb == REMOVE:
        return OK if ask("DEL", key).code == 0 else UNREACHABLE
    if verb == WRITE:
        policy = ask("CONFIG", "GET", "maxmemory-policy")
        if "allkeys" in policy.stdout:
            # It may throw away any key where memory runs short: that one is gone would say nothing.
            return ""
        said = ask("SET", key, value)
        if said.code != 0 or "OK" not in said.stdout:
            return UNREACHABLE
    done = ask("GET", key)
    refused = done.stdout.startswith(("NOAUTH", "ERR", "LOADING", "MASTERDOWN", "WRONGPASS", "(error)"))
    if done.code != 0 or refused:
        return UNREACHABLE
    return _compared(done.stdout, value)


def _compared(found: str, value: str) -> str:
    words = found.split()
    return OK if value in words else WRONG if words else MISSING


def kinds() -> tuple[str, ...]:
    """What it can be kept in."""
    return POSTGRES, REDIS
