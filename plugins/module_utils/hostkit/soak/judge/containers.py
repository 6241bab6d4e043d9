# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks of whether containers are there, and stay: up, restarts, kills for want of memory, exit codes, health."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence

from .check import FAIL, INCONCLUSIVE, NOT_TESTED, NOTHING_SEEN, PASS, Check, Context, hours, join, plural
from .lifetimes import Restart
from .recording import HEALTH, UNKNOWN, Track

# A storm: so many restarts of one container in so many seconds.
_STORM = 3
_STORM_SECONDS = 600.0
# So long before and after its first sample a host goes down and comes up, in seconds.
_BOOTS = 120.0
# Down for one look may be the look; so often it is not.
_FLAPS = 3
# Ended because somebody asked for it: 0 is well, 143 is SIGTERM, which many programs answer so.
_WELL = (0, 143)


def spells(times: Sequence[float], longest: float) -> list[tuple[float, float, int]]:
    """Runs of times that are no more than `longest` apart: begin, end, how many."""
    found: list[tuple[float, float, int]] = []
    for at in times:
        if found and at - found[-1][1] <= longest:
            found[-1] = (found[-1][0], at, found[-1][2] + 1)
        else:
            found.append((at, at, 1))
    return found


def services_up(context: Context) -> Check:
    """Every service of the release has its container, and it runs."""
    check = Check(
        "services_up",
        "Services are up",
        "each service runs; two samples at which it does not, apart from each other, are borne",
    )
    recording = context.recording
    if not recording.container_times:
        return check.not_tested(NOTHING_SEEN)
    seen: dict[str, list[float]] = {}
    down: dict[str, set[float]] = {}
    for track in recording.tracks.values():
        seen.setdefault(track.service, []).extend(track.rows.times[:1])
        ups = track.rows.column("up")
        # A service with several containers is down when one of them is.
        if 0.0 in ups:
            bad = (at for at, up in zip(track.rows.times, ups, strict=True) if up == 0)
            down.setdefault(track.service, set()).update(bad)
    for (_project, service), times in recording.missing.items():
        down.setdefault(service, set()).update(times)
    for service, at in _vanished(context):
        down.setdefault(service, set()).update(one for one in recording.container_times if one > at)
    apart = 2.5 * context.settings.interval
    for service in sorted({*recording.services, *seen, *down}):
        bad_times = [at for at in sorted(down.get(service, ())) if not context.plan.covers(at, service)]
        if service not in seen and not bad_times:
            check.add(service, FAIL, "never seen", samples_down=float(len(recording.container_times)))
            check.say(None, f"{service}: no container of it was ever seen")
            continue
        long = [one for one in spells(bad_times, apart) if one[2] > 1]
        for begin, end, count in long:
            check.say(begin, f"{service}: down at {count} samples, {hours(end - begin)}")
        words = f"down at {plural(len(bad_times), 'sample')}" if bad_times else "up"
        # Now and then for a moment is flapping.
        flaps = not long and len(bad_times) >= _FLAPS
        if flaps:
            check.say(bad_times[0], f"{service}: down at {len(bad_times)} samples, each time for a moment")
        check.add(service, FAIL if long or flaps else PASS, words, samples_down=float(len(bad_times)))
    check.observed = f"{len(check.subjects)} services, {len(check.bad())} of them down"
    check.next = f"Run: sudo hypercode diagnose  (down: {join(check.bad())})"
    return check


def _vanished(context: Context) -> list[tuple[str, float]]:
    """Services of the release whose last container is not in the samples any more, without being told as missing."""
    last: dict[str, float] = {}
    for track in context.recording.tracks.values():
        if len(track.rows):
            last[track.service] = max(last.get(track.service, 0.0), track.rows.times[-1])
    wanted = set(context.recording.services) or set(last)
    told = {service for _project, service in context.recording.missing}
    newest = context.recording.container_times[-1]
    slack = 2.5 * context.settings.interval
    gone = [(name, at) for name, at in last.items() if name in wanted and name not in told and at < newest - slack]
    # What was never among the services, such as a job that ran once, may go.
    return [(name, at) for name, at in gone if context.recording.services or not _is_job(context, name)]


def _is_job(context: Context, service: str) -> bool:
    tracks = [track for track in context.recording.tracks.values() if track.service == service]
    return all(UNKNOWN in track.rows.column("up")[-1:] for track in tracks)


def restarts(context: Context, found: Sequence[Restart], replaced: Sequence[Restart]) -> Check:
    """How often containers were started anew, outside of what is planned."""
    most = context.limits.restarts
    check = Check("restarts", "Restarts", f"at most {plural(most, 'restart')} of all services together")
    if not context.recording.container_times:
        return check.not_tested(NOTHING_SEEN)
    unplanned = [one for one in found if not one.planned]
    total = sum(one.count for one in unplanned)
    storms = _storms(unplanned)
    for one in unplanned:
        check.say(one.at, f"{one.subject}: {plural(one.count, 'restart')}" + (f" ({one.why})" if one.why else ""))
    for one in replaced:
        if not one.planned:
            check.say(one.at, f"{one.subject}: another container is in its place; nothing says why")
    planned = sum(one.count for one in found if one.planned)
    if planned:
        check.say(None, f"{plural(planned, 'restart')} were planned and do not count")
    counts: Counter[str] = Counter()
    for one in unplanned:
        counts[one.subject] += one.count
    for subject, _track in context.tracks():
        count = counts[subject]
        verdict = FAIL if count and total > most else PASS
        words = plural(count, "restart") + (", a storm of them" if subject in storms else "")
        check.add(subject, verdict, words, restarts=float(count))
    check.early = bool(storms)
    if storms:
        check.verdict = FAIL
    check.observed = plural(total, "restart")
    if storms:
        check.observed += f"; at least {_STORM} in 10 minutes: {join(sorted(storms))}"
    check.next = f"Run: docker logs {next(iter(counts), '')}  (why did it end?)" if counts else ""
    return check


def _storms(found: Sequence[Restart]) -> set[str]:
    """Containers with at least three restarts in ten minutes."""
    recent: dict[str, list[tuple[float, int]]] = {}
    storms = set()
    for one in found:
        kept = [(at, count) for at, count in recent.get(one.subject, []) if at > one.at - _STORM_SECONDS]
        recent[one.subject] = [*kept, (one.at, one.count)]
        if sum(count for _at, count in recent[one.subject]) >= _STORM:
            storms.add(one.subject)
    return storms


def oom(context: Context) -> Check:
    """Processes that the kernel killed since a container had no memory left. They are never planned.

    While a host goes down and comes up, Docker may say it of a container whose cgroup is taken away: that is left out.
    """
    most = context.limits.oom_kills
    check = Check("oom", "Killed for want of memory", f"at most {plural(most, 'kill')}")
    if not context.recording.container_times:
        return check.not_tested(NOTHING_SEEN)
    events = [event for event in context.recording.events if event.kind == "oom" and not _boots(context, event.at)]
    told = Counter(event.service for event in events)
    total = 0.0
    for subject, track in context.tracks():
        count, when = _kills(context, track)
        if told[track.service] > count:
            count = float(told[track.service])
            when = [event.at for event in events if event.service == track.service]
        total += count
        for at in when:
            check.say(at, f"{subject}: a process was killed, since the container had used up its memory")
        check.add(subject, FAIL if count > most else PASS, plural(count, "kill"), kills=count)
    if total > most:
        check.verdict = FAIL
    check.early = check.verdict == FAIL
    check.observed = plural(total, "kill")
    check.next = "Raise the memory limit of it, or find what grows: see the check of leaks"
    return check


def _boots(context: Context, at: float) -> bool:
    """Whether the host was going down or coming up then, planned or not."""
    span = context.plan.covers(at)
    boots = [boot for boot, _name in context.recording.boots[1:]]
    return span is not None and span.what in ("boot", "reboot") and any(abs(at - boot) < _BOOTS for boot in boots)


def _kills(context: Context, track: Track) -> tuple[float, list[float]]:
    counts, ids = track.rows.column("oom_kills"), track.rows.column("id")
    total, when, last, last_id = 0.0, [], UNKNOWN, UNKNOWN
    for at, count, now in zip(track.rows.times, counts, ids, strict=True):
        if count < 0:
            continue
        if last >= 0:
            more = count if now != last_id or count < last else count - last
            if more > 0 and not _boots(context, at):
                total += more
                when.append(at)
        last, last_id = count, now
    return total, when


def exit_codes(context: Context, found: Sequence[Restart]) -> Check:
    """How containers ended."""
    check = Check("exit_codes", "Exit codes", "0 or 143 (SIGTERM), outside of what is planned")
    events = [event for event in context.recording.events if event.kind == "die"]
    if not context.recording.container_times and not events:
        return check.not_tested(NOTHING_SEEN)
    bad: dict[str, list[str]] = {}
    for event in events:
        code = event.details.get("exit_code")
        planned = context.plan.covers(event.at, event.service)
        # At the end of a boot all containers end.
        away = any(boot - 900 < event.at < boot + 300 for boot, _name in context.recording.boots[1:])
        if isinstance(code, int) and code not in _WELL and not planned and not away:
            bad.setdefault(event.service or "?", []).append(str(code))
            check.say(event.at, f"{event.service}: ended with exit code {code}")
    for one in found:
        if not one.planned and one.why.startswith("exit code") and one.service not in bad:
            code_text = one.why.removeprefix("exit code ")
            if code_text not in ("0", "143", "?"):
                bad.setdefault(one.service, []).append(code_text)
                check.say(one.at, f"{one.subject}: ended with exit code {code_text}")
    for service in sorted({track.service for track in context.recording.tracks.values()} | set(bad)):
        codes = bad.get(service, [])
        verdict = FAIL if len(codes) > context.limits.restarts else PASS
        check.add(service, verdict, f"ended with {join(codes)}" if codes else "none that is bad", bad=float(len(codes)))
    check.observed = f"{plural(sum(len(codes) for codes in bad.values()), 'container')} ended with another code"
    check.next = f"Run: docker logs {next(iter(bad), '')}  (why did it end?)"
    return check


def health(context: Context) -> Check:
    """Containers that were unhealthy, by their own health check."""
    check = Check("health", "Health", "never unhealthy after the warm-up, outside of what is planned")
    if not context.recording.container_times:
        return check.not_tested(NOTHING_SEEN)
    sick_code, none_code = float(HEALTH.index("unhealthy")), float(HEALTH.index("none"))
    without = []
    for subject, track in context.tracks():
        states = track.rows.column("health")
        told = array("d")
        for event in context.recording.events:
            if event.kind == "health" and event.service == track.service and event.details.get("health") == "unhealthy":
                told.append(event.at)
        if all(state in (UNKNOWN, none_code) for state in states) and not told:
            without.append(subject)
            check.add(subject, NOT_TESTED, "has no health check")
            continue
        seen = [at for at, state in zip(track.rows.times, states, strict=True) if state == sick_code]
        times = sorted({*seen, *told})
        bad = [at for at in times if at >= context.warm and not context.plan.covers(at, track.service)]
        found = spells(bad, 1.5 * context.settings.interval)
        for begin, end, _count in found:
            check.say(begin, f"{subject}: unhealthy" + (f" for {hours(end - begin)}" if end > begin else ""))
        if times and not bad:
            check.say(times[0], f"{subject}: unhealthy, in the warm-up or as planned: it does not count")
        words = f"unhealthy {plural(len(found), 'time')}" if found else "well"
        check.add(subject, FAIL if found else PASS, words, spells=float(len(found)), samples=float(len(bad)))
    failing = check.bad()
    check.observed = f"{plural(len(failing), 'container')} unhealthy at some time" if failing else "all well"
    check.untested = f"without a health check: {join(without)}" if without else ""
    check.next = f"Run: docker inspect {failing[0]}  (its health log says why)" if failing else ""
    return check


def reboot(context: Context) -> Check:
    """Starts of the host within the soak."""
    check = Check("reboot", "Reboots of the host", "none that is not planned")
    if not context.recording.times:
        return check.not_tested("there is no sample")
    check.verdict = PASS
    slack = context.settings.interval * 2
    unplanned = 0
    for at, _boot in context.recording.boots[1:]:
        planned = context.plan.reboot(at) or context.plan.reboot(at - slack)
        unplanned += planned is None
        check.say(at, "the host was started anew" + (", as planned" if planned else ""))
    if unplanned:
        check.verdict = INCONCLUSIVE
    check.observed = f"{plural(len(context.recording.boots[1:]), 'reboot')}, {unplanned} not planned"
    check.next = "Find out why the host was started anew (journalctl --boot=-1 --lines=50), then soak again"
    return check
