# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks of memory that grows and is never given back: by a slope, and by steps. How: docs/soak_statistics.md."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from .check import FAIL, INCONCLUSIVE, NOT_TESTED, NOTHING_SEEN, PASS, Check, Context, join
from .lifetimes import lifetimes
from .recording import Recording, Track
from .statistics import cusum, median, spread, windows
from .trend import LONG_HOURS, Measure, Trend, assess, quiet, without_spikes

MIB = 1024.0 * 1024.0
_VERDICTS = {"grows": FAIL, "unclear": INCONCLUSIVE, "holds": PASS}
# Samples at either end of a day that are compared.
_END = 15
_END_CLOSED = 5
# Windows that a process has to have run, and one of several.
_LEAST = 12
_LEAST_OF_MANY = 2
_DAY = 86400.0
# Of time and memory.
Pairs = Sequence[tuple[float, float]]


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


@dataclass(frozen=True)
class Course:
    """One process: the hours and MiB of its windows after the warm-up, and by how much it rose from its first to its
    last minutes, in two ways (`closed`: the last and the first 5 minutes only)."""

    hours: list[float]
    values: list[float]
    rise: float
    closed: float


def _trend(context: Context, track: Track) -> Trend | None:
    """One process that ran all day decides alone, or all of them together; else the worst that ran long enough."""
    pairs = list(zip(track.rows.times, track.rows.column("memory_anonymous"), strict=True))
    courses: list[tuple[Course, Pairs]] = []
    for number, life in enumerate(lifetimes(track)):
        known = [(at, value / MIB) for at, value in pairs[life.begin : life.end] if value >= 0]
        if not known:
            continue
        # A process that was started anew warms up once more, and only then can it be compared.
        warm = context.warm if number == 0 else max(context.warm, known[0][0] + context.settings.warmup)
        course = course_of(context, known if number == 0 else [one for one in known if one[0] >= warm], warm)
        if course is not None:
            courses.append((course, known))
    day = 0.8 * (pairs[-1][0] - pairs[0][0]) if pairs else 0.0
    many = [course for course, _known in courses if len(course.hours) >= _LEAST_OF_MANY]
    if _together(many, day / 3600):
        return trend_of(context, many, _earlier(context, track, pairs))
    alone: list[tuple[float, Trend]] = []
    for course, lived in courses:
        trend = trend_of(context, [course], _earlier(context, track, lived))
        if trend is not None:
            alone.append((lived[-1][0] - lived[0][0], trend))
    longest = max(alone, key=lambda one: one[0], default=None)
    if longest and longest[0] >= day:
        return longest[1]
    order = ("holds", "unclear", "grows")
    return max((trend for _span, trend in alone), key=lambda one: (order.index(one.verdict), one.slope), default=None)


def _together(courses: Sequence[Course], least: float) -> bool:
    """Whether there are several that can be judged as one day: they cover `least` hours, and few restarts cut them."""
    if len(courses) < 2 or courses[-1].hours[-1] - courses[0].hours[0] < LONG_HOURS:
        return False
    covered = sum(course.hours[-1] - course.hours[0] for course in courses)
    return covered >= least and sum(len(course.hours) for course in courses) >= 2 * (len(courses) + 8)


def course_of(context: Context, known: Pairs, warm: float) -> Course | None:
    """What is judged of one process, from pairs of time and MiB; None when it has no window after the warm-up."""
    parts = windows([at for at, _v in known], [value for _a, value in known], context.window(1800), least=3)
    low = without_spikes(quiet([part for _at, part in parts]), measure_of(context.limits.leak_mib_per_hour).jump)
    kept = [(at / 3600, value) for (at, _part), value in zip(parts, low, strict=True) if at >= warm]
    if not kept:
        return None
    ends = [value for _at, value in known]
    # Three ways to compare the ends, of which one may have met a burst.
    minutes = quiet([ends[-_END:]])[0] - quiet([ends[:_END]])[0]
    rise = median([low[-1] - low[0], (sum(low[-3:]) - sum(low[:3])) / 3, minutes])
    closed = median(ends[-_END_CLOSED:]) - median(ends[:_END_CLOSED])
    return Course([at for at, _v in kept], [value for _a, value in kept], rise, closed)


def trend_of(context: Context, courses: Sequence[Course], earlier: dict[int, float] | None = None) -> Trend | None:
    """Judge processes that ran one after the other; None when they are too short. `earlier`: what was usual then."""
    measure = measure_of(context.limits.leak_mib_per_hour)
    hours = [at for course in courses for at in course.hours]
    values = [value for course in courses for value in course.values]
    begins = list(accumulate(len(course.hours) for course in courses))[:-1]
    if len(hours) < _LEAST:
        return None
    # What a cycle does while one of them ends and the next begins, it does in a moment: the rises are together a day's.
    rise, closed = (sum(getattr(course, name) for course in courses) for name in ("rise", "closed"))
    trend = assess(hours, values, measure, rise, closed, begins)
    if earlier is None or trend.verdict == "holds":
        return trend
    # The same time of an earlier day, from which the cycle is known.
    slots = [_slot(context, at) for at in hours]
    usual = [index for index, slot in enumerate(slots) if slot in earlier]
    if len(usual) < 0.8 * len(hours):
        return trend
    left = [values[index] - earlier[slots[index]] for index in usual]
    since = [begin for begin in (bisect_left(usual, begin) for begin in begins) if 0 < begin < len(usual)]
    rise = left[-1] - left[0] - sum(left[begin] - left[begin - 1] for begin in since)
    against = assess([hours[index] for index in usual], left, measure, rise, begins=since)
    return replace(against, why=against.why or "against the earlier soak")


def _slot(context: Context, hours: float) -> int:
    """Which half hour of the day it is, by UTC."""
    return int((context.recording.began + hours * 3600) % _DAY // 1800)


def _earlier(context: Context, track: Track, known: Pairs) -> dict[int, float] | None:
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
    course = course_of(context, pairs, pairs[0][0])
    grew = trend_of(context, [course]) if course else None
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
