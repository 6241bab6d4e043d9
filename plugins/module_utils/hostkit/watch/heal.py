# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restarts of containers that are unhealthy, which Docker never does by itself: who, when, and when not any more.

Never one that keeps data, never one while somebody else is at work on the stack.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from ..backup.config import Paths as BackupPaths
from ..backup.facts import is_at_work
from ..engine import Engine, EngineError
from ..release import HEALING, HEALING_MAX, ReleaseError, Store, lock, lock_holder
from .config import Config
from .roster import Facts
from .tracks import Track

# After the first restart it waits for one minute, then two, four and so on.
BACK_OFF = 60.0
WINDOW = 3600.0
# How much longer than a container's own time to stop a restart may take.
MARGIN = 60.0


@dataclass(frozen=True)
class Verdict:
    """What is to be done about one container: `restart`, `give up`, or nothing, and in words why not."""

    what: str = ""
    why_not: str = ""


def judge(facts: Facts, track: Track, config: Config, now: float) -> Verdict:
    """What to do about a container. `now` in seconds since 1970. Old restarts are dropped from the track."""
    track.healed = [when for when in track.healed if now - when < WINDOW]
    if not facts.running or facts.health != "unhealthy" or not track.unhealthy_since:
        return Verdict()
    if not config.heal:
        return Verdict(why_not="watch_heal is off")
    if not facts.heal_allowed:
        return Verdict(why_not="its label hypercode.watch.heal says no")
    if facts.keeps_data:
        return Verdict(why_not="it keeps data")
    if facts.stop_timeout + MARGIN > HEALING_MAX:
        return Verdict(why_not="it takes too long to stop")
    if track.given_up:
        return Verdict(why_not="given up")
    times = len(track.healed)
    if now - track.unhealthy_since < config.heal_after:
        return Verdict()
    if times >= config.heal_max:
        return Verdict("give up")
    rested = not times or now - track.healed[-1] >= BACK_OFF * 2 ** (times - 1)
    return Verdict("restart" if rested else "")


@dataclass(frozen=True)
class Outcome:
    """How a restart ended; `failure` is empty when it went well."""

    facts: Facts
    failure: str = ""


@dataclass
class Healer:
    """Restarts one container at a time, in a thread: a container may take minutes to stop."""

    engine: Engine
    store: Store
    # Called when a restart has ended.
    wake: Callable[[], None] = lambda: None
    _thread: threading.Thread | None = None
    _outcomes: list[Outcome] = field(default_factory=list)

    def others_at_work(self) -> str:
        """Who works on the stack now: a rollout, its start, a restore, a backup. Empty when nobody does."""
        try:
            holder = lock_holder(self.store.paths)
        except OSError:
            holder = "unknown"
        if holder:
            return holder
        return "a backup" if is_at_work(BackupPaths(self.store.paths.root)) else ""

    @property
    def busy(self) -> bool:
        """Whether a restart is under way."""
        return self._thread is not None and self._thread.is_alive()

    def begin(self, facts: Facts) -> None:
        """Restart a container. Not while one is under way."""
        self._thread = threading.Thread(target=self._restart, args=(facts,), name="heal", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait for the restart that is under way: cut off, the container could stay stopped."""
        if self._thread is not None:
            self._thread.join(HEALING_MAX)

    def outcomes(self) -> list[Outcome]:
        """The restarts that have ended since the last call."""
        ended, self._outcomes = self._outcomes, []
        return ended

    def _restart(self, facts: Facts) -> None:
        failure = "somebody else began to work on the stack"
        try:
            # While it is held no rollout begins; whoever comes waits for it.
            with lock(self.store.paths, holder=HEALING) as held:
                if held:
                    failure = ""
                    self.engine.restart(facts.id, patience=facts.stop_timeout + MARGIN)
        except (EngineError, ReleaseError, OSError) as error:
            failure = str(error)
        self._outcomes.append(Outcome(facts, failure))
        self.wake()
