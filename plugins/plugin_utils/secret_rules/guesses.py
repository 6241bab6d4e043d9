# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What somebody who wants to break in would try: placeholders, published samples, and text in base64 or hex."""

from __future__ import annotations

import base64
import binascii
import collections
import functools
import hashlib
import itertools
import math
import re
import unicodedata
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass

from .strength import measure
from .words import is_placeholder, most_common

_LOOKED_AT = 4096
_DEPTH = 3
# A template that nobody filled in. Random values do not look like this.
_TEMPLATES = (
    re.compile(r"\{\{[\s\w.'\"\[\]()|,:=+~/-]{3,300}\}\}"),
    re.compile(r"\{%-? .{3,300}? -?%\}"),
    re.compile(r"\$\{(?:[A-Z][A-Z0-9_]{3,60}|[a-z][a-z0-9_]{3,60})(?::?[?+=-][^}]{0,200})?\}"),
    re.compile(r"^\$[A-Za-z_][A-Za-z_]{2,}\w*$"),
    re.compile(r"^\$\([^()]{2,300}\)$"),
    # Where a secret lies, or one that is still encrypted, is no secret.
    re.compile(r"^(?:\$ANSIBLE_VAULT;|ENC\[|arn:aws|projects/[^/]+/secrets/|/run/secrets/|(?:op|vault|file|ssm)://)"),
)
# Forms of a hint to the reader, whatever stands inside.
_FORMS = re.compile(
    r"<[^<>]*>|\[[^\[\]]*\]|\{[^{}]*\}|\([^()]*\)|%\w+%|__\w+__|@\w+@|\.{2,}|…|\*+|-+|\?+|[xX]{3,}|n/?a|tba|tbc|nil",
    re.IGNORECASE,
)
# Makers of samples write these to say that a value, random as it looks, is for nobody's use.
_MARKS = re.compile(r"^django-insecure-|EXAMPLE(?:KEY)?$|^(?i:lorem.ipsum)")
# Digests of values from the documentation of frameworks and standards, which many people have copied.
_PUBLISHED = frozenset(
    {
        "570dad43de1af4c925f92c16a68a50936da42b7dd6fdeb24850507a1199aac89",  # FastAPI's tutorial.
        "2598f7d6adc142d88161630f3db12ab2bd3403521c281811e5e1ce60d4ac5d76",  # Flask's tutorial.
        "ca32f86ce10b8435c108ffd1ae1acd9823f729f51946b3aad3277ac94dead529",  # Flask's older tutorial.
        "2ef2503d964e9668092e6878d3c390ca7909bbbffabd781857115e3be4bb3e5a",  # FIPS 197, AES-128.
        "837e8e636d452b6133d5a5c56de1eb57c08a94bbe632804fa621a49014c5c034",  # SP 800-38A, AES-256.
        "c12ce25303a023aa1317614428c0ac8ef707c5a370d7c766353c66df5d2cb46f",  # SP 800-38A, AES-192.
        "8b1b17a9740c068accab5c3d0d652c8e3cc13206e70bb73b42ea41d4c2de3c12",  # RFC 7515, HMAC key.
        "7f75367e7881255134e1375e723d1dea8ad5f6a4fdb79d938df1f1754a830606",  # jwt.io's token.
        "153a182586451358014e3142089118ce38f6c7dc7c79014d3fa40b57f80b4aab",  # Stripe's test key.
        "2cafc0970149a84f3b9e62eaf169f36f59907a3b3e31f7b82e68c69cd27f7326",  # The same with its prefix.
    }
)
_DIGESTS = {32: hashlib.md5, 40: hashlib.sha1, 64: hashlib.sha256}
_PREFIX = re.compile(r"^(?:base64:|hex:|0x(?=[0-9a-f]+$)|basic |bearer )", re.IGNORECASE)
# Schemes by name: three signs in a row may well be chance.
_URL = re.compile(
    r"(?:https?|wss?|ftps?|sftp|ssh|postgres(?:ql)?|mysql|mariadb|mongodb|rediss?|amqps?|ldaps?|smtps?|nats|sentry)"
    r"(?:\+[a-z0-9]+)?://(?:[^/?#]*?:(?P<password>[^/?#]*)@)?[^/?#@]*(?P<path>.*)",
    re.IGNORECASE | re.DOTALL,
)
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){4,}")
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]{6,}|[A-Za-z0-9_-]{6,})={0,2}")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-([0-9a-f])[0-9a-f]{3}-([0-9a-f])[0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)
# Random bits of a UUID by version. The other versions hold a clock, an address or a digest.
_UUID_BITS = {"4": 122.0, "7": 74.0}
_OTHER_UUID_BITS = 48.0


@dataclass(frozen=True)
class Guess:
    """``bits`` of strength, and whether the value is a known word rather than just weak.

    ``known`` says that it holds a word that anyone would try. ``explained`` and ``left`` are as in ``Strength``,
    those of the easiest reading.
    """

    bits: float
    placeholder: bool
    known: bool = False
    explained: bool = False
    left: float = 0.0


def guess(value: str, own: frozenset[str], wanted: float = 128.0) -> Guess:
    """How hard a value is to guess. What it says in base64 or hex is judged as well, and the easiest reading counts."""
    if is_template(value) or is_published(value):
        return Guess(0.0, True, known=True)
    readings = [measure(value, own, wanted)]
    limits = [math.inf]
    for text, limit in _readings(value[:_LOOKED_AT], _DEPTH):
        if limit is None:
            readings.append(measure(text, own, wanted))
        else:
            limits.append(limit)
    bits = min(*limits, *(reading.bits for reading in readings))
    known = any(is_placeholder(word) or word in own for reading in readings for word in reading.words)
    return Guess(
        bits,
        bits < wanted and (known or _FORMS.fullmatch(value[:_LOOKED_AT]) is not None),
        known,
        any(reading.explained for reading in readings),
        min(*limits, *(reading.left for reading in readings)),
    )


def is_template(value: str) -> bool:
    """Whether a value is, or holds, a template that was not filled in."""
    head = value[:_LOOKED_AT]
    return any(template.search(head) for template in _TEMPLATES)


def is_published(value: str) -> bool:
    """Whether a value is a known sample, or is marked as one."""
    if _MARKS.search(value[:_LOOKED_AT]):
        return True
    if len(value) in _DIGESTS and _HEX.fullmatch(value) and value.lower() in _digests():
        return True
    return hashlib.sha256(value[:_LOOKED_AT].encode("utf-8", "replace")).hexdigest() in _PUBLISHED


@functools.cache
def _digests() -> frozenset[str]:
    """Digests of well-known words: to type one of these takes no more than to type the word."""
    words = [word.encode() for word in ("", *most_common())]
    return frozenset(make(word, usedforsecurity=False).hexdigest() for word in words for make in _DIGESTS.values())


def is_hint(value: str) -> bool:
    """Whether a value is nothing but a hint to the reader, such as <your name>, or words that say: still to come."""
    head = value[:_LOOKED_AT]
    if is_template(value) or _FORMS.fullmatch(head):
        return True
    pieces = [piece for piece in re.split(r"[^a-z]+", head.lower()) if piece]
    return bool(pieces) and any(piece in _HINTS for piece in pieces) and all(map(_says_nothing, pieces))


_HINTS = frozenset(
    """
    changeme changeit changethis change replaceme replace replacethis placeholder your yours here todo fixme tbd insert
    fill dummy fake example sample undefined unset notset xxx xxxx
    """.split()
)


def _says_nothing(piece: str) -> bool:
    return len(piece) < 3 or is_placeholder(piece)


def _readings(value: str, depth: int) -> Iterator[tuple[str, float | None]]:
    """Texts that a value stands for; or "" and a bound for its strength."""
    uuid = _UUID.fullmatch(value.strip("{}").removeprefix("urn:uuid:"))
    if uuid:
        version_bits = _UUID_BITS.get(uuid[1], _OTHER_UUID_BITS) if uuid[2].lower() in "89ab" else _OTHER_UUID_BITS
        yield "", version_bits
    if _interleaved(value):
        yield "", 0.0
    if not depth:
        return
    url = _URL.fullmatch(value)
    if url:
        # Where an URL leads to is known to everybody: what counts is its password, or else its path.
        yield urllib.parse.unquote(url["password"] or url["path"]), None
    if len(value) > 6 and len(set(value[1::2])) == 1:
        yield value[::2], None
    if not value.isascii():
        yield "".join(sign for sign in unicodedata.normalize("NFKD", value) if not unicodedata.combining(sign)), None
    plain = _PREFIX.sub("", value)
    if plain != value:
        yield plain, None
    if "%" in plain and urllib.parse.unquote(plain) != plain:
        yield urllib.parse.unquote(plain), None
    for data in _bytes(plain):
        if is_patterned(data):
            yield "", 0.0
        text = _text(data)
        if text:
            yield text, None
            yield from _readings(text, depth - 1)


def _bytes(value: str) -> Iterator[bytes]:
    if _HEX.fullmatch(value):
        yield bytes.fromhex(value)
    if _BASE64.fullmatch(value):
        body = value.rstrip("=").replace("-", "+").replace("_", "/")
        body = body[: len(body) - 1] if len(body) % 4 == 1 else body
        try:
            yield base64.b64decode(body + "=" * (-len(body) % 4))
        except (binascii.Error, ValueError):
            return


def _text(data: bytes) -> str:
    """Bytes as text when all of them are, "" otherwise."""
    try:
        text = data.decode().strip("\r\n\t \0")
    except UnicodeDecodeError:
        return ""
    return text if len(text) >= 4 and text.isprintable() else ""


def is_text(data: bytes) -> bool:
    """Whether bytes are printable text from the first to the last."""
    return bool(_text(data))


def is_patterned(data: bytes) -> bool:
    """Whether bytes count up or down, or few of them repeat: no random key."""
    return len(data) >= 8 and (_steps(data) or len(set(data)) * 8 <= len(data))


def _steps(data: bytes) -> bool:
    """Whether half of the steps from byte to byte are the same."""
    steps = collections.Counter((two - one) % 256 for one, two in itertools.pairwise(data))
    return bool(steps) and steps.most_common(1)[0][1] * 2 >= len(data) - 1


def _interleaved(value: str) -> bool:
    """Two sequences letter by letter, such as a1b2c3 or aabbcc."""
    data = value[:256].encode("utf-8", "replace")
    return len(data) >= 8 and _steps(data[::2]) and _steps(data[1::2])
