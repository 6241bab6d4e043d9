# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Takes secrets out of all that goes into a bundle: those that this host knows, and what looks like one.

Known ones are looked for in one pass over the text, however many there are: by their first characters. Whole texts are
masked, never pieces, so that none can lie across an edge.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ..redact import MASK
from .forms import SHORTEST, base64_cores, hex_forms, text_forms
from .patterns import mask_patterns
from .readings import found_in_readings

# From this length on, a short value is masked where it stands as a word; below, only behind its name.
SHORTEST_WORD = 4
_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_")
# Two characters on either side of a core hold bits of it.
_AROUND = 2


class Mask:
    """Replaces secrets by ``***``.

    ``secrets`` are pairs of a name (empty where there is none) and a value. ``words`` are values that are no secret
    wherever they stand, such as the name of the project: they are masked behind their name only.
    """

    def __init__(self, secrets: Iterable[tuple[str, str]] = (), words: Iterable[str] = ()) -> None:
        harmless = {word.lower() for word in words}
        self._forms: dict[str, list[str]] = {}
        cores: set[str] = set()
        forms: set[str] = set()
        short: set[str] = set()
        named: set[tuple[str, str]] = set()
        for name, value in set(secrets):
            whole = value.strip()
            if whole.lower() in harmless or len(whole) < SHORTEST_WORD:
                named.add((name, whole))
                continue
            forms |= text_forms(value)
            cores |= set(base64_cores(value))
            if len(whole) >= SHORTEST:
                forms |= hex_forms(value)
            else:
                short.add(whole)
        self._cores = frozenset(core for core in cores if len(core) >= SHORTEST)
        for form in sorted(self._cores | {form for form in forms if len(form) >= SHORTEST}, key=len, reverse=True):
            self._forms.setdefault(form[:SHORTEST], []).append(form)
        self._words = _pattern(rf"(?<![^\W_]){re.escape(value)}(?![^\W_])" for value in sorted(short))
        # The name stays, and so does what is between it and the value.
        self._named = _pattern(
            rf"(?<={re.escape(name)}{between}){re.escape(value)}(?!\w)"
            for name, value in sorted(named)
            if name and value
            for between in ("=", ":", ": ", " = ", '="', "='", '": "', '":"', ': "', ": '")
        )

    def __call__(self, text: str) -> str:
        text = self._known(text)
        for pattern in (self._words, self._named):
            text = pattern.sub(MASK, text) if pattern else text
        return mask_patterns(text)

    def _known(self, text: str) -> str:
        pieces, end = [], 0
        for begin, stop in _merged([*self._spans(text), *self._escaped(text)]):
            pieces += [text[end:begin], MASK]
            end = stop
        return "".join([*pieces, text[end:]]) if pieces else text

    def _spans(self, text: str) -> Iterator[tuple[int, int]]:
        firsts = self._forms
        if not firsts:
            return
        for begin in [at for at in range(len(text) - SHORTEST + 1) if text[at : at + SHORTEST] in firsts]:
            for form in firsts[text[begin : begin + SHORTEST]]:
                if text.startswith(form, begin):
                    end = begin + len(form)
                    yield self._widened(text, begin, end) if form in self._cores else (begin, end)
                    break

    def _escaped(self, text: str) -> Iterator[tuple[int, int]]:
        """The same in each line that has escapes, as it reads without them."""
        if not self._forms:
            return
        start = 0
        for line in text.split("\n"):
            if "%" in line or "\\" in line or "&" in line:
                yield from ((start + begin, start + end) for begin, end in found_in_readings(line, self._spans))
            start += len(line) + 1

    @staticmethod
    def _widened(text: str, begin: int, end: int) -> tuple[int, int]:
        for _step in range(_AROUND):
            begin -= begin > 0 and text[begin - 1] in _BASE64
            end += end < len(text) and text[end] in _BASE64
        while end < len(text) and text[end] == "=":
            end += 1
        return begin, end


def _pattern(parts: Iterable[str]) -> re.Pattern[str] | None:
    joined = "|".join(parts)
    return re.compile(joined) if joined else None


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans that overlap as one: of two secrets that share some characters, nothing is left."""
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        if merged and begin < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged
