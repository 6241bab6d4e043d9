# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks of what containers take: memory and CPU of their limits, throttling, descriptors and threads."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import pairwise

from .check import FAIL, NOT_TESTED, NOTHING_SEEN, PASS, Check, Context, join
from .lifetimes import lifetimes
from .recording import Track
from .statistics import median, windows

MIB = 1024.0 * 1024.0


def memory_share(context: Context) -> Check:
    """Anonymous memory against the limit. The middle of three samples: one alone may be a moment of collection."""
    most = context.limits.memory_share
    check = Check("memory_share", "Memory of its limit", f"at most {most:.0%} of the limit, by anonymous memory")
    if not context.recording.container_times:
        return check.not_tested(NOTHING_SEEN)
    without = []
    for subject, track in context.tracks():
        shares, times = array("d"), array("d")
        columns = (track.rows.times, track.rows.column("memory_anonymous"), track.rows.column("memory_limit"))
        for at, used, limit in zip(*columns, strict=True):
            if used >= 0 and limit > 0 and at >= context.warm and not context.plan.covers(at, track.service):
                shares.append(used / limit)
                times.append(at)
        if len(shares) < 3:
            without.append(subject)
            check.add(subject, NOT_TESTED, "no limit, or too few figures")
            continue
        middles = [sorted(shares[index : index + 3])[1] for index in range(len(shares) - 2)]
        top = max(middles)
        if top > most:
            check.say(times[middles.index(top) + 1], f"{subject}: {top:.0%} of its limit")
        values = {"highest_share": top, "median_share": median(shares)}
        check.add(subject, FAIL if top > most else PASS, f"up to {top:.0%}", **values)
    tops = [one.values["highest_share"] for one in check.subjects if one.values]
    check.observed = f"up to {max(tops):.0%}" if tops else "nothing"
    check.untested = f"without a limit or figures: {join(without)}" if without else ""
    check.next = f"Raise the memory limit of {join(check.bad())}, or have it take less"
    return check


def rates(track: Track, name: str) -> tuple[array[float], array[float]]:
    """What a counter grew by in a second, from row to row; steps over a start of the container are left out."""
    times, values = track.rows.known(name)
    at, found = array("d"), array("d")
    for index in range(1, len(times)):
        step, grown = times[index] - times[index - 1], values[index] - values[index - 1]
        if step > 0 and grown >= 0:
            at.append(times[index])
            found.append(grown / step)
    return at, found


def cpu_share(context: Context) -> Check:
    """CPU against the limit: the median over each half hour."""
    most = context.limits.cpu_share
    words = f"at most {most:.0%} of the limit, as the median of any half hour"
    check = Check("cpu_share", "CPU of its limit", words)
    if not context.recording.container_times:
        return check.not_tested(NOTHING_SEEN)
    without = []
    for subject, track in context.tracks():
        limits = [limit for limit in track.rows.column("cpu_limit") if limit > 0]
        at, found = rates(track, "cpu_seconds")
        kept = [(one, value) for one, value in zip(at, found, strict=True) if one >= context.warm]
        parts = windows([one for one, _v in kept], [value for _o, value in kept], context.window(1800), least=3)
        if not limits or not parts:
            without.append(subject)
            check.add(subject, NOT_TESTED, "no limit, or too few figures")
            continue
        limit = limits[-1]
        begin, top = max(((begin, median(values) / limit) for begin, values in parts), key=lambda one: one[1])
        if top > most:
            check.say(begin, f"{subject}: {top:.0%} of its CPU over half an hour")
        mean = sum(value for _o, value in kept) / len(kept) / limit
        check.add(subject, FAIL if top > most else PASS, f"up to {top:.0%}", highest_share=top, mean_share=mean)
    tops = [one.values["highest_share"] for one in check.subjects if one.values]
    check.observed = f"up to {max(tops):.0%}" if tops else "nothing"
    check.untested = f"without a limit or figures: {join(without)}" if without else ""
    check.next = f"Raise the CPU limit of {join(check.bad())}, or find what it computes"
    return check


def throttling(context: Context) -> Check:
    """How often the kernel held a container back for its CPU limit. It says why something is slow; it fails nothing."""
    check = Check("throttling", "Held back for its CPU limit", "none: for information")
    if not context.recording.container_times:
        return check.not_tested(NOTHING_SEEN)
    for subject, track in context.tracks():
        periods, held = _grown(track, "cpu_periods"), _grown(track, "cpu_throttled")
        if periods > 0:
            share = min(1.0, held / periods)
            check.add(subject, PASS, f"{share:.1%} of the time", share=share)
    if not check.subjects:
        return check.not_tested("no container has a CPU limit")
    top = max(check.subjects, key=lambda one: one.values["share"])
    check.observed = f"most: {top.subject}, {top.observed}"
    return check


def _grown(track: Track, name: str) -> float:
    _times, values = track.rows.known(name)
    return sum(max(0.0, after - before) for before, after in pairwise(values))


def growth(context: Context, name: str, title: str) -> Check:
    """Descriptors, or threads, that grow and grow in one process."""
    limits = context.limits
    factor, least = limits.growth_factor, limits.growth_least
    words = f"not {factor:g} times as many as at the start, and {least} more, and still growing"
    check = Check({"processes": "threads"}.get(name, name), title, words)
    if not context.recording.container_times:
        return check.not_tested(NOTHING_SEEN)
    without = []
    for subject, track in context.tracks():
        values, times = track.rows.column(name), track.rows.times
        grown = [
            found
            for life in lifetimes(track)
            if (found := _growth(context, times[life.begin : life.end], values[life.begin : life.end]))
        ]
        if not grown:
            without.append(subject)
            check.add(subject, NOT_TESTED, "no figures, or too few in one process")
            continue
        first, last, bad = max(grown, key=lambda one: (one[2], one[1] - one[0]))
        if bad:
            check.say(None, f"{subject}: from {first:.0f} to {last:.0f}, and it did not come down")
        check.add(subject, FAIL if bad else PASS, f"from {first:.0f} to {last:.0f}", first=first, last=last)
    if all(one.verdict == NOT_TESTED for one in check.subjects):
        return check.not_tested("no container told how many it has")
    check.observed = f"{len(check.bad())} of {len(check.subjects)} grow"
    check.untested = f"without figures: {join(without)}" if without else ""
    check.next = f"Look for what is opened and never closed in {join(check.bad())}"
    return check


def _growth(context: Context, times: Sequence[float], values: Sequence[float]) -> tuple[float, float, bool] | None:
    kept = [(at, value) for at, value in zip(times, values, strict=True) if at >= context.warm and value >= 0]
    parts = windows([one for one, _v in kept], [value for _o, value in kept], context.window(3600), least=3)
    if len(parts) < 6:
        return None
    middles = [median(part) for _begin, part in parts]
    first, last, least, factor = middles[0], middles[-1], context.limits.growth_least, context.limits.growth_factor
    big = last >= first * factor and last >= first + least
    # It grows all the time, and does not come down: the middle is between, and the last sixth is above all before it.
    sixth = max(1, len(middles) // 6)
    thirds = [median(middles[index * len(middles) // 3 : (index + 1) * len(middles) // 3]) for index in range(3)]
    rising = thirds[0] < thirds[1] < thirds[2] and min(middles[-sixth:]) > max(middles[: len(middles) // 2])
    return first, last, big and rising
