# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A line as it reads with its escapes undone, and where in the line each part of that came from.

Encoders differ in what they escape and how. Undone, all of them say the same.
"""

from __future__ import annotations

import bisect
import html
import json
import re
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

_PERCENT = re.compile(r"(?:%[0-9a-fA-F]{2})+")
_PERCENT_PLUS = re.compile(r"(?:%[0-9a-fA-F]{2})+|\+")
_JSON = re.compile(r'(?:\\u[0-9a-fA-F]{4})+|\\["\\/bfnrt]')
_HTML = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z]{2,8});")


@dataclass
class Reading:
    """``text`` is how the line reads."""

    text: str
    # Where each escape is in the text and in the line: begin and end of both.
    _texts: list[tuple[int, int]] = field(default_factory=list)
    _lines: list[tuple[int, int]] = field(default_factory=list)

    def source(self, begin: int, end: int) -> tuple[int, int]:
        """Where in the line a part of the text stands. An escape that is touched counts as a whole."""
        return self._place(begin)[0], self._place(end - 1)[1]

    def _place(self, at: int) -> tuple[int, int]:
        number = bisect.bisect_right(self._texts, (at, len(self.text) + 1)) - 1
        if number < 0:
            return at, at + 1
        text, line = self._texts[number], self._lines[number]
        if at < text[1]:
            return line
        return line[1] + at - text[1], line[1] + at - text[1] + 1


Search = Callable[[str], Iterator[tuple[int, int]]]


def found_in_readings(line: str, search: Search) -> Iterator[tuple[int, int]]:
    """What a search finds in any reading of a line, as places in the line."""
    for steps in _ways(line):
        yield from _found(line, steps, search)


def _ways(line: str) -> Iterator[tuple[_Step, ...]]:
    percent, backslash = "%" in line, "\\" in line
    if percent:
        yield (_percent,)
        if "+" in line:
            yield (_percent_plus,)
    if backslash:
        yield (_json,)
        if "\\\\" in line:
            yield (_json, _json)
    if "&" in line and ";" in line:
        yield (_html,)


def _found(line: str, steps: tuple[_Step, ...], search: Search) -> Iterator[tuple[int, int]]:
    reading = steps[0](line)
    if reading.text == line:
        return
    inner = _found(reading.text, steps[1:], search) if steps[1:] else search(reading.text)
    yield from (reading.source(begin, end) for begin, end in inner)


def _undone(line: str, pattern: re.Pattern[str], decode: Callable[[str], str]) -> Reading:
    pieces, size, end = [], 0, 0
    reading = Reading("")
    for match in pattern.finditer(line):
        literal, decoded = line[end : match.start()], decode(match[0])
        size += len(literal)
        reading._texts.append((size, size + len(decoded)))
        reading._lines.append(match.span())
        pieces += [literal, decoded]
        size, end = size + len(decoded), match.end()
    reading.text = "".join([*pieces, line[end:]])
    return reading


def _percent(line: str) -> Reading:
    return _undone(line, _PERCENT, lambda word: urllib.parse.unquote(word, errors="replace"))


def _percent_plus(line: str) -> Reading:
    return _undone(line, _PERCENT_PLUS, lambda word: urllib.parse.unquote_plus(word, errors="replace"))


def _json(line: str) -> Reading:
    return _undone(line, _JSON, lambda word: str(json.loads(f'"{word}"')))


def _html(line: str) -> Reading:
    return _undone(line, _HTML, html.unescape)


_Step = Callable[[str], Reading]
