# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a figure grows for good, or only goes up and down with the day."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise

from .statistics import median, solve, spread

DAY_HOURS = 24.0
# A cache that fills up: after so many hours it is at 63 %.
_FILLS = (1.0, 2.5, 5.0)


@dataclass(frozen=True)
class Fit:
    """A slope an hour, or the height of what fills up; its standard error; what is left over (sum of squares)."""

    slope: float
    error: float
    rest: float


@lru_cache(maxsize=256)
def _inverse(
    times: tuple[float, ...],
    harmonics: int,
    fill: float,
    more: tuple[float, ...] = (),
    begins: tuple[int, ...] = (),
) -> tuple[tuple[tuple[float, ...], ...], tuple[tuple[float, ...], ...]]:
    """The rows of the design, and those of its pseudo-inverse."""
    rows: list[tuple[float, ...]] = []
    since = times[0]
    for index, at in enumerate(times):
        if index in begins:
            since = at
        # The second column is what grows: all the time, or ever more slowly from where a process begins.
        row = [1.0, -math.exp(-(at - since) / fill) if fill else at - times[0]]
        for k in range(1, harmonics + 1):
            angle = 2 * math.pi * k * at / DAY_HOURS
            row += [math.cos(angle), math.sin(angle)]
        # Each process has a level of its own.
        row += [1.0 if index >= begin else 0.0 for begin in begins]
        if more:
            row.append(more[len(rows)])
        rows.append(tuple(row))
    size = len(rows[0])
    gram = [[sum(row[i] * row[j] for row in rows) for j in range(size)] for i in range(size)]
    inverse = solve(gram, [[1.0 if i == j else 0.0 for j in range(size)] for i in range(size)])
    pseudo = tuple(tuple(sum(inverse[i][j] * row[j] for j in range(size)) for row in rows) for i in range(size))
    return tuple(rows), pseudo


def fit(
    times: Sequence[float],
    values: Sequence[float],
    harmonics: int,
    fill: float = 0.0,
    more: Sequence[float] = (),
    lags: int = 6,
    of: int = 1,
    begins: Sequence[int] = (),
) -> Fit:
    """Least squares of a line, waves of the day, what fills up, and `more`; the error is Newey's and West's (1987).

    `times` in hours. The slope is that of column `of`: 1 for the line, -1 for `more`. At each index in `begins` another
    process begins, with a level of its own.
    Raises ValueError when there are too few values, or they say nothing.
    """
    count = len(times)
    size = 2 + 2 * harmonics + len(begins) + bool(more)
    if count < size + 3:
        raise ValueError("too few values")
    rows, pseudo = _inverse(tuple(times), harmonics, fill, tuple(more), tuple(begins))
    beta = [sum(weight * value for weight, value in zip(row, values, strict=True)) for row in pseudo]
    rest = [value - sum(b * x for b, x in zip(beta, row, strict=True)) for row, value in zip(rows, values, strict=True)]
    scores = [weight * left for weight, left in zip(pseudo[of], rest, strict=True)]
    variance = sum(score * score for score in scores)
    for lag in range(1, min(lags, count - 1) + 1):
        kernel = 1 - lag / (lags + 1)
        variance += 2 * kernel * sum(a * b for a, b in zip(scores, scores[lag:], strict=False))
    variance *= count / (count - size)
    return Fit(beta[of], math.sqrt(max(variance, 0.0)), sum(left * left for left in rest))


def without_jumps(
    values: Sequence[float], least: float, begins: Sequence[int] = (), lasting: bool = False
) -> tuple[list[float], list[int]]:
    """The series with jumps taken out, and the indexes before which they were: negative for one that goes down.

    A jump is a step from one value to the next that is far (5 deviations, and `least`) from what steps usually are.
    In its place is what the other steps are in the mean. So it is where another process begins, which is no jump.
    `lasting`: leave those that are taken back at once, as at both sides of a burst.
    """
    steps = [after - before for before, after in pairwise(values)]
    inside = [step for index, step in enumerate(steps, 1) if index not in begins]
    if not inside:
        return list(values), []
    middle, far = median(inside), max(5 * spread(inside), least)
    usual = [step for step in inside if abs(step - middle) <= far]
    mean = sum(usual) / len(usual)
    found, jumps = [values[0]], []
    for index, step in enumerate(steps, 1):
        jump = index not in begins and abs(step - middle) > far
        if jump and lasting and not _lasts(steps, index - 1):
            jump = False
        if jump:
            jumps.append(index if step > middle else -index)
        found.append(found[-1] + (mean if jump or index in begins else step))
    return found, jumps


def _lasts(steps: Sequence[float], at: int) -> bool:
    """Whether a step is not taken back by the next two, which a burst does."""
    beside = [*steps[max(0, at - 3) : at], *steps[at + 3 : at + 6]]
    usual = median(beside) if beside else 0.0
    left = [step - usual for step in steps[at : at + 3]]
    return all(abs(gone) >= abs(left[0]) / 2 for gone in accumulate(left))


def since_drop(
    hours: Sequence[float], jumps: Sequence[int], begins: Sequence[int] = ()
) -> tuple[list[float], list[float]] | None:
    """Of each value the hours since garbage was collected, and the part of the time until it is collected again.

    None when the jumps do not look like that: there are at least three, most go down, and they are about as far apart
    from each other. Before the first and after the last it is as if the others went on. A process that begins has no
    garbage.
    """
    downs = [-index for index in jumps if index < 0]
    # One that fell into the middle of a window is seen as two: the last is where it rises again.
    drops = [index for index in downs if index + 1 not in downs]
    if len(drops) < 3 or 2 * (len(jumps) - len(downs)) > len(drops):
        return None
    cuts = sorted({*drops, *begins})
    gaps = [hours[after] - hours[before] for before, after in pairwise(cuts) if after not in begins]
    if len(gaps) < 2:
        return None
    apart = median(gaps)
    if min(gaps) < apart / 2.5 or max(*gaps, hours[-1] - hours[cuts[-1]], hours[cuts[0]] - hours[0]) > 2.5 * apart:
        return None
    edges = [min(hours[cuts[0]] - apart, hours[0]), *(hours[cut] for cut in cuts)]
    # A tooth that is cut off by the start of a process, or by the end, would have been as long as the others.
    lengths = [
        max(apart, end - begin) if cut in begins else end - begin
        for (begin, end), cut in zip(pairwise(edges), cuts, strict=True)
    ]
    lengths.append(apart)
    teeth = [bisect_right(edges, at) - 1 for at in hours]
    since = [at - edges[tooth] for at, tooth in zip(hours, teeth, strict=True)]
    share = [grown / lengths[tooth] for grown, tooth in zip(since, teeth, strict=True)]
    return since, share


@dataclass(frozen=True)
class Trend:
    """What is known of a figure: how it grows an hour, the standard error of that, the rise from the first hour to the
    last, the verdict (`grows`, `unclear`, `holds`) and in words why."""

    slope: float
    error: float
    rise: float
    verdict: str
    why: str = ""


@dataclass(frozen=True)
class Measure:
    """How a figure is judged, in its own unit: the slope an hour that may be; steps that are none below `jump`; what a
    cache fills by at least; and for spans of less than a day, how much a cycle may move it in an hour and in all, and
    the least rise that says anything."""

    limit: float
    jump: float = 6.0
    fill: float = 10.0
    cycle_hour: float = 10.5
    cycle: float = 80.0
    least: float = 16.0
    # Slopes of less than so many times the limit are looked at more closely.
    weak: float = 1.9


# More jumps than that are no steps of a day: they are how the figure moves, such as the teeth of a collection.
_JUMPS = 10
# Hours from which on waves of a day can be told from a slope.
LONG_HOURS = 20.0
_HOURS = 4.0
# What a cache that fills up leaves over, as a share of what a slope leaves over: below the first it is not clear that
# it is a slope, and below the last it is none.
_BETTER, _BETTER_WEAK, _FILLED = 0.8, 0.92, 0.4
# It is back where it was when it rose by no more than that share of what the limit allows.
_BACK = 0.25
# A weak slope in several processes has to have risen by so much more.
_UNSEEN = 1.25


def quiet(parts: Sequence[Sequence[float]]) -> list[float]:
    """Of each window the lower quartile: bursts, and garbage that is collected soon, are above it."""
    return [sorted(part)[len(part) // 4] for part in parts]


def without_spikes(values: Sequence[float], least: float) -> list[float]:
    """The series without windows that stand out alone, as a burst does: each becomes what its neighbours say.

    To stand out: by 5 deviations (of how far values usually are from the middle of their neighbours), and by `least`.
    At an end it is two neighbours on one side that say what it should be.
    """
    count, found = len(values), list(values)
    if count < 5:
        return found
    out = [values[index] - (values[index - 1] + values[index + 1]) / 2 for index in range(1, count - 1)]
    far = max(5 * spread(out), least)
    for index in range(1, count - 1):
        apart = abs(values[index + 1] - values[index - 1])
        if out[index - 1] > far and apart < out[index - 1] / 2:
            found[index] = (values[index - 1] + values[index + 1]) / 2
    for end, one, two in ((0, 1, 2), (-1, -2, -3)):
        said = 2 * found[one] - found[two]
        if found[end] - said > 1.5 * far:
            found[end] = said
    return found


@dataclass(frozen=True)
class _Steady:
    """A fit of the values without their jumps; those values; whether there were such jumps, or what teeth add."""

    fit: Fit
    values: Sequence[float]
    jumps: bool = False
    teeth: Sequence[float] = ()


def _steady(
    hours: Sequence[float],
    values: Sequence[float],
    harmonics: int,
    measure: Measure,
    begins: Sequence[int],
    plain: Fit,
) -> _Steady:
    _level, jumps = without_jumps(values, measure.jump, begins)
    teeth = since_drop(hours, jumps, begins)
    if teeth is not None:
        # What a tooth rises by is the same for each hour, or for each tooth.
        fits = [_Steady(fit(hours, values, harmonics, more=one, begins=begins), values, teeth=one) for one in teeth]
        return min(fits, key=lambda one: one.fit.rest)
    if 0 < len(jumps) <= _JUMPS:
        level, jumps = without_jumps(values, measure.jump, begins, lasting=True)
        if jumps:
            return _Steady(fit(hours, level, harmonics, begins=begins), level, jumps=True)
    return _Steady(plain, values)


def assess(
    hours: Sequence[float],
    values: Sequence[float],
    measure: Measure,
    rise: float | None = None,
    closed: float | None = None,
    begins: Sequence[int] = (),
) -> Trend:
    """Judge a figure on windows in one process, or over a day in several: `begins` has the indexes from where on.

    `rise`: over the whole day, where more of it is known than `values`. `closed`: the same between its first and last
    minutes, which are the same time of day: what a jump at that time, such as a clean-up each midnight, cannot hide.

    Over a day, a cycle of any shape is back where it was. So what grows for good has all of these, and what goes up and
    down lacks one: a slope that waves of the day do not explain; the same without its jumps (office hours); an end
    that is higher than the start, at the same time of day; and it is no cache that fills up.
    """
    span = hours[-1] - hours[0] if len(hours) > 1 else 0.0
    if len(hours) < 8 or span <= 0:
        return Trend(0.0, 0.0, 0.0, "unclear", "too short to tell")
    long = span >= LONG_HOURS
    harmonics = 2 if long else 0
    plain = fit(hours, values, harmonics, begins=begins)
    steady = _steady(hours, values, harmonics, measure, begins, plain)
    smooth, teeth = steady.fit, steady.teeth
    rise = values[-1] - values[0] if rise is None else rise
    limit = measure.limit
    if not long:
        return _short(span, plain, smooth, min(rise, values[-1] - values[0]), measure)
    # Where garbage is collected, the slope without its teeth is the better one of the two.
    main = smooth if teeth else plain
    slope = min(main.slope, smooth.slope)
    if slope <= limit:
        return Trend(main.slope, main.error, rise, "holds")
    if max(rise, rise if closed is None else closed) <= _BACK * limit * DAY_HOURS:
        return Trend(main.slope, main.error, rise, "holds")
    weak = slope <= measure.weak * limit
    risen = closed if weak and closed is not None else rise
    if main.slope - main.error <= limit:
        verdict = "unclear" if risen > limit * DAY_HOURS else "holds"
        return Trend(main.slope, main.error, rise, verdict, "it moves too much to be sure")
    stepped = steady.jumps and steady.values[-1] - steady.values[0] <= limit * DAY_HOURS
    # A cycle of any shape is back where it was, and no cache of a usual size leaves that much.
    much = rise > measure.cycle
    if begins and weak:
        # What a cycle did between two processes nobody saw.
        risen = min(rise, risen) / _UNSEEN
    if (stepped and not much) or risen <= limit * DAY_HOURS:
        return Trend(main.slope, main.error, rise, "unclear", "a cycle of the day could explain it")
    filled = min(
        (fit(hours, steady.values, harmonics, fill, teeth, begins=begins) for fill in _FILLS), key=lambda one: one.rest
    )
    ratio = filled.rest / max(smooth.rest, 1e-9)
    better = _FILLED if much else _BETTER_WEAK if weak else _BETTER
    if filled.slope > measure.fill and ratio < better:
        verdict = "unclear"
        if ratio < _FILLED and not teeth:
            # A slope beside the cache, if there is one, would show.
            beside = min(
                (fit(hours, steady.values, harmonics, fill, hours, of=-1, begins=begins) for fill in _FILLS),
                key=lambda one: one.rest,
            )
            verdict = "holds" if beside.slope + 2 * beside.error <= limit else "unclear"
        return Trend(main.slope, main.error, rise, verdict, "it grows ever more slowly, as a cache that fills up")
    return Trend(main.slope, main.error, rise, "grows")


def _short(span: float, plain: Fit, smooth: Fit, rise: float, measure: Measure) -> Trend:
    """Less than a day: a cycle could explain what is no more than it moves."""
    sure = min(plain.slope - 2 * plain.error, smooth.slope - 2 * smooth.error)
    grown = min(rise, smooth.slope * span, plain.slope * span)
    if grown <= measure.limit * span + measure.least:
        return Trend(plain.slope, plain.error, rise, "holds")
    if sure <= measure.limit:
        # Of minutes it is no more than a moment; of hours it may be a leak.
        verdict = "unclear" if span >= _HOURS else "holds"
        return Trend(plain.slope, plain.error, rise, verdict, "it moves too much to be sure")
    if grown <= measure.limit * span + measure.least + min(measure.cycle, measure.cycle_hour * span):
        return Trend(plain.slope, plain.error, rise, "unclear", "a cycle of the day could explain it")
    return Trend(plain.slope, plain.error, rise, "grows")
