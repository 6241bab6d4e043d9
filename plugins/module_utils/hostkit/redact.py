# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Takes secrets out of text that others wrote: what Docker, a health check or a container's log says may quote one."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Iterable

from .compose.envfile import EnvFileError, load_env

MASK = "***"
# Shorter values stand in half of all words; masking them would only make the text unreadable.
SHORTEST = 4


class Redactor:
    """Replaces each value, as it stands and as it is written in JSON, in a URL or line by line, by ``***``."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        forms = {form for value in values for form in forms_of(value) if len(form) >= SHORTEST}
        # The longest first: one value may be a part of another.
        ordered = sorted(forms, key=lambda form: (-len(form), form))
        self._pattern = re.compile("|".join(re.escape(form) for form in ordered)) if ordered else None

    @classmethod
    def of_env(cls, *texts: str) -> Redactor:
        """Take the values from the texts of env files; a torn one counts as far as it can be read."""
        values: list[str] = []
        for text in texts:
            try:
                values += load_env(text).values()
            except (EnvFileError, ValueError):
                values += [line.partition("=")[2].strip("'\"") for line in text.splitlines()]
        return cls(values)

    def __call__(self, text: str) -> str:
        return self._pattern.sub(MASK, text) if self._pattern else text


def forms_of(value: str) -> Iterable[str]:
    """The ways in which a value, and each of its longer lines, is written in JSON and in URLs."""
    for part in (value, *(line for line in value.splitlines() if len(line) >= 2 * SHORTEST)):
        yield part
        yield json.dumps(part)[1:-1]
        yield json.dumps(part, ensure_ascii=False)[1:-1]
        encoded = part.encode(errors="replace")
        yield urllib.parse.quote(encoded, safe="")
        yield urllib.parse.quote_plus(encoded)
