"""A soak that was made: as figures, as a journal, and as what the reader makes of it."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.judge.recording import (
    CONTAINER,
    HEALTH,
    Event,
    Gap,
    Probe,
    Recording,
    Track,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.settings import Settings

BEGAN = 1_800_000_000.0
BOOT = "00000000-0000-4000-8000-000000000001"


@dataclass
class Service:
    """Figures of one service at each sample."""

    name: str
    limit: float
    memory: list[float]
    cpu: list[float]
    threads: list[float]
    descriptors: list[float]
    restarts: list[int]
    started: list[float]
    health: list[str]
    failures: list[int]
    latency: list[list[int]]
    errors_logged: list[int]


@dataclass
class Made:
    """A soak that was made."""

    settings: Settings
    times: list[float]
    services: list[Service]
    disk_left: list[float]
    disk_size: float
    events: list[dict[str, Any]] = field(default_factory=list)
    gaps: list[tuple[float, float]] = field(default_factory=list)
    backup_at: float = 0.0
    requests: int = 6

    def until(self, seconds: float) -> Made:
        """The same soak while it runs: what was known after so many seconds."""
        count = sum(1 for at in self.times if at <= seconds)

        def cut(one: Service) -> Service:
            parts: dict[str, Any] = {name: v[:count] for name, v in vars(one).items() if isinstance(v, list)}
            return replace(one, **parts)

        return Made(
            self.settings,
            self.times[:count],
            [cut(one) for one in self.services],
            self.disk_left[:count],
            self.disk_size,
            [event for event in self.events if event["after"] <= seconds],
            [gap for gap in self.gaps if gap[1] <= seconds],
            self.backup_at,
            self.requests,
        )

    def lines(self) -> Iterator[dict[str, Any]]:
        """Each line of its journal."""
        told = {"host": "web1", "release": {"id": "r1", "version": "1.0"}, "watch_healed": 0, "not_tested": []}
        names = [one.name for one in self.services]
        yield self._line("start", 0.0, services=names, settings=self.settings.as_dict(), **told)
        events = sorted(self.events, key=lambda event: float(event["after"]))
        for index, at in enumerate(self.times):
            while events and events[0]["after"] <= at:
                event = dict(events.pop(0))
                yield self._line("event", event.pop("after"), **event)
            for begin, end in self.gaps:
                if index and self.times[index - 1] < end <= at:
                    yield self._line("gap", at, **{"from": BEGAN + begin, "to": BEGAN + end, "reason": "soak"})
            yield self._line("sample", at, **self._sample(index, at))
        yield self._line("end", self.settings.duration, reason="finished")

    def _line(self, kind: str, at: float, **more: Any) -> dict[str, Any]:
        stamps = {"time": round(BEGAN + at, 3), "monotonic": round(1000 + at, 3), "boot": BOOT}
        return {"schema": 1, "kind": kind, "run": "made", **stamps, **more}

    def _sample(self, index: int, at: float) -> dict[str, Any]:
        containers, probes, logs = [], [], []
        for one in self.services:
            row: dict[str, Any] = {
                "project": "hypercode",
                "service": one.name,
                "container": f"hypercode-{one.name}-1",
                "id": "a" * 12,
            }
            row |= {"up": True, "state": "running", "health": one.health[index], "last_exit_code": 0, "heals": 0}
            row |= {name: value for name, value in zip(CONTAINER, self._figures(one, index), strict=True) if value >= 0}
            containers.append(row)
            counts: dict[str, int] = {}
            for bucket in one.latency[index]:
                counts[str(bucket)] = counts.get(str(bucket), 0) + 1
            told = {"requests": self.requests, "failures": one.failures[index], "latency": counts}
            probes.append({"name": one.name, "way": "service", **told})
            logs.append({"service": one.name, "lines": 50, "errors": one.errors_logged[index]})
        disk: dict[str, Any] = {
            "mountpoint": "/",
            "device": "/dev/vda1",
            "size": self.disk_size,
            "available": self.disk_left[index],
        }
        host: dict[str, Any] = {"memory_full": at * 10, "io_full": at * 100, "conntrack": 900, "conntrack_max": 65536}
        host |= {
            "clock_offset": 0.001,
            "clock_synchronised": True,
            "filesystems": [disk | {"files": 1e6, "files_free": 9e5}],
        }
        done = BEGAN + self.backup_at if at >= self.backup_at else BEGAN - 3600
        backup = {"last_success": done, "last_drill": done, "failed": False}
        return {
            "containers": containers,
            "missing": [],
            "probes": probes,
            "host": host,
            "logs": logs,
            "alerts": [],
            "backup": backup,
            "canary": {"ok": True, "stores": {"postgres": "ok", "redis": "ok"}},
        }

    def _figures(self, one: Service, index: int) -> list[float]:
        memory = one.memory[index]
        figures = {
            "memory_anonymous": memory,
            "memory_limit": one.limit,
            "memory": memory * 1.2,
            "cpu_seconds": one.cpu[index],
            "cpu_limit": 1.0,
            "processes": one.threads[index],
            "descriptors": one.descriptors[index],
            "restarts": float(one.restarts[index]),
            "oom_kills": 0.0,
            "last_exit_code": 0.0,
            "heals": 0.0,
            "started": one.started[index],
        }
        return [figures.get(name, -1.0) for name in CONTAINER]

    def write(self, path: Path) -> None:
        """Its journal as a file."""
        with path.open("w", encoding="ascii") as stream:
            for line in self.lines():
                stream.write(json.dumps(line, separators=(",", ":")) + "\n")

    def recording(self) -> Recording:
        """The same as arrays: what the reader makes of the file."""
        recording = Recording(
            run="made", host="web1", release={"id": "r1", "version": "1.0"}, began=BEGAN, started=True
        )
        recording.services = [one.name for one in self.services]
        recording.watch_healed = 0.0
        recording.settings = self.settings.as_dict()
        recording.slot = self.settings.duration / 48
        recording.times, recording.container_times = array("d", self.times), array("d", self.times)
        recording.boots = [(0.0, BOOT)]
        recording.ended = (self.settings.duration, "finished", "")
        count, slot = len(self.times), recording.slot
        for one in self.services:
            key = ("hypercode", one.name, f"hypercode-{one.name}-1")
            track = recording.tracks[key] = Track(*key)
            rows = track.rows
            rows.times = array("d", self.times)
            width = len(rows.names)
            rows.block = array("d", [-1.0]) * (width * count)
            fixed = {"cpu_limit": 1.0, "oom_kills": 0.0, "last_exit_code": 0.0, "heals": 0.0, "id": 0.0, "up": 1.0}
            columns: dict[str, Sequence[float]] = {name: [value] * count for name, value in fixed.items()}
            columns |= {"memory_anonymous": one.memory, "memory": [value * 1.2 for value in one.memory]}
            columns |= {"cpu_seconds": one.cpu, "processes": one.threads, "descriptors": one.descriptors}
            columns |= {"restarts": one.restarts, "started": one.started, "memory_limit": [one.limit] * count}
            columns["health"] = [HEALTH.index(state) for state in one.health]
            for name, values in columns.items():
                rows.block[rows.names.index(name) :: width] = array("d", values)
            probe = recording.probes[(one.name, "service")] = Probe(one.name, "service")
            probe.rows.times = array("d", self.times)
            probe.rows.block = array("d", [float(self.requests)]) * (2 * count)
            probe.rows.block[1::2] = array("d", one.failures)
            for at, buckets in zip(self.times, one.latency, strict=True):
                counts = probe.latency.setdefault(int(at // slot), {})
                for bucket in buckets:
                    counts[str(bucket)] = counts.get(str(bucket), 0) + 1
            logs = recording.logs.setdefault(one.name, type(rows)(("lines", "errors")))
            logs.times = array("d", self.times)
            logs.block = array("d", [50.0]) * (2 * count)
            logs.block[1::2] = array("d", one.errors_logged)
        self._rest(recording)
        return recording

    def _rest(self, recording: Recording) -> None:
        count = len(self.times)
        disk = recording.filesystems["/"] = type(recording.edge)(("size", "available", "files", "files_free"))
        disk.times = array("d", self.times)
        disk.block = array("d", [self.disk_size, 0.0, 1e6, 9e5]) * count
        disk.block[1::4] = array("d", self.disk_left)
        rows = recording.host_rows
        rows.times, width = array("d", self.times), len(rows.names)
        rows.block = array("d", [-1.0]) * (width * count)
        for name, factor in (("memory_full", 10.0), ("io_full", 100.0)):
            rows.block[rows.names.index(name) :: width] = array("d", [at * factor for at in self.times])
        for name, value in (("conntrack", 900.0), ("conntrack_max", 65536.0), ("clock_synchronised", 1.0)):
            rows.block[rows.names.index(name) :: width] = array("d", [value]) * count
        recording.offsets.times = array("d", self.times)
        recording.offsets.block = array("d", [0.001]) * count
        recording.alerts_seen = count
        done = [BEGAN + self.backup_at if at >= self.backup_at else BEGAN - 3600 for at in self.times]
        recording.backup.times = array("d", self.times)
        recording.backup.block = array("d", [0.0]) * (3 * count)
        recording.backup.block[0::3] = recording.backup.block[1::3] = array("d", done)
        recording.canary = [(self.times[0], True, {"postgres": "ok", "redis": "ok"})]
        recording.canary_seen = count
        for event in sorted(self.events, key=lambda one: float(one["after"])):
            names = {"after", "event", "service", "container", "id"}
            details = {name: value for name, value in event.items() if name not in names}
            service, container = str(event.get("service", "")), str(event.get("container", ""))
            recording.events.append(
                Event(event["after"], event["event"], service, container, str(event.get("id", "")), details)
            )
        for begin, end in self.gaps:
            recording.gaps.append(Gap(begin, end, "soak"))
