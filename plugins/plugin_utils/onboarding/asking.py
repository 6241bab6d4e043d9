# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Questions to the operator: one at a time, each with a default. Without a terminal the flag is named instead."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Callable

from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import StoreError, refuse

_TRIES = 3


class Asker:
    """Asks on the terminal where there is one."""

    def __init__(
        self,
        *,
        terminal: bool | None = None,
        ask: Callable[[str], str] = input,
        ask_hidden: Callable[[str], str] = getpass.getpass,
    ) -> None:
        self.terminal = sys.stdin.isatty() and sys.stdout.isatty() if terminal is None else terminal
        self._ask = ask
        self._ask_hidden = ask_hidden

    def text(self, question: str, default: str, flag: str, given: str = "") -> str:
        """What was given by flag, else the answer, else the default. Raises StoreError when there is none of them."""
        if given:
            return given
        if self.terminal:
            hint = f" [{default}]" if default else ""
            for _try in range(_TRIES):
                if found := self._read(f"{question}{hint}: ").strip() or default:
                    return found
        elif default:
            return default
        raise self.missing(flag, question)

    def yes(self, question: str, *, default: bool | None) -> bool:
        """A question for yes or no. Without a default only a whole word counts."""
        hint = {True: "Y/n", False: "y/N", None: "yes/no"}[default]
        for _try in range(_TRIES):
            said = self._read(f"{question} [{hint}]: ").strip().lower()
            if not said and default is not None:
                return default
            if said == "yes" or (said == "y" and default is not None):
                return True
            if said in ("no", "n"):
                return False
        return False

    def hidden(self, question: str, flag: str) -> str:
        """A password; it is not shown. Raises StoreError without a terminal."""
        if not self.terminal:
            raise self.missing(flag, question)
        for _try in range(_TRIES):
            try:
                if found := self._ask_hidden(f"{question} (it is not shown): "):
                    return found
            except EOFError:
                break
        raise self.missing(flag, question)

    def _read(self, question: str) -> str:
        try:
            return self._ask(question)
        except EOFError:
            return ""

    @staticmethod
    def missing(flag: str, question: str) -> StoreError:
        what = f"{question[0].lower()}{question[1:].rstrip('?')}"
        return refuse("flag-missing", f"There is no terminal to ask at, and it is not said: {what}.", f"add {flag}")
