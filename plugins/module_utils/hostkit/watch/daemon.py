# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The daemon: looks at the containers every some seconds, and when something happens to one of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..edge.layout import DRAINED
from ..edge.layout import Paths as EdgePaths
from ..engine import Engine, EngineError
from ..files import FileError, times_of, write_file
from ..release import Paths as ReleasePaths
from ..release import Store
from .config import Config, Paths
from .heal import Healer, judge
from .host import ReleaseReader, host_lines
from .journal import Journal
from .listener import Event, Heard, Listener
from .metrics import Myself, Sample, exposition
from .notify import notify
from .roster import Facts, Roster, WantedReader
from .tracks import read_tracks, write_tracks

# What happens within so many seconds is one change. Where changes do not end, it looks ever more slowly.
SETTLE, SLOWEST, CALM = 0.3, 10.0, 30.0
# The wall clock was set when it went that far from the other one between two looks, in seconds.
JUMP = 5.0
# Events that stand in the journal. Of others it is enough that one looks.
_JOURNALED = ("start", "die", "oom", "health", "destroy")


@dataclass
class Clocks:
    """Seconds since 1970, and since some moment, of which only differences count."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic


@dataclass
class Daemon:
    """One daemon. `say` takes a line for a person. Engine and clocks are injected."""

    paths: Paths
    config: Config
    engine: Engine
    say: Callable[[str], None]
    clocks: Clocks = field(default_factory=Clocks)
    boot: str = ""
    ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        root = self.paths.root
        self.store = Store(ReleasePaths(root))
        self.listener = Listener(self.engine, self.config.projects, lambda: int(self.clocks.wall() * 1e9))
        self.roster = Roster(self.engine, self.config.projects, root)
        self.wanted = WantedReader(self.store)
        self.releases = ReleaseReader(self.store)
        self._edge = EdgePaths(root)
        self.tracks = read_tracks(self.paths.state)
        self.healer = Healer(self.engine, self.store, wake=self.listener.wake.set)
        self.journal = Journal(
            self.paths.folder,
            self.boot or boot_id(root),
            self.config.journal_days,
            self.config.journal_max_bytes,
            self.clocks.wall,
            self.clocks.monotonic,
        )
        self.engine_up = True
        self._away_since = 0.0
        self._events_dropped = 0
        self._saved = self.tracks.as_bytes()
        self._last: tuple[float, float] | None = None
        self._journaled: float | None = None
        self._looks: list[float] = []
        self._ooms: dict[str, list[float]] = {}
        self._told: dict[str, str] = {}

    # --- the loop ---------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Look until `ended` is set, or until our own files change or something broke: systemd starts it anew.

        A restart that is under way then is waited for.
        """
        self.listener.start()
        self.begin()
        due, files = self.clocks.monotonic(), _own_files()
        first = True
        while not self.ended.is_set() and self.listener.alive and _own_files() == files:
            self.tick()
            notify(*(["READY=1"] if first else []), "WATCHDOG=1", f"STATUS={self.summary()}")
            first, now = False, self.clocks.monotonic()
            due = max(due + self.config.interval, now) if now >= due else due
            if self.listener.wake.wait(max(0.0, due - now)):
                self.ended.wait(self._settle())
        notify("STOPPING=1")
        self.listener.ended.set()
        self.healer.wait()

    def stop(self) -> None:
        """Let `run` come to its end."""
        self.ended.set()
        self.listener.wake.set()

    def _settle(self) -> float:
        """How long to wait for more, after something was heard."""
        now = self.clocks.monotonic()
        self._looks = [*(when for when in self._looks if when > now - CALM), now]
        return min(SLOWEST, SETTLE * 1.5 ** (len(self._looks) - 1))

    def summary(self) -> str:
        """One line for systemctl status."""
        if not self.engine_up:
            return "Docker does not answer"
        unhealthy = sorted(facts.name for facts in self.roster.known.values() if facts.health == "unhealthy")
        return f"{len(self.roster.known)} containers" + (f"; unhealthy: {', '.join(unhealthy)}" if unhealthy else "")

    # --- one look ---------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Write down for how long nobody has looked."""
        last = self.journal.last()
        if last is not None:
            reason = "restart" if last.get("boot") == self.journal.boot else "boot"
            when = last.get("time")
            self.journal.write([self._gap(reason, when if isinstance(when, int | float) else self.clocks.wall())])

    def tick(self) -> None:
        """Look at everything once and write down what there is."""
        began, now = self.clocks.monotonic(), self.clocks.wall()
        since = self._last[0] if self._last else now
        lines = self._check_clocks(now, began)
        heard = self.listener.take()
        lines += self._ask_engine(heard, began)
        lines += self._take_in(heard, since)
        samples = self._sample(now)
        lines += self._heal(now)
        missing = self._missing()
        if self._journaled is None or began - self._journaled >= self.config.journal_interval - 0.5:
            self._journaled = began
            lines.append(self.journal.line("sample", containers=[_row(s) for s in samples], missing=missing))
        if self.journal.write(lines):
            self._told.pop("journal", None)
        else:
            self._tell(
                "journal", f"the journal in {self.paths.folder} cannot be written. Fix: df -h {self.paths.folder}"
            )
        self._save()
        myself = Myself(
            now,
            self.engine_up,
            self.clocks.monotonic() - began,
            self.config.interval,
            self._events_dropped,
            self.journal.errors,
            self._edge.at(DRAINED).exists(),
        )
        more = [*host_lines(self.paths.root), *self.releases.lines()]
        self._write_metrics(exposition(samples, [(m["project"], m["service"]) for m in missing], myself, more))

    def _check_clocks(self, wall: float, monotonic: float) -> list[dict[str, Any]]:
        last, self._last = self._last, (wall, monotonic)
        if last is None:
            return []
        passed, jumped = monotonic - last[1], (wall - last[0]) - (monotonic - last[1])
        lines = []
        if abs(jumped) >= JUMP:
            self.listener.begin_again()
            for track in self.tracks.values():
                track.shift(jumped)
            self._away_since += jumped if self._away_since else 0.0
            lines.append(self._gap("clock", last[0], jumped=round(jumped, 3)))
        if passed > max(60.0, 3 * self.config.interval + SLOWEST):
            lines.append(self._gap("stalled", wall - passed))
        return lines

    def _ask_engine(self, heard: Heard, monotonic: float) -> list[dict[str, Any]]:
        try:
            self.roster.look(None if heard.lost or not self.engine_up else heard.ids, monotonic)
        except EngineError as error:
            self._tell("engine", str(error))
            if self.engine_up:
                self.engine_up, self._away_since = False, self.clocks.wall()
            return []
        for odd in sorted(self.roster.odd):
            self._tell(odd, f"what Docker says of container {odd[:12]} cannot be understood, so it is left out")
        back, self.engine_up = not self.engine_up, True
        self._told.pop("engine", None)
        return [self._gap("engine", self._away_since)] if back else []

    def _take_in(self, heard: Heard, since: float) -> list[dict[str, Any]]:
        lines = []
        self._ooms = {}
        for event in heard.events:
            if event.kind == "oom":
                self._ooms.setdefault(event.id, []).append(event.at)
            if event.kind == "die" and event.exit_code is not None:
                self.tracks.of(event.id).last_exit_code = event.exit_code
            if event.kind in _JOURNALED:
                lines.append(self._event_line(event))
        if heard.dropped:
            self._events_dropped += heard.dropped
            lines.append(self._gap("events", since, lost=heard.dropped))
        return lines

    def _sample(self, now: float) -> list[Sample]:
        jobs = self.wanted.read()
        samples = []
        for facts in sorted(self.roster.known.values(), key=lambda found: (found.project, found.name)):
            usage = facts.places.read() if facts.running and facts.places else None
            track = self.tracks.of(facts.id)
            track.update(facts, usage.oom_kills if usage else None, now, self._ooms.get(facts.id, ()))
            job = facts.project == jobs.project and facts.service in jobs.jobs
            gone = not self.engine_up and facts.places is not None and usage is None
            samples.append(Sample(facts, track, usage, job, gone))
        if self.engine_up:
            self.tracks.keep_only(self.roster.known)
        return samples

    def _missing(self) -> list[dict[str, str]]:
        """The services that have fewer containers than the release wants of them."""
        wanted = self.wanted.read()
        never_looked = not self.engine_up and not self.roster.known
        if never_looked or wanted.project not in self.config.projects:
            return []
        found = [facts.service for facts in self.roster.known.values() if facts.project == wanted.project]
        return [
            {"project": wanted.project, "service": name}
            for name, copies in sorted(wanted.copies.items())
            if name not in wanted.jobs and found.count(name) < copies
        ]

    # --- restarts ---------------------------------------------------------------------------------------------------

    def _heal(self, now: float) -> list[dict[str, Any]]:
        lines = []
        for outcome in self.healer.outcomes():
            facts, what = outcome.facts, "heal_failed" if outcome.failure else "heal"
            self.tracks.of(facts.id).heals += int(not outcome.failure)
            more = {"message": outcome.failure} if outcome.failure else {}
            lines.append(self.journal.line("event", event=what, **facts.labels, id=facts.id[:12], **more))
            self.say(f"{facts.name}: " + (f"not restarted: {outcome.failure}" if outcome.failure else "restarted"))
        for facts in self.roster.known.values() if self.engine_up else ():
            track = self.tracks.of(facts.id)
            verdict = judge(facts, track, self.config, now)
            if track.unhealthy_since:
                why = f"; it is left alone: {verdict.why_not}" if verdict.why_not else ""
                self._tell(facts.id, f"{facts.name} is unhealthy{why}")
            else:
                self._told.pop(facts.id, None)
            if verdict.what == "give up":
                track.given_up = True
                lines.append(self.journal.line("event", event="given_up", **facts.labels, id=facts.id[:12]))
                self.say(f"{facts.name}: given up after {len(track.healed)} restarts. Next: docker logs {facts.name}")
            elif verdict.what == "restart" and not self.healer.busy:
                self._restart(facts, now)
        about = {"engine", "journal", "metrics", "lock"} | self.roster.odd
        for gone in self._told.keys() - self.roster.known.keys() - about:
            del self._told[gone]
        return lines

    def _restart(self, facts: Facts, now: float) -> None:
        holder = self.healer.others_at_work()
        if holder:
            self._tell("lock", f"{facts.name} is not restarted while somebody is at work on the stack: {holder}")
            return
        self._told.pop("lock", None)
        track = self.tracks.of(facts.id)
        track.healed.append(now)
        self.say(f"{facts.name} is unhealthy for {now - track.unhealthy_since:.0f} s: it is restarted")
        # On the disk before it is done: a daemon that dies over it must not begin to count anew.
        self._save()
        self.healer.begin(facts)

    # --- what is written --------------------------------------------------------------------------------------------

    def _gap(self, reason: str, since: float, **details: Any) -> dict[str, Any]:
        span = {"from": round(since, 3), "to": round(self.clocks.wall(), 3)}
        return self.journal.line("gap", reason=reason, **span, **details)

    def _event_line(self, event: Event) -> dict[str, Any]:
        details: dict[str, Any] = {"project": event.project, "service": event.service, "container": event.container}
        details |= {"id": event.id[:12], "at": round(event.at, 3)}
        if event.exit_code is not None:
            details["exit_code"] = event.exit_code
        if event.health:
            details["health"] = event.health
        return self.journal.line("event", event=event.kind, **details)

    def _save(self) -> None:
        data = self.tracks.as_bytes()
        if data != self._saved and write_tracks(self.paths.state, data):
            self._saved = data

    def _write_metrics(self, data: bytes) -> None:
        try:
            self.paths.metrics.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            write_file(self.paths.metrics, data)
            self._told.pop("metrics", None)
        except (FileError, OSError) as error:
            self._tell("metrics", str(error))

    def _tell(self, about: str, text: str) -> None:
        """Say something, but the same about the same thing not over and over."""
        if self._told.get(about) != text:
            self._told[about] = text
            self.say(text)


def _row(sample: Sample) -> dict[str, Any]:
    """A container in a line of the journal."""
    facts, track = sample.facts, sample.track
    row: dict[str, Any] = {
        **facts.labels,
        "id": facts.id[:12],
        "up": sample.up,
        "state": facts.state,
        "health": facts.health,
        "started": round(facts.started, 3),
        "restarts": facts.restarts,
        "oom_kills": track.oom_kills,
        "last_exit_code": track.last_exit_code,
        "heals": track.heals,
    }
    counts: Mapping[str, Any] = vars(sample.usage) if sample.usage else {}
    return row | {name: value for name, value in counts.items() if value is not None}


def _own_files() -> list[int]:
    """When a file was last put among our own."""
    here = Path(__file__).parent
    return times_of((here, here.parent))


def boot_id(root: Path) -> str:
    """Which boot of the host this is; empty where the kernel does not tell."""
    try:
        return (root / "proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
