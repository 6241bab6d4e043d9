# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ways in which programs write a secret down that no escape gives away: for a shell, in SQL, in base64, in hex.

What is escaped is found by reading it: see readings."""

from __future__ import annotations

import base64
import shlex
import urllib.parse
from collections.abc import Iterator

from ..redact import forms_of as common_forms

# Shorter texts are not looked for everywhere: they stand in words that are no secret.
SHORTEST = 6
# What encoders of URLs leave as it is: in a path, by JavaScript, in the user's part by Go, and nothing at all.
_KEPT = ("/", "!'()*", "$&+,;=", "$&+,/:;=@")
_URL_SAFE = str.maketrans("+/", "-_")


def text_forms(value: str) -> set[str]:
    """The value, and each of its longer lines, as text, also in JSON and URLs. All are to be replaced."""
    found: set[str] = set()
    urls = (urllib.parse.quote(value.encode(errors="replace"), safe=kept) for kept in _KEPT)
    for part in {value, value.strip(), *urls, *common_forms(value)}:
        found |= {part, part.replace("'", "''"), shlex.quote(part).strip("'"), repr(part)[1:-1]}
    return {form for form in found if form}


def hex_forms(value: str) -> set[str]:
    """The value in hexadecimal digits."""
    digits = value.encode(errors="replace").hex()
    return {digits, digits.upper()}


def base64_cores(value: str) -> Iterator[str]:
    """What base64 of any text that holds the value has in common: one core for each place in a group of three bytes.

    At either end of a core, two characters more hold bits of the value too.
    """
    for part in {value, *common_forms(value)}:
        data = part.encode(errors="replace")
        for shift in range(3):
            text = base64.b64encode(bytes(shift) + data).decode()
            core = text[-(-8 * shift // 6) : 8 * (shift + len(data)) // 6]
            yield core
            yield core.translate(_URL_SAFE)
