# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Talks to nft: checks rules, loads them, and reads back what is loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..command import NOT_FOUND, CommandResult
from .settings import TABLE

Run = Callable[[Sequence[str]], CommandResult]
# Stateless and terse: without counters, and without the sources that connect right now.
_LIST = ("nft", "-s", "-t", "list", "table", "inet", TABLE)
# The table of the interfaces is there where the host has one.
_LIST_BESIDE = ("nft", "-s", "-t", "list", "table", "netdev", TABLE)
_NOT_THERE = "No such file or directory"


class FirewallError(Exception):
    """What went wrong with the firewall, and the fix."""


class Nft:
    """nft behind an injected runner. ``host`` names the machine in errors."""

    def __init__(self, run: Run, host: str) -> None:
        self._run, self._host = run, host

    def present(self) -> bool:
        """Whether nft is installed."""
        return self._run(["nft", "--version"]).code != NOT_FOUND

    def problem(self, file: Path) -> str:
        """Why these rules cannot be loaded; empty when they can. Loads nothing."""
        answer = self._run(["nft", "-c", "-f", str(file)])
        return "" if answer.code == 0 else _short(answer)

    def load(self, file: Path) -> None:
        """Load a file, all of it or nothing."""
        answer = self._run(["nft", "-f", str(file)])
        if answer.code:
            raise FirewallError(f"nft on {self._host} did not load {file}: {_short(answer)}. The rules are as before.")

    def listing(self) -> str | None:
        """The rules of our tables as they are loaded now; None when there are none."""
        answers = [self._run(words) for words in (_LIST, _LIST_BESIDE)]
        wrong = [answer for answer in answers if answer.code and _NOT_THERE not in answer.stderr]
        if not wrong:
            found = [answer.stdout for answer in answers if answer.code == 0]
            return "".join(found) if found else None
        answer = wrong[0]
        raise FirewallError(
            f"nft cannot list the rules on {self._host}: {_short(answer)}. Fix: run as root (become: true), on a kernel"
            " with nf_tables"
        )

    def listing_of(self, file: Path, interfaces: Sequence[str] = ()) -> str:
        """How the rules in a file read once they are loaded. They are loaded in a network of their own, away from all,
        with bridges in place of the interfaces that they name.

        The same nft and kernel write both listings, so they differ only where the rules do.
        """
        script = (
            'file=$1; shift; for name; do ip link add name "$name" type bridge || exit; done;'
            f' nft -f "$file" && {" ".join(_LIST)} && {{ [ $# = 0 ] || {" ".join(_LIST_BESIDE)}; }}'
        )
        answer = self._run(["unshare", "--net", "--", "sh", "-c", script, "sh", str(file), *interfaces])
        if answer.code:
            raise FirewallError(
                f"The rules cannot be tried out on {self._host}: {_short(answer)}. Nothing was changed. Fix: run as"
                " root (become: true), on a host that may make network namespaces, as Docker must too"
            )
        return answer.stdout


def _short(answer: CommandResult) -> str:
    lines = [line.strip() for line in (answer.stderr or answer.stdout).splitlines() if line.strip()]
    return " ".join(lines[:3]) or f"it ended with code {answer.code}"
