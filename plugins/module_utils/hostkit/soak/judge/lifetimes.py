# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restarts, and the lifetimes of processes between them."""

from __future__ import annotations

from dataclasses import dataclass

from .check import Context
from .recording import UNKNOWN, Track


@dataclass(frozen=True)
class Restart:
    """A container was started anew. `planned` says by what, empty when by nothing; `why` is what is known."""

    at: float
    subject: str
    service: str
    count: int
    planned: str
    why: str


@dataclass(frozen=True)
class Lifetime:
    """The rows of a track, from `begin` to before `end`, in which one process ran."""

    begin: int
    end: int


def lifetimes(track: Track) -> list[Lifetime]:
    """A new container, a new start or one more restart begins a new one."""
    rows = track.rows
    columns = [rows.column(name) for name in ("id", "started", "restarts")]
    if len(rows) and all(min(column) == max(column) for column in columns):
        return [Lifetime(0, len(rows))]
    found, begin = [], 0
    last = [UNKNOWN] * 3
    for index, now in enumerate(zip(*columns, strict=True)):
        if index and any(now[part] != last[part] and min(now[part], last[part]) >= 0 for part in range(3)):
            found.append(Lifetime(begin, index))
            begin = index
        last = [new if new >= 0 else old for new, old in zip(now, last, strict=True)]
    if len(rows):
        found.append(Lifetime(begin, len(rows)))
    return found


def restarts(context: Context) -> tuple[list[Restart], list[Restart]]:
    """All restarts; and all containers that were replaced by another one of the same name."""
    found: list[Restart] = []
    replaced: list[Restart] = []
    for subject, track in context.tracks():
        seen = _of_track(context, subject, track, replaced)
        told = _of_events(context, subject, track)
        # Docker tells when it was; what is counted shows those that nobody told.
        counted = sum(one.count for one in seen)
        found += told if len(told) >= counted else seen
    found.sort(key=lambda one: one.at)
    return found, replaced


def _of_track(context: Context, subject: str, track: Track, replaced: list[Restart]) -> list[Restart]:
    rows, boots = track.rows, [at for at, _boot in context.recording.boots[1:]]
    ids, started, counts = rows.column("id"), rows.column("started"), rows.column("restarts")
    if not len(rows) or all(min(column) == max(column) for column in (ids, started, counts)):
        return []
    codes, ups, heals = rows.column("last_exit_code"), rows.column("up"), rows.column("heals")
    memory = rows.column("memory_anonymous")
    found = []
    last_id = last_started = last_count = last_heals = UNKNOWN
    last_at = 0.0
    for index, at in enumerate(rows.times):
        new_id = ids[index] >= 0 and last_id >= 0 and ids[index] != last_id
        if new_id:
            last_started, last_count = started[index], 0.0
            why = "another container in its place"
            replaced.append(Restart(at, subject, track.service, 1, _planned(context, track, last_at, at), why))
        count = counts[index] - last_count if counts[index] >= 0 and last_count >= 0 else 0.0
        if count < 0:
            # Somebody started it, which begins the count anew.
            count = counts[index]
        # The daemon's clock may be set: only a start that is later by more than a moment is one.
        if started[index] > 0 and last_started > 0 and abs(started[index] - last_started) > 0.01:
            count = max(count, 1.0)
        booted = any(last_at < boot <= at for boot in boots)
        # A job that is done is neither up nor down.
        if count > 0 and not booted and (ups[index] != UNKNOWN or memory[index] >= 0):
            why = f"exit code {codes[index]:.0f}" if codes[index] >= 0 else ""
            if heals[index] > last_heals >= 0:
                why = "restarted by the watch, since it was unhealthy"
            planned = _planned(context, track, last_at, at)
            found.append(Restart(at, subject, track.service, int(min(count, 1e6)), planned, why))
        last_id = ids[index] if ids[index] >= 0 else last_id
        last_started = started[index] if started[index] > 0 else last_started
        last_count = counts[index] if counts[index] >= 0 else last_count
        last_heals = heals[index] if heals[index] >= 0 else last_heals
        last_at = at
    return found


def _of_events(context: Context, subject: str, track: Track) -> list[Restart]:
    boots = [at for at, _boot in context.recording.boots[1:]]
    died: dict[str, tuple[float, str]] = {}
    found = []
    for event in context.recording.events:
        if event.container != track.container or event.service != track.service:
            continue
        if event.kind == "die":
            died[event.id] = (event.at, f"exit code {event.details.get('exit_code', '?')}")
        elif event.kind == "start" and event.id in died:
            at, why = died.pop(event.id)
            if any(at - 120 <= boot <= event.at + 120 for boot in boots):
                continue
            found.append(Restart(at, subject, track.service, 1, _planned(context, track, at, event.at), why))
    return found


def _planned(context: Context, track: Track, begins: float, ends: float) -> str:
    span = context.plan.covers(ends, track.service) or context.plan.covers(begins, track.service)
    return span.what if span else ""
