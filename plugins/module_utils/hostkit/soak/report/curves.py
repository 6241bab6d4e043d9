# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which curves matter, and how several of them are compared in one plot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from .view import FAIL, INCONCLUSIVE, METRICS, Check, Report, Series

# As many as can be told apart at a glance.
HIGHLIGHTED = 3
# Words in the id or title of a check, and the metric whose curves show what it found.
_ABOUT = {
    "memory": ("memory", "leak", "oom"),
    "cpu": ("cpu", "throttl"),
    "latency": ("latency", "p95", "slow"),
    "errors": ("error", "5xx", "burn"),
    "restarts": ("restart", "crash", "oom", "flap", "exit"),
    "disk": ("disk", "filesystem"),
}


def metrics_of(check: Check) -> list[str]:
    """The metrics that a check is about; empty when there is no curve of it."""
    said = f"{check.id} {check.title}".lower()
    return [metric for metric, known in _ABOUT.items() if any(word in said for word in known)]


def shown_by(check: Check, report: Report) -> list[Series]:
    """The curves of the subjects that a check found wanting, the worst first. One that is 0 all along says nothing."""
    bad = [subject.name for subject in check.subjects if subject.verdict in (FAIL, INCONCLUSIVE)]
    metrics = metrics_of(check)
    return [one for name in bad for one in report.series if one.subject == name and one.name in metrics and one.peak]


def known(series: Series) -> bool:
    """Whether there is anything to draw."""
    return series.peak is not None


def by_metric(report: Report) -> dict[str, list[Series]]:
    """The curves of each metric, those first that did not pass, then those that came closest to their limit."""
    worst = _worst(report)
    found: dict[str, list[Series]] = {}
    for metric in (*METRICS, *sorted({one.name for one in report.series} - set(METRICS))):
        curves = [one for one in report.series if one.name == metric and known(one)]
        if curves:
            found[metric] = sorted(
                curves, key=lambda one: (-worst.get((metric, one.subject), 0), -_closeness(one), one.subject)
            )
    return found


def comparable(curves: Sequence[Series]) -> tuple[list[Series], bool]:
    """Those that can stand in one plot with one limit, and whether they were made shares of their limits for that."""
    unit = Counter(one.unit for one in curves).most_common(1)[0][0]
    same = [one for one in curves if one.unit == unit]
    limits = {one.limit for one in same if one.limit is not None}
    if len(limits) <= 1:
        limit = next(iter(limits), None)
        return [replace(one, limit=limit) for one in same], False
    return [_share(one, one.limit) for one in same if one.limit], True


def highlighted(curves: Sequence[Series], report: Report) -> tuple[list[Series], list[Series]]:
    """The few of some curves that are drawn one by one, and the rest. A curve that is 0 all along says nothing."""
    worst = _worst(report)
    top = [one for one in curves if worst.get((one.name, one.subject)) or one.peak][:HIGHLIGHTED] or list(curves[:1])
    return top, [one for one in curves if one not in top]


def _worst(report: Report) -> dict[tuple[str, str], int]:
    rank = {FAIL: 2, INCONCLUSIVE: 1}
    found: dict[tuple[str, str], int] = {}
    for check in report.checks:
        for metric in metrics_of(check):
            for subject in check.subjects:
                place = (metric, subject.name)
                found[place] = max(found.get(place, 0), rank.get(subject.verdict, 0))
    return found


def _closeness(series: Series) -> float:
    peak = series.peak or 0.0
    return peak / series.limit if series.limit else peak / 1e30


def _share(series: Series, limit: float) -> Series:
    points = tuple((at, None if value is None else value / limit) for at, value in series.points)
    return replace(series, unit="share", limit=1.0, points=points)


def distinct(curves: Iterable[Series]) -> list[Series]:
    """Each curve once."""
    return list({(one.name, one.subject): one for one in curves}.values())
