# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Parts of a value that are easy to guess: words, sequences, repeats, walks over the keyboard, years.

A part's cost is the number of bits that it takes to describe it, so that parts which a random value holds by chance
cost about what their letters cost anyway.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from .words import LONGER, PREFIX, SHORT, Vocabulary

_LEET = str.maketrans("0134578@$!+", "oleastbasit")
_LEET_OTHER = str.maketrans("01345789@$!+|", "oieastbgasltl")
_LEET_SIGNS = frozenset("01345789@$!+|")
_SHIFTED = str.maketrans('!@#$%^&*()_+{}:"<>?~', "1234567890-=[];',./`")
_LINES = (
    "1234567890-=",
    "`1234567890",
    "qwertyuiop[]",
    "asdfghjkl;'",
    "zxcvbnm,./",
    "qwertyuiopasdfghjklzxcvbnm",
    "1234567890qwertyuiop",
    "0123456789abcdefghijklmnopqrstuvwxyz",
    "abcdefghijklmnopqrstuvwxyz0123456789",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/",
    "zaq1xsw2cde3vfr4bgt5nhy6mju7",
    "qazwsxedcrfvtgbyhnujmikolp",
    "1q2w3e4r5t6y7u8i9o0p",
    "q1w2e3r4t5y6u7i8o9p0",
    "qawsedrftgyhujikolp",
    "qweasdzxc",
    "qwertzuiop",
    "azertyuiop",
    "asdfasdf",
    "jkl;jkl;",
    "147258369",
    "789456123",
)
_KEYBOARD = "\n".join([*_LINES, *(line[::-1] for line in _LINES)])
_WALK = 4
_WALK_STARTS = frozenset(_KEYBOARD[at : at + _WALK] for at in range(len(_KEYBOARD) - _WALK + 1))
_WALK_BITS = math.log2(len(_KEYBOARD))
_REPEAT = 3
_FARTHEST_STEP = 2


# A word of one or two letters shows only where it stands by itself.
_SHORT_WORD = re.compile(r"(?<=[-_. ])[a-z]{1,2}(?=[-_. ])|^[a-z]{1,2}(?=[-_. ])")
_SHORT_BITS = 4.0
_DATE = re.compile(r"(?:19|20)\d\d[-/.]?[01]\d[-/.]?[0-3]\d(T\d\d:?\d\d:?\d\dZ?)?")


@dataclass(frozen=True)
class Part:
    """A part from ``start`` to before ``end``; ``word`` is the known word in it, "" for another pattern."""

    start: int
    end: int
    cost: float
    word: str = ""


def parts_of(text: str, vocabularies: tuple[Vocabulary, ...], letter_bits: float) -> list[Part]:
    """Every part of a text that is easier to guess than its letters. ``letter_bits`` is what one letter costs."""
    lower = text.lower()
    if len(lower) != len(text):  # A few letters of other alphabets change their number.
        lower = text
    return [
        *_words(text, lower, vocabularies),
        *_sequences(text, letter_bits),
        *_repeats(text, lower),
        *_walks(text, lower),
        *_years(text),
        *_short_words(lower),
        *_dates(text),
    ]


def _words(text: str, lower: str, vocabularies: tuple[Vocabulary, ...]) -> Iterator[Part]:
    spellings = [lower]
    if not _LEET_SIGNS.isdisjoint(lower):
        spellings += dict.fromkeys((lower.translate(_LEET), lower.translate(_LEET_OTHER)))
    for spelling in spellings:
        for vocabulary in vocabularies:
            starts = vocabulary.starts
            for start in range(len(text) - PREFIX + 1):
                if spelling[start : start + PREFIX] in starts:
                    yield from _words_at(text, lower, spelling, start, vocabulary)


def _words_at(text: str, lower: str, spelling: str, start: int, vocabulary: Vocabulary) -> Iterator[Part]:
    longest = vocabulary.longest if spelling[start : start + LONGER] in vocabulary.longer else LONGER
    for end in range(start + PREFIX, min(len(text), start + longest) + 1):
        word = spelling[start:end]
        cost = vocabulary.costs.get(word)
        if cost is not None:
            leet = 0.0
            if spelling is not lower:
                changed = sum(map(str.__ne__, word, lower[start:end]))
                if not changed:
                    continue
                leet = 1 + 1.5 * changed
            yield Part(start, end, cost + leet + _case_bits(text[start:end]), word)


def _case_bits(piece: str) -> float:
    if piece == piece.lower():
        return 0.0
    if piece == piece.upper() or piece[1:] == piece[1:].lower():
        return 1.0
    return 2.0 + sum(map(str.isalpha, piece))


def _sequences(text: str, letter_bits: float) -> Iterator[Part]:
    """Runs with one step, such as aaaa, abcd, 9876 or 2468."""
    codes = list(map(ord, text))
    start = 0
    while start < len(codes) - 2:
        step = codes[start + 1] - codes[start]
        end = start + 2
        while end < len(codes) and codes[end] - codes[end - 1] == step:
            end += 1
        if end - start >= _REPEAT and abs(step) <= _FARTHEST_STEP:
            yield Part(start, end, letter_bits + 2 * math.log2(end - start) + 3)
        start = end - 1


def _repeats(text: str, lower: str) -> Iterator[Part]:
    """What stands in the text already, before or overlapping."""
    for start in range(1, len(lower) - _REPEAT + 1):
        length = _REPEAT
        found = lower.find(lower[start : start + length], 0, start + length - 1)
        if found < 0:
            continue
        while start + length < len(lower):
            longer = lower.find(lower[start : start + length + 1], found, start + length)
            if longer < 0:
                break
            found, length = longer, length + 1
        case = 0.0 if text[found : found + length] == text[start : start + length] else float(length)
        yield Part(start, start + length, math.log2(start + 1) + 2 * math.log2(length) + 2 + case)


def _walks(text: str, lower: str) -> Iterator[Part]:
    """Rows, columns and zigzags of the keyboard, in both directions."""
    for keys in dict.fromkeys((lower, lower.translate(_SHIFTED))):
        for start in range(len(keys) - _WALK + 1):
            if keys[start : start + _WALK] not in _WALK_STARTS:
                continue
            end = start + _WALK
            while end < len(keys) and "\n" not in keys[start : end + 1] and keys[start : end + 1] in _KEYBOARD:
                end += 1
            yield Part(start, end, _WALK_BITS + 2 * math.log2(end - start) + min(4, _case_bits(text[start:end])))


def _years(text: str) -> Iterator[Part]:
    for start in range(len(text) - 3):
        if text[start : start + 2] in ("19", "20") and text[start : start + 4].isdigit():
            yield Part(start, start + 4, 8.0)


def _dates(text: str) -> Iterator[Part]:
    for match in _DATE.finditer(text):
        yield Part(match.start(), match.end(), 14.0 if match[1] is None else 30.0)


def _short_words(lower: str) -> Iterator[Part]:
    for match in _SHORT_WORD.finditer(lower):
        if match[0] in SHORT:
            yield Part(match.start(), match.end(), _SHORT_BITS, match[0])
