# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Puts together one sample: all that is known of the time since the one before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...backup.stack import POSTGRES, REDIS, kind_of
from ...engine import Engine
from ...watch.roster import Facts
from . import asked
from .child import Children
from .config import Config
from .host import look_at_host, look_at_self
from .journal import RunJournal, WatchTail
from .probe import Count
from .services import count_lines, open_files

OK = "ok"
# To ask a database itself takes a program in its container: not more often than that, in seconds.
DATABASES_EVERY = 60.0
# What the watch says of its own clock and boots is said of the soak too, by the soak itself.
_OWN = ("clock", "boot")
_COMMON = ("schema", "kind", "time", "monotonic", "boot")


class Sampler:
    """Makes the lines of a sample. `state` is kept between runs of the daemon."""

    def __init__(
        self,
        root: Path,
        config: Config,
        engine: Engine,
        journal: RunJournal,
        tail: WatchTail,
        state: dict[str, Any],
        children: Children,
    ) -> None:
        self._root, self._config, self._engine, self._children = root, config, engine, children
        self._databases: dict[str, Any] = {}
        self._databases_asked = -DATABASES_EVERY
        self._journal, self._tail, self._state = journal, tail, state
        self.logs_since = journal.clock()

    def lines(
        self,
        running: Sequence[Facts],
        counts: Mapping[tuple[str, str], Count],
        canary: Mapping[str, str] | None,
    ) -> list[dict[str, Any]]:
        """The sample, with what the watch has written down since the one before. `canary` is what its stores said."""
        began, wall = self._journal.monotonic(), self._journal.clock()
        news = self._tail.read()
        lines = [self._of_watch(line) for line in news.lines if line.get("reason") not in _OWN]
        found: dict[str, Any] = {"host": look_at_host(self._root)}
        if news.sample is not None:
            rows = [row for row in news.sample.get("containers") or () if isinstance(row, dict)]
            found |= {"containers": self._with_files(rows, running), "missing": news.sample.get("missing") or []}
        found["probes"] = _rows(counts)
        found["logs"] = count_lines(self._engine, running, self.logs_since)
        self.logs_since = wall
        address = next((facts.address for facts in running if facts.service == self._config.prometheus), "")
        if address:
            found |= asked.ask_prometheus(address)
        self._ask_databases(found, running)
        edge, certificates = asked.read_edge(self._root), asked.read_certificates(self._root)
        found |= ({"edge": edge} if edge else {}) | ({"certificates": certificates} if certificates else {})
        lines += self._backups(found)
        if canary is not None:
            found["canary"] = {"ok": all(state == OK for state in canary.values()), "stores": dict(canary)}
        found["self"] = look_at_self(self._journal.monotonic() - began)
        return [*lines, self._journal.line("sample") | found]

    def _ask_databases(self, found: dict[str, Any], running: Sequence[Facts]) -> None:
        """Where no exporter tells of a database, what it said itself since the sample before; and ask it again."""
        silent = [(kind_of(facts.image), facts.id) for facts in running]
        silent = [(kind, name) for kind, name in silent if kind in (POSTGRES, REDIS) and kind not in found]
        kinds = {kind for kind, _name in silent}
        found |= {kind: values for kind, values in self._databases.items() if kind in kinds}
        self._databases = {}
        now = self._journal.monotonic()
        if silent and now - self._databases_asked >= DATABASES_EVERY:
            self._databases_asked = now
            words = ["databases", *(f"{kind}={name}" for kind, name in silent)]
            self._children.add(words, self._hear_databases, 120.0)

    def _hear_databases(self, found: dict[str, Any] | None) -> None:
        self._databases = found or {}

    def _of_watch(self, line: Mapping[str, Any]) -> dict[str, Any]:
        return self._journal.line(line["kind"], **{key: value for key, value in line.items() if key not in _COMMON})

    def _with_files(self, rows: Sequence[dict[str, Any]], running: Sequence[Facts]) -> list[dict[str, Any]]:
        by_id = {facts.id[:12]: facts for facts in running}
        return [row | open_files(by_id[row["id"]], self._root) if row.get("id") in by_id else row for row in rows]

    def _backups(self, found: dict[str, Any]) -> list[dict[str, Any]]:
        backup = asked.read_backup(self._root)
        if backup is None:
            return []
        found["backup"] = {key: backup[key] for key in ("last_success", "last_drill", "failed")}
        before = self._state.get("backup")
        self._state["backup"] = backup
        lines = []
        if before and backup["last_run"] != before.get("last_run"):
            lines.append(self._journal.line("event", event="backup", ok=not backup["failed"], at=backup["last_run"]))
        if before and backup["last_drill_run"] != before.get("last_drill_run"):
            good = backup["last_drill"] == backup["last_drill_run"]
            lines.append(self._journal.line("event", event="drill", ok=good, at=backup["last_drill_run"]))
        return lines


def _rows(counts: Mapping[tuple[str, str], Count]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "way": way,
            "requests": count.requests,
            "failures": count.failures,
            "latency": {str(bucket): number for bucket, number in sorted(count.latency.items())},
        }
        for (name, way), count in sorted(counts.items())
    ]
