# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plots of a report as SVG within the page: curves stretch to the room there is, letters and marks keep their size."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape

from .axis import FIELD, TimeAxis, top_of
from .view import Report, Series, quantity, when

_NAMES = {
    "memory": "Memory",
    "cpu": "CPU",
    "latency": "Latency",
    "errors": "Errors",
    "restarts": "Restarts",
    "disk": "Disk",
}
_TALL, _LOW = 128, 64
# The names of times stand below the field.
_FOOT = 20
# Room for the highest letters above the field.
_HEAD = 14
_LINES = 80
_SLICES = 150


def title_of(metric: str) -> str:
    """The name of a metric as a heading."""
    return _NAMES.get(metric, metric)


class Plots:
    """Draws on one axis of time. Every drawing has its own number, so that titles can be pointed at."""

    def __init__(self, report: Report, axis: TimeAxis) -> None:
        self._report, self._axis = report, axis
        self._numbers = itertools.count(1)

    def definitions(self) -> str:
        """What all plots share, once in a page: gaps, events and times behind the curves, and the marks."""
        axis, report = self._axis, self._report
        behind = []
        if report.warmup and report.began is not None:
            behind.append(self._span(report.began, report.began + report.warmup, "warm"))
        behind += [self._line(at, "tick") for at, label in axis.ticks()]
        for gap in report.holes:
            look = ("edge meant-gap", "url(#gap-meant)") if gap.planned else ("edge", "url(#gap)")
            behind.append(self._span(gap.begins, gap.ends, *look))
        for planned, kind in ((True, "meant"), (False, "bad")):
            places = [event.time for event in report.events if event.planned is planned and axis.holds(event.time)]
            # Lines closer than that cannot be told apart.
            distinct = {round(axis.share(at) * 200): at for at in places}
            behind += [self._line(at, kind) for at in list(distinct.values())[:_LINES]]
        return (
            '<svg class="defs" aria-hidden="true" focusable="false"><defs>'
            '<pattern id="gap" width="7" height="7" patternUnits="userSpaceOnUse">'
            '<path class="hatch" d="M-1 1L1 -1M0 7L7 0M6 8L8 6"/></pattern>'
            '<pattern id="gap-meant" width="6" height="6" patternUnits="userSpaceOnUse">'
            '<circle class="dots" cx="3" cy="3" r="1"/></pattern>'
            '<path id="e-bad" class="mark-bad" d="M0 -7L7 0L0 7L-7 0Z"/>'
            '<circle id="e-meant" class="mark-meant" r="4.6"/></defs>'
            f'<symbol id="time">{"".join(behind)}</symbol><symbol id="axis">{self._labels()}</symbol></svg>'
        )

    def events(self) -> str:
        """Two rows of marks: what nobody planned above, what was planned below."""
        rows = ((False, "e-bad", 18), (True, "e-meant", 50))
        marks = []
        for planned, mark, height in rows:
            marks.append(f'<line class="rule" x1="0" x2="100%" y1="{height}" y2="{height}"/>')
            for event in self._report.events:
                if event.planned is planned and self._axis.holds(event.time):
                    said = " ".join(part for part in (event.kind, event.subject, event.text) if part)
                    told = escape(f"{when(event.time)} {said}")
                    at = self._axis.percent(event.time)
                    marks.append(f'<g><title>{told}</title><use href="#{mark}" x="{at}" y="{height}"/></g>')
        meant = sum(event.planned for event in self._report.events)
        told = f"{len(self._report.events) - meant} not planned, {meant} planned. The table of events has each of them."
        return self._svg("Events on the axis of time", told, 66, "".join(marks))

    def overview(self, top: Sequence[Series], rest: Sequence[Series], title: str) -> str:
        """A few curves that matter, and the range of all others as a band. All in the same unit and with one limit."""
        highest = top_of((one.peak for one in (*top, *rest)), top[0].limit, top[0].unit)
        inner = [_band(rest, self._axis, highest)] if rest else []
        inner += [
            f'<path class="curve s{place}" d="{_path(one, self._axis, highest)}"/>'
            for place, one in reversed(list(enumerate(top, 1)))
        ]
        told = ". ".join(_words(one) for one in top)
        return self._field(title, told, _TALL, highest, top[0], "".join(inner))

    def single(self, series: Series, *, tall: bool = False) -> str:
        """One curve by itself, with its limit."""
        highest = top_of([series.peak], series.limit, series.unit)
        inner = f'<path class="curve s1" d="{_path(series, self._axis, highest)}"/>'
        title = f"{title_of(series.name)} of {series.subject}"
        return self._field(title, _words(series), _TALL if tall else _LOW, highest, series, inner)

    def _field(self, title: str, told: str, tall: int, highest: float, first: Series, inner: str) -> str:
        """The field with its scale; unit and limit are those of the first curve."""
        unit, limit = first.unit, first.limit
        whole = tall == _TALL
        parts = []
        for share in (0.0, 0.5, 1.0) if whole else (0.0, 1.0):
            height = _HEAD + tall * (1 - share)
            parts.append(f'<line class="rule" x1="0" x2="100%" y1="{height:g}" y2="{height:g}"/>')
        parts.append(
            f'<svg y="{_HEAD}" width="100%" height="{tall}" viewBox="0 0 {FIELD} {FIELD}" preserveAspectRatio="none" '
            f'overflow="visible">{inner}</svg>'
        )
        for share in (0.5, 1.0) if whole else (1.0,):
            height = _HEAD + tall * (1 - share) - 3
            # There is no half restart.
            if unit == "count" and highest * share % 1:
                continue
            parts.append(f'<text class="t" x="0" y="{height:g}">{quantity(highest * share, unit)}</text>')
        if limit is not None and limit <= highest:
            height = _HEAD + tall * (1 - limit / highest)
            parts.append(f'<line class="limit" x1="0" x2="100%" y1="{height:.1f}" y2="{height:.1f}"/>')
            if whole:
                # Below the line where the curve is above it.
                height += 14 if limit > highest / 4 and _ends_above(first, limit) else -4
                parts.append(
                    f'<text class="t limit-word" x="100%" y="{height:.1f}" text-anchor="end">'
                    f"limit {quantity(limit, unit)}</text>"
                )
        return self._svg(title, told, _HEAD + tall, "".join(parts), behind=_HEAD)

    def _svg(self, title: str, told: str, tall: int, inner: str, behind: int = 0) -> str:
        number = next(self._numbers)
        return (
            f'<svg role="img" aria-labelledby="t{number} d{number}" width="100%" height="{tall + _FOOT}">'
            f'<title id="t{number}">{escape(title)}</title><desc id="d{number}">{escape(told)}</desc>'
            f'<use href="#time" y="{behind}" width="100%" height="{tall - behind}"/>{inner}'
            f'<use href="#axis" y="{tall}" width="100%" height="{_FOOT}"/></svg>'
        )

    def _line(self, at: float, kind: str) -> str:
        place = self._axis.percent(at)
        return f'<line class="{kind}" x1="{place}" x2="{place}" y1="0" y2="100%"/>'

    def _span(self, begins: float, ends: float, kind: str, fill: str = "") -> str:
        left, right = self._axis.share(begins), self._axis.share(ends)
        look = f' fill="{fill}"' if fill else ""
        return f'<rect class="{kind}"{look} x="{left * 100:.2f}%" width="{(right - left) * 100:.2f}%" height="100%"/>'

    def _labels(self) -> str:
        parts = []
        for at, label in self._axis.ticks():
            share = self._axis.share(at)
            # Half a label would be cut off at either end.
            anchor = "start" if share < 0.05 else "end" if share > 0.95 else "middle"
            parts.append(f'<text class="t" x="{self._axis.percent(at)}" y="15" text-anchor="{anchor}">{label}</text>')
        return "".join(parts)


def _words(series: Series) -> str:
    """A curve for those who do not see it."""
    known = [value for moment, value in series.points if value is not None]
    if not known:
        return f"{series.subject}: nothing known"
    ends = f"{quantity(known[0], series.unit)} at first, {quantity(known[-1], series.unit)} at last"
    limit = f", limit {quantity(series.limit, series.unit)}" if series.limit is not None else ""
    return f"{series.subject}: {ends}, highest {quantity(max(known), series.unit)}{limit}"


def _ends_above(series: Series, limit: float) -> bool:
    last = [value for moment, value in series.points[-len(series.points) // 4 :] if value is not None]
    return sum(value > limit for value in last) * 2 > len(last)


def _height(value: float, highest: float) -> int:
    return round(FIELD * (1 - min(1.0, max(0.0, value / highest))))


def _path(series: Series, axis: TimeAxis, highest: float) -> str:
    """A curve as steps from point to point, in whole units: short, since a page may have hundreds of them."""
    steps = series.unit == "count"
    parts, before = [], None
    for at, value in series.points:
        if value is None or not axis.holds(at):
            before = None
            continue
        here = (round(axis.share(at) * FIELD), _height(value, highest))
        if before is None:
            parts.append(f"M{here[0]} {here[1]}h0")
        elif steps:
            parts.append(f"h{here[0] - before[0]}" + (f"v{here[1] - before[1]}" if here[1] != before[1] else ""))
        elif here != before:
            parts.append(f"l{here[0] - before[0]} {here[1] - before[1]}")
        before = here
    # What was counted so far stays so many until the end.
    if before is not None and series.name == "restarts":
        parts.append(f"h{FIELD - before[0]}")
    return "".join(parts)


def _band(rest: Sequence[Series], axis: TimeAxis, highest: float) -> str:
    """From the lowest to the highest of several curves, in slices of the time as long as their points are apart."""
    longest = max(len(one.points) for one in rest)
    # Restarts have a point for each; they are many or few.
    count = _SLICES if rest[0].name == "restarts" else max(1, min(_SLICES, longest - 1))
    slices: dict[int, list[float]] = {}
    for one in rest:
        for place, value in _sliced(one, axis, count):
            slices.setdefault(place, []).append(value)
    pieces, run = [], list[int]()
    for place in sorted(slices):
        # Points that are not quite evenly apart leave out a slice.
        if run and place - run[-1] > 3:
            pieces.append(_piece(run, slices, highest, count))
            run = []
        run.append(place)
    pieces.append(_piece(run, slices, highest, count))
    return f'<path class="band" d="{"".join(pieces)}"/>'


def _sliced(series: Series, axis: TimeAxis, count: int) -> Iterator[tuple[int, float]]:
    """The values of a curve with the slice that each is in."""
    found = [
        (round(axis.share(at) * count), value) for at, value in series.points if value is not None and axis.holds(at)
    ]
    yield from found
    if series.name == "restarts":
        # What was counted so far stays so many until it grows.
        for (place, value), (following, _value) in itertools.pairwise([*found, (count + 1, 0.0)]):
            yield from ((between, value) for between in range(place + 1, following))


def _piece(run: Sequence[int], slices: dict[int, list[float]], highest: float, count: int) -> str:
    def edge(places: Iterable[int], pick: Callable[[list[float]], float]) -> list[str]:
        return [f"{round(place * FIELD / count)} {_height(pick(slices[place]), highest)}" for place in places]

    return f"M{'L'.join([*edge(run, max), *edge(reversed(run), min)])}Z" if run else ""
