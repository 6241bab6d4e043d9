# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Follows Docker's events: whenever a container of the project comes or goes, Caddy is told where it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from ..engine import Engine, EngineError
from ..files import FileError
from .caddy import EdgeError
from .sync import Synced

EVENTS = ("start", "die", "health_status", "pause", "unpause", "rename", "destroy")
# Something is looked at this often even when nothing is heard: a network that was changed by hand tells nobody.
PATIENCE = 60.0
PAUSE = 2.0
# Several containers that start together are one change. One that dies over and over is followed ever more slowly where
# that takes reloads, since each ends what is streamed after the drain time.
SETTLE, SLOWEST = 0.1, 10.0
CALM = 30.0


@dataclass
class Follower:
    """Runs until it is ended. ``sync`` tells Caddy; ``events`` listens, gives something for each, and ends at times."""

    sync: Callable[[], Synced | None]
    events: Callable[[], Iterable[bool]]
    say: Callable[[str], None]
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _told: str = field(default="", init=False)
    _changes: list[float] = field(default_factory=list, init=False)

    def run(self, rounds: int = 0) -> None:
        """Follow. ``rounds``, other than 0, is how many connections to Docker are enough."""
        done = 0
        while True:
            try:
                # Listening first: what happens while one looks is heard then.
                heard = self.events()
                self._look()
                for _event in heard:
                    self.sleep(self._settle())
                    self._look()
            except EngineError as error:
                self._tell(str(error))
                self.sleep(PAUSE)
            done += 1
            if done == rounds:
                return

    def _settle(self) -> float:
        """How long to wait for more, after an event."""
        self._changes = [when for when in self._changes if when > self.clock() - CALM]
        return min(SLOWEST, SETTLE * 1.5 ** len(self._changes))

    def _look(self) -> None:
        try:
            synced = self.sync()
        except (EdgeError, FileError, OSError) as error:
            self._tell(f"{error}. It is tried again at the next event")
            return
        if synced is None:
            self._tell("this host has no edge. Fix: apply the role edge, or systemctl disable --now hypercode-edge")
            return
        if synced.reloaded:
            self._changes.append(self.clock())
        if synced.changed or synced.reloaded:
            names = ", ".join(synced.changed) or "nothing"
            self._tell(f"new addresses: {names}" + ("; Caddy was reloaded" if synced.reloaded else ""), again=True)
        if synced.missing:
            self._tell(f"no container runs for {', '.join(synced.missing)}")

    def _tell(self, text: str, *, again: bool = False) -> None:
        """Say something, but the same thing not over and over."""
        if again or text != self._told:
            self.say(f"hypercode edge: {text}")
            self._told = text


def docker_events(engine: Engine, project: str) -> Iterator[bool]:
    """Listen for containers of the project that come, go, or change their health."""
    filters = {"type": ["container"], "event": list(EVENTS), "label": [f"com.docker.compose.project={project}"]}
    return engine.events(filters, patience=PATIENCE)
