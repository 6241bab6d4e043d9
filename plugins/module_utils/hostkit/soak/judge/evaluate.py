# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The verdict of a soak out of its journal: the one way for one that runs and for one that was recorded."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..settings import Settings
from . import containers, course, host, leaks, requests, resources, series, stores
from .check import FAIL, INCONCLUSIVE, NOT_TESTED, PASS, Check, Context, join
from .lifetimes import Restart, restarts
from .plan import Plan
from .read import JournalError, read
from .recording import Recording

SCHEMA = 1
# How a check says that its figures could not be judged.
UNJUDGED = "the figures could not be judged"
# Without these nothing can be said.
_SHORT = 6 * 3600.0
_ESSENTIAL = ("services_up", "restarts", "memory_leak", "probe_errors", "coverage")


def evaluate(
    journal: Path,
    *,
    settings: Settings | None = None,
    baseline: Path | None = None,
    running: bool = False,
    now: float | None = None,
) -> dict[str, Any]:
    """Judge a journal: the report of docs/soak_journal.md. JournalError (a SoakError) when there is no file to read.

    `settings`: to judge by other ones than those in the journal. `baseline`: the journal of an earlier soak, or of the
    watch. `running`: only a FAIL that is certain now may come. `now`: seconds since 1970, of a soak that runs.
    """
    recording, told = read(journal, settings)
    earlier = _baseline(recording, told, baseline)
    return judge(recording, told, baseline=earlier, running=running, now=now)


def judge(
    recording: Recording,
    settings: Settings,
    *,
    baseline: Recording | None = None,
    running: bool = False,
    now: float | None = None,
) -> dict[str, Any]:
    """The same for a journal that was read."""
    until = settings.duration
    if running:
        known = (time.time() if now is None else now) - recording.began
        # A wall clock that was set says nothing: the last sample does.
        near = recording.last - 60 <= known <= recording.last + 30 * settings.interval
        until = min(settings.duration, known if near else recording.last)
    context = Context(recording, settings, Plan(recording, settings), running, max(until, 0.0), baseline)
    found, replaced = restarts(context)
    checks, coverage = _checks(context, found, replaced)
    verdict, reason, following = _verdict(context, checks)
    untested = [dict(one) for one in recording.not_tested]
    untested += [{"what": check.title, "why": check.untested} for check in checks if check.verdict == NOT_TESTED]
    ended = recording.ended[0] if recording.ended and not running else recording.last
    return {
        "schema": SCHEMA,
        "run": recording.run,
        "name": settings.name,
        "host": recording.host,
        "release": recording.release,
        "verdict": verdict,
        "running": running,
        "reason": reason,
        "next": following,
        "began": round(recording.began, 3),
        "ended": round(recording.began + ended, 3),
        "duration": settings.duration,
        "warmup": settings.warmup,
        "interval": settings.interval,
        "samples": len(recording.times),
        "coverage": round(coverage, 6),
        "checks": [check.as_dict(recording.began) for check in checks],
        "not_tested": untested,
        "events": series.events(context, found),
        "gaps": series.gaps(context),
        "notes": _notes(recording, settings),
        "series": series.series(context, found),
    }


def _notes(recording: Recording, settings: Settings) -> list[str]:
    notes = list(recording.notes)
    if not recording.started:
        notes.append("It has no `start`: it is judged by the usual settings, as far as it goes.")
    if not recording.times:
        notes.append("It has no sample: nothing can be said.")
    others = {
        str(event.details.get("version") or event.details.get("release"))
        for event in recording.events
        if event.kind == "rollout" and event.details.get("release") != recording.release.get("id")
    }
    if others:
        notes.append(f"Another release came into use meanwhile ({join(sorted(others))}): they are judged together.")
    if settings.duration < _SHORT:
        notes.append("It is a short soak: slow leaks, creeping latency and rare errors cannot be seen in it.")
    return notes


def _baseline(recording: Recording, settings: Settings, given: Path | None) -> Recording | None:
    path = given or (Path(settings.baseline) if settings.baseline else None)
    if path is None:
        return None
    try:
        found, _settings = read(path)
    except JournalError as error:
        recording.notes.append(f"It was not compared with an earlier soak: {error}.")
        return None
    if not found.times:
        recording.notes.append(f"It was not compared with an earlier soak: {path} has no sample.")
        return None
    return found


def _checks(context: Context, found: list[Restart], replaced: list[Restart]) -> tuple[list[Check], float]:
    covered, share = course.coverage(context)
    checks = [
        _guarded("services_up", "Services are up", lambda: containers.services_up(context)),
        _guarded("restarts", "Restarts", lambda: containers.restarts(context, found, replaced)),
        _guarded("oom", "Killed for want of memory", lambda: containers.oom(context)),
        _guarded("exit_codes", "Exit codes", lambda: containers.exit_codes(context, found)),
        _guarded("health", "Health", lambda: containers.health(context)),
        _guarded("memory_leak", "Memory leaks", lambda: leaks.memory_leak(context)),
        _guarded("memory_steps", "Steps of memory", lambda: leaks.memory_steps(context)),
        _guarded("memory_share", "Memory of its limit", lambda: resources.memory_share(context)),
        _guarded("cpu_share", "CPU of its limit", lambda: resources.cpu_share(context)),
        _guarded("throttling", "Held back for its CPU limit", lambda: resources.throttling(context)),
        _guarded("descriptors", "Descriptors", lambda: resources.growth(context, "descriptors", "Descriptors")),
        _guarded("threads", "Threads", lambda: resources.growth(context, "processes", "Threads")),
        _guarded("probe_errors", "Errors of requests", lambda: requests.probe_errors(context)),
        _guarded("latency", "Latency", lambda: requests.latency(context)),
        _guarded("edge_errors", "Errors of real users", lambda: requests.edge_errors(context)),
        _guarded("disk_full", "Disks", lambda: host.disks(context)),
        _guarded("inodes", "Inodes", lambda: host.inodes(context)),
        _guarded("pressure", "Pressure", lambda: host.pressure(context)),
        _guarded("conntrack", "Connections of the firewall", lambda: host.conntrack(context)),
        _guarded("clock", "Clock", lambda: host.clock(context)),
        _guarded("logs", "Errors in the logs", lambda: host.logs(context)),
        _guarded("targets", "Targets of Prometheus", lambda: host.targets(context)),
        _guarded("alerts", "Alerts", lambda: host.alerts(context)),
        _guarded("certificates", "Certificates", lambda: host.certificates(context)),
        _guarded("postgres", "Postgres", lambda: stores.postgres(context)),
        _guarded("redis", "Redis", lambda: stores.redis(context)),
        _guarded("backup", "Backups", lambda: stores.backup(context)),
        _guarded("drill", "Drills of a restore", lambda: stores.drill(context)),
        _guarded("canary", "Data that was planted", lambda: stores.canary(context)),
        _guarded("recovery", "Recovery from faults", lambda: course.recovery(context)),
        _guarded("load_test", "Load test and marks", lambda: course.marks(context)),
        _guarded("reboot", "Reboots of the host", lambda: containers.reboot(context)),
    ]
    return [*checks, covered], share


def _guarded(name: str, title: str, make: Callable[[], Check]) -> Check:
    """A check that cannot reckon with its figures says so, and takes no others with it: never a silent PASS."""
    try:
        return make()
    except (ArithmeticError, ValueError) as error:
        check = Check(name, title, "", INCONCLUSIVE, f"{UNJUDGED} ({error})")
        check.next = "Report it with the journal: this is a fault of hypercode.deploy"
        return check


def _verdict(context: Context, checks: list[Check]) -> tuple[str | None, str, str]:
    failing = [check for check in checks if check.verdict == FAIL]
    if context.running:
        early = [check for check in failing if check.early]
        if early:
            return FAIL, _sentence(early), early[0].next
        if failing:
            words = f"It still runs; not well so far: {join([check.title for check in failing])}."
            return None, words, failing[0].next
        return None, "It still runs, and nothing is wrong so far.", "Wait until it is over: hypercode soak status"
    if failing:
        return FAIL, _sentence(failing), failing[0].next
    lacking = [check for check in checks if check.id in _ESSENTIAL and check.verdict == NOT_TESTED]
    lacking = [check for check in lacking if not _excused(context, check)]
    unclear = [check for check in checks if check.verdict == INCONCLUSIVE]
    ended = context.recording.ended
    if (unclear or lacking) and ended is not None and ended[1] == "stopped":
        by = f" by {ended[2]}" if ended[2] else ""
        return (
            INCONCLUSIVE,
            f"It was stopped{by} before its time.",
            "Soak again, for the whole time: hypercode soak start",
        )
    if unclear or lacking:
        why = [f"{check.title} ({check.observed})" for check in unclear]
        why += [f"{check.title} (not tested: {check.untested})" for check in lacking]
        following = (unclear + lacking)[0].next or "Soak again, for the whole time: hypercode soak start"
        return INCONCLUSIVE, f"It is not clear: {join(why)}.", following
    tested = sum(1 for check in checks if check.verdict == PASS)
    return PASS, f"All {tested} checks that could be made are well.", "Nothing: the release holds"


def _excused(context: Context, check: Check) -> bool:
    """Whether the journal says itself why there are no requests: no service has anything to ask."""
    return check.id == "probe_errors" and any("probe" in one["what"].lower() for one in context.recording.not_tested)


def _sentence(failing: list[Check]) -> str:
    first = failing[0]
    about = f" ({join(first.bad())})" if first.bad() else ""
    more = f"; and {join([check.title for check in failing[1:]])}" if failing[1:] else ""
    return f"{first.title}: {first.observed}{about}{more}."
