# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The recorder: looks, asks and writes down, until the time is over, or it is clear that the release does not hold."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...command import CommandResult
from ...engine import Engine, EngineError
from ...files import FileError, times_of
from ...release import HEALING, Store, lock_holder
from ...release import Paths as ReleasePaths
from ...watch.config import Paths as WatchPaths
from ...watch.daemon import JUMP, Clocks
from ...watch.host import ReleaseReader
from ...watch.notify import notify
from ...watch.roster import Facts, Roster, WantedReader
from ..settings import Settings, settings_from
from . import verdict
from .child import Children
from .config import Config
from .drill import Drills, start_drill
from .faults import REBOOT, Faults
from .journal import RunJournal, WatchTail, boot_of
from .keeper import CHECK, REMOVE, Keeper
from .paths import INBOX, STATE, Paths, read_json, write_json
from .probe import Failure, Prober
from .sampler import Sampler
from .targets import SERVICE, Doors, Resolver, Target, targets_of

# The containers are looked at that often while nothing is heard of them, in seconds.
LOOK_LEAST, LOOK_MOST = 5.0, 10.0
# A failure so soon after somebody was at work on the stack may be of what they did, in seconds.
AFTER_WORK = 10.0
# A container that a rollout stops answers no more for so long, in seconds, before it is gone.
STOPPING_MOST = 120.0
CHILD_TIMEOUT = 120.0
# Of the time, between two readings of the canary: half an hour of a day.
_CANARIES = 48
_EVALUATIONS = 144
FINISHED, FAILED, STOPPED = "finished", "failed", "stopped"


@dataclass
class Recorder:
    """Records one run. `say` takes a line for a person; engine, clocks and what reboots the host are injected."""

    paths: Paths
    run_id: str
    config: Config
    engine: Engine
    say: Callable[[str], None]
    clocks: Clocks = field(default_factory=Clocks)
    boot: str = ""
    reboot: Callable[[], None] = lambda: None
    drill: Callable[[], CommandResult] = start_drill
    # So long it rests at most before it looks whether something is due, in seconds.
    rest: float = 1.0

    def __post_init__(self) -> None:
        root = self.paths.root
        self.folder = self.paths.run(self.run_id)
        self.journal = RunJournal(self.folder, self.boot or boot_of(root), self.clocks.wall, self.clocks.monotonic)
        self.first = self.journal.first()
        told = self.first.get("settings") or {}
        self.settings: Settings = settings_from(told)
        self.state = read_json(self.folder / STATE)
        self.store = Store(ReleasePaths(root))
        self.roster = Roster(self.engine, [self.config.project], root)
        self.wanted = WantedReader(self.store)
        self.releases = ReleaseReader(self.store)
        self.wake, self.stopping = threading.Event(), False
        self.prober = Prober(self.settings.probe_interval, self.config.timeout, self.wake)
        self.prober.proven = {(str(key[0]), str(key[1])) for key in self.state.get("proven") or ()}
        self.tail = WatchTail(WatchPaths(root).folder, self.state.get("watch"))
        if "watch" not in self.state:
            self.tail.skip()
        self.children = Children(self.say, self.clocks.monotonic)
        self.faults = Faults(told.get("faults") or {}, self.settings.duration, self.state.setdefault("faults", {}))
        self.ended = ""
        self._by = ""
        self._last: tuple[float, float] | None = None
        self._looked = self._changed = -1e9
        self._worked = (0.0, -1e9)
        self.doors, self.resolve = Doors(root), Resolver()
        self._told: dict[str, str] = {}
        self._pending: list[Failure] = []
        self.sampler = Sampler(root, self.config, self.engine, self.journal, self.tail, self.state, self.children)
        self.keeper = Keeper(self.run_id, self.state, self.children)
        began = float(self.first.get("time") or 0)
        self.drills = Drills(self.settings, began, self.state.setdefault("drills", {}), self.drill)

    # --- time -------------------------------------------------------------------------------------------------------

    @property
    def elapsed(self) -> float:
        """Seconds since the start, whatever was done to the clock meanwhile."""
        return self._elapsed + self.clocks.monotonic() - self._since

    def _begin_clock(self) -> None:
        now, wall = self.clocks.monotonic(), self.clocks.wall()
        if "elapsed" not in self.state:
            self._elapsed = max(0.0, wall - float(self.first.get("time") or wall))
        elif self.state.get("boot") == self.journal.boot:
            self._elapsed = self.state["elapsed"] + max(0.0, now - self.state["monotonic"])
        else:
            self._elapsed = self.state["elapsed"] + max(0.0, wall - self.state["wall"])
        self._since = now
        due = self._elapsed
        self._due = {
            "sample": due + self.settings.interval if self.state.get("samples") is None else due,
            "canary": due,
            "evaluate": due + self.evaluate_every,
        }

    @property
    def evaluate_every(self) -> float:
        """Seconds between two evaluations meanwhile."""
        return max(5.0, self.settings.duration / _EVALUATIONS)

    # --- the loop ---------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Go on where an earlier process ended, and write down for how long nobody was there."""
        self._begin_clock()
        last = self.journal.last() or {}
        if last.get("kind") == "end":
            # It was killed on the way to the verdict.
            self.ended = str(last.get("reason") or FINISHED)
        elif "boot" in self.state and last:
            since = float(last.get("time") or self.clocks.wall())
            away = "soak" if self.state["boot"] == self.journal.boot else "boot"
            self.journal.write([self.journal.gap(away, since)])
            if away == "boot":
                self.faults.booted()
        if "release" not in self.state:
            self.state["release"] = self._release()
        self._save()
        verdict.tell(self.paths, self.run_id)
        self.prober.start()

    def run(self) -> str:
        """Record until the end; why it ended, or empty where it pauses: systemd starts it anew then.

        It pauses when it is told to, and when its program or what it is told has changed.
        """
        self.begin()
        first, files = True, self._own_files()
        while not self.stopping and not self.ended and self.prober.alive and self._own_files() == files:
            self.tick()
            notify(*(["READY=1"] if first else []), "WATCHDOG=1", f"STATUS={self.summary()}")
            first = False
            until = min(*self._due.values(), self.settings.duration) - self.elapsed
            self.wake.wait(min(self.rest, self.settings.interval / 4, max(0.2, until)))
            self.wake.clear()
        notify("STOPPING=1")
        self.prober.stop()
        (self._finish if self.ended else self._save)()
        return self.ended

    def stop(self) -> None:
        """Let `run` pause: the run itself goes on."""
        self.stopping = True
        self.wake.set()

    def _own_files(self) -> list[int]:
        here = Path(__file__).parent
        return times_of((here, here.parent, here.parent.parent, self.paths.config))

    def summary(self) -> str:
        """One line for systemctl status."""
        left = max(0.0, self.settings.duration - self.elapsed)
        return f"{self.run_id}: {left / 3600:.1f} h left, {self.state.get('samples') or 0} samples"

    def tick(self) -> None:
        """Do what is due."""
        self._check_clock()
        self._read_inbox()
        self._look()
        self._settle()
        self._break_something()
        self.children.poll()
        now = self.elapsed
        over = now >= self.settings.duration
        # The watch looks at times of its own: for its figures one waits a little.
        late = now - self._due["sample"]
        if over or (late >= 0 and (late >= self.settings.interval / 4 or self.tail.has_sample())):
            self._sample()
            self._due["sample"] = self._next(self._due["sample"], self.settings.interval)
        if now >= self._due["canary"]:
            self._ask_canary(CHECK)
            self._due["canary"] = self._next(self._due["canary"], self.settings.duration / _CANARIES)
        if over and not self.ended:
            self.ended = FINISHED
        elif now >= self._due["evaluate"]:
            self.children.add(["evaluate", str(self.folder), "running"], self._evaluated, CHILD_TIMEOUT)
            self._due["evaluate"] = self._next(self._due["evaluate"], self.evaluate_every)

    def _next(self, due: float, every: float) -> float:
        return max(due + every, self.elapsed - every + 0.001 if every > 0 else due)

    def _check_clock(self) -> None:
        wall, monotonic = self.clocks.wall(), self.clocks.monotonic()
        last, self._last = self._last, (wall, monotonic)
        if last is None:
            return
        jumped = (wall - last[0]) - (monotonic - last[1])
        if abs(jumped) >= JUMP:
            self.sampler.logs_since += jumped
            self.journal.write([self.journal.gap("clock", last[0], jumped=round(jumped, 3))])
            self._save()

    def _read_inbox(self) -> None:
        """What others have said: a mark, or that it is to end."""
        folder = self.folder / INBOX
        with suppress(OSError):
            for path in sorted(folder.iterdir()):
                if path.suffix != ".json":
                    continue
                document = read_json(path)
                if "mark" in document:
                    about = {key: document.get(key) for key in ("ok", "text")}
                    self.journal.write([self.journal.line("event", event="mark", what=document["mark"], **about)])
                elif "stop" in document:
                    self.ended, self._by = STOPPED, str(document["stop"])
                path.unlink(missing_ok=True)

    # --- containers and probes --------------------------------------------------------------------------------------

    def _look(self, *, changed: Iterable[str] = ()) -> bool:
        now = self.clocks.monotonic()
        changed = set(changed)
        every = min(LOOK_MOST, max(LOOK_LEAST, self.settings.probe_interval))
        if not changed and now - self._looked < every:
            return True
        self._looked = now
        holder = self._holder()
        if holder:
            self._worked = (self._worked[0] if now - self._worked[1] < AFTER_WORK + every else now, now)
        try:
            self.roster.look(changed, now)
        except EngineError as error:
            self._tell("engine", str(error))
            return False
        self._told.pop("engine", None)
        self.prober.set_targets(self.targets())
        self._see_release()
        return True

    def _holder(self) -> str:
        with suppress(OSError):
            holder = lock_holder(self.store.paths) or ""
            return "" if holder == HEALING else holder
        return ""

    def services(self) -> list[str]:
        """Those that have to be there."""
        wanted = self.wanted.read()
        return [name for name, copies in wanted.copies.items() if name not in wanted.jobs and copies > 0]

    def targets(self) -> list[Target]:
        """Who is asked now."""
        return targets_of(self.config, self.services(), self.roster.known.values(), self.doors.read(), self.resolve)

    def _settle(self) -> None:
        """Judge what failed: one who was asked may be gone, as was meant."""
        failures = self._pending + self.prober.failures()
        if not failures:
            return
        names = {failure.place.container for failure in failures if failure.place and failure.place.container}
        known = self._look(changed=names or {""}) if len(failures) > len(self._pending) else self._look()
        self._pending, certain = [], []
        for failure in failures:
            counts = self._counts(failure) if known else True
            if counts is None:
                self._pending.append(failure)
            elif counts:
                certain.append(failure)
        self.prober.count_failures(certain)

    def _counts(self, failure: Failure) -> bool | None:
        """Whether a failure counts; None while that is open: a container that is being stopped looks like another."""
        place = failure.place
        if failure.target.way != SERVICE or (place is not None and not place.container):
            # A site, or something elsewhere.
            return True
        if failure.target.name not in self.services():
            return False
        at_work = self._worked[0] - 1 <= failure.at <= self._worked[1] + AFTER_WORK
        if not at_work:
            return True
        here = self.roster.known.get(place.container) if place is not None else None
        if here is None or place is None or not here.running or here.started != place.started:
            return False
        return None if self.clocks.monotonic() - failure.at < STOPPING_MOST else True

    def _see_release(self) -> None:
        now, before = self._release(), self.state.get("release")
        if now is not None and now != before:
            self.state["release"] = now
            if before is not None:
                about = {key: now[key] for key in ("release", "version", "how")}
                self.journal.write([self.journal.line("event", event="rollout", **about)])

    def _release(self) -> dict[str, Any] | None:
        found = self.releases.read()
        if found is None:
            return None
        return {key: getattr(found, key) for key in ("release", "version", "how", "since")}

    def _break_something(self) -> None:
        if not self.faults.wanted and not self.faults.state.get("broken"):
            return
        if self.elapsed < self.settings.warmup:
            return
        wanted, known = self.services(), list(self.roster.known.values())
        for event in self.faults.due(self.elapsed, self.clocks.wall(), known, wanted, not self._holder()):
            self.journal.write([self.journal.line("event", **event)])
            self._save()
            if event["fault"] == REBOOT and "recovered" not in event:
                self.say("the host is rebooted, as this soak was told to")
                self.reboot()

    # --- a sample ---------------------------------------------------------------------------------------------------

    def _sample(self) -> None:
        lines = self.sampler.lines(self._running(), self.prober.take(), self.keeper.take())
        if self.journal.write(lines):
            self._told.pop("journal", None)
        else:
            self._tell("journal", f"{self.journal.file} cannot be written. Fix: df -h {self.folder}")
        said = self.drills.see_to_it(self.elapsed, self.state.get("backup"))
        if said:
            self.say(said)
        self.state["samples"] = int(self.state.get("samples") or 0) + 1
        self._save()

    def _ask_canary(self, verb: str) -> None:
        self.keeper.ask(verb, [facts for facts in self._running() if facts.service in self.services()])

    def _running(self) -> list[Facts]:
        return [facts for facts in self.roster.known.values() if facts.running]

    # --- the end ----------------------------------------------------------------------------------------------------

    def _evaluated(self, found: dict[str, Any] | None) -> None:
        verdict.tell(self.paths, self.run_id)
        if found and found.get("verdict") == verdict.FAIL and not self.ended:
            self._tell("verdict", f"it is clear already: {found.get('reason')}")
            self.ended = "" if self.settings.keep_going else FAILED

    def _finish(self) -> None:
        """Write the end, take back the canary, judge, and tell everybody."""
        by = {"by": self._by} if self.ended == STOPPED else {}
        done = (self.journal.last() or {}).get("kind") == "end"
        if not done and not self.journal.write([self.journal.line("end", reason=self.ended, **by)]):
            self._tell("journal", f"{self.journal.file} cannot be written. Fix: df -h {self.folder}")
        self.children.finish(CHILD_TIMEOUT)
        self._ask_canary(REMOVE)
        self.children.add(["evaluate", str(self.folder), "ended"], lambda _found: None, CHILD_TIMEOUT)
        notify("WATCHDOG=1")
        self.children.finish(CHILD_TIMEOUT)
        notify("WATCHDOG=1")
        report = read_json(self.folder / "report.json")
        verdict.tell(self.paths, self.run_id)
        release = (self.first.get("release") or {}).get("id")
        if release and not verdict.remember(self.store, str(release), report):
            self.say(f"the verdict could not be written into release {release}")
        self.paths.unfinished.unlink(missing_ok=True)
        self.say(f"{self.run_id} is {self.ended}: {report.get('verdict')}. {report.get('reason') or ''}")

    def _save(self) -> None:
        self.state |= {
            "elapsed": self.elapsed,
            "monotonic": self.clocks.monotonic(),
            "wall": self.clocks.wall(),
            "boot": self.journal.boot,
            "watch": self.tail.place,
            "proven": sorted(self.prober.proven),
        }
        try:
            write_json(self.folder / STATE, self.state)
        except (FileError, OSError) as error:
            self._tell("state", str(error))

    def _tell(self, about: str, text: str) -> None:
        if self._told.get(about) != text:
            self._told[about] = text
            self.say(text)
