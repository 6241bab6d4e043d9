# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks of the host: disks, pressure, connections, clock, logs, targets, alerts, certificates."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from .check import FAIL, NOT_TESTED, PASS, Check, Context, hours, join, plural
from .containers import spells
from .recording import NO_OFFSET
from .statistics import median, theil_sen, windows

GIB = 1024.0**3
# A disk is judged by its last hours, as of a day.
# How far ahead the hours that were seen say anything: 3 hours tell of a day, minutes do not.
_AHEAD = 8.0
# Of a certificate, what is left of its lifetime when it should have been renewed.
_LIFETIME_LEFT = 0.2
_FILL_SECONDS = (3 * 3600.0, 6 * 3600.0, 12 * 3600.0)


def disk(context: Context, available: str, whole: str, check: Check, unit: float, name: str) -> Check:
    """Time until a filesystem is full, as its last hours went."""
    limit = context.limits.disk_full_hours
    if not context.recording.filesystems:
        return check.not_tested("nothing looked at the filesystems")
    for mount, rows in context.recording.filesystems.items():
        times, values = rows.known(available)
        _times, sizes = rows.known(whole)
        if not values or not sizes or max(sizes) <= 0:
            check.add(mount, NOT_TESTED, f"says nothing of {name}")
            continue
        left, share = values[-1], values[-1] / max(sizes)
        soonest = _time_to_full(context, times, values, min(context.until, times[-1]))
        told = f"{left / unit:.4g} {name} left ({share:.0%})"
        numbers = {"left": left, "left_share": share}
        if left <= 0:
            check.say(times[-1], f"{mount}: full")
            check.add(mount, FAIL, "full", **numbers)
        elif soonest is not None and soonest < limit:
            check.say(times[-1], f"{mount}: {told}; full in {soonest:.1f} h, as it goes now")
            check.add(mount, FAIL, f"full in {soonest:.1f} h", hours_to_full=soonest, **numbers)
        elif soonest is not None:
            check.add(mount, PASS, f"{told}; full in {soonest:.0f} h, as it goes now", hours_to_full=soonest, **numbers)
        else:
            check.add(mount, PASS, f"{told}; it does not fill", **numbers)
    known = [one.values["hours_to_full"] for one in check.subjects if "hours_to_full" in one.values]
    check.observed = f"full in {min(known):.0f} h at the soonest" if known else "none fills up"
    check.early = check.verdict == FAIL
    check.next = f"Make room on {join(check.bad())}: see docs/runbooks, or run: sudo hypercode diagnose"
    return check


def _time_to_full(context: Context, times: Sequence[float], values: Sequence[float], until: float) -> float | None:
    """Hours until it is full, when it fills steadily in any of the last windows: None when it does not.

    Steadily: in each third of the window, by at least a third of what the slope says. A backup that writes and is
    done, or a clean-up, is no slope.
    """
    found = []
    for seconds in _FILL_SECONDS:
        width = context.window(seconds)
        parts = windows(times, values, max(width / 36, context.settings.interval), least=1)
        parts = [(at, part) for at, part in parts if at >= until - width]
        if len(parts) < 9 or parts[-1][0] - parts[0][0] < 0.8 * width:
            continue
        at, middles = [one for one, _p in parts], [median(part) for _o, part in parts]
        slope = theil_sen(at, middles)
        if slope >= 0:
            continue
        third = len(parts) // 3
        ends = [0, third, 2 * third, len(parts) - 1]
        steps = [(middles[b] - middles[a]) / (at[b] - at[a]) for a, b in pairwise(ends)]
        left = middles[-1] / -slope
        if all(step <= slope / 3 for step in steps) and left <= _AHEAD * width:
            found.append(left / 3600)
    return min(found) if found else None


def disks(context: Context) -> Check:
    """Room."""
    words = f"no disk full within {context.limits.disk_full_hours:g} hours"
    return disk(context, "available", "size", Check("disk_full", "Disks", words), GIB, "GiB")


def inodes(context: Context) -> Check:
    """Files that there may still be."""
    words = f"no disk out of inodes within {context.limits.disk_full_hours:g} hours"
    return disk(context, "files_free", "files", Check("inodes", "Inodes", words), 1.0, "inodes")


def pressure(context: Context) -> Check:
    """How much of the time everything waited (PSI), as the median of a half hour."""
    most = context.limits.pressure_share
    words = f"at most {most:.0%} of the time all wait for memory or disks, as the mean of any half hour"
    check = Check("pressure", "Pressure", words)
    rows = context.recording.host_rows
    for name, title in (("memory_full", "memory"), ("io_full", "disks")):
        times, values = rows.known(name)
        at, shares = [], []
        for index in range(1, len(times)):
            step, grown = times[index] - times[index - 1], values[index] - values[index - 1]
            if step > 0 and grown >= 0 and times[index] >= context.warm and not context.plan.covers(times[index]):
                at.append(times[index])
                shares.append(min(1.0, grown / 1e6 / step))
        parts = windows(at, shares, context.window(1800), least=3)
        if not parts:
            check.add(title, NOT_TESTED, "no figures")
            continue
        begin, top = max(((begin, median(part)) for begin, part in parts), key=lambda one: one[1])
        if top > most:
            check.say(begin, f"{title}: all waited {top:.0%} of the time")
        check.add(title, FAIL if top > most else PASS, f"up to {top:.1%}", highest_share=top)
    if check.verdict == NOT_TESTED:
        return check.not_tested("the kernel does not tell (PSI), or nothing asked it")
    check.observed = ", ".join(f"{one.subject} {one.observed}" for one in check.subjects)
    check.next = "Find what takes it: sudo hypercode diagnose; or take a larger host"
    return check


def conntrack(context: Context) -> Check:
    """Connections that the firewall keeps in mind."""
    most = context.limits.conntrack_share
    check = Check("conntrack", "Connections of the firewall", f"at most {most:.0%} of what it can keep in mind")
    rows = context.recording.host_rows
    columns = (rows.times, rows.column("conntrack"), rows.column("conntrack_max"))
    shares = [(used / top, at) for at, used, top in zip(*columns, strict=True) if used >= 0 and top > 0]
    if not shares:
        return check.not_tested("nothing counted them")
    highest, at = max(shares)
    if highest > most:
        check.say(at, f"{highest:.0%} of the table were in use")
    check.add("host", FAIL if highest > most else PASS, f"up to {highest:.0%}", highest_share=highest)
    check.observed = f"up to {highest:.0%}"
    check.next = "Find who opens so many: conntrack -L; or raise net.netfilter.nf_conntrack_max"
    return check


def clock(context: Context) -> Check:
    """How far the clock is off."""
    most = context.limits.clock_offset_seconds
    check = Check("clock", "Clock", f"at most {most:g} s off, but for two samples in a row")
    rows = context.recording.offsets
    values = [(at, abs(value)) for at, value in zip(rows.times, rows.block, strict=True) if value != NO_OFFSET]
    if not values:
        return check.not_tested("nothing measured the offset of the clock")
    bad = [at for at, value in values if value > most and not context.plan.covers(at)]
    long = [one for one in spells(bad, 2.5 * context.settings.interval) if one[2] > 2]
    top = max(value for _at, value in values)
    for begin, end, _count in long:
        check.say(begin, f"off by more than {most:g} s for {hours(end - begin)}")
    states = [state for state in context.recording.host_rows.column("clock_synchronised") if state >= 0]
    loose = sum(1 for state in states if state == 0)
    if loose:
        check.say(None, f"not synchronised at {plural(loose, 'sample')} of {len(states)}")
    check.add("host", FAIL if long else PASS, f"up to {top:.3g} s off", highest_offset=top)
    check.observed = f"up to {top:.3g} s off"
    check.next = "Run: timedatectl timesync-status; and see that the time servers can be reached"
    return check


def logs(context: Context) -> Check:
    """Lines with an error in the logs, against those in the first hours."""
    limits = context.limits
    factor, least = limits.error_lines_factor, limits.error_lines_least
    words = f"not {factor:g} times as many errors an hour as at first, and at least {least}"
    check = Check("logs", "Errors in the logs", words)
    if not context.recording.logs:
        return check.not_tested("nothing counted the lines of the logs")
    hour, base_ends = context.window(3600), context.warm + 2 * context.window(3600)
    for service, rows in sorted(context.recording.logs.items()):
        times, errors = rows.known("errors")
        kept = [
            (at, value)
            for at, value in zip(times, errors, strict=True)
            if at >= context.warm and not context.plan.covers(at, service)
        ]
        base = [value for at, value in kept if at < base_ends]
        after = [(at - base_ends, value) for at, value in kept if at >= base_ends]
        parts = windows([at for at, _value in after], [value for _at, value in after], hour)
        if not base or not parts:
            check.add(service, NOT_TESTED, "too few figures")
            continue
        usual = sum(base) / 2
        high = [
            (at + base_ends, sum(part))
            for at, part in parts
            if sum(part) >= limits.error_lines_least and sum(part) > limits.error_lines_factor * max(usual, 1.0)
        ]
        top = max(sum(part) for _at, part in parts)
        for at, count in high:
            check.say(at, f"{service}: {count:.0f} lines with an error in {hours(hour)}, at first {usual:.0f}")
        told = f"up to {top:.0f} in {hours(hour)}, at first {usual:.0f}"
        # One such hour may be a burst; it is said. More of them are a change.
        check.add(service, FAIL if len(high) > 1 else PASS, told, highest=top, first=usual)
    check.observed = f"{len(check.bad())} of {len(check.subjects)} services log many more errors"
    check.next = f"Read them: docker logs --since 1h {(check.bad() or [''])[0]}"
    return check


def targets(context: Context) -> Check:
    """What Prometheus asks for metrics, and whether it answers."""
    check = Check("targets", "Targets of Prometheus", "none down for longer than 5 minutes, or 1 % of the time")
    rows = context.recording.target_rows
    if not len(rows):
        return check.not_tested("Prometheus was not asked, or is not there")
    longest = 2.5 * context.settings.interval
    for name, times in sorted(context.recording.targets_down.items()):
        bad = [at for at in times if at >= context.warm and not context.plan.covers(at, name.partition("/")[2])]
        found = spells(bad, longest)
        worst_one = max((end - begin for begin, end, _count in found), default=0.0)
        fails = len(bad) > max(1.0, 0.01 * len(rows)) or worst_one >= 300
        for begin, end, count in found:
            check.say(begin, f"{name}: down at {plural(count, 'sample')}, {hours(end - begin)}")
        check.add(name, FAIL if fails else PASS, f"down at {plural(len(bad), 'sample')}", samples_down=float(len(bad)))
    check.add("all others", PASS, "up")
    check.observed = f"{plural(len(check.bad()), 'target')} down"
    check.next = f"Look why it does not answer: {join(check.bad())}"
    return check


def alerts(context: Context) -> Check:
    """Alerts that fired. Only a critical one fails: a warning is made to be looked at."""
    check = Check("alerts", "Alerts", "no critical one fires, outside of what is planned")
    if not context.recording.alerts_seen:
        return check.not_tested("nothing asked for the alerts")
    for (name, severity, service), times in sorted(context.recording.alerts.items()):
        bad = [at for at in times if not context.plan.covers(at, service)]
        about = f"{name} ({service})" if service else name
        told = f"{severity or 'without a severity'}, at {plural(len(times), 'sample')}"
        if bad:
            check.say(bad[0], f"{about}: {told}")
        check.add(about, FAIL if bad and severity == "critical" else PASS, told, samples=float(len(bad)))
    check.verdict = PASS if check.verdict == NOT_TESTED else check.verdict
    check.observed = f"{plural(len(check.bad()), 'critical alert')}, {len(check.subjects) - len(check.bad())} others"
    check.next = f"See docs/runbooks for {join(check.bad())}"
    return check


def certificates(context: Context) -> Check:
    """How long certificates are still good."""
    least = context.limits.certificate_days
    words = f"good for at least {least:g} days more, or for a fifth of its lifetime where that is less"
    check = Check("certificates", "Certificates", words)
    if not context.recording.certificates:
        return check.not_tested("nothing looked at a certificate")
    for name, (at, expires, lifetime) in sorted(context.recording.certificates.items()):
        days = (expires - context.recording.began - at) / 86400
        # Those of an own CA live for hours, and are renewed when a third of that is left.
        late = days < (min(least, _LIFETIME_LEFT * lifetime / 86400) if lifetime else least)
        check.add(name, FAIL if late else PASS, f"good for {days:.1f} days more", days=days)
        if late:
            check.say(at, f"{name}: good for {days:.1f} days more")
    check.observed = f"the first ends in {min(one.values['days'] for one in check.subjects):.1f} days"
    check.next = f"See why it was not renewed: journalctl -u caddy  ({join(check.bad())})"
    return check
