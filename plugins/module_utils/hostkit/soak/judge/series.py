# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the plots of the report show: a few hundred points of each figure, and the events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from .check import Context
from .lifetimes import Restart
from .requests import quantile, slots
from .resources import rates

_POINTS = 300
_EVENTS = 500
# Those that matter most come first when there are too many.
_WEIGHT = {"oom": 0, "canary": 0, "reboot": 1, "fault": 1, "rollout": 1, "restart": 2, "die": 3, "health": 3, "mark": 1}


def thinned(times: Sequence[float], values: Sequence[float], began: float) -> list[list[float | None]]:
    """At most 300 pairs of time and value; of each part the highest value."""
    count = len(times)
    if count <= _POINTS:
        return [[round(began + at, 3), _short(value)] for at, value in zip(times, values, strict=True)]
    found: list[list[float | None]] = []
    for part in range(_POINTS):
        begin, end = part * count // _POINTS, (part + 1) * count // _POINTS
        top = max(range(begin, end), key=values.__getitem__)
        found.append([round(began + times[top], 3), _short(values[top])])
    return found


def _short(value: float) -> float | None:
    return None if value < 0 else float(f"{value:.6g}")


def series(context: Context, found: Sequence[Restart]) -> list[dict[str, Any]]:
    """All of the report."""
    recording, began = context.recording, context.recording.began
    result: list[dict[str, Any]] = []

    def add(name: str, unit: str, subject: str, limit: float | None, points: list[list[float | None]]) -> None:
        if points:
            result.append({"name": name, "unit": unit, "subject": subject, "limit": limit, "points": points})

    for subject, track in context.tracks():
        rows = track.rows
        tops = [value for value in rows.column("memory_limit") if value > 0]
        times, values = rows.known("memory_anonymous")
        add("memory", "bytes", subject, tops[-1] if tops else None, thinned(times, values, began))
        at, found_rates = rates(track, "cpu_seconds")
        cores = [value for value in rows.column("cpu_limit") if value > 0]
        if cores:
            shares = [value / cores[-1] for value in found_rates]
            add("cpu", "share", subject, context.limits.cpu_share, thinned(at, shares, began))
        counts = Counter[float]()
        for one in found:
            if one.subject == subject:
                counts[one.at] += one.count
        if counts:
            total, points = 0, [(rows.times[0], 0)]
            for when in sorted(counts):
                total += counts[when]
                points.append((when, total))
            add("restarts", "count", subject, None, thinned([p[0] for p in points], [p[1] for p in points], began))
    for probe in recording.probes.values():
        name = f"{probe.name} ({probe.way})"
        middles = [(at + recording.slot / 2, quantile(part, 0.95)) for at, part in slots(context, probe)]
        points_of = thinned([at for at, _v in middles], [value for _a, value in middles], began)
        add("latency", "ms", name, context.limits.p95_ms, points_of)
        times, failures = probe.rows.known("failures")
        if any(failures):
            add("errors", "count", name, None, thinned(times, failures, began))
    for mount, rows in recording.filesystems.items():
        columns = (rows.times, rows.column("available"), rows.column("size"))
        used = [(at, 1 - left / size) for at, left, size in zip(*columns, strict=True) if size > 0 and left >= 0]
        add("disk", "share", mount, 1.0, thinned([at for at, _v in used], [max(0.0, v) for _a, v in used], began))
    return result


def events(context: Context, found: Sequence[Restart]) -> list[dict[str, Any]]:
    """What happened, the oldest first."""
    recording, rows = context.recording, []
    for one in found:
        words = f"{one.count} restarts" if one.count > 1 else "restarted"
        rows.append((one.at, "restart", one.subject, words + (f" ({one.why})" if one.why else ""), bool(one.planned)))
    for at, _boot in recording.boots[1:]:
        rows.append((at, "reboot", recording.host, "the host was started anew", context.plan.reboot(at) is not None))
    for at, good, stores in recording.canary:
        if not good:
            told = ", ".join(f"{store}: {state}" for store, state in stores.items() if state != "ok")
            rows.append((at, "canary", "", told or "not well", False))
    for event in recording.events:
        planned = event.kind in ("fault", "rollout", "mark") or context.plan.planned(event.at, event.service)
        rows.append((event.at, event.kind, event.service, _words(event.kind, event.details), planned))
    if len(rows) > _EVENTS:
        rows.sort(key=lambda row: (_WEIGHT.get(row[1], 4), row[4], row[0]))
        rows = rows[:_EVENTS]
    rows.sort(key=lambda row: row[0])
    return [
        {"time": round(recording.began + at, 3), "kind": kind, "subject": subject, "text": text, "planned": planned}
        for at, kind, subject, text, planned in rows
    ]


def _words(kind: str, details: dict[str, Any]) -> str:
    if kind == "die":
        return f"ended with exit code {str(details.get('exit_code', '?'))[:20]}"
    if kind == "health":
        return str(details.get("health", "?"))[:40]
    if kind == "fault":
        told, over = str(details.get("fault") or "fault")[:40], details.get("recovered")
        if "recovered" in details:
            told += ": not well again" if over is None else f": well after {str(over)[:20]} s"
        return told
    if kind == "rollout":
        return f"release {str(details.get('version') or details.get('release') or '?')[:80]} in use"
    if kind in ("backup", "drill"):
        return "ended well" if details.get("ok") is True else "failed"
    if kind == "mark":
        return f"{str(details.get('what') or 'mark')[:80]} {str(details.get('text') or '')[:120]}".strip()
    words = {"oom": "a process was killed for want of memory", "start": "started", "destroy": "removed"}
    return words.get(kind, kind[:40])


def gaps(context: Context) -> list[dict[str, Any]]:
    """Those that the journal tells."""
    began = context.recording.began
    return [
        {
            "from": round(began + gap.begins, 3),
            "to": round(began + gap.ends, 3),
            "reason": gap.reason,
            "planned": gap.reason == "clock" or context.plan.host(gap.begins, gap.ends) is not None,
        }
        for gap in context.recording.gaps[:500]
    ]
