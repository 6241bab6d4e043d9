# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Why a file of secrets cannot be used. Texts name files, lines and names; never a value."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Problem:
    """``rule`` is a stable identifier, ``message`` says what is wrong and where, ``fix`` what to do next."""

    rule: str
    message: str
    fix: str
    secret: str = ""


class StoreError(Exception):
    """Nothing can be done before the user acts. Carries every problem that is known."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("\n".join(f"{problem.message}\nFix: {problem.fix}" for problem in problems))
        self.problems = problems


def refuse(rule: str, message: str, fix: str, secret: str = "") -> StoreError:
    """A StoreError with one problem."""
    return StoreError(Problem(rule, message, fix, secret))
