# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Postgres and Redis say of themselves, asked in their containers: where there is no exporter that tells it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from ...backup.postgres import LOGIN, PSQL
from ...backup.redis import CLIENT
from ...backup.stack import POSTGRES
from ...command import run_command

_TIMEOUT = 20.0
_SQL = (
    "SELECT json_build_object('connections', (SELECT count(*) FROM pg_stat_activity), "
    "'connections_max', current_setting('max_connections')::int, "
    "'archived', (SELECT archived_count FROM pg_stat_archiver), "
    "'archive_failed', (SELECT failed_count FROM pg_stat_archiver), "
    "'deadlocks', (SELECT coalesce(sum(deadlocks), 0) FROM pg_stat_database));\n"
)
_REDIS = {
    "used_memory": "memory",
    "maxmemory": "memory_max",
    "evicted_keys": "evicted",
    "rejected_connections": "rejected",
    "rdb_last_bgsave_status": "save_ok",
    "aof_last_write_status": "append_ok",
}
_LINE = re.compile(r"^(\w+):(\S+)", re.MULTILINE)


def look(kind: str, container: str, docker: Sequence[str] = ("docker",)) -> dict[str, Any]:
    """The key `postgres` or `redis` of a sample, of one server. Empty where it does not answer."""
    inside = [*docker, "exec", "--interactive", container, "sh", "-c"]
    if kind == POSTGRES:
        done = run_command([*inside, LOGIN, "sh", *PSQL, "--dbname=postgres"], timeout=_TIMEOUT, text=_SQL)
        try:
            found = json.loads(done.stdout) if done.code == 0 else {}
        except ValueError:
            return {}
        return dict(found)
    done = run_command([*inside, CLIENT, "sh", "INFO", "everything"], timeout=_TIMEOUT)
    words = dict(_LINE.findall(done.stdout.replace("\r", ""))) if done.code == 0 else {}
    return {key: _value(key, words[name]) for name, key in _REDIS.items() if name in words}


def _value(key: str, word: str) -> Any:
    return word == "ok" if key.endswith("_ok") else int(word)


def together(answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of several servers of a kind: figures are added up, and one that is not well makes all of them so."""
    found: dict[str, Any] = {}
    for answer in answers:
        for key, value in answer.items():
            if isinstance(value, bool):
                found[key] = found.get(key, True) and value
            else:
                found[key] = found.get(key, 0) + value
    return found
