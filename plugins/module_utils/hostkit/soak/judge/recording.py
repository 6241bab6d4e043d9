# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was read from a journal, as arrays of numbers: a day of 50 services takes a few dozen MB.

Times are seconds after the start of the soak, by a clock that nobody sets (see timeline.py). What is not known is
UNKNOWN (-1): no figure of a journal is negative but the offset of the clock, which has NO_OFFSET.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

UNKNOWN = -1.0
NO_OFFSET = -1e9

# The figures of a container that are read. Those behind `started` are codes that the reader gives.
CONTAINER = (
    "memory_anonymous",
    "memory_limit",
    "memory",
    "cpu_seconds",
    "cpu_limit",
    "cpu_periods",
    "cpu_throttled",
    "processes",
    "descriptors",
    "sockets",
    "restarts",
    "oom_kills",
    "last_exit_code",
    "heals",
    "started",
)
CODES = ("id", "up", "health")
HEALTH = ("none", "starting", "healthy", "unhealthy")
HOST = (
    "memory_total",
    "memory_available",
    "cpu_some",
    "memory_some",
    "memory_full",
    "io_some",
    "io_full",
    "conntrack",
    "conntrack_max",
    "clock_synchronised",
)
FILESYSTEM = ("size", "available", "files", "files_free")
POSTGRES = (
    "connections",
    "connections_max",
    "archived",
    "archive_failed",
    "dead_rows",
    "live_rows",
    "deadlocks",
)
REDIS = ("memory", "memory_max", "evicted", "rejected", "save_ok", "append_ok")
BACKUP = ("last_success", "last_drill", "failed")
PROBE = ("requests", "failures")
EDGE = ("requests", "errors")
LOGS = ("lines", "errors")


class Rows:
    """Rows of numbers at times: one column for each name."""

    __slots__ = ("block", "names", "times")

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.times = array("d")
        self.block = array("d")

    def __len__(self) -> int:
        return len(self.times)

    def column(self, name: str) -> array[float]:
        """All values of a name, in the order of `times`."""
        return self.block[self.names.index(name) :: len(self.names)]

    def known(self, name: str) -> tuple[array[float], array[float]]:
        """Times and values of those that are known."""
        values = self.column(name)
        if not values or min(values) >= 0:
            return self.times, values
        times = array("d", (at for at, value in zip(self.times, values, strict=True) if value >= 0))
        return times, array("d", (value for value in values if value >= 0))

    def sort(self) -> None:
        """Bring rows into the order of time. One with the same time as the one before goes."""
        width, kept_times, kept = len(self.names), array("d"), array("d")
        last = -1e300
        for index in sorted(range(len(self.times)), key=self.times.__getitem__):
            if self.times[index] != last:
                last = self.times[index]
                kept_times.append(last)
                kept.extend(self.block[index * width : (index + 1) * width])
        self.times, self.block = kept_times, kept


@dataclass(frozen=True)
class Event:
    """Something that happened. `at` in seconds after the start; `details` as in the line."""

    at: float
    kind: str
    service: str
    container: str
    id: str
    details: dict[str, Any]


@dataclass(frozen=True)
class Gap:
    """Nobody knows what happened from `begins` to `ends` (seconds after the start)."""

    begins: float
    ends: float
    reason: str


@dataclass
class Track:
    """A container by its name, over all its ids and starts."""

    project: str
    service: str
    container: str
    rows: Rows = field(default_factory=lambda: Rows(CONTAINER + CODES))


@dataclass
class Probe:
    """Requests by one way. `latency`: of each slot (a 48th of the soak), how many took up to 1.1 ** i ms, by i."""

    name: str
    way: str
    rows: Rows = field(default_factory=lambda: Rows(PROBE))
    latency: dict[int, dict[str, int]] = field(default_factory=dict)


@dataclass
class Recording:
    """All of a journal."""

    run: str = ""
    host: str = ""
    release: dict[str, Any] = field(default_factory=dict)
    services: list[str] = field(default_factory=list)
    settings: dict[str, Any] | None = None
    not_tested: list[dict[str, str]] = field(default_factory=list)
    watch_healed: float = UNKNOWN
    # Seconds since 1970 at which it began.
    began: float = 0.0
    started: bool = False
    # Of each sample: when, and whether it said anything of containers.
    times: array[float] = field(default_factory=lambda: array("d"))
    boots: list[tuple[float, str]] = field(default_factory=list)
    slot: float = 1800.0
    tracks: dict[tuple[str, str, str], Track] = field(default_factory=dict)
    container_times: array[float] = field(default_factory=lambda: array("d"))
    missing: dict[tuple[str, str], array[float]] = field(default_factory=dict)
    probes: dict[tuple[str, str], Probe] = field(default_factory=dict)
    edge: Rows = field(default_factory=lambda: Rows(EDGE))
    host_rows: Rows = field(default_factory=lambda: Rows(HOST))
    offsets: Rows = field(default_factory=lambda: Rows(("clock_offset",)))
    filesystems: dict[str, Rows] = field(default_factory=dict)
    target_rows: Rows = field(default_factory=lambda: Rows(("up", "down")))
    targets_down: dict[str, array[float]] = field(default_factory=dict)
    alerts_seen: int = 0
    alerts: dict[tuple[str, str, str], array[float]] = field(default_factory=dict)
    postgres: Rows = field(default_factory=lambda: Rows(POSTGRES))
    redis: Rows = field(default_factory=lambda: Rows(REDIS))
    # Of each: when it was looked at last, when it ends, and its lifetime; 0 where that is not known.
    certificates: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    backup: Rows = field(default_factory=lambda: Rows(BACKUP))
    canary: list[tuple[float, bool, dict[str, str]]] = field(default_factory=list)
    canary_seen: int = 0
    logs: dict[str, Rows] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    ended: tuple[float, str, str] | None = None
    # What is odd about the journal: what, and how often.
    odd: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    @property
    def last(self) -> float:
        """The time of the newest sample; 0 when there is none."""
        return self.times[-1] if self.times else 0.0

    def all_rows(self) -> list[Rows]:
        """Every table of it."""
        plain = [self.edge, self.host_rows, self.offsets, self.target_rows, self.postgres, self.redis, self.backup]
        several = [track.rows for track in self.tracks.values()] + [probe.rows for probe in self.probes.values()]
        return plain + several + list(self.filesystems.values()) + list(self.logs.values())
