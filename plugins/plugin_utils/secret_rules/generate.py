# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Makes new secrets from the operating system's random source, by kind.

Every value is safe in an env file without quotes. All but the Base64 keys are safe in a URL as they are.
"""

from __future__ import annotations

import base64
import math
import secrets
import string
from collections.abc import Callable
from typing import Protocol

# A first character that is a letter or digit: no program takes the value for an option.
PLAIN = string.ascii_letters + string.digits
# What RFC 3986 leaves as it is in a URL, and no shell or env file gives a meaning to.
MARKS = "-_."
# Enough for any use: 43 letters and digits hold 256 bits.
_TOKEN_LENGTH = 43
_JWT_LENGTH = 64
_PASSWORD_LENGTH, _PASSWORD_SHORTEST = 24, 20
_HEX_LENGTH = 64
_KEY_BYTES, _KEY_SIZES = 32, (16, 24, 32)
_LONGEST = 4096
# How many bits a kind must hold where the rule says nothing.
_BITS = {"token": 128, "jwt_hs256": 256, "hex": 128, "password": 100}


class CannotGenerateError(Exception):
    """No value can be made by this rule. The text says why and how to change the rule."""


class Wish(Protocol):
    """What is read of a rule (``policy.Rule`` fits)."""

    @property
    def kind(self) -> str: ...
    @property
    def length(self) -> int | None: ...
    @property
    def bits(self) -> int | None: ...


def generate(rule: Wish, name: str) -> str:
    """A new value for the secret ``name``. ``length`` counts bytes for AES keys, characters otherwise.

    Raises CannotGenerateError.
    """
    maker = _MAKERS.get(rule.kind)
    if maker is None:
        known = ", ".join(_MAKERS)
        raise CannotGenerateError(
            f"{name}: a value of kind {rule.kind} is given by someone else and cannot be generated. "
            f"Fix: set generate: false, or one of these kinds: {known}."
        )
    return maker(rule, name)


def can_generate(kind: str) -> bool:
    """Whether values of this kind can be made here."""
    return kind in _MAKERS


def _length(rule: Wish, name: str, default: int, alphabet: int, shortest: int = 1) -> int:
    """How many characters a value gets. A length that is too short for the wanted strength is refused."""
    bits = rule.bits or _BITS[rule.kind]
    needed = max(shortest, math.ceil(bits / math.log2(alphabet)))
    length = max(default, needed) if rule.length is None else rule.length
    if not needed <= length <= _LONGEST:
        raise CannotGenerateError(
            f"{name}: the policy wants {length} characters. A {rule.kind} of the wanted strength has at least "
            f"{needed}, at most {_LONGEST}. Fix: correct length, or remove it."
        )
    return length


def _from(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _number in range(length))


def _token(rule: Wish, name: str) -> str:
    return _from(PLAIN, _length(rule, name, _TOKEN_LENGTH, len(PLAIN)))


def _jwt(rule: Wish, name: str) -> str:
    return _from(PLAIN, _length(rule, name, _JWT_LENGTH, len(PLAIN)))


def _password(rule: Wish, name: str) -> str:
    """Letters, digits and marks, at least one of each, as rules of other programs often ask for."""
    length = _length(rule, name, _PASSWORD_LENGTH, len(PLAIN), _PASSWORD_SHORTEST)
    classes = (string.ascii_lowercase, string.ascii_uppercase, string.digits, MARKS)
    while True:
        middle = _from(PLAIN + MARKS, length - 2)
        value = secrets.choice(PLAIN) + middle + secrets.choice(PLAIN)
        if all(any(character in group for character in value) for group in classes):
            return value


def _hex(rule: Wish, name: str) -> str:
    return _from("0123456789abcdef", _length(rule, name, _HEX_LENGTH, 16))


def _aes_key(rule: Wish, name: str) -> str:
    size = rule.length or _KEY_BYTES
    if size not in _KEY_SIZES:
        sizes = ", ".join(str(known) for known in _KEY_SIZES)
        raise CannotGenerateError(
            f"{name}: an AES key has {sizes} bytes, not {size}. Fix: correct length in the policy."
        )
    return base64.b64encode(secrets.token_bytes(size)).decode("ascii")


def _fernet(_rule: Wish, _name: str) -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(_KEY_BYTES)).decode("ascii")


_MAKERS: dict[str, Callable[[Wish, str], str]] = {
    "token": _token,
    "password": _password,
    "jwt_hs256": _jwt,
    "aes_key_base64": _aes_key,
    "fernet": _fernet,
    "hex": _hex,
}
