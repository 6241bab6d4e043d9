"""Writes the page: what is not met first, with the reasons."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from .lynis import GROUP as LYNIS
from .lynis import PASSING, SLOW
from .points import Judged, State
from .reasons import Book, Reason

COMMAND = "tests/hardening/table -i inventories/sandbox --host web1"
HEAD = f"""\
# How a host is hardened

Written by `{COMMAND}` from a real host. Do not edit this page.

It compares a host after `site.yml`, with all settings at their defaults, with two CIS benchmarks and with Lynis. It
lists each point that applies, and why where the toolkit does something else. It is also the list of exceptions to CIS.

## Make it anew

    ./scripts/sandbox up
    {COMMAND}

With `--check` nothing is written: it ends with 1 when the page is out of date. It also ends with 1 when a point is not
met and `tests/hardening/reasons.yml` does not say why, or when a reason there is not needed. The host is only read.

## How to read it

- **Point**: `debian-` is a number of the CIS Debian Linux 12 Benchmark 1.1.0, `docker-` one of the CIS Docker Benchmark
  1.6.0, `lynis-` a test of Lynis, `own-` ours. The words are ours, too: look the number up for the full text.
- **Where**: the services, files or settings that do not meet the point. Nothing there means the host as a whole.
- **Why**: why the toolkit leaves it so, and how you meet it yourself.

The host is one of the sandbox: a container that boots like a server. What it shares with its machine does not apply
there; settings of the kernel are judged by what a server sets at boot. Your host can differ, by what you set and by
what else is on it. Run the command with your inventory to see it; Lynis must be installed there.
"""


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(map(cell, row))} |" for row in rows),
        "",
    ]


def groups(judged: Sequence[Judged], state: State) -> Iterator[tuple[str, list[Judged]]]:
    """Give the points of a state by group, in the order in which they were looked at."""
    for group in dict.fromkeys(item.group for item in judged):
        chosen = [item for item in judged if item.group == group and item.verdict.state is state]
        if chosen:
            yield group, sorted(chosen, key=natural)


def natural(item: Judged) -> list[tuple[int, str]]:
    """Return what sorts 5.1.5 before 5.1.15."""
    return [(int(part or 0), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", item.id)]


class Explained:
    """Gives the reason of each point, in full the first time."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._first: dict[Reason, str] = {}

    def why(self, item: Judged) -> str:
        reason = self._book.reasons.get(item.id)
        if reason is None:
            return "No reason is given."
        first = self._first.setdefault(reason, item.id)
        if first != item.id:
            return f"As `{first}`."
        return f"{reason.reason} *To meet it:* {reason.meet}" if reason.meet else reason.reason

    def beside(self, item: Judged) -> str:
        """Return why a point does not apply here, and what holds on a server that does not meet it."""
        if item.id not in self._book.reasons:
            return item.verdict.note
        return f"{item.verdict.note} On a server that does not meet it: {self.why(item)}"


def families(items: Sequence[Judged]) -> Iterator[tuple[str, str]]:
    """Give Lynis's tests by the word that they begin with."""
    names = [item.id.removeprefix("lynis-").rpartition("-") for item in items]
    for family in dict.fromkeys(name[0] for name in names):
        yield family, ", ".join(name[2] for name in names if name[0] == family)


def summary(judged: Sequence[Judged]) -> list[str]:
    """Return how many points there are of each kind."""
    states = (State.MET, State.NOT_MET, State.NOT_APPLICABLE)
    kinds = {"debian-": "CIS Debian", "docker-": "CIS Docker", "own-": "our own", "lynis-": "Lynis"}
    rows = [
        [name, *(str(sum(i.id.startswith(prefix) and i.verdict.state is state for i in judged)) for state in states)]
        for prefix, name in kinds.items()
    ]
    return table(["Points of", "met", "not met, with a reason", "do not apply"], rows)


def render(judged: Sequence[Judged], book: Book) -> str:
    """Return the page."""
    explained = Explained(book)
    lines = [HEAD, *summary(judged), "## Not met", ""]
    for group, items in groups(judged, State.NOT_MET):
        rows = [[f"`{i.id}`", i.title, ", ".join(i.verdict.where), explained.why(i)] for i in items]
        lines += [f"### {group}", "", *table(["Point", "What", "Where", "Why"], rows)]
    lines += ["## Met", ""]
    for group, items in groups(judged, State.MET):
        lines += [f"### {group}", ""]
        if group == LYNIS:
            passing, slow = (", ".join(f"{test} ({what})" for test, what in tests.items()) for tests in (PASSING, SLOW))
            lines += [
                f"These tests found nothing. Left out, since they change by the day: {passing}.",
                f"Left out, since they take long: {slow}.",
                "",
            ]
            lines += table(["Tests", "Numbers"], families(items))
        else:
            lines += table(["Point", "What"], ([f"`{item.id}`", item.title] for item in items))
    lines += ["## Does not apply", ""]
    rows = [
        [f"`{item.id}`", item.title, explained.beside(item)]
        for _group, items in groups(judged, State.NOT_APPLICABLE)
        for item in items
    ]
    return "\n".join([*lines, *table(["Point", "What", "Why"], rows)]).rstrip("\n") + "\n"
