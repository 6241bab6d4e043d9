# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Is a value text that can be judged at all? It is looked at from outside: lists and mappings are never entered."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .finding import ERROR, WARNING, SecretFinding
from .policy import Rule
from .subject import EDIT, first_value

LONGEST = 64 * 1024
_MANY_LINES = frozenset({"pem_private_key", "ssh_private_key"})
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_LINES = re.compile("[\t\n\r\u2028\u2029]")
_REPLACED = "\ufffd"


@dataclass(frozen=True)
class Unreadable:
    """In place of a value that could not be had. ``problem`` goes on behind the name; it never holds a value."""

    problem: str
    hint: str


def read(
    name: str, value: Any, rule: Rule, environment: str, place: str = ""
) -> tuple[str | None, list[SecretFinding]]:
    """The text to judge, without white space around it, and findings. None when there is nothing to judge."""

    def finding(kind: str, problem: str, hint: str, severity: str = ERROR) -> SecretFinding:
        return SecretFinding(name, kind, severity, f"{name}{place} {problem}", hint)

    edit = f"{EDIT} {environment}"
    if isinstance(value, Unreadable):
        return None, [finding("secret-unreadable", value.problem, value.hint)]
    if value is None or (isinstance(value, str) and not value.strip()):
        return None, [finding("secret-empty", "is empty.", first_value(rule, environment))]
    if isinstance(value, (bytes, bytearray, memoryview)):
        hint = f"Encode it in base64, then run: {edit}"
        return None, [finding("secret-binary", "is binary data, which no environment variable can carry.", hint)]
    if not isinstance(value, str):
        hint = f"Put the value in quotes: {edit}"
        return None, [finding("secret-not-text", f"is {_sort(value)}, not text.", hint)]
    text = str.__str__(value)
    if len(text) > LONGEST:
        problem = "is longer than any secret: more than 64 KiB."
        return None, [finding("secret-too-long", problem, f"Put in the secret itself, not a file: {edit}")]
    many = rule.kind in _MANY_LINES
    findings = []
    stripped = text.strip()
    if stripped != text and not (many and text.strip("\r\n") == stripped):
        problem = "has white space or a line break before or behind it."
        hint = f"Remove it, unless it is meant: {edit}"
        findings.append(finding("secret-whitespace", problem, hint, WARNING))
    wrong = _characters(stripped, many)
    if wrong:
        return None, [*findings, finding("secret-characters", wrong, f"Put in a value without them: {edit}")]
    return stripped, findings


def _sort(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, Mapping):
        return "a mapping"
    return "a list" if isinstance(value, (list, tuple, set, frozenset)) else "a value of another type"


def _characters(text: str, many: bool) -> str:
    """What is wrong with the characters of a text, "" when nothing is."""
    if _CONTROL.search(text) or _REPLACED in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        return "holds control characters or bytes that are no text."
    if not many and _LINES.search(text):
        return "holds a line break or a tab inside."
    if not text.isascii() and any(unicodedata.category(letter) in ("Cf", "Zl", "Zp", "Co", "Cn") for letter in text):
        return "holds characters that cannot be seen."
    return ""
