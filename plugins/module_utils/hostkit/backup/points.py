# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The points in time that a repository can bring a Postgres back to: base backups, each with its WAL.

A base is a snapshot of one tar file. Its WAL is a snapshot of the segments from its beginning on, and of what is known
of the base. Each newer one holds all of the one before, so only the newest counts; a base counts with its first one.
They have a tag of their own: lists of runs do not see them, and they do not see runs.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .config import BackupError
from .restic import Restic, Snapshot
from .runs import ID, began
from .saver import quoted
from .streams import Deadline, read_back

TAG = "hypercode-pitr"
BASE_FILE, ABOUT = "base.tar", "about.json"
_KIND_BASE, _KIND_WAL = "base", "wal"
# A base whose first WAL has not come after a day will never count.
UNFINISHED = 86400.0
# For so long nobody knows whether data that is new in a service is wanted, or all that is there after a loss.
DOUBTFUL = 2 * 86400.0


@dataclass
class Base:
    """A base backup in a repository, and the span of times that it can be recovered to (seconds since 1970)."""

    id: str
    service: str
    chain: str = ""
    # The history that it belongs to. It goes on over a gap in the log, and ends where the data is exchanged.
    line: str = ""
    base: Snapshot | None = None
    wal: Snapshot | None = None
    begins: float = 0.0
    ends: float = 0.0
    # What newer snapshots hold too.
    superseded: list[Snapshot] = field(default_factory=list)

    @property
    def host(self) -> str:
        return self.base.host if self.base else ""

    @property
    def good(self) -> bool:
        return self.base is not None and self.wal is not None

    def ids(self) -> list[str]:
        """All snapshots of it."""
        return [snapshot.id for snapshot in (self.base, self.wal, *self.superseded) if snapshot]


def base_words(host: str, service: str, chain: str, base: str, line: str = "") -> list[str]:
    """The options of restic that mark a snapshot as a base backup."""
    return _words(host, kind=_KIND_BASE, service=service, chain=chain, line=line or chain, base=base)


def wal_words(
    host: str, service: str, chain: str, base: str, span: tuple[float, float], place: int, number: int
) -> list[str]:
    """The options of restic that mark a snapshot as the WAL of a base, which leads from one time to another.

    `place` is how far it goes, and `number` counts the shipments: clocks may be set back.
    """
    # Rounded inwards: what is told can be had.
    told = {"from": str(int(span[0]) + 1), "until": str(int(span[1])), "place": str(place), "number": str(number)}
    return _words(host, kind=_KIND_WAL, service=service, chain=chain, base=base, **told)


def _words(host: str, **tags: str) -> list[str]:
    return ["--host", host, "--tag", ",".join([TAG, *(f"{key}={quoted(value)}" for key, value in tags.items())])]


def read_bases(restic: Restic, host: str) -> list[Base]:
    """The bases of a host, good or not, oldest first. What is not ours is not among them."""
    found: dict[str, Base] = {}
    for snapshot in restic.snapshots(TAG, host=host):
        name, service = snapshot.tagged("base"), snapshot.tagged("service")
        if snapshot.host != host or TAG not in snapshot.tags or not ID.fullmatch(name) or not service:
            continue
        base = found.setdefault(name, Base(name, service, snapshot.tagged("chain")))
        if snapshot.tagged("kind") == _KIND_BASE:
            base.superseded += [base.base] if base.base else []
            base.base, base.line = snapshot, snapshot.tagged("line") or base.chain
        elif snapshot.tagged("kind") == _KIND_WAL and re.fullmatch(r"\d+", snapshot.tagged("until")):
            if base.wal and _reach(snapshot) < _reach(base.wal):
                base.superseded.append(snapshot)
                continue
            base.superseded += [base.wal] if base.wal else []
            base.wal = snapshot
            base.begins, base.ends = float(snapshot.tagged("from")), float(snapshot.tagged("until"))
    return [found[name] for name in sorted(found)]


def _reach(snapshot: Snapshot) -> tuple[int, ...]:
    """How far the WAL in a snapshot goes. Times do not tell it: a clock may have been set back."""
    return tuple(int(text) if (text := snapshot.tagged(key)).isdecimal() else -1 for key in ("place", "number"))


def spans(bases: Iterable[Base]) -> list[tuple[float, float]]:
    """From when until when every point can be restored, oldest first: bases whose WAL reaches the next are one span."""
    found: list[tuple[float, float]] = []
    for base in sorted((base for base in bases if base.good), key=lambda base: base.begins):
        if base.ends < base.begins:
            # Its first WAL is on its way.
            continue
        if found and base.begins <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], base.ends))
        else:
            found.append((base.begins, base.ends))
    return found


def newest_of_lines(bases: Iterable[Base], service: str, now: float) -> list[Base]:
    """The newest good base of a service; while its history is new, behind it the newest one of the history before."""
    good = sorted((base for base in bases if base.good and base.service == service), key=lambda base: base.begins)
    if not good:
        return []
    others = [base for base in good if base.line != good[-1].line]
    began = min(base.begins for base in good if base.line == good[-1].line)
    return [good[-1], *(others[-1:] if now - began < DOUBTFUL else [])]


def choose(bases: Sequence[Base], service: str, moment: float | None, repository: str, now: float) -> Base:
    """The newest base from which a service comes to a moment, or to its newest point. BackupError tells the spans.

    After a loss a service may have begun with nothing: so while its history is new, somebody has to say which is meant.
    """
    good = sorted((base for base in bases if base.good and base.service == service), key=lambda base: base.begins)
    if not good:
        known = ", ".join(sorted({base.service for base in bases if base.good})) or "none"
        raise BackupError(
            f"The repository '{repository}' has no base backup of {service}, so it has no point in time to go back to. "
            f"Services that have: {known}. Fix: name one of these, or restore a dump: hypercode backup list"
        )
    fitting = [base for base in good if moment is None or base.begins <= moment <= base.ends]
    if not fitting:
        told = "; ".join(f"{stamp(begin)} to {stamp(end)}" for begin, end in spans(good))
        raise BackupError(
            f"{stamp(moment or 0)} is not among the times that {service} can be restored to. The repository "
            f"'{repository}' has: {told}. Fix: take one of these times, or --time newest"
        )
    newest = newest_of_lines(good, service, now)
    if moment is None and len(newest) > 1:
        began = min(base.begins for base in good if base.line == newest[0].line)
        raise BackupError(
            f"The data of {service} was exchanged before {stamp(began)}, so nobody knows which is meant: it may have "
            f"begun with nothing after a loss. Fix: --time {stamp(newest[1].ends)} for the newest of what was before, "
            f"--time {stamp(newest[0].ends)} for what came then"
        )
    return fitting[-1]


def stamp(moment: float) -> str:
    """A moment as it is written on a command line."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


def superseded(bases: Iterable[Base]) -> list[str]:
    """The snapshots whose content newer ones hold too."""
    return [snapshot.id for base in bases for snapshot in base.superseded]


def to_forget(bases: Sequence[Base], now: float, days: int) -> list[str]:
    """The snapshots that go, so that every point of the last days can still be restored.

    For each service the newest base of before those days stays, since their first hours begin from it. With a base from
    the future nothing goes for its age: nobody knows whether the clock was wrong then or is now.
    """
    bound, gone = now - days * 86400, superseded(bases)
    if any(base.begins > now + 3600 for base in bases):
        return gone
    for service in {base.service for base in bases}:
        own = [base for base in bases if base.service == service]
        older = sorted((base for base in own if base.good and base.begins < bound), key=lambda base: base.begins)
        gone += [name for base in older[:-1] for name in base.ids()]
        gone += [name for base in own if not base.good and now - began(base.id) > UNFINISHED for name in base.ids()]
    return sorted(set(gone))


def read_about(restic: Restic, base: Base) -> dict[str, Any]:
    """What was written down with the WAL of a base. BackupError when it cannot be read."""
    parts: list[bytes] = []
    snapshot = base.wal
    if snapshot is None or not snapshot.paths:
        raise BackupError(f"The base {base.id} has no WAL. Fix: take another time")
    path = f"{snapshot.paths[0]}/{ABOUT}"
    read_back(restic, snapshot.id, path, parts.append, Deadline.after(600))
    try:
        document = json.loads(b"".join(parts))
        document["base"]["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise BackupError(f"What {path} tells of {base.id} is no such document. Fix: take another time") from error
    return dict(document)
