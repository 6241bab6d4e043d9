# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks of the soak itself: how much of the time was seen, faults that were made, marks."""

from __future__ import annotations

from ..numbers import number
from .check import FAIL, INCONCLUSIVE, PASS, Check, Context, hours, plural


def uncovered(context: Context, times: list[float], until: float) -> list[tuple[float, float]]:
    """Spans without a sample: from one to the next there may be twice the interval."""
    interval = context.settings.interval
    found, last = [], 0.0
    for at in [one for one in times if 0 <= one <= until] + [until]:
        # What is missing begins one interval after the last sample.
        if at - last > 1.9 * interval:
            found.append((last + (interval if last else 0.0), at))
        last = at
    return found


def share(context: Context, times: list[float], until: float) -> float:
    """Of the time until then, how much is covered; planned gaps are left out."""
    lost = planned = 0.0
    for begin, end in uncovered(context, times, until):
        if context.plan.host(begin, end):
            planned += end - begin
        else:
            lost += end - begin
    whole = until - planned
    return max(0.0, 1 - lost / whole) if whole > 0 else 0.0


def coverage(context: Context) -> tuple[Check, float]:
    """How much of the time is covered by samples; and whether it went on to its end."""
    least, recording = context.limits.coverage, context.recording
    check = Check("coverage", "Coverage", f"samples cover at least {least:.0%} of the time, to the end")
    until = context.until if context.running else max(context.settings.duration, 1.0)
    times = list(recording.times)
    seen = share(context, times, until)
    check.verdict = PASS if seen >= least else INCONCLUSIVE
    for begin, end in uncovered(context, times, until):
        planned = context.plan.host(begin, end)
        check.say(begin, f"no sample for {hours(end - begin)}" + (", as planned" if planned else ""))
    check.observed = f"{seen:.2%}"
    if not context.running:
        ended = recording.ended
        if not recording.started:
            check.verdict = INCONCLUSIVE
            check.say(None, "the journal has no `start`: what was to be is not known")
        if ended is None or ended[1] != "finished":
            check.verdict = INCONCLUSIVE
            why = "it has no end"
            if ended is not None:
                why = f"it ended early: {ended[1] or 'no reason'}" + (f" by {ended[2]}" if ended[2] else "")
            check.say(ended[0] if ended else None, why)
            check.observed += f"; {why}"
        elif not context.spanned:
            check.verdict = INCONCLUSIVE
            words = f"the last sample is {hours(max(0.0, recording.last))} after the start"
            check.say(recording.last, words)
            check.observed += f"; {words}"
        if recording.container_times:
            known = share(context, list(recording.container_times), until)
            if known < least:
                check.verdict = INCONCLUSIVE
                check.say(None, f"containers were looked at in {known:.2%} of the time only")
    check.next = "Soak again, for the whole time: hypercode soak start"
    return check, seen


def recovery(context: Context) -> Check:
    """Faults that were made on purpose, and whether all was well again."""
    check = Check("recovery", "Recovery from faults", "all is well again after each fault")
    faults = context.plan.faults
    if not faults:
        return check.not_tested("nothing was broken on purpose")
    for fault, over in faults:
        name = " ".join(str(part) for part in (fault.details.get("fault") or "fault", fault.service) if part)
        took = number(over.details.get("recovered")) if over is not None else None
        if took is not None:
            check.add(name, PASS, f"well after {hours(took)}", seconds=took)
            check.say(fault.at, f"{name}: well after {hours(took)}")
        elif over is None and context.running:
            check.add(name, PASS, "not over yet")
        elif over is None:
            check.say(fault.at, f"{name}: nothing says that it recovered")
            check.add(name, INCONCLUSIVE, "nothing says that it recovered")
        else:
            check.say(fault.at, f"{name}: not well again in the time there was")
            check.add(name, FAIL, "not well again in the time there was")
    check.observed = f"{len(check.subjects) - len(check.bad())} of {len(check.subjects)} recovered"
    check.next = "Look why it did not come back: sudo hypercode diagnose"
    return check


def marks(context: Context) -> Check:
    """What somebody, or a playbook, said, such as of a load test."""
    check = Check("load_test", "Load test and marks", "none that failed")
    found = [event for event in context.recording.events if event.kind == "mark"]
    if not found:
        return check.not_tested("no load test ran within the soak")
    for event in found:
        good, what = event.details.get("ok"), str(event.details.get("what") or "mark")[:100]
        told = str(event.details.get("text") or "")[:200]
        state = "failed" if good is False else "well" if good is True else "said"
        check.say(event.at, f"{what}: {state}" + (f" ({told})" if told else ""))
        check.add(what, FAIL if good is False else PASS, state)
    check.observed = f"{plural(len(check.bad()), 'mark')} failed, of {len(found)}"
    check.next = "Read the report of the load test"
    return check
