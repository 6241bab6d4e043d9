# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads one sample into the arrays of a recording: quickly what is usual, with care what is not."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..numbers import number
from .recording import (
    BACKUP,
    CONTAINER,
    EDGE,
    FILESYSTEM,
    HEALTH,
    HOST,
    LOGS,
    NO_OFFSET,
    POSTGRES,
    PROBE,
    REDIS,
    UNKNOWN,
    Event,
    Gap,
    Probe,
    Recording,
    Rows,
    Track,
)

# Containers, services and so on with names of their own; more are not looked at.
_MOST = 2000
_UP = {True: 1.0, False: 0.0}


def text(value: object) -> str:
    """A name that can be written anywhere, at most 200 characters."""
    if not isinstance(value, str):
        return ""
    return value[:200] if value.isascii() else value[:200].encode("utf-8", "replace").decode()


class SampleReader:
    """Appends samples to a recording."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self._ids: dict[str, float] = {}
        self._health = {name: float(code) for code, name in enumerate(HEALTH)}
        self._tracks: dict[tuple[Any, Any, Any], Track] = {}
        parts: dict[str, Callable[[Any, float], None]] = {
            "containers": self._containers,
            "missing": self._missing,
            "probes": self._probes,
            "edge": self._table(recording.edge, EDGE),
            "host": self._host,
            "targets": self._targets,
            "alerts": self._alerts,
            "postgres": self._table(recording.postgres, POSTGRES),
            "redis": self._table(recording.redis, REDIS),
            "certificates": self._certificates,
            "backup": self._table(recording.backup, BACKUP),
            "canary": self._canary,
            "logs": self._logs,
        }
        self._parts = parts

    def read(self, line: Mapping[str, Any], at: float) -> None:
        """All parts of a sample. A part of another form is counted as odd."""
        for name, part in self._parts.items():
            value = line.get(name)
            if value is None:
                continue
            try:
                part(value, at)
            except (TypeError, AttributeError, ValueError, OverflowError, KeyError):
                self.recording.odd["shape"] += 1

    def event(self, at: float, kind: str, names: Mapping[str, str], details: dict[str, Any]) -> Event:
        """An event with the names that it has."""
        return Event(at, kind, names["service"], names["container"], names["id"], details)

    def gap(self, begins: float, ends: float, reason: str) -> Gap:
        """A gap."""
        return Gap(begins, ends, reason)

    def _append(self, rows: Rows, values: Sequence[Any], at: float) -> None:
        if rows.times and rows.times[-1] == at:
            return
        size = len(rows.block)
        try:
            rows.block.extend(values)
        except (TypeError, OverflowError):
            del rows.block[size:]
            rows.block.extend([self._figure(value) for value in values])
        rows.times.append(at)

    def _figure(self, value: Any) -> float:
        found = float(value) if isinstance(value, bool) else number(value)
        if found is None:
            # A key that is there with null is as one that is not there.
            self.recording.odd["figure"] += value is not None
            return UNKNOWN
        return found

    def _table(self, rows: Rows, names: Sequence[str]) -> Callable[[Any, float], None]:
        def part(value: Any, at: float) -> None:
            get = value.get
            self._append(rows, [get(name, UNKNOWN) for name in names], at)

        return part

    def _containers(self, value: Any, at: float) -> None:
        tracks, ids, health = self._tracks, self._ids, self._health
        self.recording.container_times.append(at)
        for row in value:
            if not isinstance(row, dict):
                self.recording.odd["shape"] += 1
                continue
            get = row.get
            key = (get("project"), get("service"), get("container"))
            try:
                track = tracks.get(key) or self._track(key)
            except TypeError:
                track = None
            if track is None:
                self.recording.odd["shape"] += 1
                continue
            values = [get(name, UNKNOWN) for name in CONTAINER]
            name, up, state = get("id"), get("up"), get("health")
            values.append(ids.setdefault(name, float(len(ids))) if isinstance(name, str) else UNKNOWN)
            values.append(_UP.get(up, UNKNOWN) if isinstance(up, bool) else UNKNOWN)
            values.append(health.get(state, UNKNOWN) if isinstance(state, str) else UNKNOWN)
            self._append(track.rows, values, at)

    def _track(self, key: tuple[Any, Any, Any]) -> Track | None:
        project, service, container = (text(one) for one in key)
        tracks = self.recording.tracks
        if not service or len(tracks) >= _MOST:
            return None
        found = tracks.setdefault((project, service, container), Track(project, service, container))
        self._tracks[key] = found
        return found

    def _missing(self, value: Any, at: float) -> None:
        for row in value:
            key = (text(row.get("project")), text(row.get("service")))
            if key[1]:
                self._mark(self.recording.missing, key, at)

    def _mark(self, where: dict[Any, array[float]], key: Any, at: float) -> None:
        times = where.get(key)
        if times is None:
            if len(where) >= _MOST:
                return
            times = where[key] = array("d")
        if not times or times[-1] != at:
            times.append(at)

    def _probes(self, value: Any, at: float) -> None:
        probes, slot = self.recording.probes, int(at // self.recording.slot)
        for row in value:
            key = (row.get("name"), row.get("way"))
            probe = probes.get(key)
            if probe is None:
                if not text(key[0]) or not text(key[1]) or len(probes) >= _MOST:
                    self.recording.odd["shape"] += 1
                    continue
                probe = probes[key] = Probe(text(key[0]), text(key[1]))
            self._append(probe.rows, [row.get(name, UNKNOWN) for name in PROBE], at)
            buckets = row.get("latency")
            if buckets:
                counts = probe.latency.get(slot)
                if counts is None:
                    counts = probe.latency[slot] = {}
                try:
                    for bucket, count in buckets.items():
                        if count > 0:
                            counts[bucket] = counts.get(bucket, 0) + count
                except (TypeError, AttributeError):
                    self.recording.odd["figure"] += 1

    def _host(self, value: Any, at: float) -> None:
        get = value.get
        self._append(self.recording.host_rows, [get(name, UNKNOWN) for name in HOST], at)
        offset = number(get("clock_offset"))
        if offset is not None:
            self._append(self.recording.offsets, [offset if abs(offset) < 1e8 else NO_OFFSET], at)
        for row in get("filesystems") or ():
            name = text(row.get("mountpoint"))
            if not name or (name not in self.recording.filesystems and len(self.recording.filesystems) >= _MOST):
                continue
            rows = self.recording.filesystems.setdefault(name, Rows(FILESYSTEM))
            self._append(rows, [row.get(key, UNKNOWN) for key in FILESYSTEM], at)

    def _targets(self, value: Any, at: float) -> None:
        down = value.get("down") or []
        self._append(self.recording.target_rows, [value.get("up", UNKNOWN), len(down)], at)
        for name in down:
            self._mark(self.recording.targets_down, text(name), at)

    def _alerts(self, value: Any, at: float) -> None:
        for row in value:
            key = (text(row.get("name")), text(row.get("severity")), text(row.get("service")))
            self._mark(self.recording.alerts, key, at)
        self.recording.alerts_seen += 1

    def _certificates(self, value: Any, at: float) -> None:
        for row in value:
            name, expires = text(row.get("name")), number(row.get("expires"))
            known = self.recording.certificates
            if name and expires is not None and (name in known or len(known) < _MOST):
                begins = number(row.get("begins"))
                known[name] = (at, expires, max(0.0, expires - begins) if begins is not None else 0.0)

    def _canary(self, value: Any, at: float) -> None:
        stores = value.get("stores") or {}
        found = {text(name): text(state) for name, state in stores.items()}
        good = value.get("ok")
        if not isinstance(good, bool):
            raise TypeError
        self.recording.canary_seen += 1
        last = self.recording.canary[-1] if self.recording.canary else None
        # Only changes are kept.
        if last is None or last[1:] != (good, found):
            self.recording.canary.append((at, good, found))

    def _logs(self, value: Any, at: float) -> None:
        for row in value:
            name = text(row.get("service"))
            if not name or (name not in self.recording.logs and len(self.recording.logs) >= _MOST):
                continue
            rows = self.recording.logs.setdefault(name, Rows(LOGS))
            self._append(rows, [row.get(key, UNKNOWN) for key in LOGS], at)
