# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Backups as a person reads them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..board_text import aligned, clean_text, human_size
from .facts import AGE_MAX
from .runs import Run


def judge(facts: Mapping[str, Any], now: float, since: float) -> list[dict[str, Any]]:
    """How each repository stands, as rows. `since` is when backups were set up: before the first night none is late."""
    rows = []
    for name, entry in (facts.get("repositories") or {}).items():
        good, checked = entry.get("good") or {}, entry.get("verify") or {}
        problem = entry.get("failure") or checked.get("failure") or ""
        age = now - good["began"] if good else None
        if not problem and (now - since if age is None else age) > AGE_MAX:
            problem = "There is no good run of the last 26 hours. Fix: hypercode backup run shows why"
        rows.append(
            {
                "repository": name,
                "run": good.get("id"),
                "age_seconds": None if age is None else round(age),
                "bytes": good.get("bytes"),
                "seconds": good.get("seconds"),
                "verified": checked.get("ended"),
                "good": not problem,
                "message": problem,
            }
        )
    return rows


def board(facts: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], now: float) -> list[str]:
    """The rows as lines; then what no backup holds."""
    lines = []
    for row in rows:
        state = "none yet" if row["run"] is None else f"last good run {age(row['age_seconds'])} ago"
        size = f", {human_size(row['bytes'])} in {row['seconds']:.0f} s" if row["run"] else ""
        read = f", verified {age(now - row['verified'])} ago" if row["verified"] else ""
        lines.append(f"backup {row['repository']}: {'' if row['good'] else 'FAILED, '}{state}{size}{read}")
        if row["message"]:
            lines.append(f"  {row['message']}")
    drill = facts.get("drill")
    if drill:
        verdict = "everything came back" if not drill["failures"] else f"FAILED: {drill['failures'][0]}"
        lines.append(f"  Drilled {age(now - drill['ended'])} ago in {drill['rto_seconds']:.0f} s: {verdict}")
    if facts.get("unplanned"):
        names = ", ".join(facts["unplanned"])
        lines.append(
            f"  In no backup: {names}. x-hypercode-backup: true at a volume in the Compose file adds it, false says "
            "that it is meant"
        )
    return [clean_text(line) for line in lines]


def runs_table(runs: Sequence[Run], manifests: Mapping[str, Mapping[str, Any]], now: float) -> list[str]:
    """A table of the runs, oldest first."""
    lines: list[Sequence[str]] = [("run", "age", "size", "took", "items", "state")]
    for run in runs:
        manifest = manifests.get(run.id) or {}
        size = human_size(manifest.get("bytes")) or "-"
        took = f"{manifest['seconds']:.0f} s" if manifest else "-"
        items = len(run.snapshots) - int(run.good)
        state = "before a restore" if run.safety else "good"
        lines.append((run.id, age(now - run.time), size, took, str(items), state if run.good else "incomplete"))
    return [line.rstrip() for line in aligned(lines, right=(2, 3, 4))]


def age(seconds: float) -> str:
    """A duration in one unit."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def day(moment: float) -> str:
    """A moment in UTC."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment))
