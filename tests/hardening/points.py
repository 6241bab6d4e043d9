"""What a point is, and how it can turn out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from .facts import Facts


class State(StrEnum):
    """How a point turned out. UNKNOWN is a fault: what it is judged by could not be read."""

    MET = "met"
    NOT_MET = "not met"
    NOT_APPLICABLE = "not applicable"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Verdict:
    """A state; `where` names what does not meet the point, `note` says why it does not apply."""

    state: State
    where: tuple[str, ...] = ()
    note: str = ""


MET = Verdict(State.MET)
EMPTY = "No container runs on this host."


@dataclass(frozen=True)
class Point:
    """One thing to look at. `id` is the benchmark's (docker-2.9, debian-3.3.1), or begins with own-."""

    id: str
    group: str
    title: str
    judge: Callable[[Facts], Verdict]


@dataclass(frozen=True)
class Judged:
    """A point and how it turned out on a host."""

    id: str
    group: str
    title: str
    verdict: Verdict


def not_met(*where: str) -> Verdict:
    return Verdict(State.NOT_MET, where)


def not_applicable(note: str) -> Verdict:
    return Verdict(State.NOT_APPLICABLE, note=note)


def met_unless(where: Iterable[str]) -> Verdict:
    """Return that the point is met, unless something is named that does not meet it."""
    named = tuple(where)
    return not_met(*named) if named else MET


def met_if(condition: bool, *where: str) -> Verdict:
    return MET if condition else not_met(*where)
