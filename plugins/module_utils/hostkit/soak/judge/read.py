# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads the journal of a soak (docs/soak_journal.md), or of the watch (docs/watch.md), line by line.

Whatever stands in it: a line that cannot be used is left out and counted, and the report says so. A figure that is no
number, or makes no sense, counts as not known.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from ...watch.journal import journal_files
from ..numbers import number
from ..settings import Settings, SoakError, settings_from
from .recording import Recording, Rows
from .sample import SampleReader, text
from .timeline import LATEST, Timeline

SCHEMA = 1
# Lines among which the `start` has to stand.
_FIRST = 100
# Longer lines are none of ours.
_LONGEST = 16 << 20
_EVENTS = 20000


class JournalError(SoakError):
    """There is no journal to judge; the text says why and the fix."""


def read(path: Path, settings: Settings | None = None) -> tuple[Recording, Settings]:
    """Read a file, or a folder with `journal.jsonl` or with the files of the watch. JournalError when there is none.

    `settings`: to judge by other ones than those in the journal.
    """
    return Reader(settings).read(lambda: lines_of(files_of(path)))


def files_of(path: Path) -> list[Path]:
    """The files of a journal, the oldest first. JournalError when there are none."""
    try:
        if path.is_dir():
            found = [path / "journal.jsonl"] if (path / "journal.jsonl").is_file() else journal_files(path)
        else:
            found = [path] if path.exists() else []
        for one in found:
            with one.open("rb"):
                pass
    except OSError as error:
        words = f"{path} cannot be read: {error.strerror}. Fix: correct the path, or read it as root"
        raise JournalError(words) from error
    if not found:
        words = "has no journal.jsonl" if path.is_dir() else "is not there"
        raise JournalError(f"{path} {words}. Fix: give the folder of a soak, or its journal.jsonl")
    return found


def lines_of(files: Iterable[Path]) -> Iterator[bytes]:
    """Each line as it stands there."""
    for path in files:
        with suppress(OSError), path.open("rb") as stream:
            while line := stream.readline(_LONGEST):
                yield line


def _nothing(_text: str) -> None:
    """NaN and Infinity are no figures."""


_decode = json.JSONDecoder(parse_constant=_nothing).decode


def decoded(line: bytes) -> dict[str, Any] | None:
    """An object, or None for anything else."""
    try:
        found = _decode(line.decode())
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


class Reader:
    """Reads one journal."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.given = settings
        self.recording = Recording()
        self.time = Timeline()

    def read(self, lines: Any) -> tuple[Recording, Settings]:
        """`lines` makes an iterator over the lines as bytes; it is asked twice."""
        recording = self.recording
        start = self._start(islice(lines(), _FIRST))
        settings = self._settings(start)
        recording.slot = settings.duration / 48
        self.sample = SampleReader(recording)
        self.order = -1e300
        # Once one is out of order, the times of all: a sample that is there twice may be anywhere.
        self.disorder, self.seen = False, set[float]()
        self.run: str | None = None
        if start is not None:
            self.time.place(start)
            self.run = text(start.get("run")) or None
            recording.run = self.run or ""
        for raw in lines():
            line = decoded(raw)
            if line is None:
                if raw.strip():
                    recording.odd["torn"] += 1
                continue
            self._line(line)
        recording.began = self.time.began or 0.0
        recording.boots = self.time.boots
        self._order()
        self._remarks()
        return recording, settings

    def _start(self, lines: Iterator[bytes]) -> dict[str, Any] | None:
        for raw in lines:
            line = decoded(raw)
            if line is not None and line.get("kind") == "start" and line.get("schema") == SCHEMA:
                return line
        return None

    def _settings(self, start: dict[str, Any] | None) -> Settings:
        recording = self.recording
        if start is None:
            return self.given or Settings()
        recording.started = True
        recording.host = text(start.get("host"))
        release = start.get("release")
        recording.release = release if isinstance(release, dict) else {}
        services = start.get("services")
        recording.services = [one for one in services if isinstance(one, str)] if isinstance(services, list) else []
        untested = start.get("not_tested")
        for one in untested if isinstance(untested, list) else []:
            if isinstance(one, dict):
                recording.not_tested.append({"what": text(one.get("what")), "why": text(one.get("why"))})
        healed = number(start.get("watch_healed"))
        recording.watch_healed = healed if healed is not None and healed >= 0 else -1.0
        told = start.get("settings")
        recording.settings = told if isinstance(told, dict) else None
        if self.given is not None:
            return self.given
        if recording.settings is None:
            recording.odd["settings"] += 1
            return Settings()
        try:
            return settings_from(recording.settings)
        except (SoakError, TypeError, AttributeError, ValueError, OverflowError) as error:
            recording.odd["settings"] += 1
            recording.notes.append(f"Its settings make no sense, so the usual ones were taken: {error}.")
            return Settings()

    def _line(self, line: dict[str, Any]) -> None:
        recording = self.recording
        if line.get("schema") != SCHEMA:
            recording.odd["schema"] += 1
            return
        kind, run = line.get("kind"), line.get("run")
        if run is not None and self.run is None and isinstance(run, str):
            self.run = recording.run = run
        if run is not None and run != self.run:
            recording.odd["run"] += 1
            return
        at = self.time.place(line)
        if at is None:
            recording.odd["time"] += 1
        elif kind == "sample":
            self._sample(line, at)
        elif kind == "event":
            self._event(line, at)
        elif kind == "gap":
            self._gap(line, at)
        elif kind == "end":
            recording.ended = (at, text(line.get("reason")), text(line.get("by")))
        elif kind != "start":
            recording.odd["kind"] += 1

    def _sample(self, line: dict[str, Any], at: float) -> None:
        recording = self.recording
        if at <= self.order:
            if not self.disorder and at < self.order:
                self.disorder, self.seen = True, set(recording.times)
            if at == self.order or at in self.seen:
                recording.odd["duplicate"] += 1
                return
            recording.odd["order"] += 1
        if self.disorder:
            self.seen.add(at)
        self.order = max(at, self.order)
        recording.times.append(at)
        self.sample.read(line, at)

    def _event(self, line: dict[str, Any], at: float) -> None:
        recording = self.recording
        if len(recording.events) >= _EVENTS:
            recording.odd["events"] += 1
            return
        kind = text(line.get("event"))
        told = self.time.of_wall(line["at"], line, at) if "at" in line else None
        # What an event says of its own time is taken where it can be: shortly before it was written down.
        when = told if told is not None and at - 3600 < told <= at + 1 else at
        from_names = {name: text(line.get(name)) for name in ("service", "container", "id")}
        leave = {"schema", "kind", "run", "time", "monotonic", "boot", "event", *from_names}
        details = {name: value for name, value in line.items() if name not in leave}
        recording.events.append(self.sample.event(when, kind, from_names, details))

    def _gap(self, line: dict[str, Any], at: float) -> None:
        begins = self.time.of_wall(line.get("from"), line, at)
        ends = self.time.of_wall(line.get("to"), line, at)
        reason = text(line.get("reason"))
        if reason == "clock":
            begins = ends = at
        if begins is None or ends is None or not -LATEST < begins <= ends < LATEST:
            self.recording.odd["gap"] += 1
            return
        self.recording.gaps.append(self.sample.gap(begins, ends, reason))

    def _order(self) -> None:
        recording = self.recording
        if self.disorder:
            recording.times = array("d", sorted(set(recording.times)))
            recording.container_times = array("d", sorted(set(recording.container_times)))
            for rows in recording.all_rows():
                rows.sort()
            recording.canary.sort(key=lambda one: one[0])
            for times in [*recording.missing.values(), *recording.alerts.values(), *recording.targets_down.values()]:
                times[:] = array("d", sorted(set(times)))
        recording.events.sort(key=lambda event: event.at)
        recording.gaps.sort(key=lambda gap: gap.begins)
        for rows in recording.all_rows():
            recording.odd["figure"] += _cleaned(rows)

    def _remarks(self) -> None:
        odd, notes = self.recording.odd, self.recording.notes
        for key, words in _ODD.items():
            if odd[key]:
                notes.append(words.format(odd[key]))
        for at, moved in self.time.jumps[:5]:
            way = "forward" if moved > 0 else "back"
            when = f"{at / 3600:.1f} h after the start"
            notes.append(f"The clock was set {way} by {abs(moved):.0f} s, {when}; no time is missing.")
        if len(self.time.jumps) > 5:
            notes.append(f"The clock was set {len(self.time.jumps)} times in all.")
        if self.time.backwards:
            notes.append("The clock was set back over a reboot: how long the host was away is not known.")


_ODD = {
    "torn": "{} lines are no JSON and were left out, as a power cut tears one.",
    "schema": "{} lines are of another version of the journal and were left out. Newer? Judge it with that version.",
    "run": "{} lines are of another run and were left out.",
    "time": "{} lines have no time that makes sense and were left out.",
    "kind": "{} lines are of a kind that is not known and were left out.",
    "duplicate": "{} samples are there twice and count once.",
    "order": "{} samples were out of order and were put in order.",
    "figure": "{} figures are no numbers, or make no sense, and count as not known.",
    "gap": "{} gaps have no times that make sense and were left out.",
    "events": "{} events more than can be kept were left out.",
    "settings": "The settings in its first line cannot be used: it is judged by the usual ones.",
    "shape": "{} parts of samples have another form than they should and were left out.",
}


def _cleaned(rows: Rows) -> int:
    """Make figures that make no sense unknown; return how many."""
    block = rows.block
    if not block or rows.names == ("clock_offset",):
        return 0
    if max(block) < 1e19 and min(block) >= -1:
        return 0
    wrong = [index for index, value in enumerate(block) if not (value == -1 or 0 <= value < 1e19)]
    for index in wrong:
        block[index] = -1.0
    return len(wrong)
