# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a soak is told: how long, how often, what is too much, and what is expected to happen meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

# What may be expected. A gap or a restart within such a span is planned.
EXPECTED = ("rollout", "reboot", "dockerd", "restart", "outage")


class SoakError(Exception):
    """A soak cannot do what it is told; the text says why and the fix."""


@dataclass(frozen=True)
class Limits:
    """From where on a figure is too much. Shares are of 1; each is the most that may be, unless it says otherwise."""

    # Of all services together, over the soak, outside of what is expected.
    restarts: int = 0
    oom_kills: int = 0
    # Of its limit: anonymous memory, and the median of CPU over half an hour.
    memory_share: float = 0.75
    cpu_share: float = 0.60
    # MiB an hour. A slope below it is no leak, however sure it is.
    leak_mib_per_hour: float = 1.0
    # Of requests, of each service and each way through the edge.
    error_rate: float = 0.001
    p95_ms: float = 200.0
    # Fewer requests than that, on any way, and nothing is said of errors and latency.
    least_requests: int = 1000
    # The least share of the time that has to be covered by samples.
    coverage: float = 0.99
    # A disk that would be full within so many hours.
    disk_full_hours: float = 24.0
    conntrack_share: float = 0.8
    clock_offset_seconds: float = 0.5
    # The share of time in which everything waited for memory or disks (PSI full), median over half an hour.
    pressure_share: float = 0.1
    # Growth of descriptors and threads of a service over the soak: as a factor, and at least so many.
    growth_factor: float = 1.5
    growth_least: int = 50
    # Of logs: how many times as many lines with an error in an hour as in the first hours, and at least so many.
    error_lines_factor: float = 5.0
    error_lines_least: int = 100
    postgres_connections_share: float = 0.8
    redis_memory_share: float = 0.9
    certificate_days: float = 7.0
    # The least number within the soak; 0 where none is wanted.
    backups: int = 1
    drills: int = 1


@dataclass(frozen=True)
class Expected:
    """What is planned. `begins` and `ends` in seconds after the start of the soak; `service` empty for the host."""

    what: str
    begins: float
    ends: float
    service: str = ""


@dataclass(frozen=True)
class Settings:
    """Of one soak. Times in seconds. They stand in the first line of its journal."""

    name: str = "soak"
    duration: float = 86400.0
    # Seconds at the start that count for crashes, not for slopes, latency and shares: caches fill, agents connect.
    warmup: float = 1800.0
    # From sample to sample, and from request to request on each way.
    interval: float = 60.0
    probe_interval: float = 10.0
    limits: Limits = field(default_factory=Limits)
    expect: tuple[Expected, ...] = ()
    # The journal of an earlier soak to compare with; empty for none.
    baseline: str = ""
    # Whether it goes on to its end, though it is clear that the release does not hold.
    keep_going: bool = False

    def as_dict(self) -> dict[str, Any]:
        """As in the journal."""
        return asdict(self)


def settings_from(document: Mapping[str, Any]) -> Settings:
    """Read settings, as they stand in a journal or in a request. SoakError names what makes no sense, and the fix.

    Keys that are not known are left out: a newer version may have more.
    """
    limits = _numbers(Limits, document.get("limits") or {}, "limits.")
    expect = tuple(_expected(entry) for entry in document.get("expect") or ())
    plain = _numbers(Settings, document, "")
    texts: dict[str, Any] = {key: str(document[key]) for key in ("name", "baseline") if document.get(key)}
    keep_going = document.get("keep_going", False)
    if not isinstance(keep_going, bool):
        raise SoakError(f"keep_going has to be true or false, not {keep_going!r}. Fix: correct it")
    settings = Settings(limits=Limits(**limits), expect=expect, keep_going=keep_going, **plain, **texts)
    problem = _problem(settings)
    if problem:
        raise SoakError(problem)
    return settings


def _numbers(kind: Any, document: Mapping[str, Any], before: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if not isinstance(document, Mapping):
        raise SoakError(f"{before.rstrip('.') or 'settings'} has to be a mapping. Fix: write names and numbers")
    for one in fields(kind):
        default = one.default
        if one.name not in document or isinstance(default, bool) or not isinstance(default, int | float):
            continue
        value = document[one.name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
            raise SoakError(f"{before}{one.name} has to be a number of at least 0, not {value!r}. Fix: correct it")
        found[one.name] = int(value) if isinstance(default, int) and value == int(value) else float(value)
    return found


def _expected(entry: Any) -> Expected:
    if not isinstance(entry, Mapping) or entry.get("what") not in EXPECTED:
        raise SoakError(f"expect: `what` has to be one of {', '.join(EXPECTED)}, not {entry!r}. Fix: correct it")
    begins: Any = entry.get("begins", 0)
    ends: Any = entry.get("ends")
    good = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (begins, ends))
    if not good or not 0 <= begins < ends:
        raise SoakError(
            f"expect: `begins` and `ends` have to be seconds after the start, and end after they begin, not {entry!r}. "
            "Fix: correct them"
        )
    return Expected(str(entry["what"]), float(begins), float(ends), str(entry.get("service") or ""))


def _problem(settings: Settings) -> str:
    if settings.duration < 10 or settings.duration > 30 * 86400:
        return f"a duration of {settings.duration:g} s makes no sense. Fix: from 10 seconds to 30 days; 24h is usual"
    if settings.interval < 1 or settings.interval > settings.duration / 10:
        return (
            f"an interval of {settings.interval:g} s makes no sense for {settings.duration:g} s. "
            "Fix: from 1 second to a tenth of the duration; 60 is usual"
        )
    if settings.probe_interval < 0.1 or settings.probe_interval > settings.interval:
        return (
            f"a probe_interval of {settings.probe_interval:g} s makes no sense with an interval of "
            f"{settings.interval:g} s. Fix: from 0.1 seconds to the interval; 10 is usual"
        )
    if settings.warmup > settings.duration / 2:
        return (
            f"a warmup of {settings.warmup:g} s leaves less than half of {settings.duration:g} s. "
            "Fix: at most half of the duration; 30m is usual for 24h"
        )
    return ""
