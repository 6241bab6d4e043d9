# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The policy of the secrets: which rule counts for which name. What is wrong with a policy is a finding."""

from __future__ import annotations

import dataclasses
import difflib
import fnmatch
from collections.abc import Mapping
from typing import Any

from .finding import ERROR, SecretFinding

# Kind of secret -> what a person calls it.
KINDS = {
    "token": "a token",
    "password": "a password",
    "jwt_hs256": "a key for signing JWT with HS256",
    "aes_key_base64": "an AES key in base64",
    "fernet": "a Fernet key",
    "hex": "a hexadecimal key",
    "url": "an URL",
    "pem_private_key": "a private key in PEM format",
    "ssh_private_key": "a private SSH key",
    "password_hash": "a password hash",
    "anthropic_key": "an Anthropic API key",
    "openai_key": "an OpenAI API key",
    "discord_token": "a Discord bot token",
    "discord_webhook": "a Discord webhook URL",
    "slack_webhook": "a Slack webhook URL",
    "text": "a text",
}
# We can make these ourselves; the others come from somebody else.
GENERATED = frozenset({"token", "password", "jwt_hs256", "aes_key_base64", "fernet", "hex"})
DEFAULT_BITS = {"token": 128, "jwt_hs256": 256, "hex": 128}
_GLOB_CHARACTERS = frozenset("*?[")
_ROTATE = {
    "postgres_role": frozenset({"kind", "service", "role", "database"}),
    "grafana_admin": frozenset({"kind", "service"}),
    # Not to be renewed without thought: what it encrypted could not be read any more.
    "refuse": frozenset({"kind", "reason"}),
}
_EMBEDDED = frozenset({"password", "username"})
_LARGEST = 1_000_000
HINT = "Correct stack_secrets_policy in the inventory."


@dataclasses.dataclass(frozen=True)
class Rule:
    """What counts for one secret. ``bits`` is the least strength, None where the kind has none."""

    kind: str = "token"
    required: bool = False
    bits: int | None = None
    max_age_days: int | None = None
    same_as: tuple[str, ...] = ()
    embeds: Mapping[str, str] = dataclasses.field(default_factory=dict)
    certificate: str | None = None
    generate: bool = True
    length: int | None = None
    rotate: Mapping[str, str] = dataclasses.field(default_factory=dict)
    description: str = ""

    @property
    def minimum_bits(self) -> int:
        """The least strength in bits; 128 where neither the rule nor its kind says another."""
        return self.bits if self.bits is not None else DEFAULT_BITS.get(self.kind, 128)


DEFAULT_RULE = Rule()


@dataclasses.dataclass(frozen=True)
class Policy:
    """``exact`` by name; ``globs`` in the order in which they stand in the policy."""

    exact: Mapping[str, Rule] = dataclasses.field(default_factory=dict)
    globs: tuple[tuple[str, Rule], ...] = ()

    def rule_for(self, name: str) -> Rule:
        """The rule of a name: its own, else the one of the first glob that fits, else the default rule."""
        if name in self.exact:
            return self.exact[name]
        return next((rule for glob, rule in self.globs if fnmatch.fnmatchcase(name, glob)), DEFAULT_RULE)

    def names(self, name: str) -> bool:
        """Whether the policy says anything about this name."""
        return name in self.exact or any(fnmatch.fnmatchcase(name, glob) for glob, _rule in self.globs)

    @property
    def required(self) -> list[str]:
        """The names that must be there, in the order of the policy."""
        return [name for name, rule in self.exact.items() if rule.required]


def is_glob(name: str) -> bool:
    """Whether a name in a policy is a pattern."""
    return not _GLOB_CHARACTERS.isdisjoint(name)


def read_policy(mapping: Any) -> tuple[Policy, list[SecretFinding]]:
    """The policy in a mapping, and what is wrong with it. What cannot be read counts as not said: the default rule."""
    if mapping is None:
        return Policy(), []
    if not isinstance(mapping, Mapping):
        return Policy(), [_invalid("", "The policy must be a mapping of names to rules.")]
    exact: dict[str, Rule] = {}
    globs: list[tuple[str, Rule]] = []
    findings: list[SecretFinding] = []
    for key, raw in mapping.items():
        if not isinstance(key, str) or not key:
            findings.append(_invalid("", "A name in the policy is not text. Put it in quotes."))
            continue
        name = str.__str__(key)
        reader = _Reader(name, raw)
        rule = reader.rule()
        findings += reader.findings
        if is_glob(name):
            globs.append((name, rule))
        else:
            exact[name] = rule
    return Policy(exact, tuple(globs)), findings


class _Reader:
    """Reads the rule of one name and collects what is wrong with it."""

    def __init__(self, name: str, raw: Any) -> None:
        self.findings: list[SecretFinding] = []
        self._name = name
        self._raw: Mapping[Any, Any] = raw if isinstance(raw, Mapping) else {}
        if not isinstance(raw, Mapping):
            self._wrong("its rule must be a mapping, such as {kind: token}")

    def rule(self) -> Rule:
        """The rule, with its defaults filled in."""
        known = [field.name for field in dataclasses.fields(Rule)]
        for key in self._raw:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1)
                guess = f". Did you mean {near[0]}?" if near else f". Known are: {', '.join(known)}"
                self._wrong(f"there is no key {key}{guess}")
        kind = self._kind()
        return Rule(
            kind=kind,
            required=self._flag("required", not is_glob(self._name)) and not is_glob(self._name),
            bits=self._number("bits", 1),
            max_age_days=self._number("max_age_days", 1),
            same_as=self._names("same_as"),
            embeds=self._mapping("embeds", _EMBEDDED),
            certificate=self._text("certificate") or None,
            generate=self._flag("generate", kind in GENERATED),
            length=self._number("length", 1),
            rotate=self._rotate(),
            description=self._text("description"),
        )

    def _wrong(self, problem: str) -> None:
        text = problem if problem.endswith("?") else f"{problem}."
        self.findings.append(_invalid(self._name, f"The policy of {self._name}: {text}"))

    def _kind(self) -> str:
        kind = self._raw.get("kind", "token")
        if isinstance(kind, str) and kind in KINDS:
            return str.__str__(kind)
        near = difflib.get_close_matches(str(kind), KINDS, n=1) if isinstance(kind, str) else []
        guess = f". Did you mean {near[0]}?" if near else ""
        self._wrong(f"kind must be one of {', '.join(KINDS)}{guess}")
        return "token"

    def _flag(self, key: str, default: bool) -> bool:
        value = self._raw.get(key, default)
        if isinstance(value, bool):
            return value
        self._wrong(f"{key} must be true or false, without quotes")
        return default

    def _number(self, key: str, least: int) -> int | None:
        value = self._raw.get(key)
        if value is None:
            return None
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= _LARGEST:
            return int(value)
        self._wrong(f"{key} must be a whole number of {least} or more")
        return None

    def _text(self, key: str) -> str:
        value = self._raw.get(key)
        if value is None or isinstance(value, str):
            return str.__str__(value) if value else ""
        self._wrong(f"{key} must be text")
        return ""

    def _names(self, key: str) -> tuple[str, ...]:
        value = self._raw.get(key)
        if value is None:
            return ()
        if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
            return tuple(str.__str__(item) for item in value)
        self._wrong(f"{key} must be a list of names")
        return ()

    def _mapping(self, key: str, allowed: frozenset[str]) -> dict[str, str]:
        value = self._raw.get(key)
        if value is None:
            return {}
        fits = isinstance(value, Mapping) and all(
            part in allowed and isinstance(item, str) for part, item in value.items()
        )
        if fits:
            return {str.__str__(part): str.__str__(item) for part, item in value.items()}
        self._wrong(f"{key} must be a mapping, with texts for {', '.join(sorted(allowed))}")
        return {}

    def _rotate(self) -> dict[str, str]:
        value = self._raw.get("rotate")
        if value is None:
            return {}
        kind = value.get("kind") if isinstance(value, Mapping) else None
        if not isinstance(kind, str) or kind not in _ROTATE:
            self._wrong(f"rotate must be a mapping whose kind is one of {', '.join(_ROTATE)}")
            return {}
        return self._mapping("rotate", _ROTATE[kind])


def _invalid(name: str, message: str) -> SecretFinding:
    return SecretFinding(name, "policy-invalid", ERROR, message, HINT)
