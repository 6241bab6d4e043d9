# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Kinds that are drawn at random: tokens, passwords, keys for signing and encryption; and plain texts."""

from __future__ import annotations

import base64
import binascii
import re

from .finding import SecretFinding
from .guesses import guess, is_hint, is_patterned, is_text
from .strength import measure_bytes
from .subject import Subject
from .words import DEFAULTS, PLACEHOLDERS, PROJECT, estimate

# zxcvbn takes far longer for long values, and refuses more than 72 letters. A strong beginning is enough.
_ZXCVBN_LETTERS = 48
_WANTED_SCORE = 4
# From here on zxcvbn has nothing to add: it looks into the same lists of words.
_BEYOND_DOUBT = 100.0
# Below this, what is left without the well-known words is no password, whatever zxcvbn thinks of them.
_LEAST_PASSWORD = 40.0
# A value made of words and other known parts must be worth four words drawn by lot.
_LEAST_PHRASE = 70.0
# With a word like "secret" in it, it is a sentence about a password, and no password drawn by lot.
_LEAST_AROUND_KNOWN = 100.0
_KNOWN_INPUTS = sorted(PLACEHOLDERS | DEFAULTS | PROJECT)
_HEX = re.compile(r"[0-9a-fA-F]+")
_AES_BYTES = (16, 24, 32)
_FERNET_BYTES = 32


def token(subject: Subject) -> list[SecretFinding]:
    """Strong enough as it stands."""
    return subject.strength(subject.value, subject.rule.minimum_bits)


def text(subject: Subject) -> list[SecretFinding]:
    """No secret by its strength, such as a user name: anything but a placeholder."""
    return [subject.placeholder()] if is_hint(subject.value) else []


def password(subject: Subject) -> list[SecretFinding]:
    """zxcvbn's best score, the words of the project counted as known; and no well-known word with trimmings."""
    found = guess(subject.value, subject.own)
    least = _LEAST_PASSWORD
    if found.explained:
        least = _LEAST_AROUND_KNOWN if found.known else _LEAST_PHRASE
    least = max(least, float(subject.rule.bits or 0))
    weak = found.bits < least or found.left < _LEAST_PASSWORD
    strong = found.left >= _BEYOND_DOUBT
    if weak or (not strong and score(subject.value, subject.own) < _WANTED_SCORE):
        wanted = f"{subject.rule.bits} bits" if subject.rule.bits else "10 billion guesses (zxcvbn score 4)"
        return [subject.placeholder() if found.placeholder else subject.weak(wanted)]
    return []


def score(value: str, own: frozenset[str]) -> int:
    """zxcvbn's score, 0 to 4, of the beginning of a value."""
    return int(estimate(value[:_ZXCVBN_LETTERS], user_inputs=[*sorted(own), *_KNOWN_INPUTS])["score"])


def aes_key_base64(subject: Subject) -> list[SecretFinding]:
    """Base64 of 16, 24 or 32 random bytes."""
    known = _well_known(subject)
    data = _decoded(subject.value, b"+/")
    if known or data is None:
        return known or [subject.malformed("is not base64, so it cannot be an AES key.")]
    if len(data) not in _AES_BYTES:
        return [subject.malformed("is base64, but not of 16, 24 or 32 bytes, which an AES key must have.")]
    return _raw_key(subject, data, 8.0 * len(data))


def fernet(subject: Subject) -> list[SecretFinding]:
    """URL-safe base64 of 32 random bytes, with its padding."""
    known = _well_known(subject)
    data = _decoded(subject.value, b"-_")
    if known or data is None or len(data) != _FERNET_BYTES or not subject.value.endswith("="):
        return known or [subject.malformed("is not URL-safe base64 of 32 bytes, which a Fernet key must be.")]
    return _raw_key(subject, data, 8.0 * _FERNET_BYTES)


def hexadecimal(subject: Subject) -> list[SecretFinding]:
    """Hexadecimal digits that are strong enough."""
    if _HEX.fullmatch(subject.value) and len(subject.value) % 2 == 0:
        return subject.strength(subject.value, subject.rule.minimum_bits)
    known = _well_known(subject)
    return known or [subject.malformed("is not hexadecimal: an even number of the digits 0 to 9 and a to f.")]


def _well_known(subject: Subject) -> list[SecretFinding]:
    return [subject.placeholder()] if guess(subject.value, subject.own, 64.0).placeholder else []


def _decoded(value: str, signs: bytes) -> bytes | None:
    # With other signs, Python still takes + and / too.
    if signs != b"+/" and not {"+", "/"}.isdisjoint(value):
        return None
    try:
        return base64.b64decode(value, altchars=signs, validate=True)
    except (binascii.Error, ValueError):
        return None


def _raw_key(subject: Subject, data: bytes, wanted: float) -> list[SecretFinding]:
    """Raw bytes must look random. Text has the right length by luck only, and was not drawn."""
    weak = is_patterned(data) or is_text(data) or measure_bytes(data) < wanted
    if weak or subject.stands_out():
        return [subject.weak(f"{wanted:.0f} bits")]
    return []
