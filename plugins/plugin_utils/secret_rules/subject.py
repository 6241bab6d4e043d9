# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One secret under judgement, with what is known around it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field

from .finding import ERROR, SecretFinding
from .guesses import guess, is_published, is_template
from .policy import KINDS, Rule

EDIT = "scripts/secrets edit"
UNKNOWN_ENVIRONMENT = "<env>"


@dataclass(frozen=True)
class Around:
    """What all secrets of a run have in common. ``texts`` and ``related`` are name to value."""

    environment: str
    texts: Mapping[str, str]
    related: Mapping[str, str]
    today: datetime.date
    words: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Subject:
    """A secret to be judged. ``own`` are the words that somebody who knows the project would try."""

    name: str
    value: str
    rule: Rule
    own: frozenset[str]
    around: Around
    place: str = field(default="", repr=False)

    def finding(self, rule: str, problem: str, hint: str = "", severity: str = ERROR) -> SecretFinding:
        """A finding about this secret. ``problem`` goes on behind the name."""
        return SecretFinding(self.name, rule, severity, f"{self.name}{self.place} {problem}", hint or self.fix())

    def malformed(self, problem: str, hint: str = "") -> SecretFinding:
        """A value that is not of its kind."""
        return self.finding("secret-malformed", problem, hint)

    def fix(self) -> str:
        """The one command that puts another value in."""
        return new_value(self.name, self.rule, self.around.environment)

    def strength(self, value: str, wanted: float, what: str = "") -> list[SecretFinding]:
        """A finding when a value, or the random part of one, can be guessed."""
        found = guess(value, self.own, wanted)
        if found.placeholder:
            return [self.placeholder(what)]
        if found.bits < wanted:
            return [self.weak(f"{wanted:.0f} bits", what)]
        return []

    def placeholder(self, what: str = "") -> SecretFinding:
        """A value that everybody knows."""
        return self.finding(
            "secret-placeholder",
            f"holds a placeholder, a vendor's default or a well-known value{_in(what)}. Anyone would try it first.",
        )

    def weak(self, wanted: str, what: str = "") -> SecretFinding:
        """A value that can be guessed."""
        return self.finding(
            "secret-weak",
            f"is too weak for {KINDS[self.rule.kind]}{_in(what)}: it is worth less than {wanted}. "
            "Words, repeats, sequences and dates do not count.",
        )

    def stands_out(self) -> list[SecretFinding]:
        """A finding when the whole value is an open template or a published sample."""
        return [self.placeholder()] if is_template(self.value) or is_published(self.value) else []


def _in(what: str) -> str:
    return f" in its {what}" if what else ""


def new_value(name: str, rule: Rule, environment: str) -> str:
    """What to do to replace a value."""
    if rule.generate:
        return f"Run: scripts/secrets rotate {environment} {name}"
    return f"Get a real one from where it is issued, then run: {EDIT} {environment}"


def first_value(rule: Rule, environment: str) -> str:
    """What to do to get a value that is not there yet."""
    wanted = f" It is: {rule.description.rstrip('.')}." if rule.description else ""
    if rule.generate:
        return (
            f"Run: scripts/secrets init {environment}.{wanted}"
            if wanted
            else f"Run: scripts/secrets init {environment}"
        )
    return f"Get it from where it is issued, then run: {EDIT} {environment}.{wanted}"
