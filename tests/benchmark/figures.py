"""Medians, ratios, the table and the sentence about two sides that were run in turn. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from .playbook import Run

UNSTEADY = 1.5


@dataclass(frozen=True)
class Side:
    """One of the two things compared: its name for people, and its runs in the order in which they were done."""

    name: str
    runs: Sequence[Run]

    @property
    def seconds(self) -> list[float]:
        return [run.seconds for run in self.runs]

    @property
    def median(self) -> float:
        return median(self.seconds)

    @property
    def unsteady(self) -> bool:
        """Whether the slowest run took so much longer than the quickest that something else used the machine."""
        return max(self.seconds) > UNSTEADY * min(self.seconds)

    @property
    def tasks(self) -> int:
        """Number of tasks, the same in each run. Raises ValueError when it was not."""
        counts = {run.tasks for run in self.runs}
        if len(counts) != 1:
            raise ValueError(f"{self.name} had {' and '.join(map(str, sorted(counts)))} tasks in its runs")
        return counts.pop()

    def as_json(self) -> dict[str, Any]:
        return {
            "tasks": self.tasks,
            "seconds": [round(value, 3) for value in self.seconds],
            "seconds_min": round(min(self.seconds), 3),
            "seconds_median": round(self.median, 3),
            "seconds_max": round(max(self.seconds), 3),
            "seconds_per_task": round(self.median / self.tasks, 4),
        }


@dataclass(frozen=True)
class Ratio:
    """How many times as long the second side takes: by the medians, and in the single rounds at least and at most."""

    median: float
    smallest: float
    largest: float

    def as_json(self) -> dict[str, float]:
        return {
            "median": round(self.median, 2),
            "pairwise_min": round(self.smallest, 2),
            "pairwise_max": round(self.largest, 2),
        }


def ratio_of(ours: Side, usual: Side) -> Ratio:
    """Compare the two sides. Raises ValueError when they have not the same number of runs, or none."""
    if len(ours.runs) != len(usual.runs) or not ours.runs:
        raise ValueError(f"{len(ours.runs)} runs of {ours.name} against {len(usual.runs)} of {usual.name}")
    pairs = [second / first for first, second in zip(ours.seconds, usual.seconds, strict=True)]
    return Ratio(usual.median / ours.median, min(pairs), max(pairs))


def table(sides: Sequence[Side]) -> list[str]:
    """Return the lines of a plain table: tasks, seconds, and seconds for each task."""
    width = max(len(side.name) for side in sides)
    lines = [f"  {'':<{width}}  {'tasks':>5}  {'min':>8}  {'median':>8}  {'max':>8}  {'per task':>8}"]
    for side in sides:
        values = (min(side.seconds), side.median, max(side.seconds))
        cells = "  ".join(f"{value:>6.1f} s" for value in values)
        lines.append(f"  {side.name:<{width}}  {side.tasks:>5}  {cells}  {side.median / side.tasks:>6.2f} s")
    return lines


def sentence(ours: Side, usual: Side, hosts: int) -> str:
    """Say in one sentence what came out, whichever way it went."""
    ratio = ratio_of(ours, usual)
    rounds = f" ({ratio.smallest:.1f} to {ratio.largest:.1f} in the single rounds)" if len(ours.runs) > 1 else ""
    return (
        f"A run that changes nothing on {hosts} {'host' if hosts == 1 else 'hosts'} takes {ours.median:.1f} s with "
        f"{ours.name} ({ours.tasks} tasks) and {usual.median:.1f} s {usual.name} ({usual.tasks} tasks): "
        f"{ratio.median:.1f} times as long{rounds}."
    )
