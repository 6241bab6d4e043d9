# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waits until each server answers with what is wanted. The clock and the asking are handed in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0  # seconds between two rounds


@dataclasses.dataclass(frozen=True)
class Expected:
    """What a server is to answer for a name and a type: values in a form that can be compared, or none at all."""

    name: str
    type: str
    values: frozenset[bytes]
    shown: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a server said: values, and as text; or ``problem`` when that was no answer that counts."""

    values: frozenset[bytes] = frozenset()
    shown: tuple[str, ...] = ()
    problem: str = ""


@dataclasses.dataclass(frozen=True)
class Seen:
    """The last answer of one server to one question."""

    server: str
    expected: Expected
    answer: Answer

    @property
    def right(self) -> bool:
        return not self.answer.problem and self.answer.values == self.expected.values

    def text(self) -> str:
        """In words: which server answered what, in place of what."""
        said = self.answer.problem or f"answers {', '.join(self.answer.shown) or 'that there is none'}"
        wanted = ", ".join(self.expected.shown) or "none"
        return f"{self.server} {said} for {self.expected.name} {self.expected.type} (wanted: {wanted})"


Ask = Callable[[str, str, str], Answer]
AskAll = Callable[[Sequence[tuple[str, Expected]]], Sequence[Answer]]


def wait(
    servers: Iterable[str],
    expected: Sequence[Expected],
    ask_all: AskAll,
    limit: float,
    now: Callable[[], float],
    sleep: Callable[[float], None],
) -> list[Seen]:
    """Ask every server for everything until all answers are right, or ``limit`` seconds are over.

    A right answer is not asked for again. Returns the last answer to each question, all of them.
    """
    questions = [(server, item) for server in servers for item in expected]
    seen: dict[tuple[str, str, str], Seen] = {}
    until = now() + limit
    pause = FIRST_PAUSE
    while questions:
        for (server, item), answer in zip(questions, ask_all(questions), strict=True):
            seen[server, item.name, item.type] = Seen(server, item, answer)
        questions = [(server, item) for server, item in questions if not seen[server, item.name, item.type].right]
        if not questions or now() + pause > until:
            break
        sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)
    return list(seen.values())


def evidence(seen: Iterable[Seen], most: int = 6) -> str:
    """What is wrong, by server, and which servers are right."""
    listed = list(seen)
    wrong = [item for item in listed if not item.right]
    late = {item.server for item in wrong}
    good = sorted({item.server for item in listed} - late)
    more = f"; and {len(wrong) - most} more answers" if len(wrong) > most else ""
    right = f". Right already: {', '.join(good)}" if good else ""
    return "; ".join(item.text() for item in wrong[:most]) + more + right
