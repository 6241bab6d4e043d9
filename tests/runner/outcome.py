"""What a part of the test suite brought: counts, skips with their reasons, and the evidence of failures."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

EVIDENCE_LINES = 40
LINE_WIDTH = 200

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class PartError(Exception):
    """A part cannot do its work; the message says what is wrong and the fix."""


@dataclass(frozen=True)
class Problem:
    """One failure: which check, scenario or suite, and the lines that show why."""

    name: str
    lines: Sequence[str]


@dataclass
class Outcome:
    """Counts of one part; `skipped` holds (test, reason), `figures` what tests measured, as 'what|figure'."""

    passed: int = 0
    failed: int = 0
    skipped: list[tuple[str, str]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)

    @property
    def ran(self) -> int:
        return self.passed + self.failed

    def fail(self, name: str, lines: Iterable[str], count: int = 1) -> None:
        """Add failures with their evidence."""
        self.failed += count
        self.problems.append(Problem(name, list(lines)))

    def add(self, other: Outcome) -> None:
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.problems += other.problems
        self.figures += other.figures

    def line(self) -> str:
        """Return 'N passed, N failed', with ', N skipped' when there are skips."""
        text = f"{self.passed} passed, {self.failed} failed"
        return f"{text}, {len(self.skipped)} skipped" if self.skipped else text

    def figure_lines(self) -> list[str]:
        """Return one line for each thing that was measured, with all its figures."""
        by_subject: dict[str, list[str]] = defaultdict(list)
        for entry in self.figures:
            subject, _bar, figure = entry.partition("|")
            by_subject[subject].append(figure)
        return [f"{subject}: {', '.join(figures)}" for subject, figures in by_subject.items()]

    def skip_lines(self) -> list[str]:
        """Return one line for each reason, with how many tests it concerns."""
        by_reason: dict[str, list[str]] = defaultdict(list)
        for name, reason in self.skipped:
            by_reason[reason].append(name)
        lines = []
        for reason, names in by_reason.items():
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            lines.append(f"{names[0]}{more}: {reason}")
        return lines


def plain(text: str) -> str:
    """Return text without escape sequences and control characters; of a line that was rewritten, its last state."""
    return _CONTROL.sub("", _ESCAPES.sub("", text.rstrip("\r\n").rpartition("\r")[2]))


def read_lines(path: Path) -> list[str]:
    """Return the plain lines of a log; none when it does not exist."""
    if not path.exists():
        return []
    return [plain(line) for line in path.read_text(encoding="utf-8", errors="replace").split("\n")]


def evidence(lines: Iterable[str], limit: int = EVIDENCE_LINES) -> list[str]:
    """Return the last lines that say something, each cut to a readable width."""
    kept = [line.rstrip() for line in lines if line.strip()]
    return [line if len(line) <= LINE_WIDTH else line[: LINE_WIDTH - 1] + "…" for line in kept[-limit:]]
