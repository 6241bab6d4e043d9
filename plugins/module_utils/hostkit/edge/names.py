# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Host names as DNS has them."""

from __future__ import annotations

import re
from collections.abc import Callable

from ..addresses import is_address

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
# Names that nobody can own: RFC 2606, RFC 6762, RFC 8375, and what ICANN keeps for private use.
_PRIVATE = ("test", "example", "invalid", "localhost", "local", "internal", "lan", "home", "arpa", "onion")


International = Callable[[str], str]
"""A name with letters of any language, as DNS has it. ValueError says what is wrong, as the end of a sentence."""


def as_written(name: str) -> str:
    """On a host, names are as in DNS already: the reader of other letters (IDNA 2008) is on the controller."""
    if not name.isascii():
        raise ValueError("it has letters that DNS does not have, and is not written in their place (xn--...)")
    return name


def hostname(value: object, international: International = as_written) -> str:
    """The name in lower case and punycode; a star may stand for its first label. ValueError says what is wrong."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError("it is empty or no text")
    text = value.strip().rstrip(".").lower()
    star, rest = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    if "/" in rest or ":" in rest:
        raise ValueError("it is an address with more than a name")
    if not rest.isascii() or "xn--" in rest:
        rest = international(rest)
    if len(rest) > 253:
        raise ValueError("it is longer than 253 letters")
    wrong = next((label for label in rest.split(".") if not _LABEL.fullmatch(label)), None)
    if wrong is not None:
        raise ValueError(f"'{wrong}' is no part of a name" if wrong else "there are two dots in a row")
    if star and "." not in rest:
        raise ValueError("a star may not stand for all names of a top-level domain")
    return star + rest


def is_public(name: str) -> bool:
    """Whether a public CA could give a certificate for it."""
    rest = name.removeprefix("*.")
    return "." in rest and not is_address(rest) and rest.rpartition(".")[2] not in _PRIVATE
