# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judges what a load test has measured. Each point that was missed is one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .job import HTTP, MISSIONS, RATE_SHARE, Job

COMPLETED = "completed"
_SHOWN = 3


@dataclass(frozen=True)
class Point:
    """One thing that is not as it has to be. ``fix`` may be empty."""

    rule: str
    message: str
    fix: str = ""

    def as_dict(self) -> dict[str, str]:
        return {"rule": self.rule, "message": self.message, "fix": self.fix}


def distinct_ids(result: Mapping[str, Any]) -> int:
    """How many different ids the missions were given."""
    return len({mission["task_id"] for mission in result["missions"] if mission["task_id"]})


def judge(result: Mapping[str, Any], job: Job) -> list[Point]:
    """Return every point that was missed, for the result of the process that made the load."""
    points = [*_errors(result, job), *_latency(result, job)]
    if job.profile == MISSIONS:
        points += [*_missions(result, job), *_ids(result, job)]
    else:
        points += _rate(result, job)
    return points


def _errors(result: Mapping[str, Any], job: Job) -> list[Point]:
    total = sum(row["count"] for row in result["requests"])
    failed = sum(row["errors"] for row in result["requests"])
    if not total:
        return [Point("nothing", "Not one request came to an end, so there is nothing to judge.")]
    if failed <= job.errors:
        return []
    kinds = sorted(result["errors"], key=lambda error: -error["count"])
    shown = "; ".join(f"{error['count']} x {error['name']}: {error['what']}" for error in kinds[:_SHOWN])
    more = f"; and {len(kinds) - _SHOWN} other kinds" if len(kinds) > _SHOWN else ""
    allowed = f"{job.errors} {'is' if job.errors == 1 else 'are'} allowed"
    return [Point("errors", f"{failed} of {total} requests failed, {allowed}: {shown}{more}.")]


def _latency(result: Mapping[str, Any], job: Job) -> list[Point]:
    # Each kind of request for itself: many quick looks at a task must not hide slow plans.
    return [
        Point(
            "p95", f"{row['name']}: the 95th percentile is {row['p95_ms']:g} ms, less than {job.p95_ms:g} ms is wanted."
        )
        for row in result["requests"]
        if row["count"] and row["p95_ms"] >= job.p95_ms
    ]


def _missions(result: Mapping[str, Any], job: Job) -> list[Point]:
    found = result["missions"]
    ended = Counter(mission["status"] or "unfinished" for mission in found)
    good = ended.pop(COMPLETED, 0)
    if good == job.missions:
        return []
    ended.update({"not begun": job.missions - len(found)} if len(found) < job.missions else {})
    why = ", ".join(f"{count} {status}" for status, count in sorted(ended.items()))
    message = f"{job.missions - good} of {job.missions} missions did not complete within {job.time_limit:g} s: {why}."
    return [Point("missions", message, "See the log of the orchestrator, and of the agents that it asks.")]


def _ids(result: Mapping[str, Any], job: Job) -> list[Point]:
    given = sum(1 for mission in result["missions"] if mission["task_id"])
    distinct = distinct_ids(result)
    if job.shared_ids or distinct == given:
        return []
    message = (
        f"{given} missions were given only {distinct} different id{'' if distinct == 1 else 's'}: missions with the "
        "same id overwrite one another, so all but one of them are lost."
    )
    fix = (
        "Have the orchestrator make ids that are unique, not from the time in whole seconds. To judge all else "
        "meanwhile: load_test_shared_ids=true, or --shared-ids."
    )
    return [Point("ids", message, fix)]


def _rate(result: Mapping[str, Any], job: Job) -> list[Point]:
    done = sum(row["per_second"] for row in result["requests"])
    if job.profile != HTTP or not job.rate or done >= RATE_SHARE * job.rate:
        return []
    message = f"Only {done:.1f} of {job.rate:g} requests a second were made: {job.users} users waited for answers."
    return [Point("rate", message, "More users, where the service can do more; else it cannot keep up.")]
