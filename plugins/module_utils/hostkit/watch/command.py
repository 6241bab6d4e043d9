# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`hypercode watch`: the daemon, and how it stands."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..board_text import aligned, clean_text, human_size
from ..exposition import samples_in
from . import run
from .config import Paths, WatchError
from .metrics import CONTAINER, WATCH

# So many looks may be missed, and so many seconds, before nobody is taken to look any more.
LOOKS_MISSED, GRACE = 3, 30.0
_START = "systemctl restart hypercode-watch, then journalctl -u hypercode-watch says why it ended"


def add_verbs(verbs: Any) -> None:
    """Add `watch` to the command."""
    watch = verbs.add_parser("watch", help="watch the containers all the time, or show how they are")
    watches = watch.add_subparsers(required=True, metavar="WHAT")
    status = watches.add_parser("status", help="show each container, when it was looked at, and what is wrong")
    status.add_argument("--json", action="store_true", help="print data instead of a table")
    status.set_defaults(function=_status)
    runs = watches.add_parser("run", help="watch until it is ended, as hypercode-watch.service does")
    runs.set_defaults(function=lambda _arguments, host: run.main(host.store.paths.root))


def _status(arguments: argparse.Namespace, host: Any) -> int:
    report = read_status(Paths(host.store.paths.root), time.time())
    if arguments.json:
        print(json.dumps(report, indent=2))
    else:
        unicode = (sys.stdout.encoding or "").lower().startswith("utf")
        print("\n".join(render(report, unicode=unicode)))
    return 0 if report["good"] else 1


def read_status(paths: Paths, now: float) -> dict[str, Any]:
    """How things stood when they were looked at last, as the metrics tell. WatchError where there are none."""
    try:
        text = paths.metrics.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise WatchError(
            f"{paths.metrics} cannot be read ({error.strerror}), so nobody has looked yet. Fix: {_START}"
        ) from error
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    own: dict[str, float] = {}
    for name, labels, value in samples_in(text):
        if name.startswith(f"{WATCH}_"):
            own[name.removeprefix(f"{WATCH}_")] = value
        elif name.startswith(f"{CONTAINER}_"):
            key = (labels.get("project", ""), labels.get("service", ""), labels.get("container", ""))
            row = rows.setdefault(key, {})
            if "state" not in labels:
                row[name.removeprefix(f"{CONTAINER}_")] = value
            elif value:
                row["health"] = labels["state"]
    sampled, interval = own.get("last_sample_timestamp_seconds", 0.0), own.get("interval_seconds", 15.0)
    containers = [_row(key, values) for key, values in sorted(rows.items())]
    fresh = abs(now - sampled) <= LOOKS_MISSED * interval + GRACE
    engine_up = bool(own.get("engine_up"))
    return {
        "sampled": sampled,
        "age_seconds": round(now - sampled, 1),
        "interval_seconds": interval,
        "fresh": fresh,
        "engine_up": engine_up,
        "containers": containers,
        "events_dropped": int(own.get("events_dropped_total", 0)),
        "journal_errors": int(own.get("journal_errors_total", 0)),
        "good": fresh and engine_up and all(row["good"] for row in containers),
    }


def _row(key: tuple[str, str, str], values: Mapping[str, Any]) -> dict[str, Any]:
    up, health = values.get("up"), str(values.get("health") or "none")
    since = values.get("unhealthy_since_timestamp_seconds", 0.0)
    return {
        "project": key[0],
        "service": key[1],
        "container": key[2],
        # A job that is done is neither up nor down.
        "up": None if up is None else bool(up),
        "health": health,
        "unhealthy_since": since,
        "restarts": int(values.get("restarts_total", 0)),
        "oom_kills": int(values.get("oom_kills_total", 0)),
        "last_exit_code": int(values.get("last_exit_code", 0)),
        "memory_bytes": values.get("memory_anonymous_bytes"),
        "memory_limit_bytes": values.get("memory_limit_bytes"),
        "heals": int(values.get("heals_total", 0)),
        "given_up": bool(values.get("heal_given_up")),
        "good": up != 0 and health != "unhealthy",
    }


def render(report: Mapping[str, Any], *, unicode: bool = True) -> list[str]:
    """The report as lines: how fresh it is, then a table, then what to do."""
    rows: Sequence[Mapping[str, Any]] = report["containers"]
    bad = [row for row in rows if not row["good"]]
    engine = "" if report["engine_up"] else "; Docker does not answer"
    wrong = f", {len(bad)} of them not well" if bad else ""
    lines = [f"looked {report['age_seconds']:.0f} s ago{engine}; {len(rows)} containers{wrong}"]
    if rows:
        marks = ("✓", "✗") if unicode else ("ok", "!!")
        cells: list[tuple[str, ...]] = [("", "container", "state", "restarts", "OOM kills", "memory", "healed")]
        cells += [_cells(row, marks) for row in rows]
        lines += [line.rstrip() for line in aligned(cells, (3, 4, 6))]
    if not report["fresh"]:
        lines.append(f"Nobody has looked for {report['age_seconds']:.0f} s. Fix: {_START}")
    for row in bad:
        name = clean_text(row["container"] or row["service"])
        if row["given_up"]:
            lines.append(f"{name} was restarted {row['heals']} times and is not well. Next: docker logs {name}")
        elif not row["container"]:
            lines.append(f"{name} has no container, or too few. Next: hypercode status")
    if report["journal_errors"]:
        lines.append(f"{report['journal_errors']} lines of the journal could not be written. Next: df -h /var/lib")
    return lines


def _cells(row: Mapping[str, Any], marks: tuple[str, str]) -> tuple[str, ...]:
    used, limit = human_size(row["memory_bytes"]), human_size(row["memory_limit_bytes"])
    return (
        marks[0] if row["good"] else marks[1],
        clean_text(row["container"] or f"({row['service']})"),
        _state(row),
        str(row["restarts"]),
        str(row["oom_kills"]),
        f"{used} / {limit}" if used and limit else used,
        f"{row['heals']}, given up" if row["given_up"] else str(row["heals"]),
    )


def _state(row: Mapping[str, Any]) -> str:
    if row["up"] is None:
        return "done"
    if not row["up"]:
        return "missing" if not row["container"] else f"down, exit code {row['last_exit_code']}"
    return str(row["health"]) if row["health"] != "none" else "running"
