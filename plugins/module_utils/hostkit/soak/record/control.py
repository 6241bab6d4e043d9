# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Starts a soak, ends it, says how it stands. What would make no sense is refused before it begins."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ...command import CommandResult, run_command
from ...engine import Engine
from ...files import FileError
from ...release import Paths as ReleasePaths
from ...release import Release, Store
from ...watch.command import read_status
from ...watch.config import Paths as WatchPaths
from ...watch.config import WatchError
from ...watch.config import read_config as read_watch
from ...watch.roster import Roster, WantedReader
from ..settings import SoakError
from .config import Config, read_config
from .journal import RunJournal, boot_of
from .paths import INBOX, REPORT, STATE, Paths, new_run, read_json, runs, unfinished, write_json
from .probe import Prober
from .request import PREVIOUS, document_from
from .targets import Doors, Resolver, Target, targets_of

UNIT = "hypercode-soak.service"
# Of a line of the journal, about: what each service and each way takes, and the rest; in bytes.
_EACH_SERVICE, _EACH_WAY, _REST = 700, 250, 3000
# What has to stay free beside it.
_MARGIN = 64 * 2**20
_END_WAIT = 300.0
# So long those have to answer of whom nobody said that they must, in seconds.
PROVING = 3.0
# So many that have ended stay.
KEEP = 20


def systemctl(*words: str) -> CommandResult:
    """Run it. What happened is in the exit code."""
    return run_command(["systemctl", *words], timeout=120)


@dataclass
class Control:
    """Of one host. What it touches is injected."""

    paths: Paths = field(default_factory=Paths)
    engine: Engine = field(default_factory=Engine)
    clock: Callable[[], float] = time.time
    unit: Callable[..., CommandResult] = systemctl
    sleep: Callable[[float], None] = time.sleep

    # --- start ------------------------------------------------------------------------------------------------------

    def plan(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of a soak that could start now. SoakError says why none can. Nothing is written."""
        document = self._document(asked)
        document["baseline"] = self._baseline(document["baseline"])
        running = unfinished(self.paths)
        if running:
            raise SoakError(f"{running} is under way on this host already. Fix: wait for it, or hypercode soak stop")
        read_config(self.paths.config)
        self._release()
        self._check_watch(document)
        self._check_room(document)
        return document

    def _document(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The settings as they stand in a journal. Without an interval, samples are no more than the watch has."""
        document = document_from(asked)
        if asked.get("interval") is None:
            with suppress(WatchError):
                least = read_watch(WatchPaths(self.paths.root).config).journal_interval
                if document["interval"] < least <= document["duration"] / 10:
                    return document_from({**asked, "interval": least})
        return document

    def start(self, asked: Mapping[str, Any]) -> str:
        """Start one; return its id. SoakError says why that cannot be. EngineError where Docker does not answer."""
        document = self.plan(asked)
        config, release = read_config(self.paths.config), self._release()
        services, silent, has_prometheus = self._services(config)
        run = new_run(self.paths, document["name"], self.clock())
        journal = RunJournal(self.paths.run(run), boot_of(self.paths.root), self.clock)
        first = journal.line(
            "start",
            host=os.uname().nodename,
            release={"id": release.id, "version": str(release.read().get("version") or "")},
            services=services,
            settings=document,
            not_tested=_not_tested(document, config, silent, has_prometheus),
            watch_healed=sum(row["heals"] for row in self._watch()["containers"]),
        )
        if not journal.write([first]):
            raise SoakError(f"{journal.file} cannot be written. Fix: df -h {self.paths.folder}")
        write_json(self.paths.unfinished, {"run": run})
        remove_old(self.paths, KEEP)
        done = self.unit("start", UNIT)
        if done.code != 0:
            self.paths.unfinished.unlink(missing_ok=True)
            shutil.rmtree(self.paths.run(run), ignore_errors=True)
            said = (done.stderr.strip() or f"exit code {done.code}").splitlines()[-1]
            raise SoakError(f"{UNIT} does not start: {said}. Fix: journalctl -u {UNIT} says why")
        return run

    def _release(self) -> Release:
        release = Store(ReleasePaths(self.paths.root)).current()
        if release is None:
            raise SoakError("nothing is deployed on this host, so there is nothing to watch. Fix: run site.yml for it")
        return release

    def _watch(self) -> dict[str, Any]:
        try:
            return read_status(WatchPaths(self.paths.root), self.clock())
        except WatchError as error:
            raise SoakError(f"nobody watches the containers: {error}") from error

    def _check_watch(self, document: Mapping[str, Any]) -> None:
        if not self._watch()["fresh"]:
            raise SoakError(
                "nobody watches the containers of this host. Fix: systemctl restart hypercode-watch, "
                "then journalctl -u hypercode-watch says why it ended"
            )
        try:
            interval = read_watch(WatchPaths(self.paths.root).config).journal_interval
        except WatchError as error:
            raise SoakError(str(error)) from error
        if interval > document["interval"]:
            raise SoakError(
                f"the watch writes down figures each {interval:g} s, this soak wants them each "
                f"{document['interval']:g} s. Fix: a duration of {10 * interval:g} s at least, or set "
                f"watch_journal_interval to {max(1, int(document['interval']))} in the inventory and run site.yml "
                "--tags watch for this host"
            )

    def _check_room(self, document: Mapping[str, Any]) -> None:
        count = len(WantedReader(Store(ReleasePaths(self.paths.root))).read().copies)
        ways = count + len(read_config(self.paths.config).sites)
        line = _EACH_SERVICE * count + _EACH_WAY * ways + _REST
        needed = int(document["duration"] / document["interval"] + 1) * line
        place = self.paths.folder
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free
        if free < needed + _MARGIN:
            raise SoakError(
                f"{place} has {free // 2**20} MiB free, and the journal of this soak takes up to {needed // 2**20} MiB "
                f"and {_MARGIN // 2**20} MiB have to stay free. Fix: free some space (df -h {place}), or "
                "take a longer interval"
            )

    def _baseline(self, named: str) -> str:
        if not named:
            return ""
        ended = [run for run in runs(self.paths) if run != unfinished(self.paths)]
        if named == PREVIOUS:
            good = [run for run in ended if read_json(self.paths.run(run) / REPORT).get("verdict")]
            return good[-1] if good else ""
        if named not in ended:
            raise SoakError(f"there is no soak {named!r} to compare with. Soaks: {', '.join(ended) or 'none'}")
        return named

    def _services(self, config: Config) -> tuple[list[str], dict[str, str], bool]:
        """Those that have to be there, those of them that are not asked and why, and whether there is Prometheus."""
        store = Store(ReleasePaths(self.paths.root))
        wanted = WantedReader(store).read()
        services = sorted(name for name, copies in wanted.copies.items() if name not in wanted.jobs and copies > 0)
        roster = Roster(self.engine, [config.project], self.paths.root)
        roster.look(None, 0.0)
        targets = targets_of(config, services, roster.known.values(), Doors(self.paths.root).read(), Resolver())
        asked = {target.name for target in targets}
        silent = {name: "no address in soak_probes, no health check asks one" for name in services if name not in asked}
        return services, silent | _unproven(targets, config.timeout), config.prometheus in services

    def is_the_same(self, run: str, asked: Mapping[str, Any]) -> bool:
        """Whether a run was started with these settings. SoakError where they make no sense."""
        told, wanted = self.settings(run), self._document(asked)
        # What it is compared with was looked up when it began.
        return {**json.loads(json.dumps(wanted)), "baseline": ""} == {**told, "baseline": ""}

    def is_of_older_release(self, run: str) -> bool:
        """Whether another release is in use than that of a run."""
        first = RunJournal(self.paths.run(run), "").first()
        return (first.get("release") or {}).get("id") != self._release().id

    # --- while it runs ----------------------------------------------------------------------------------------------

    def post(self, message: Mapping[str, Any]) -> str:
        """Tell the recorder something; return the run. SoakError when none is under way."""
        run = unfinished(self.paths)
        if not run:
            raise SoakError("no soak is under way on this host. Fix: hypercode soak start")
        folder = self.paths.run(run) / INBOX
        try:
            folder.mkdir(mode=0o750, exist_ok=True)
            write_json(folder / f"{time.time_ns()}.json", message)
        except (FileError, OSError) as error:
            raise SoakError(f"{folder} cannot be written: {error}. Fix: run it with sudo") from error
        return run

    def mark(self, what: str, text: str, ok: bool | None) -> str:
        """Write something down in the journal of the soak that is under way; return the run."""
        return self.post({"mark": what, "text": text, "ok": ok})

    def stop(self, by: str, wait: float = _END_WAIT) -> str:
        """End the soak that is under way, and wait until it has been judged; return the run."""
        run = self.post({"stop": by})
        # Where the recorder does not run, it is started for its end.
        self.unit("start", "--no-block", UNIT)
        self.wait(run, wait)
        return run

    def wait(self, run: str, seconds: float) -> bool:
        """Wait until a run has ended. False when it has not in that time."""
        until = time.monotonic() + seconds
        while unfinished(self.paths) == run:
            if time.monotonic() >= until:
                return False
            self.sleep(min(0.5, max(0.0, until - time.monotonic())))
        return True

    # --- how it stands ----------------------------------------------------------------------------------------------

    def find(self, run: str = "", name: str = "") -> str:
        """A run by its id, or the last one, of that name where it is told. SoakError where there is none."""
        there = runs(self.paths)
        if run:
            if run not in there:
                raise SoakError(f"there is no soak {run!r} on this host. Soaks: {', '.join(there) or 'none'}")
            return run
        for found in reversed(there):
            if not name or self.settings(found).get("name") == name:
                return found
        raise SoakError("no soak was started on this host yet. Fix: hypercode soak start")

    def settings(self, run: str) -> dict[str, Any]:
        """The settings of a run."""
        return dict(RunJournal(self.paths.run(run), "").first().get("settings") or {})

    def status(self, run: str) -> dict[str, Any]:
        """How a run stands. Times in seconds."""
        folder = self.paths.run(run)
        first, state, report = RunJournal(folder, "").first(), read_json(folder / STATE), read_json(folder / REPORT)
        settings = first.get("settings") or {}
        running = unfinished(self.paths) == run
        duration, began = float(settings.get("duration") or 0), float(first.get("time") or 0)
        seen = float(state.get("wall") or began)
        elapsed = float(state.get("elapsed") or 0) + (max(0.0, self.clock() - seen) if running else 0.0)
        findings = [
            {
                "title": str(check.get("title")),
                "verdict": str(check.get("verdict")),
                "observed": str(check.get("observed")),
                "next": str(check.get("next") or ""),
            }
            for check in report.get("checks") or ()
            if check.get("verdict") in (("FAIL",) if running else ("FAIL", "INCONCLUSIVE"))
        ]
        return {
            "run": run,
            "name": str(settings.get("name") or ""),
            "release": (first.get("release") or {}).get("id", ""),
            "running": running,
            "recorded": not running or self.clock() - seen <= 3 * float(settings.get("interval") or 60) + 60,
            "verdict": report.get("verdict"),
            "reason": str(report.get("reason") or ""),
            "next": str(report.get("next") or ""),
            "began": began,
            "ended": 0.0 if running else float(report.get("ended") or seen),
            "duration": duration,
            "elapsed": min(duration, elapsed),
            "left": max(0.0, duration - elapsed) if running else 0.0,
            "samples": int(state.get("samples") or 0),
            "findings": findings,
            "settings": settings,
            "folder": str(folder),
        }

    def report(self, run: str) -> dict[str, Any]:
        """The report of a run. SoakError where it has none yet."""
        found = read_json(self.paths.run(run) / REPORT)
        if not found:
            raise SoakError(f"{run} has no report yet. Fix: wait for its first evaluation; hypercode soak status")
        return found


def _unproven(targets: Sequence[Target], timeout: float) -> dict[str, str]:
    """Services that nobody said have to answer this host, and that do not: they are not asked later either."""
    found = [target for target in targets if not target.declared]
    if not found:
        return {}
    prober = Prober(PROVING / 4, min(timeout, PROVING))
    prober.set_targets(found)
    prober.start()
    until = time.monotonic() + PROVING
    while len(prober.proven) < len(found) and time.monotonic() < until:
        time.sleep(0.05)
    prober.stop()
    left = [target.name for target in found if target.key not in prober.proven]
    return dict.fromkeys(left, "it does not answer what its health check asks; give an address in soak_probes")


def _not_tested(
    document: Mapping[str, Any], config: Config, silent: Mapping[str, str], has_prometheus: bool
) -> list[dict[str, str]]:
    """What this soak does not look at, and why."""
    found = [{"what": f"requests to {name}", "why": why} for name, why in sorted(silent.items())]
    if not config.sites:
        found.append({"what": "requests through the edge", "why": "the inventory has no sites for this host"})
    elif not any(site.host for site in config.sites):
        found.append({"what": "requests from another host", "why": "no other host of the inventory has sites"})
    if not has_prometheus:
        found.append({"what": "targets and alerts", "why": "the stack has no Prometheus"})
    if not document["faults"]["kill"]:
        found.append({"what": "the end of each container by force", "why": "faults: kill was not asked for"})
    if not document["faults"]["reboot"]:
        found.append({"what": "a reboot of the host", "why": "faults: reboot was not asked for"})
    return found


def remove_old(paths: Paths, keep: int) -> list[str]:
    """Remove the oldest runs but so many that have ended; return their ids."""
    ended = [run for run in runs(paths) if run != unfinished(paths)]
    gone = ended[:-keep] if keep else ended
    for run in gone:
        with suppress(OSError):
            shutil.rmtree(paths.run(run))
    return gone
