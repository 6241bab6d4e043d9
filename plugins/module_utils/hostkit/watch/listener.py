# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hears what happens to containers, in a thread of its own. A flood of it takes neither memory nor much time."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..engine import Engine, EngineError
from ..stack_state import PROJECT_LABEL, SERVICE_LABEL
from .roster import belongs

# What is asked for. Health checks alone make three events each of other kinds, which are nothing to wake up for.
EVENTS = ("start", "die", "oom", "health_status", "pause", "unpause", "rename", "update", "destroy")
# So many are read between two looks, and so many of one container kept. Beyond that they are only counted.
MOST, MOST_EACH = 500, 20
# A line longer than this is no event of Docker's.
_LONGEST = 65536
# A connection on which nothing is heard for so long is made anew: a dead one is silent too.
PATIENCE = 120.0
PAUSE, LONGEST_PAUSE = 1.0, 15.0


@dataclass(frozen=True)
class Event:
    """One event. `kind` is a word of EVENTS, but `health` for health_status; `at` in seconds since 1970."""

    kind: str
    id: str
    at: float
    project: str
    service: str
    container: str
    exit_code: int | None = None
    health: str = ""


@dataclass
class Heard:
    """What was heard since one asked last. Of `dropped` events nothing is known but that they were."""

    events: list[Event] = field(default_factory=list)
    dropped: int = 0
    # The containers that something happened to; with `lost` it may be any.
    ids: set[str] = field(default_factory=set)
    lost: bool = False
    read: int = 0


class Listener:
    """Listens until the process ends. `clock` is in nanoseconds since 1970."""

    def __init__(self, engine: Engine, projects: Sequence[str], clock: Callable[[], int]) -> None:
        self._engine, self._projects, self._clock = engine, frozenset(projects), clock
        self._lock = threading.Lock()
        self._heard = Heard()
        self._each: Counter[str] = Counter()
        self._since = clock()
        self._broken = True
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self.wake = threading.Event()
        self.ended = threading.Event()

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether somebody listens, or tries to."""
        return self._thread.is_alive()

    def take(self) -> Heard:
        """What was heard since the last call."""
        with self._lock:
            self.wake.clear()
            heard, self._heard = self._heard, Heard()
            self._each.clear()
        return heard

    def begin_again(self) -> None:
        """The clock has jumped: what comes next has other times."""
        self._since = self._clock()

    def _run(self) -> None:
        pause = PAUSE
        while not self.ended.is_set():
            try:
                for piece in self._lines():
                    self._hear(piece)
                    pause = PAUSE
            except (EngineError, OSError):
                self._broken = True
                self.wake.set()
                self.ended.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    def _lines(self) -> Iterator[list[bytes]]:
        """Whole lines, as many at a time as came together."""
        # Docker takes several labels for "all of these", so several projects are told apart here.
        one = [f"{PROJECT_LABEL}={name}" for name in self._projects]
        labels = one if len(one) == 1 else [PROJECT_LABEL]
        filters = {"type": ["container"], "event": list(EVENTS), "label": labels}
        since = f"{self._since // 10**9}.{self._since % 10**9:09d}"
        rest, pieces = b"", self._engine.event_stream(filters, since=since, patience=PATIENCE)
        if self._broken:
            # What happened meanwhile may be forgotten by an engine that was started again.
            self._broken = False
            with self._lock:
                self._heard.lost = True
            self.wake.set()
        for piece in pieces:
            *lines, rest = (rest + piece).split(b"\n")
            if len(rest) > _LONGEST:
                rest = b""
                self._drop(1)
            if lines:
                yield lines

    def _hear(self, lines: list[bytes]) -> None:
        for index, line in enumerate(lines):
            if self._heard.read >= MOST:
                # The last one says up to when it was heard.
                self._note_time(_document(lines[-1]))
                self._drop(len(lines) - index)
                return
            document = _document(line)
            self._note_time(document)
            event = event_of(document)
            if event and event.project in self._projects:
                self._keep(event)

    def _keep(self, event: Event) -> None:
        with self._lock:
            self._heard.ids.add(event.id)
            self._heard.read += 1
            self._each[event.id] += 1
            if self._each[event.id] > MOST_EACH:
                self._heard.dropped += 1
            else:
                self._heard.events.append(event)
        self.wake.set()

    def _drop(self, number: int) -> None:
        with self._lock:
            self._heard.dropped += number
            self._heard.lost = True
        self.wake.set()

    def _note_time(self, document: Mapping[str, Any]) -> None:
        stamp = document.get("timeNano")
        if isinstance(stamp, int):
            self._since = stamp + 1


def _document(line: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def event_of(document: Mapping[str, Any]) -> Event | None:
    """An event of Docker's as ours; None for what is none, or of no service."""
    actor, stamp = document.get("Actor"), document.get("timeNano")
    labels = actor.get("Attributes") if isinstance(actor, dict) else None
    word, _colon, health = str(document.get("Action") or "").partition(":")
    if not isinstance(actor, dict) or not isinstance(labels, dict) or word not in EVENTS or not belongs(labels):
        return None
    code = str(labels.get("exitCode", ""))
    return Event(
        kind="health" if word == "health_status" else word,
        id=str(actor.get("ID") or ""),
        at=stamp / 1e9 if isinstance(stamp, int) else 0.0,
        project=str(labels.get(PROJECT_LABEL) or ""),
        service=str(labels[SERVICE_LABEL]),
        container=str(labels.get("name") or ""),
        exit_code=int(code) if word == "die" and code.isdecimal() else None,
        health=health.strip(),
    )
