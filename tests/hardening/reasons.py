"""Why points are not met: reads reasons.yml and compares it with how the points turned out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml
from testbed.shell import TestbedError

from .points import Judged, State

FILE = Path(__file__).parent / "reasons.yml"
SHOWN = "tests/hardening/reasons.yml"


@dataclass(frozen=True)
class Reason:
    """Why some points are not met; `only` limits it to places that fit these patterns, `meet` says how to meet it.

    What fits `also` is explained too, and need not be on each host: with it a point may be met.
    """

    points: tuple[str, ...]
    reason: str
    meet: str = ""
    only: tuple[str, ...] = ()
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Book:
    """All reasons, by point, and our titles of Lynis's tests."""

    reasons: Mapping[str, Reason]
    titles: Mapping[str, str]


def load(path: Path = FILE) -> Book:
    """Read the file of reasons. Raises TestbedError when an entry has another form, or a point has two."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict) or document.keys() != {"lynis", "reasons"}:
        raise TestbedError(f"{SHOWN} must have the keys lynis and reasons, and no others.")
    reasons: dict[str, Reason] = {}
    for number, entry in enumerate(document["reasons"], 1):
        reason = one(entry, number)
        for point in reason.points:
            if point in reasons:
                raise TestbedError(f"{SHOWN} has two reasons for {point}. Fix: make one of them.")
            reasons[point] = reason
    return Book(reasons, {str(test): str(title) for test, title in document["lynis"].items()})


def one(entry: Any, number: int) -> Reason:
    least, most = {"points", "reason"}, {"points", "reason", "meet", "only", "also"}
    if not isinstance(entry, dict) or not least <= entry.keys() <= most:
        raise TestbedError(
            f"{SHOWN}: entry {number} of reasons has another form. "
            "Fix: give it points and reason, and if you like meet, only and also."
        )
    words = {name: " ".join(str(entry.get(name, "")).split()) for name in ("reason", "meet")}
    if not words["reason"] or not entry["points"]:
        raise TestbedError(f"{SHOWN}: entry {number} of reasons gives no reason, or is about no point.")
    only, also = (tuple(map(str, entry.get(name, ()))) for name in ("only", "also"))
    return Reason(tuple(entry["points"]), words["reason"], words["meet"], only, also)


def problems(judged: Sequence[Judged], book: Book) -> list[str]:
    """Return what is wrong with a host: points without a reason, points that could not be judged."""
    found = []
    for item in judged:
        if item.verdict.state is State.UNKNOWN:
            found.append(f"{item.id} ({item.title}) could not be judged: {item.verdict.note}.")
        elif item.verdict.state is State.NOT_MET and (open_ := unexplained(item, book)) is not None:
            where = f": {', '.join(open_)}" if open_ else ""
            found.append(
                f"{item.id} ({item.title}) is not met, and nothing says why{where}. "
                f"Fix: meet it, or give the reason in {SHOWN}."
            )
    return found


def unexplained(item: Judged, book: Book) -> tuple[str, ...] | None:
    """Return where a point is not met without a reason; None where all is explained."""
    reason = book.reasons.get(item.id)
    if reason is None:
        return item.verdict.where
    patterns = (*reason.only, *reason.also)
    if not patterns:
        return None
    return tuple(place for place in item.verdict.where if not any(fnmatchcase(place, p) for p in patterns)) or None


def unused(judged: Sequence[Judged], book: Book) -> list[str]:
    """Return the reasons that explain nothing. One for a point that does not apply here may hold on another host."""
    known = {item.id: item for item in judged}
    found = []
    for point, reason in book.reasons.items():
        item = known.get(point)
        if item is None:
            found.append(f"{SHOWN} has a reason for {point}, which nothing looks at. Fix: take it out.")
        elif item.verdict.state is State.MET and not reason.also:
            found.append(f"{SHOWN} has a reason for {point} ({item.title}), which is met. Fix: take it out.")
    places: dict[tuple[Reason, str], bool] = {}
    for point, reason in book.reasons.items():
        item = known.get(point)
        if item is not None and item.verdict.state is State.NOT_MET:
            for pattern in reason.only:
                fits = any(fnmatchcase(place, pattern) for place in item.verdict.where)
                places[reason, pattern] = places.get((reason, pattern), False) or fits
    found += [
        f"{SHOWN}: '{pattern}' under only, for {', '.join(reason.points)}, fits nothing. Fix: take it out."
        for (reason, pattern), fits in places.items()
        if not fits
    ]
    return found
