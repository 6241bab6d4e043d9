# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks of memory that grows and is never given back: by a slope, and by steps. How: docs/soak_statistics.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .check import FAIL, INCONCLUSIVE, NOT_TESTED, NOTHING_SEEN, PASS, Check, Context, join
from .lifetimes import lifetimes
from .recording import Recording, Track
from .statistics import cusum, median, spread, windows
from .trend import Measure, Trend, assess, quiet, without_spikes

MIB = 1024.0 * 1024.0
_VERDICTS = {"grows": FAIL, "unclear": INCONCLUSIVE, "holds": PASS}
# Samples at either end of a day that are compared.
_END = 15
_END_CLOSED = 5
# Windows that a process has to have run.
_LEAST = 12
_DAY = 86400.0


def memory_leak(context: Context) -> Check:
    """A slope of anonymous memory, within one process, on the quiet quarter of each half hour."""
    most = context.limits.leak_mib_per_hour
    check = Check("memory_leak", "Memory leaks", f"grows by at most {most:g} MiB an hour in one process")
    if not context.recording.container_times:
        return check.not_tested(NOTHING_SEEN)
    without = []
    for subject, track in context.tracks():
        found = _trend(context, track)
        if found is None:
            without.append(subject)
            check.add(subject, NOT_TESTED, "no process ran long enough to tell")
            continue
        verdict = _VERDICTS[found.verdict]
        told = f"{found.slope:+.2f} MiB an hour" + (f": {found.why}" if found.why and verdict != PASS else "")
        if verdict != PASS:
            check.say(None, f"{subject}: {told}; {found.rise:+.0f} MiB from the first to the last minutes")
        check.add(subject, verdict, told, mib_per_hour=found.slope, error=found.error, rise_mib=found.rise)
    if not without and not check.subjects:
        return check.not_tested("no container was seen")
    unclear = [one.subject for one in check.subjects if one.verdict == INCONCLUSIVE]
    check.observed = f"{len(check.bad())} of {len(check.subjects)} grow for good"
    check.observed += f", {len(unclear)} may: {join(unclear)}" if unclear else ""
    check.untested = f"too short to tell: {join(without)}" if without else ""
    check.next = f"Look for what is kept and never freed in {join(check.bad())}"
    if not check.bad():
        check.next = f"Soak again with this one as its baseline, to tell the day from a leak in {join(unclear)}"
    return check


def measure_of(limit: float) -> Measure:
    """How memory is judged, in MiB."""
    return Measure(max(limit, 1e-3))


def _trend(context: Context, track: Track) -> Trend | None:
    """The worst of all processes that ran long enough; one that ran all day decides alone."""
    times, values = track.rows.times, track.rows.column("memory_anonymous")
    found: list[tuple[float, Trend]] = []
    lives = lifetimes(track)
    for number, life in enumerate(lives):
        at, used = times[life.begin : life.end], values[life.begin : life.end]
        known = [(one, value / MIB) for one, value in zip(at, used, strict=True) if value >= 0]
        if not known:
            continue
        # A process that was started anew warms up once more.
        warm = context.warm if number == 0 else max(context.warm, known[0][0] + context.settings.warmup)
        trend = trend_of(context, known, warm, _earlier(context, track, known))
        if trend is not None:
            found.append((known[-1][0] - known[0][0], trend))
    if not found:
        return None
    longest = max(found, key=lambda one: one[0])
    if longest[0] >= 0.8 * (times[-1] - times[0]):
        return longest[1]
    order = ("holds", "unclear", "grows")
    return max((trend for _span, trend in found), key=lambda one: (order.index(one.verdict), one.slope))


def trend_of(
    context: Context, known: Sequence[tuple[float, float]], warm: float, earlier: dict[int, float] | None = None
) -> Trend | None:
    """Judge one process by pairs of time and MiB; None for one that ran too short. `earlier`: what was usual then."""
    width = context.window(1800)
    parts = windows([at for at, _v in known], [value for _a, value in known], width, least=3)
    measure = measure_of(context.limits.leak_mib_per_hour)
    low = without_spikes(quiet([part for _at, part in parts]), measure.jump)
    kept = [(at / 3600, value) for (at, _part), value in zip(parts, low, strict=True) if at >= warm]
    if len(kept) < _LEAST:
        return None
    ends = [value for _at, value in known]
    # Three ways to compare the ends, of which one may have met a burst.
    minutes = quiet([ends[-_END:]])[0] - quiet([ends[:_END]])[0]
    rise = median([low[-1] - low[0], (sum(low[-3:]) - sum(low[:3])) / 3, minutes])
    closed = median(ends[-_END_CLOSED:]) - median(ends[:_END_CLOSED])
    hours, values = [at for at, _v in kept], [value for _a, value in kept]
    trend = assess(hours, values, measure, rise, closed)
    if earlier is None or trend.verdict == "holds":
        return trend
    # The same time of an earlier day, from which the cycle is known.
    pairs = [(at, value - earlier[slot]) for at, value in kept if (slot := _slot(context, at)) in earlier]
    if len(pairs) < 0.8 * len(kept):
        return trend
    against = assess([at for at, _v in pairs], [value for _a, value in pairs], measure, pairs[-1][1] - pairs[0][1])
    return replace(against, why=against.why or "against the earlier soak")


def _slot(context: Context, hours: float) -> int:
    """Which half hour of the day it is, by UTC."""
    return int((context.recording.began + hours * 3600) % _DAY // 1800)


def _earlier(context: Context, track: Track, known: Sequence[tuple[float, float]]) -> dict[int, float] | None:
    """What the service had at each half hour of an earlier day; None when that is not known, or it grew itself."""
    if context.baseline is None or known[-1][0] - known[0][0] < 0.8 * _DAY:
        return None
    same = _same(context.baseline, track)
    if same is None:
        return None
    longest = max(lifetimes(same), key=lambda life: life.end - life.begin)
    times = same.rows.times[longest.begin : longest.end]
    values = same.rows.column("memory_anonymous")[longest.begin : longest.end]
    began = context.baseline.began
    last = times[-1]
    pairs = [
        (at, value / MIB)
        for at, value in zip(times, values, strict=True)
        if value >= 0 and last - at <= _DAY and at >= context.settings.warmup
    ]
    if not pairs or pairs[-1][0] - pairs[0][0] < 0.8 * _DAY:
        return None
    grew = trend_of(replace(context, baseline=None), pairs, pairs[0][0])
    if grew is None or grew.verdict == "grows":
        return None
    parts = windows([began + at for at, _v in pairs], [value for _a, value in pairs], 1800.0, least=3)
    return {int(at % _DAY // 1800): value for (at, _p), value in zip(parts, quiet([p for _a, p in parts]), strict=True)}


def _same(baseline: Recording, track: Track) -> Track | None:
    """The same service in an earlier soak."""
    found = [one for one in baseline.tracks.values() if one.service == track.service and len(one.rows)]
    return max(found, key=lambda one: len(one.rows), default=None)


def memory_steps(context: Context) -> Check:
    """Memory that rises in steps and never comes down: CUSUM on what half hours differ by from the first hours."""
    least = context.limits.leak_mib_per_hour * 24
    words = f"no step up of more than {least:g} MiB, and a quarter, that lasts: for information, a slope decides"
    check = Check("memory_steps", "Steps of memory", words)
    if not context.recording.container_times:
        return check.not_tested(NOTHING_SEEN)
    for subject, track in context.tracks():
        step = _step(context, track, least)
        if step is None:
            check.add(subject, NOT_TESTED, "too short to tell")
            continue
        at, height = step
        if height > 0:
            check.say(at, f"{subject}: {height:+.0f} MiB, and it stayed")
        check.add(subject, PASS, f"{height:+.0f} MiB" if height > 0 else "none", step_mib=height)
    if check.verdict == NOT_TESTED:
        return check.not_tested("no process ran long enough to tell")
    stepped = [one.subject for one in check.subjects if one.values.get("step_mib", 0) > 0]
    check.observed = f"a step in {join(stepped)}" if stepped else "none"
    return check


def _step(context: Context, track: Track, least: float) -> tuple[float, float] | None:
    """When the last process took a step up, and by how many MiB: 0 for none. None when it ran too short."""
    life = lifetimes(track)[-1] if len(track.rows) else None
    if life is None:
        return None
    times = track.rows.times[life.begin : life.end]
    values = track.rows.column("memory_anonymous")[life.begin : life.end]
    known = [(at, value / MIB) for at, value in zip(times, values, strict=True) if value >= 0 and at >= context.warm]
    parts = windows([at for at, _v in known], [value for _a, value in known], context.window(1800), least=3)
    if len(parts) < _LEAST:
        return None
    low = quiet([part for _at, part in parts])
    first = low[: max(4, len(low) // 6)]
    sigma = max(spread(first), 0.01 * median(first), 0.5)
    height, since = cusum(low, median(first), sigma)
    after = low[since:]
    if height <= 8 or len(after) < 4 or len(after) == len(low):
        return parts[0][0], 0.0
    step = median(after) - median(low[:since])
    stays = min(after[1:]) > max(low[:since]) and step > least and step > 0.25 * median(low[:since])
    return parts[since][0], step if stays else 0.0
