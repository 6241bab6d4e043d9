# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a load test found: as a JSON document, as a table, and as one line while it runs."""

from __future__ import annotations

import datetime
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.board_text import aligned, clean_text
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.files import write_file

from .job import MISSIONS, Job
from .verdict import Point, distinct_ids

# Raised when a field changes its meaning.
SCHEMA = 1


def document(
    job: Job,
    result: Mapping[str, Any],
    points: Sequence[Point],
    *,
    began: datetime.datetime,
    host: str = "",
    way: str = "direct",
    limits: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The report as docs/load_test.md describes it. ``limits`` is what the host saw, None where nobody looked."""
    missions = result["missions"]
    return {
        "schema": SCHEMA,
        "profile": job.profile,
        "host": host,
        "url": job.url,
        "way": way,
        "began": began.isoformat(timespec="seconds"),
        "seconds": result["seconds"],
        "good": not points,
        "points": [point.as_dict() for point in points],
        "bounds": {"errors": job.errors, "p95_ms": job.p95_ms},
        "requests": result["requests"],
        "errors": result["errors"],
        "missions": missions,
        "distinct_ids": distinct_ids(result) if job.profile == MISSIONS else None,
        "limits": limits,
    }


def write(path: Path, report: Mapping[str, Any]) -> None:
    """Write the report, whole or not at all. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, (json.dumps(report, indent=2) + "\n").encode())


def table(report: Mapping[str, Any]) -> list[str]:
    """The measured figures as lines of text."""
    rows = [("request", "count", "errors", "a second", "p50", "p95", "p99", "max")]
    for row in report["requests"]:
        figures = (f"{row[name]:.0f} ms" for name in ("p50_ms", "p95_ms", "p99_ms", "max_ms"))
        rows.append((row["name"], str(row["count"]), str(row["errors"]), f"{row['per_second']:.1f}", *figures))
    lines = aligned(rows, right=range(1, len(rows[0])))
    if report["profile"] == MISSIONS:
        missions = report["missions"]
        ended = Counter(mission["status"] or "unfinished" for mission in missions)
        longest = max((mission["seconds"] for mission in missions), default=0.0)
        states = ", ".join(f"{count} {status}" for status, count in sorted(ended.items()))
        ids = report["distinct_ids"]
        lines.append(
            f"{len(missions)} missions at once: {states or 'none'}; {ids} different id{'' if ids == 1 else 's'}; "
            f"the longest took {longest:.1f} s"
        )
    return [clean_text(line) for line in lines]


def verdict(report: Mapping[str, Any]) -> list[str]:
    """The end of what a person reads: good, or each point that was missed, and what was not looked at."""
    lines = []
    for point in report["points"]:
        lines += [f"! {point['message']}", *([f"  Fix: {point['fix']}"] if point["fix"] else [])]
    if not lines:
        lines = ["Good: no more errors than allowed, and quick enough."]
        if report["limits"] is not None:
            lines = ["Good: no more errors than allowed, quick enough, and the limits of every service held."]
    if report["limits"] is None:
        lines.append(
            "The limits of the services were not looked at. That needs: ansible-playbook playbooks/load_test.yml"
        )
    return [clean_text(line) for line in lines]


def progress_line(job: Job, progress: Mapping[str, Any]) -> str:
    """How it goes, in one line."""
    missions = f"{progress['ended']} of {job.missions} missions ended, " if job.profile == MISSIONS else ""
    errors = progress["errors"]
    return (
        f"{progress['seconds']:.0f} s  {missions}{progress['requests']} requests, "
        f"{errors} error{'' if errors == 1 else 's'}, p95 {progress['p95_ms']:.0f} ms"
    )
