# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What all checks need: the recording, the limits, the windows; and the form of a check."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..settings import Limits, Settings
from .plan import Plan
from .recording import Recording, Track

PASS = "PASS"  # noqa: S105
FAIL = "FAIL"
INCONCLUSIVE = "INCONCLUSIVE"
NOT_TESTED = "NOT TESTED"
# Why what is about containers could not be tested.
NOTHING_SEEN = "the watch wrote nothing down of any container"
_ORDER = {NOT_TESTED: 0, PASS: 1, INCONCLUSIVE: 2, FAIL: 3}
# So many lines of evidence, the first and the last, are enough.
_EVIDENCE = 12
DAY = 86400.0


def worst(verdicts: Sequence[str]) -> str:
    """FAIL before INCONCLUSIVE before PASS before NOT TESTED."""
    return max(verdicts, key=_ORDER.__getitem__, default=NOT_TESTED)


@dataclass
class Subject:
    """How a check went for one service, disk, …"""

    subject: str
    verdict: str
    observed: str
    values: dict[str, float] = field(default_factory=dict)


@dataclass
class Check:
    """One check, as in the report. `early`: a FAIL of it is certain before the time is over."""

    id: str
    title: str
    limit: str = ""
    verdict: str = NOT_TESTED
    observed: str = ""
    evidence: list[tuple[float | None, str]] = field(default_factory=list)
    subjects: list[Subject] = field(default_factory=list)
    untested: str = ""
    next: str = ""
    early: bool = False

    def add(self, subject: str, verdict: str, observed: str, **values: float) -> Subject:
        """Add a subject; the check becomes as bad as its worst."""
        one = Subject(subject, verdict, observed, values)
        self.subjects.append(one)
        self.verdict = worst([self.verdict, verdict])
        return one

    def say(self, at: float | None, text: str) -> None:
        """Add evidence."""
        self.evidence.append((at, text))

    def not_tested(self, why: str) -> Check:
        """Nothing is known."""
        self.verdict, self.observed, self.untested = NOT_TESTED, "nothing", why
        return self

    def bad(self) -> list[str]:
        """The subjects that fail."""
        return [one.subject for one in self.subjects if one.verdict == FAIL]

    def as_dict(self, began: float) -> dict[str, Any]:
        """As in the report."""
        told = self.evidence
        if len(told) > _EVIDENCE:
            left = len(told) - _EVIDENCE
            told = [*told[: _EVIDENCE - 2], (None, f"… {left} more …"), *told[-2:]]
        return {
            "id": self.id,
            "title": self.title,
            "verdict": self.verdict,
            "limit": self.limit,
            "observed": self.observed,
            "evidence": [{"time": None if at is None else round(began + at, 3), "text": text} for at, text in told],
            "subjects": [
                {
                    "subject": one.subject,
                    "verdict": one.verdict,
                    "observed": one.observed,
                    "values": {name: round(value, 6) for name, value in one.values.items()},
                }
                for one in self.subjects
            ],
            "untested": self.untested,
            "next": self.next if self.verdict in (FAIL, INCONCLUSIVE) else "",
        }


@dataclass
class Context:
    """Of one evaluation."""

    recording: Recording
    settings: Settings
    plan: Plan
    running: bool
    # Until when it is judged, in seconds after the start.
    until: float
    baseline: Recording | None = None

    @property
    def limits(self) -> Limits:
        """What may be."""
        return self.settings.limits

    @property
    def scale(self) -> float:
        """Windows are made for a day. A soak of minutes has shorter ones, in proportion; a longer one the same."""
        return min(1.0, self.settings.duration / DAY)

    def window(self, seconds: float) -> float:
        """A window of so many seconds in a day; never less than three samples."""
        return max(seconds * self.scale, 3 * self.settings.interval)

    @property
    def warm(self) -> float:
        """When the warm-up is over."""
        return self.settings.warmup

    @property
    def complete(self) -> bool:
        """Whether it went on to its end."""
        ended = self.recording.ended
        return ended is not None and ended[1] == "finished" and self.spanned

    @property
    def spanned(self) -> bool:
        """Whether the samples go on to the end of the time."""
        slack = max(2 * self.settings.interval, self.settings.duration * (1 - self.limits.coverage))
        return self.recording.last >= self.settings.duration - slack

    def tracks(self) -> Iterator[tuple[str, Track]]:
        """Each container with a short name: that of its service, when the service has no other."""
        services: dict[str, int] = {}
        for track in self.recording.tracks.values():
            services[track.service] = services.get(track.service, 0) + 1
        for track in self.recording.tracks.values():
            yield (track.service if services[track.service] == 1 else f"{track.service} ({track.container})"), track


def join(names: Sequence[str], most: int = 4) -> str:
    """a, b and 3 more."""
    if len(names) <= most:
        return ", ".join(names)
    return ", ".join(names[:most]) + f" and {len(names) - most} more"


def hours(seconds: float) -> str:
    """A time span in words."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def plural(count: float, one: str, many: str = "") -> str:
    """1 restart, 2 restarts."""
    return f"{count:.0f} {one if count == 1 else many or one + 's'}"
