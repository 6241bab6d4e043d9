# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How strong is a value that was drawn at random? Length times alphabet, without what is easy to guess.

The cheapest way to describe the value is looked for: letters at the price of their alphabet, or known parts at theirs.
A random value cannot be described in many bits less than it has, so a small saving is taken for chance and a large one
for what it is. This is no entropy per letter: that refuses short random values and takes long repeated ones.
"""

from __future__ import annotations

import base64
import binascii
import math
import string
from dataclasses import dataclass
from itertools import pairwise

from .patterns import Part, parts_of
from .words import Vocabulary, common, is_free, joins, own_vocabulary

# A random value looks cheaper by this many bits about once in 2**24 times: less than that is chance.
CHANCE_BITS = 24.0
# The alphabet is guessed from one value. A class of letters may be missing by chance, at this price.
_DOUBT_BITS = 4.0
_CHANCE = 1e-6
# To change from one sort of letters to another inside of a value, and from letters to a known part.
_SWITCH_BITS = 8.0
_ENTER_BITS = 7.0
# People put these between words.
_SEPARATORS = frozenset("-_. :/,;+|")
_SEPARATOR_BITS = 2.5
_SENTENCE_BITS = 4.0
# A value is judged by its beginning and end: more cannot make it weaker than these are, only slower.
_HEAD, _TAIL = 192, 64
_LOWER, _UPPER, _DIGITS = map(frozenset, (string.ascii_lowercase, string.ascii_uppercase, string.digits))
_HEX_LOWER, _HEX_UPPER = frozenset("0123456789abcdef"), frozenset("0123456789ABCDEF")
_SORTS = (_DIGITS, _HEX_LOWER, _HEX_UPPER, _LOWER, _UPPER, _LOWER | _DIGITS, _UPPER | _DIGITS)
_BASE64_SIGNS = (frozenset("+/"), frozenset("-_"))
_PUNCTUATION = frozenset(string.punctuation + " ")
# Lengths in base64 without padding of keys with 16 and 32 bytes, and the last letters that they can have.
_KEY_LENGTHS = {22: frozenset("AQgw"), 43: frozenset("AEIMQUYcgkosw048")}
_OTHER_LETTERS = 128


@dataclass(frozen=True)
class Strength:
    """``bits`` counts; ``plain`` is length times alphabet; ``cheapest`` describes the value by means of ``words``;
    ``left`` is what remains of that without the words that anyone would try first."""

    bits: float
    plain: float
    cheapest: float
    words: tuple[str, ...] = ()
    left: float = 0.0

    @property
    def explained(self) -> bool:
        """Whether the value is made of known parts, more than chance would have it."""
        return self.plain - self.cheapest > CHANCE_BITS


def measure(value: str, own: frozenset[str] = frozenset(), wanted: float = 128.0) -> Strength:
    """The strength of a value; ``own`` words are known. Near ``wanted``, a doubt about the alphabet counts for it."""
    text = value if len(value) <= _HEAD + _TAIL else value[:_HEAD] + value[-_TAIL:]
    padded = len(text) % 4 == 0 and text.endswith("=") and _is_base64(text)
    text = text.rstrip("=") if padded else text
    if not text:
        return Strength(0.0, 0.0, 0.0)
    size = 64 if padded else alphabet(text, wanted)
    plain = len(text) * math.log2(size)
    cheapest, parts = _describe(text, size, (common(), own_vocabulary(own)) if own else (common(),))
    words = tuple(part.word for part in parts if part.word)
    few = _few_letters(text, size)
    left = cheapest - sum(part.cost for part in parts if part.word in own or is_free(part.word))
    if sum(map(joins, words)) > 1:  # A sentence: each word follows from those before it.
        left -= _SENTENCE_BITS * len(words)
    left = max(0.0, min(left, few, plain))
    # A small saving is chance; a large one is not, and then the words count for nothing.
    bits = plain if plain - min(cheapest, few) <= CHANCE_BITS else left
    return Strength(bits, plain, min(cheapest, few), words, left)


def measure_bytes(data: bytes) -> float:
    """The strength in bits of raw key bytes."""
    text = data.decode("latin-1")
    plain = 8.0 * len(text)
    cheapest, _parts = _describe(text, 256, (common(),))
    cheapest = min(cheapest, _few_letters(text, 256))
    return plain if plain - cheapest <= CHANCE_BITS else cheapest


def alphabet(text: str, wanted: float = 128.0) -> int:
    """How many letters the alphabet has that a value was drawn from, by the classes in use."""
    letters = set(text)
    if letters <= _DIGITS:
        return 10
    if letters <= _HEX_LOWER or letters <= _HEX_UPPER:
        return 16
    has = [not letters.isdisjoint(sort) for sort in (_LOWER, _UPPER, _DIGITS)]
    size = sum(count for count, there in zip((26, 26, 10), has, strict=True) if there)
    rest = letters - _LOWER - _UPPER - _DIGITS
    if not rest:
        return _with_doubt(text, size, sum(has), wanted)
    if any(rest <= signs for signs in _BASE64_SIGNS):
        return 64 if sum(has) > 1 else size + 2
    size += 32 if rest & _PUNCTUATION else 0
    return size + (_OTHER_LETTERS if rest - _PUNCTUATION else 0)


def _with_doubt(text: str, size: int, classes: int, wanted: float) -> int:
    """The alphabet of letters and digits, when a class that is missing may well be missing by chance."""
    if classes > 1 and text[-1] in _KEY_LENGTHS.get(len(text), ()) and _is_base64(text):
        return 64
    missing = (size / 62) ** len(text)
    if size < 62 and missing >= _CHANCE:
        mixed = size == 52
        near = wanted - _DOUBT_BITS <= len(text) * math.log2(size) < wanted
        if mixed or near:
            return 62
    return size


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(
            text + "=" * (-len(text) % 4), altchars=b"-_" if set("-_") & set(text) else b"+/", validate=True
        )
    except (binascii.Error, ValueError):
        return False
    return True


def _few_letters(text: str, size: int) -> float:
    """The bits of a text when it is said first which letters occur in it: few ones, for a hand on the keyboard."""
    distinct = len(set(text))
    if distinct >= size:
        return math.inf
    choice = (math.lgamma(size + 1) - math.lgamma(distinct + 1) - math.lgamma(size - distinct + 1)) / math.log(2)
    return choice + len(text) * math.log2(distinct) + math.log2(len(text) + 1)


def _describe(text: str, size: int, vocabularies: tuple[Vocabulary, ...]) -> tuple[float, list[Part]]:
    """The bits of the cheapest description, and the known parts in it.

    Columns are the sorts of letters, and at last the end of a part: behind one, the next costs less.
    """
    letter_bits = math.log2(size)
    sorts = [(frozenset(text), letter_bits)]
    sorts += [(sort, math.log2(len(sort))) for sort in _SORTS if len(sort) < size and _runs(text, sort)]
    starting: list[list[Part]] = [[] for _letter in text]
    for part in parts_of(text, vocabularies, letter_bits):
        starting[part.start].append(part)
    behind = len(sorts)
    best = [[math.inf] * (behind + 1) for _place in range(len(text) + 1)]
    came: list[list[tuple[int, int, Part | None]]] = [[(0, 0, None)] * (behind + 1) for _place in best]
    best[0][0] = 0.0
    for at, letter in enumerate(text):
        here = best[at]
        lowest = min(here)
        column = here.index(lowest)
        ahead, arrivals = best[at + 1], came[at + 1]
        for index, (sort, bits) in enumerate(sorts):
            if letter in sort:
                change = lowest + (_SWITCH_BITS if index else 0.0)
                cost, source = (change, column) if change < here[index] else (here[index], index)
                if cost + bits < ahead[index]:
                    ahead[index] = cost + bits
                    arrivals[index] = (at, source, None)
        if letter in _SEPARATORS and here[behind] + _SEPARATOR_BITS < ahead[behind]:
            ahead[behind] = here[behind] + _SEPARATOR_BITS
            arrivals[behind] = (at, behind, None)
        if starting[at]:
            enter, source = (
                (here[behind], behind) if here[behind] < lowest + _ENTER_BITS else (lowest + _ENTER_BITS, column)
            )
            for part in starting[at]:
                if enter + part.cost < best[part.end][behind]:
                    best[part.end][behind] = enter + part.cost
                    came[part.end][behind] = (at, source, part)
    lowest = min(best[-1])
    return lowest, _trace(came, best[-1].index(lowest))


def _runs(text: str, sort: frozenset[str]) -> bool:
    """Whether three letters of a sort stand together: fewer cannot pay for the change of sort."""
    return any(
        one in sort and two in sort and three in sort
        for (one, two), three in zip(pairwise(text), text[2:], strict=False)
    )


def _trace(came: list[list[tuple[int, int, Part | None]]], column: int) -> list[Part]:
    parts: list[Part] = []
    at = len(came) - 1
    while at > 0:
        at, column, part = came[at][column]
        if part is not None:
            parts.append(part)
    return parts[::-1]
