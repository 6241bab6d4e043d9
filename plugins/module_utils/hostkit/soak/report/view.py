# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A report read once and carefully, for all that show it: missing, null, huge or odd values do no harm."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ...board_text import human_size, one_line
from ..numbers import number as finite

PASS, FAIL, INCONCLUSIVE, NOT_TESTED, RUNNING = "PASS", "FAIL", "INCONCLUSIVE", "NOT TESTED", "RUNNING"
# What needs a person comes first.
ORDER = (FAIL, INCONCLUSIVE, NOT_TESTED, PASS)
METRICS = ("memory", "cpu", "latency", "errors", "restarts", "disk")
# More than that helps nobody, and has no end when a name or a message is hostile; report.json has all of it.
_NAME, _TEXT, _LIST = 160, 2000, 500
POINTS = 300
_SERIES = 600
# The words of the journal, for those who do not know it.
_KINDS = {
    "die": "exit",
    "oom": "out of memory",
    "destroy": "removal",
    "heal": "restart by the watch",
    "heal_failed": "failed restart by the watch",
    "given_up": "given up by the watch",
    "mark": "note",
    "drill": "restore drill",
}
_CLOCK = "clock"
_GAPS = {
    "soak": "the soak itself was not there",
    "boot": "the host was not there",
    "restart": "the watch was not there",
    "engine": "Docker did not answer",
    "stalled": "the host stood still",
    "events": "too many events came",
    "journal": "lines of the journal could not be written",
    _CLOCK: "the wall clock was set",
}
_NO_CHARACTERS = re.compile(r"[\ufdd0-\ufdef\ufffe\uffff]")
_YEAR_9999 = 253_402_300_799


@dataclass(frozen=True)
class Subject:
    """What a check says of one service, disk or way."""

    name: str
    verdict: str
    observed: str
    values: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Check:
    """One check. Evidence: pairs of a time (seconds since 1970, or None) and a text."""

    id: str
    title: str
    verdict: str
    limit: str
    observed: str
    evidence: tuple[tuple[float | None, str], ...]
    subjects: tuple[Subject, ...]
    untested: str
    next: str


@dataclass(frozen=True)
class Event:
    """What happened, at a time in seconds since 1970."""

    time: float
    kind: str
    subject: str
    text: str
    planned: bool


@dataclass(frozen=True)
class Gap:
    """A time of which nothing is known, in seconds since 1970. After a clock that was set no time is missing."""

    begins: float
    ends: float
    reason: str
    planned: bool
    missing: bool


@dataclass(frozen=True)
class Series:
    """A curve: pairs of a time (seconds since 1970) and a value, None where nothing is known."""

    name: str
    unit: str
    subject: str
    limit: float | None
    points: tuple[tuple[float, float | None], ...]

    @cached_property
    def peak(self) -> float | None:
        """The highest value; None when there is none."""
        return max((value for moment, value in self.points if value is not None), default=None)


@dataclass(frozen=True)
class Report:
    """A whole report. `verdict` is RUNNING while there is none yet."""

    run: str
    name: str
    host: str
    release: str
    verdict: str
    running: bool
    reason: str
    next: str
    began: float | None
    ended: float | None
    duration: float | None
    warmup: float | None
    samples: int | None
    coverage: float | None
    checks: tuple[Check, ...]
    not_tested: tuple[tuple[str, str], ...]
    events: tuple[Event, ...]
    gaps: tuple[Gap, ...]
    notes: tuple[str, ...]
    series: tuple[Series, ...] = field(repr=False)

    def of(self, verdict: str) -> list[Check]:
        """The checks with that verdict."""
        return [check for check in self.checks if check.verdict == verdict]

    @property
    def left(self) -> float | None:
        """Seconds until it ends; None when it has, or that is not known."""
        if not self.running or None in (self.began, self.ended, self.duration):
            return None
        return max(0.0, (self.began or 0.0) + (self.duration or 0.0) - (self.ended or 0.0))

    @property
    def elapsed(self) -> float:
        """Seconds from the start to the end, or to the last sample; 0 when that is not known."""
        return max(0.0, self.ended - self.began) if self.began is not None and self.ended is not None else 0.0

    @property
    def holes(self) -> list[Gap]:
        """The gaps in which time is missing."""
        return [gap for gap in self.gaps if gap.missing]

    @property
    def unproven(self) -> bool:
        """Whether the verdict is bad and no check shows it, as in a report without checks."""
        bad = self.verdict in (FAIL, INCONCLUSIVE)
        shown = self.of(FAIL) or (self.verdict == INCONCLUSIVE and self.of(INCONCLUSIVE))
        return bad and not shown


def read(report: Mapping[str, Any]) -> Report:
    """Read a report as of docs/soak_journal.md. What is of another kind than it should be counts as missing.

    No verdict and none coming counts as INCONCLUSIVE: what cannot be read must not look like a PASS.
    """
    running = report.get("running") is True
    verdict = report.get("verdict")
    if verdict not in (PASS, FAIL, INCONCLUSIVE):
        verdict = RUNNING if running else INCONCLUSIVE
    samples = number(report.get("samples"))
    checks = [_check(entry) for entry in _mappings(report.get("checks"))]
    return Report(
        run=words(report.get("run"), _NAME),
        name=words(report.get("name"), _NAME),
        host=words(report.get("host"), _NAME),
        release=_release(report.get("release")),
        verdict=verdict,
        running=running,
        reason=words(report.get("reason")),
        next=words(report.get("next")),
        began=moment(report.get("began")),
        ended=moment(report.get("ended")),
        duration=_positive(report.get("duration")),
        warmup=_positive(report.get("warmup")),
        samples=None if samples is None or samples < 0 else int(samples),
        coverage=_positive(report.get("coverage")),
        checks=tuple(sorted(checks, key=lambda check: ORDER.index(check.verdict))),
        not_tested=tuple(
            (words(entry.get("what")), words(entry.get("why"))) for entry in _mappings(report.get("not_tested"))
        ),
        events=tuple(sorted(_events(report.get("events")), key=lambda event: event.time)),
        gaps=tuple(_gaps(report.get("gaps"))),
        notes=tuple(words(note) for note in _list(report.get("notes")) if note),
        series=tuple(_series(entry) for entry in _mappings(report.get("series"), _SERIES)),
    )


def words(value: object, most: int = _TEXT) -> str:
    """A value as one line that steers no terminal, of at most so many characters; empty for None."""
    if value is None:
        return ""
    # No more is looked at than may be shown: cleaning megabytes takes its time.
    text = str(value)[: most * 4] if isinstance(value, str) else _plain(value)
    # A lone half of a pair is no text that could be written down, and what is no character has no place in one.
    text = one_line(_NO_CHARACTERS.sub("", text.encode("utf-8", "replace").decode("utf-8")))
    return text if len(text) <= most else text[: most - 1] + "…"


def _plain(value: object) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:g}"
    if isinstance(value, int) and abs(value) >= 10**15:
        return "a huge number"
    return str(value) if isinstance(value, bool | int | float) else ""


def number(value: object) -> float | None:
    """A value as a number; None for what is none, is not finite, or is too large for one."""
    found = finite(value)
    return found if found is not None and abs(found) < 1e30 else None


def moment(value: object) -> float | None:
    """A value as a time in seconds since 1970; None for what is none that a calendar has."""
    found = number(value)
    return found if found is not None and 0 <= found <= _YEAR_9999 else None


def when(seconds: float | None, form: str = "%Y-%m-%d %H:%M UTC") -> str:
    """A time as of `moment` in words; empty for None."""
    return "" if seconds is None else time.strftime(form, time.gmtime(seconds))


def span(seconds: float | None) -> str:
    """So long, in at most two units: `23 h 10 min`; empty for None."""
    if seconds is None:
        return ""
    left = max(0, round(seconds))
    # Seconds say nothing beside hours.
    left = left if left < 3600 else round(left / 60) * 60
    parts = []
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if left >= size:
            parts.append(f"{left // size} {unit}")
            left %= size
    # A day is 24 h in this trade; from two on they are days.
    if parts and parts[0] == "1 d":
        hours = 24 + (int(parts[1].split()[0]) if len(parts) > 1 and parts[1].endswith(" h") else 0)
        parts = [f"{hours} h", *(part for part in parts[1:] if part.endswith("min"))]
    return " ".join(parts[:2]) or "0 s"


def quantity(value: float | None, unit: str) -> str:
    """A value of a series in words: `1.5 GiB`, `61 %`, `180 ms`; empty for None."""
    if value is None:
        return ""
    if unit == "bytes":
        return human_size(value) or "0"
    if unit == "share":
        return f"{number_text(value * 100)} %"
    return f"{number_text(value)} ms" if unit == "ms" else number_text(value)


def number_text(value: float) -> str:
    """A number in as few digits as it needs."""
    if abs(value) >= 1e7:
        return f"{value:.1e}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2g}" if abs(value) < 10 else f"{value:.3g}"


def _release(value: object) -> str:
    if not isinstance(value, Mapping):
        return words(value, _NAME)
    version, id_ = words(value.get("version"), _NAME), words(value.get("id"), _NAME)
    return f"{version} ({id_})" if version and id_ and version != id_ else version or id_


def _positive(value: object) -> float | None:
    found = number(value)
    return found if found is not None and 0 <= found <= _YEAR_9999 else None


def _list(value: object, most: int = _LIST) -> list[Any]:
    return list(value[:most]) if isinstance(value, list | tuple) else []


def _mappings(value: object, most: int = _LIST) -> list[Mapping[str, Any]]:
    return [entry for entry in _list(value, most) if isinstance(entry, Mapping)]


def _verdict(value: object) -> str:
    return value if isinstance(value, str) and value in ORDER else INCONCLUSIVE


def _check(entry: Mapping[str, Any]) -> Check:
    subjects = [
        Subject(
            words(one.get("subject"), _NAME),
            _verdict(one.get("verdict")),
            words(one.get("observed")),
            _values(one.get("values")),
        )
        for one in _mappings(entry.get("subjects"))
    ]
    id_ = words(entry.get("id"), _NAME)
    return Check(
        id=id_,
        title=words(entry.get("title"), _NAME) or id_ or "A check without a name",
        verdict=_verdict(entry.get("verdict")),
        limit=words(entry.get("limit")),
        observed=words(entry.get("observed")),
        evidence=tuple(
            (moment(one.get("time")), words(one.get("text"))) for one in _mappings(entry.get("evidence"), 100)
        ),
        subjects=tuple(sorted(subjects, key=lambda subject: ORDER.index(subject.verdict))),
        untested=words(entry.get("untested")),
        next=words(entry.get("next")),
    )


def _values(value: object) -> tuple[tuple[str, float], ...]:
    if not isinstance(value, Mapping):
        return ()
    found = [(words(name, _NAME), number(one)) for name, one in list(value.items())[:20]]
    return tuple((name, one) for name, one in found if one is not None)


def _events(value: object) -> list[Event]:
    return [
        Event(
            at,
            _KINDS.get(kind := words(entry.get("kind"), _NAME), kind),
            words(entry.get("subject"), _NAME),
            words(entry.get("text"), 400),
            entry.get("planned") is True,
        )
        for entry in _mappings(value)
        if (at := moment(entry.get("time"))) is not None
    ]


def _gaps(value: object) -> list[Gap]:
    found = []
    for entry in _mappings(value):
        begins, ends = moment(entry.get("from")), moment(entry.get("to"))
        if begins is not None and ends is not None and begins <= ends:
            reason = words(entry.get("reason"), _NAME)
            planned = entry.get("planned") is True
            found.append(Gap(begins, ends, _GAPS.get(reason, reason), planned, reason != _CLOCK))
    return found


def _series(entry: Mapping[str, Any]) -> Series:
    pairs = [pair for pair in _list(entry.get("points"), 100_000) if isinstance(pair, list | tuple) and len(pair) == 2]
    pairs = pairs[:: max(1, math.ceil(len(pairs) / POINTS))]
    points = [(at, number(pair[1])) for pair in pairs if (at := moment(pair[0])) is not None]
    return Series(
        name=words(entry.get("name"), _NAME),
        unit=words(entry.get("unit"), _NAME),
        subject=words(entry.get("subject"), _NAME),
        limit=_positive_limit(entry.get("limit")),
        points=tuple(sorted(points, key=lambda point: point[0])),
    )


def _positive_limit(value: object) -> float | None:
    found = number(value)
    return found if found is not None and found >= 0 else None
