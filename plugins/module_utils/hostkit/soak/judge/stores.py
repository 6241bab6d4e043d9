# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks of what keeps data: Postgres, Redis, backups, drills, the canary."""

from __future__ import annotations

from collections.abc import Sequence

from .check import DAY, FAIL, INCONCLUSIVE, NOT_TESTED, PASS, Check, Context, join, plural
from .recording import Rows


def postgres(context: Context) -> Check:
    """Connections, the archiver, dead rows."""
    most = context.limits.postgres_connections_share
    check = Check("postgres", "Postgres", f"at most {most:.0%} of its connections, and its log is archived")
    rows = context.recording.postgres
    if not len(rows):
        return check.not_tested("there is none, or it was not asked")
    columns = (rows.times, rows.column("connections"), rows.column("connections_max"))
    shares = [used / top for _at, used, top in zip(*columns, strict=True) if used >= 0 and top > 0]
    if shares:
        top = max(_middles(shares))
        if top > most:
            check.say(None, f"{top:.0%} of its connections were in use")
        check.add("connections", FAIL if top > most else PASS, f"up to {top:.0%}", highest_share=top)
    else:
        check.add("connections", NOT_TESTED, "no figures")
    failed, times = _steps(rows, "archive_failed")
    done, _times = _steps(rows, "archived")
    # One that fails and is done later is a passing trouble.
    bad = failed > 0 and (len(times) > 2 or failed > done)
    for at in times:
        check.say(at, "the archiver failed")
    if rows.known("archive_failed")[1]:
        check.add("archiver", FAIL if bad else PASS, plural(failed, "failure"), failures=failed, archived=done)
    else:
        check.add("archiver", NOT_TESTED, "no figures")
    dead, live = rows.known("dead_rows")[1], rows.known("live_rows")[1]
    if dead and live:
        share = dead[-1] / max(1.0, dead[-1] + live[-1])
        check.add("dead rows", PASS, f"{share:.0%} at the end: for information", share=share)
    locks, _at = _steps(rows, "deadlocks")
    if locks:
        check.say(None, f"{plural(locks, 'deadlock')}: for information")
    check.observed = ", ".join(f"{one.subject} {one.observed}" for one in check.subjects)
    check.next = "Look at its log: docker logs postgres; see docs/runbooks"
    return check


def _middles(values: Sequence[float]) -> list[float]:
    if len(values) < 3:
        return list(values)
    return [sorted(values[index : index + 3])[1] for index in range(len(values) - 2)]


def _steps(rows: Rows, name: str) -> tuple[float, list[float]]:
    """How much a counter grew by in all, and when it did. It may begin anew."""
    times, values = rows.known(name)
    total, when = 0.0, []
    for index in range(1, len(values)):
        step = values[index] - values[index - 1]
        step = values[index] if step < 0 else step
        if step > 0:
            total += step
            when.append(times[index])
    return total, when


def redis(context: Context) -> Check:
    """Memory, keys that were thrown out, clients that were sent away, and whether it is kept on disk."""
    most = context.limits.redis_memory_share
    check = Check("redis", "Redis", f"at most {most:.0%} of its memory, no client rejected, and saved on disk")
    rows = context.recording.redis
    if not len(rows):
        return check.not_tested("there is none, or it was not asked")
    columns = (rows.column("memory"), rows.column("memory_max"))
    shares = [used / top for used, top in zip(*columns, strict=True) if used >= 0 and top > 0]
    if shares:
        top = max(_middles(shares))
        evicted, _when = _steps(rows, "evicted")
        told = f"up to {top:.0%}, {plural(evicted, 'key')} thrown out"
        # A cache that throws out is full on purpose.
        fails = top > most and not evicted
        check.add("memory", FAIL if fails else PASS, told, highest_share=top, evicted=evicted)
        if evicted:
            check.say(None, f"{plural(evicted, 'key')} were thrown out for want of memory")
    else:
        check.add("memory", NOT_TESTED, "it has no limit of its own")
    rejected, when = _steps(rows, "rejected")
    if rejected:
        check.say(when[0], f"{plural(rejected, 'client')} rejected: it had too many")
    check.add("clients", FAIL if rejected else PASS, f"{rejected:.0f} rejected", rejected=rejected)
    for name, title in (("save_ok", "snapshots"), ("append_ok", "append-only file")):
        times, values = rows.known(name)
        bad = [at for at, value in zip(times, values, strict=True) if value == 0]
        if bad:
            check.say(bad[0], f"{title}: the last one failed, at {plural(len(bad), 'sample')}")
        if values:
            fails = values[-1] == 0 or len(bad) > 2
            check.add(title, FAIL if fails else PASS, "failed" if fails else "well", samples_bad=float(len(bad)))
    check.observed = ", ".join(f"{one.subject} {one.observed}" for one in check.subjects)
    check.next = "Look at its log: docker logs redis; see docs/runbooks"
    return check


def backup(context: Context) -> Check:
    """Backups that ended well within the soak."""
    return _ended(context, "backup", "Backups", "last_success", context.limits.backups)


def drill(context: Context) -> Check:
    """Drills of a restore that ended well within the soak."""
    return _ended(context, "drill", "Drills of a restore", "last_drill", context.limits.drills)


def _ended(context: Context, kind: str, title: str, column: str, least: int) -> Check:
    check = Check(kind, title, f"at least {least} within the soak, and none fails")
    recording, rows = context.recording, context.recording.backup
    events = [event for event in recording.events if event.kind == kind]
    _times, values = rows.known(column)
    if not values and not events:
        return check.not_tested(f"nothing looked for a {kind}")
    began = recording.began
    # The clock may have been set a little since: what ended before the start does not count.
    new = {round(value) for value in values if value >= began}
    well = max(len(new), sum(1 for event in events if event.details.get("ok") is True))
    bad = [event.at for event in events if event.details.get("ok") is False]
    failed_now = False
    if kind == "backup":
        at_times, states = rows.known("failed")
        failed_now = bool(states) and states[-1] == 1
        bad = bad or [at for at, state in zip(at_times, states, strict=True) if state == 1][:1]
    for at in bad:
        check.say(at, f"a {kind} failed")
    for event in events:
        if event.details.get("ok") is True:
            check.say(event.at, f"a {kind} ended well")
    told = f"{well} ended well" + (f", {len(bad)} failed" if bad else "")
    check.observed = told
    if failed_now or (bad and well == 0):
        check.verdict = FAIL
    elif well >= least:
        check.verdict = PASS
    elif context.running:
        check.not_tested(f"no {kind} has ended yet")
    elif not context.spanned:
        check.not_tested(f"the soak ended before its time, and no {kind} fell into it")
    elif context.settings.duration < DAY * 0.95:
        check.not_tested(f"the soak is shorter than a day, and no {kind} fell into it")
    else:
        check.verdict = FAIL
    check.observed = told
    check.next = f"Run: sudo hypercode backup {'run' if kind == 'backup' else 'drill'}  (see why none ended well)"
    return check


def canary(context: Context) -> Check:
    """What was written into each store at the start, and whether it is still there."""
    check = Check("canary", "Data that was planted", "it is there, in each store, at every sample")
    states = context.recording.canary
    if not states:
        return check.not_tested("nothing was planted")
    worst_of: dict[str, set[str]] = {}
    for at, _good, stores in states:
        for store, state in stores.items():
            worst_of.setdefault(store, set()).add(state)
            if state != "ok":
                check.say(at, f"{store}: {state}")
    last = states[-1][2]
    for store, seen in sorted(worst_of.items()):
        lost = sorted(seen & {"missing", "wrong"})
        if lost:
            check.early = True
            check.add(store, FAIL, join(lost))
        elif last.get(store) != "ok":
            check.add(store, INCONCLUSIVE, "could not be reached at the end")
        else:
            check.add(store, PASS, "there")
    if not check.subjects:
        good = states[-1][1]
        check.verdict = PASS if good else FAIL
        check.early = not good
    elif not states[-1][1] and check.verdict == PASS:
        check.verdict = INCONCLUSIVE
        check.say(states[-1][0], "the canary says that it is not well, but of no store")
    check.observed = f"{plural(len(check.bad()), 'store')} lost it" if check.bad() else "there"
    check.next = f"Stop, and look where the data of {join(check.bad())} went; restore it: docs/restore.md"
    return check
