# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The scales of the plots: one axis of time for all of them, and round numbers at the side."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from .view import Report

# Each curve is drawn on a field of so many units each way, stretched to the room there is.
FIELD = 1000
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_STEPS = (
    *(n * _MINUTE for n in (1, 2, 5, 10, 15, 30)),
    *(n * _HOUR for n in (1, 2, 3, 6, 12)),
    *(n * _DAY for n in (1, 2, 7, 14, 30, 90, 365)),
)
# More labels do not fit beside each other on a phone.
_TICKS = 5
_ROUND = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
# A limit further above the data than that would flatten the curve.
_FAR = 5


@dataclass(frozen=True)
class TimeAxis:
    """From when to when, in seconds since 1970."""

    begins: float
    ends: float

    def share(self, moment: float) -> float:
        """Where a time stands, from 0 to 1; a time outside is at the edge."""
        return min(1.0, max(0.0, (moment - self.begins) / (self.ends - self.begins)))

    def percent(self, moment: float) -> str:
        """The same for an attribute of SVG."""
        return f"{self.share(moment) * 100:.2f}".rstrip("0").rstrip(".") + "%"

    def holds(self, moment: float) -> bool:
        """Whether a time is within the axis."""
        return self.begins <= moment <= self.ends

    def ticks(self) -> list[tuple[float, str]]:
        """A few round times with their labels; midnight says the day."""
        length = self.ends - self.begins
        step = next((one for one in _STEPS if length / one <= _TICKS), None) or length / _TICKS
        first = math.ceil(self.begins / step) * step
        return [(at, _label(at, step)) for at in _until(first, step, self.ends)]


def time_axis(report: Report) -> TimeAxis | None:
    """The axis of a report; None when no time is known."""
    known = [at for at in (report.began, report.ended) if at is not None]
    if len(known) < 2:
        points = (moment for series in report.series for moment, value in series.points)
        known += [*points, *(event.time for event in report.events)]
    if not known:
        return None
    return TimeAxis(min(known), max(*known, min(known) + 1))


def top_of(values: Iterable[float | None], limit: float | None, unit: str) -> float:
    """A round number that all values stay below; the limit too, if it is not far away."""
    peak = max((value for value in values if value is not None), default=0.0)
    if limit is not None and (peak <= 0 or limit <= peak * _FAR):
        peak = max(peak, limit * 1.05)
    if peak <= 0:
        return {"bytes": 1024.0**2, "share": 0.01}.get(unit, 1.0)
    # Bytes are told in MiB and GiB: they have to be round in these.
    base = 1.0 if unit != "bytes" else 1024.0**3 if peak >= 0.9 * 1024**3 else 1024.0**2
    scaled = peak / base
    power = 10.0 ** math.floor(math.log10(scaled))
    return next(one for one in (*_ROUND, 20) if one * power >= scaled * 0.999999) * power * base


def _until(first: float, step: float, last: float) -> Iterator[float]:
    places = itertools.takewhile(lambda at: at <= last, (first + count * step for count in range(_TICKS + 2)))
    return iter(list(places))


def _label(moment: float, step: float) -> str:
    told = time.gmtime(moment)
    if step >= 365 * _DAY:
        return time.strftime("%Y", told)
    if moment % _DAY == 0:
        return f"{told.tm_mday} {time.strftime('%b', told)}"
    return time.strftime("%H:%M", told)
