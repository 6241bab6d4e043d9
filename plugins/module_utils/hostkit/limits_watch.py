# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Watches the containers of a stack for a while, and says whether their limits held.

Looked at before, during and after: memory once a second, since the kernel's own peak holds the page cache too; what
counts up (restarts, kills, throttled periods) at both ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .board_text import aligned, clean_text
from .container_limits import Groups, Reading, read_containers
from .engine import Engine

INTERVAL = 1.0
# Fewer periods than that (of 100 ms each) say little: a health check alone is throttled in one of two.
PERIODS_MIN = 20


@dataclass(frozen=True)
class Bounds:
    """What is still good: the share of its memory limit that a container stays below, of its CPU periods cut short."""

    memory: float = 0.9
    throttled: float = 0.25


@dataclass
class Watch:
    """One watch. Engine, clock and sleep are injected. `run` may be told to end early with `stop`."""

    engine: Engine
    project: str
    bounds: Bounds = field(default_factory=Bounds)
    root: Path = field(default_factory=lambda: Path("/"))
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    looks: int = 0

    def __post_init__(self) -> None:
        self._before: dict[str, Reading] = {}
        self._groups: dict[str, Groups] = {}
        self._peaks: dict[str, int] = {}
        self._stopped = False

    def stop(self) -> None:
        """Let `run` end after the look that it is at."""
        self._stopped = True

    def run(self, seconds: float, each: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """Watch for at most so long and return the report. `each` is called after every look. Raises EngineError."""
        began = self.clock()
        self._before = {reading.container: reading for reading, _groups in self._find()}
        while not self._stopped and self.clock() - began < seconds:
            self._look()
            each()
            self.sleep(INTERVAL)
        self._look()
        after = [reading for reading, _groups in self._find()]
        return self._report(after, self.clock() - began)

    def _find(self) -> list[tuple[Reading, Groups | None]]:
        found = read_containers(self.engine, self.project, self.root)
        self._groups = {reading.container: groups for reading, groups in found if groups is not None}
        for reading, _groups in found:
            self._note(reading.container, reading.used)
        return found

    def _look(self) -> None:
        self.looks += 1
        gone = False
        for container, groups in self._groups.items():
            used = groups.used()
            self._note(container, used)
            gone |= used is None
        if gone:
            # It was started again, or another took its place: where that one is counted must be asked.
            self._find()

    def _note(self, container: str, used: int | None) -> None:
        if used is not None:
            self._peaks[container] = max(used, self._peaks.get(container, 0))

    # --- the verdict ------------------------------------------------------------------------------------------------

    def _report(self, after: list[Reading], seconds: float) -> dict[str, Any]:
        rows, points = [], []
        known = {reading.container for reading in after}
        for lost in (reading for reading in self._before.values() if reading.container not in known):
            points.append(_point("replaced", lost.service, "its container was removed or replaced meanwhile"))
        for reading in after:
            # One that came meanwhile has counted from nothing.
            before = self._before.get(reading.container)
            row = self._row(before, reading)
            rows.append(row)
            points += self._points(before, reading, row)
        if not rows:
            points.append(_point("nothing", self.project, "no container of this project is there"))
        return {
            "seconds": round(seconds, 1),
            "looks": self.looks,
            "held": not points,
            "services": rows,
            "points": points,
        }

    def _row(self, before: Reading | None, after: Reading) -> dict[str, Any]:
        earlier = before.throttling if before else None
        periods = _grown(earlier, after.throttling, 0)
        throttled = _grown(earlier, after.throttling, 1)
        return {
            "service": after.service,
            "container": after.container[:12],
            "running": after.running,
            "memory_peak_bytes": self._peaks.get(after.container),
            "memory_limit_bytes": after.memory_limit,
            "cpu_limit": after.cpu_limit,
            "cpu_periods": periods,
            "cpu_periods_throttled": throttled,
            "throttled_share": round(throttled / periods, 3) if periods and throttled is not None else 0.0,
            "restarts": after.restarts - (before.restarts if before else 0),
            "oom_kills": max(0, (after.oom_kills or 0) - ((before and before.oom_kills) or 0)),
        }

    def _points(self, before: Reading | None, after: Reading, row: dict[str, Any]) -> list[dict[str, str]]:
        service, found = after.service, []
        again = before is not None and before.started != after.started
        if row["restarts"] > 0 or again:
            times = f"{row['restarts']} times" if row["restarts"] > 1 else "once"
            found.append(_point("restart", service, f"it was restarted {times}"))
        if row["oom_kills"] or (after.oom_killed and (again or not (before and before.oom_killed))):
            found.append(_point("oom", service, "the kernel killed a process of it, since its memory was used up"))
        if before is not None and before.running and not after.running:
            found.append(_point("stopped", service, "it has stopped"))
        if not after.running:
            return found
        peak = row["memory_peak_bytes"]
        if peak is None:
            found.append(_point("unread", service, "what it uses cannot be read from the kernel's control groups"))
        elif after.memory_limit and peak >= self.bounds.memory * after.memory_limit:
            share, bound = peak / after.memory_limit, self.bounds.memory
            text = f"it used {share:.0%} of its memory limit of {_mib(after.memory_limit)}, {bound:.0%} is the bound"
            found.append(_point("memory", service, text))
        if (row["cpu_periods"] or 0) >= PERIODS_MIN and row["throttled_share"] > self.bounds.throttled:
            text = (
                f"it was cut short in {row['throttled_share']:.0%} of its CPU periods "
                f"({row['cpu_periods_throttled']} of {row['cpu_periods']}, at a limit of {after.cpu_limit:g} CPU), "
                f"{self.bounds.throttled:.0%} is the bound"
            )
            found.append(_point("throttled", service, text))
        return found


def _grown(before: tuple[int, int] | None, after: tuple[int, int] | None, index: int) -> int | None:
    """How far a counter went up; one that is lower than before began anew."""
    if after is None:
        return None
    earlier = before[index] if before is not None and before[0] <= after[0] else 0
    return max(0, after[index] - earlier)


def _point(rule: str, service: str, text: str) -> dict[str, str]:
    return {"rule": rule, "service": service, "message": f"{service}: {text}."}


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"


def render(report: dict[str, Any]) -> list[str]:
    """The report as lines of a table, then one line for each point that was missed."""
    lines = [("service", "memory peak", "of limit", "throttled", "restarts", "OOM kills")]
    for row in report["services"]:
        peak, limit = row["memory_peak_bytes"], row["memory_limit_bytes"]
        cut = f"{row['throttled_share']:.0%} of {row['cpu_periods']}" if row["cpu_periods"] else "-"
        share = f"{peak / limit:.0%} of {_mib(limit)}" if peak is not None and limit else "-"
        memory = "-" if peak is None else _mib(peak)
        lines.append((row["service"], memory, share, cut, str(row["restarts"]), str(row["oom_kills"])))
    text = [line.rstrip() for line in aligned(lines)]
    return [clean_text(line) for line in (*text, *(f"! {point['message']}" for point in report["points"]))]
