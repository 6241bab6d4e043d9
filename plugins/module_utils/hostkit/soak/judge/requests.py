# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks of requests: errors and latency of each way, and what real users got."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence

from .check import FAIL, INCONCLUSIVE, NOT_TESTED, PASS, Check, Context, join, plural
from .recording import Probe, Rows
from .statistics import clopper_pearson
from .trend import Measure, assess, without_spikes

# The chance of a wrong FAIL, of all ways of a run together.
_CHANCE = 0.002
# How fast the errors that may be are used up: factor, long and short window (seconds), failures at least in each.
_BURN = ((14.4, 3600.0, 300.0, 6, 2), (6.0, 21600.0, 1800.0, 12, 3))
_BASE = math.log(1.1)
# Creeping: by 3 % an hour, which is twice as slow after a day. In logarithms of ms; a usual day moves it by 2.5 times.
_CREEP = Measure(math.log(1.03), jump=0.3, fill=0.4, cycle_hour=0.25, cycle=1.0, least=0.4)


def _name(probe: Probe) -> str:
    return f"{probe.name} ({probe.way})"


def _counts(context: Context, rows: Rows, service: str) -> tuple[list[float], list[float], list[float]]:
    """Times, requests and failures, outside of what is planned, with the warm-up left out."""
    times, asked, failed, warm = [], [], [], context.warm
    spans = [span for span in context.plan.spans if not span.service or span.service == service]
    columns = (rows.times, rows.column(rows.names[0]), rows.column(rows.names[1]))
    for at, requests, failures in zip(*columns, strict=True):
        if at < warm or requests <= 0 or failures < 0:
            continue
        if any(span.begins <= at <= span.ends for span in spans):
            continue
        times.append(at)
        asked.append(requests)
        failed.append(min(failures, requests))
    return times, asked, failed


def probe_errors(context: Context) -> Check:
    """The share of requests that failed, of each way: surely above the limit, or so many in a short time."""
    limits = context.limits
    words = f"at most {limits.error_rate:.2%} of the requests on each way, and no burst of them"
    check = Check("probe_errors", "Errors of requests", words)
    probes = list(context.recording.probes.values())
    if not probes:
        return check.not_tested("no request was sent")
    chance = _CHANCE / (len(probes) + 1)
    few, all_asked, all_failed = [], 0.0, 0.0
    for probe in probes:
        times, asked, failed = _counts(context, probe.rows, probe.name)
        total, bad = sum(asked), sum(failed)
        all_asked, all_failed = all_asked + total, all_failed + bad
        lower, upper = clopper_pearson(bad, total, chance)
        burnt = _burn(context, times, asked, failed)
        values = {"requests": total, "failures": bad, "lower": lower, "upper": upper}
        rate = bad / total if total else 0.0
        told = f"{plural(bad, 'failure')} of {plural(total, 'request')} ({rate:.3%})"
        name = _name(probe)
        if burnt:
            check.early = True
            check.say(burnt[0], f"{name}: {burnt[1]}")
            check.add(name, FAIL, told + "; a burst", **values)
        elif lower > limits.error_rate:
            check.say(None, f"{name}: {told}; surely more than {lower:.3%}")
            check.add(name, FAIL, told, **values)
        elif total < limits.least_requests:
            few.append(name)
            check.add(name, INCONCLUSIVE, told + ": too few to tell", **values)
        else:
            check.add(name, PASS, told, **values)
    lower, _upper = clopper_pearson(all_failed, all_asked, chance)
    if lower > limits.error_rate and not check.bad():
        told = f"{all_failed:.0f} of {all_asked:.0f} requests"
        check.say(None, f"all ways together: {told} failed; of each alone it is not sure")
        check.verdict = FAIL
    check.observed = f"{plural(all_failed, 'failure')} of {plural(all_asked, 'request')}"
    check.untested = f"fewer than {limits.least_requests:.0f} requests: {join(few)}" if few else ""
    check.next = (
        f"Look at the errors: docker logs {check.bad()[0].split(' ')[0]}"
        if check.bad()
        else "Soak for longer, or have more requests sent (probe_interval)"
    )
    return check


def _burn(
    context: Context, times: Sequence[float], asked: Sequence[float], failed: Sequence[float]
) -> tuple[float, str] | None:
    """The first time at which errors used up much too quickly what may be: burn rates (Google SRE workbook)."""
    if not any(failed):
        return None
    sum_asked, sum_failed = [0.0], [0.0]
    for requests, failures in zip(asked, failed, strict=True):
        sum_asked.append(sum_asked[-1] + requests)
        sum_failed.append(sum_failed[-1] + failures)
    allowed = context.limits.error_rate
    for index, failures in enumerate(failed):
        if not failures:
            continue
        for factor, long, short, least_long, least_short in _BURN:
            # A limit of 0 has no share to use up: any failure is too much, and the exact bound says so.
            good = True
            for seconds, least in ((long, least_long), (short, least_short)):
                begin = bisect_left(times, times[index] - context.window(seconds))
                bad = sum_failed[index + 1] - sum_failed[begin]
                # Failures of which the whole window could not be seen yet count against a whole one.
                seen = max(times[index] - times[begin], 1.0)
                whole = (sum_asked[index + 1] - sum_asked[begin]) * max(1.0, context.window(seconds) / seen)
                if bad < least or bad <= factor * allowed * whole:
                    good = False
                    break
            if good:
                bad = sum_failed[index + 1] - sum_failed[bisect_left(times, times[index] - context.window(long))]
                span = context.window(long) / 3600
                return times[index], f"{bad:.0f} failures in {span:.2g} h: a burn rate of {factor:g}"
    return None


def buckets_of(latency: dict[str, int]) -> dict[int, float]:
    """A histogram with numbers for buckets; what is no number is left out."""
    found: dict[int, float] = {}
    for name, count in latency.items():
        try:
            bucket = int(name)
            good = -1000 <= bucket <= 1000 and 0 < count < 1e15
        except (TypeError, ValueError):
            continue
        if good:
            found[bucket] = found.get(bucket, 0.0) + float(count)
    return found


def quantile(buckets: dict[int, float], share: float) -> float:
    """Milliseconds within which that share of the requests was answered; within a bucket by proportion."""
    total = sum(buckets.values())
    wanted, seen = share * total, 0.0
    for bucket in sorted(buckets):
        count = buckets[bucket]
        if seen + count >= wanted:
            return math.exp(_BASE * (bucket - 1 + (wanted - seen) / count))
        seen += count
    return 0.0


def merged(parts: Sequence[dict[int, float]]) -> dict[int, float]:
    """All histograms together."""
    total: dict[int, float] = {}
    for part in parts:
        for bucket, count in part.items():
            total[bucket] = total.get(bucket, 0.0) + count
    return total


def slots(context: Context, probe: Probe) -> list[tuple[float, dict[int, float]]]:
    """The histogram of each slot after the warm-up, with when it begins."""
    width = context.recording.slot
    found = []
    for slot in sorted(probe.latency):
        begin = slot * width
        if begin + width / 2 >= context.warm:
            buckets = buckets_of(probe.latency[slot])
            if buckets:
                found.append((begin, buckets))
    return found


def latency(context: Context) -> Check:
    """The 95th percentile of each way over the soak, and whether it creeps up."""
    limits = context.limits
    words = f"95 of 100 requests within {limits.p95_ms:g} ms on each way, and no creeping up"
    check = Check("latency", "Latency", words)
    probes = [probe for probe in context.recording.probes.values() if probe.latency]
    if not probes:
        return check.not_tested("no request was answered, or none was sent")
    few = []
    for probe in probes:
        parts = slots(context, probe)
        total = merged([part for _at, part in parts])
        count, name = sum(total.values()), _name(probe)
        if not total:
            check.add(name, NOT_TESTED, "no request after the warm-up")
            continue
        p50, p95 = quantile(total, 0.5), quantile(total, 0.95)
        edge = math.ceil(math.log(limits.p95_ms) / _BASE - 1e-9) if limits.p95_ms > 0 else -1000
        above = sum(number for bucket, number in total.items() if bucket > edge)
        lower, _upper = clopper_pearson(above, count, _CHANCE / len(probes))
        creep = creeping(parts)
        values = {"p50_ms": p50, "p95_ms": p95, "requests": count, "creep_per_hour": creep[0]}
        told = f"p95 {p95:.0f} ms, median {p50:.0f} ms"
        if p95 > limits.p95_ms and lower > 0.05:
            check.say(None, f"{name}: {told}")
            check.add(name, FAIL, told, **values)
        elif creep[1] == FAIL:
            check.say(None, f"{name}: {creep[0]:+.1%} an hour; {told}")
            check.add(name, FAIL, f"{told}, {creep[0]:+.1%} an hour", **values)
        elif count < limits.least_requests:
            few.append(name)
            check.add(name, INCONCLUSIVE, told + ": too few requests to tell", **values)
        elif creep[1] == INCONCLUSIVE:
            check.say(None, f"{name}: {creep[0]:+.1%} an hour: {creep[2]}")
            check.add(name, INCONCLUSIVE, f"{told}, {creep[0]:+.1%} an hour: {creep[2]}", **values)
        else:
            check.add(name, PASS, told, **values)
    tops = [one.values["p95_ms"] for one in check.subjects if one.values]
    check.observed = f"p95 up to {max(tops):.0f} ms" if tops else "nothing"
    check.untested = f"fewer than {limits.least_requests:.0f} answers: {join(few)}" if few else ""
    check.next = (
        f"Find out what makes {join(check.bad())} slow"
        if check.bad()
        else "Soak for longer, or have more requests sent (probe_interval)"
    )
    return check


def creeping(parts: Sequence[tuple[float, dict[int, float]]]) -> tuple[float, str, str]:
    """By how much the median grows in an hour, as a share; the verdict, and why. Judged as memory is, in logarithms."""
    if len(parts) < 12:
        return 0.0, PASS, ""
    hours = [at / 3600 for at, _part in parts]
    middles = [math.log(max(quantile(part, 0.5), 1e-3)) for _at, part in parts]
    trend = assess(hours, without_spikes(middles, _CREEP.jump), _CREEP)
    return math.expm1(trend.slope), {"grows": FAIL, "unclear": INCONCLUSIVE, "holds": PASS}[trend.verdict], trend.why


def edge_errors(context: Context) -> Check:
    """What real users got, by Caddy's own count."""
    limits = context.limits
    check = Check("edge_errors", "Errors of real users", f"at most {limits.error_rate:.2%} of their requests (5xx)")
    rows = context.recording.edge
    if len(rows) < 2:
        return check.not_tested("nothing counted the requests of users at the edge")
    asked, failed = 0.0, 0.0
    last: tuple[float, float] | None = None
    for at, requests, errors in zip(rows.times, rows.column("requests"), rows.column("errors"), strict=True):
        if requests < 0 or errors < 0:
            continue
        if last is not None and at >= context.warm and not context.plan.covers(at):
            begun = requests < last[0]
            more = requests if begun else requests - last[0]
            bad = errors if begun else max(0.0, errors - last[1])
            asked, failed = asked + more, failed + min(bad, more)
        last = (requests, errors)
    lower, upper = clopper_pearson(failed, asked, _CHANCE)
    told = f"{plural(failed, 'error')} of {plural(asked, 'request')}"
    if asked == 0:
        return check.not_tested("no user sent a request")
    verdict = FAIL if lower > limits.error_rate else PASS
    check.observed = told
    check.untested = "" if asked >= limits.least_requests else "few requests: only many errors would be seen"
    check.add("edge", verdict, told, requests=asked, errors=failed, lower=lower, upper=upper)
    if verdict == FAIL:
        check.say(None, f"{told}; surely more than {lower:.3%}")
    check.next = "Look at the log of Caddy for answers of 500 and above: journalctl -u caddy"
    return check
