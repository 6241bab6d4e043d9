# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the daemon writes to /var/lib/hypercode/metrics/watch.prom, for node_exporter's textfile collector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..exposition import head, labels_of
from .counters import Usage
from .roster import HEALTH, Facts
from .tracks import Track

CONTAINER, WATCH, DRAINED = "hypercode_container", "hypercode_watch", "hypercode_edge_drained"


@dataclass(frozen=True)
class Sample:
    """One container as it was seen. `usage` is None while it does not run. `job`: it runs once and ends.

    `gone`: the kernel has no such container any more, and the engine is away and cannot say so.
    """

    facts: Facts
    track: Track
    usage: Usage | None = None
    job: bool = False
    gone: bool = False

    @property
    def up(self) -> bool | None:
        """Whether it runs; None for a job that has done its work, which is neither up nor down."""
        if self.facts.running:
            return not self.gone
        if self.job and self.facts.state in ("exited", "created") and not self.facts.exit_code:
            return None
        return False


@dataclass(frozen=True)
class Myself:
    """The daemon itself. `sampled` in seconds since 1970, `seconds` is how long the last look took."""

    sampled: float
    engine_up: bool
    seconds: float
    interval: float
    events_dropped: int = 0
    journal_errors: int = 0
    # Whether the edge of this host was told to say 503 to load balancers. Alerts on its errors wait meanwhile.
    drained: bool = False


_CONTAINER: Mapping[str, tuple[str, str]] = {
    "up": ("gauge", "1 while the container runs, 0 when it does not or when a service of the release has none."),
    "health": ("gauge", "1 for the state that the health check of the container is in."),
    "unhealthy_since_timestamp_seconds": ("gauge", "Since when the container is unhealthy, 0 when it is not."),
    "restarts_total": ("counter", "How often Docker has restarted the container since somebody started it."),
    "oom_kills_total": ("counter", "How many of its processes were killed because its memory was used up."),
    "last_exit_code": ("gauge", "With what the container ended last, 0 when it never has."),
    "started_timestamp_seconds": ("gauge", "When the container was started last."),
    "memory_bytes": ("gauge", "Memory in use, the page cache with it."),
    "memory_anonymous_bytes": ("gauge", "Memory in use without the page cache: what cannot be given back."),
    "memory_cache_bytes": ("gauge", "Page cache, which the kernel takes away when memory is short."),
    "memory_limit_bytes": ("gauge", "The memory limit."),
    "cpu_seconds_total": ("counter", "CPU time since the container was started."),
    "cpu_limit_cores": ("gauge", "The CPU limit, in cores."),
    "cpu_periods_total": ("counter", "Periods in which the container wanted to run."),
    "cpu_throttled_periods_total": ("counter", "Periods in which the container was stopped at its CPU limit."),
    "processes": ("gauge", "Processes and threads."),
    "processes_limit": ("gauge", "The limit of processes and threads."),
    "network_receive_bytes_total": ("counter", "Bytes received, without the loopback."),
    "network_transmit_bytes_total": ("counter", "Bytes sent, without the loopback."),
    "disk_read_bytes_total": ("counter", "Bytes read from disks."),
    "disk_write_bytes_total": ("counter", "Bytes written to disks."),
    "heals_total": ("counter", "How often the container was restarted because it was unhealthy."),
    "heal_given_up": ("gauge", "1 when the container is unhealthy and is not restarted any more."),
}
_WATCH: Mapping[str, tuple[str, str]] = {
    "last_sample_timestamp_seconds": ("gauge", "When the containers were looked at last."),
    "engine_up": ("gauge", "1 while the Docker engine answers."),
    "sample_seconds": ("gauge", "How long the last look took."),
    "interval_seconds": ("gauge", "How often the containers are looked at."),
    "events_dropped_total": ("counter", "Events that were counted only, because too many came."),
    "journal_errors_total": ("counter", "Lines of the journal that could not be written."),
}


def exposition(
    samples: Sequence[Sample], missing: Sequence[tuple[str, str]], myself: Myself, more: Sequence[str] = ()
) -> bytes:
    """The text of the file. `missing` are projects and services that should have a container and have none.

    `more` are lines about what is no container.
    """
    # By the labels: two of the same would spoil the file.
    labelled = {_labels(sample.facts.labels): _values(sample) for sample in samples}
    absent = [_labels({"project": project, "service": service, "container": ""}) for project, service in missing]
    lines: list[str] = []
    for name, (kind, text) in _CONTAINER.items():
        metric = f"{CONTAINER}_{name}"
        found = list(_of_metric(name, labelled, absent))
        if found:
            lines += head(metric, text, kind)
            lines += [f"{metric}{{{labels}}} {value}" for labels, value in found]
    own = _own_values(myself)
    for name, (kind, text) in _WATCH.items():
        lines += head(f"{WATCH}_{name}", text, kind)
        lines.append(f"{WATCH}_{name} {own[name]}")
    lines += head(DRAINED, "1 while the edge is drained: it answers 503 to load balancers on purpose.", "gauge")
    lines.append(f"{DRAINED} {int(myself.drained)}")
    lines += more
    return ("\n".join(lines) + "\n").encode()


def _labels(labels: Mapping[str, str]) -> str:
    # A name that is no text, such as half of a surrogate pair, must not spoil the file for all others.
    return labels_of({name: value.encode(errors="replace").decode() for name, value in labels.items()})


def _of_metric(
    name: str, labelled: Mapping[str, Mapping[str, str | None]], absent: Sequence[str]
) -> Iterator[tuple[str, str]]:
    if name == "health":
        for labels, values in labelled.items():
            yield from ((f'{labels},state="{word}"', str(int(word == values["health"]))) for word in HEALTH)
        return
    for labels, values in labelled.items():
        value = values[name]
        if value is not None:
            yield labels, value
    if name == "up":
        yield from ((labels, "0") for labels in absent)


def _values(sample: Sample) -> dict[str, str | None]:
    facts, track = sample.facts, sample.track
    usage = sample.usage or Usage()
    up = sample.up
    return {
        "up": None if up is None else str(int(up)),
        "health": facts.health if facts.running else "none",
        "unhealthy_since_timestamp_seconds": _time(track.unhealthy_since),
        "restarts_total": str(facts.restarts),
        "oom_kills_total": str(track.oom_kills),
        "last_exit_code": str(track.last_exit_code),
        "started_timestamp_seconds": _time(facts.started),
        "memory_bytes": _text(usage.memory),
        "memory_anonymous_bytes": _text(usage.memory_anonymous),
        "memory_cache_bytes": _text(usage.memory_cache),
        "memory_limit_bytes": _text(usage.memory_limit or facts.memory_limit or None),
        "cpu_seconds_total": _text(usage.cpu_seconds),
        "cpu_limit_cores": _text(usage.cpu_limit or facts.cpu_limit or None),
        "cpu_periods_total": _text(usage.cpu_periods),
        "cpu_throttled_periods_total": _text(usage.cpu_throttled),
        "processes": _text(usage.processes),
        "processes_limit": _text(usage.processes_limit or facts.processes_limit or None),
        "network_receive_bytes_total": _text(usage.network_receive),
        "network_transmit_bytes_total": _text(usage.network_transmit),
        "disk_read_bytes_total": _text(usage.disk_read),
        "disk_write_bytes_total": _text(usage.disk_write),
        "heals_total": str(track.heals),
        "heal_given_up": str(int(track.given_up)),
    }


def _own_values(myself: Myself) -> dict[str, str]:
    return {
        "last_sample_timestamp_seconds": _time(myself.sampled),
        "engine_up": str(int(myself.engine_up)),
        "sample_seconds": f"{myself.seconds:.6f}",
        "interval_seconds": f"{myself.interval:g}",
        "events_dropped_total": str(myself.events_dropped),
        "journal_errors_total": str(myself.journal_errors),
    }


def _time(seconds: float) -> str:
    return f"{seconds:.3f}".rstrip("0").rstrip(".")


def _text(number: float | None) -> str | None:
    if number is None:
        return None
    return str(number) if isinstance(number, int) else f"{number:.6f}".rstrip("0").rstrip(".")
