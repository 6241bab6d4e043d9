# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Names in the DNS: lower case, IDN names as A-labels, without a dot at the end."""

from __future__ import annotations

import re
from collections.abc import Iterable

try:
    import idna
except ImportError:
    idna = None  # type: ignore[assignment]

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
LONGEST = 253


class NameProblem(ValueError):
    """A name that the DNS cannot have. The text says why, as the end of a sentence."""


def to_ascii(name: str) -> str:
    """Return a name as the DNS has it: bücher.example.com becomes xn--bcher-kva.example.com. Raises NameProblem."""
    plain = name.strip().removesuffix(".").lower()
    if not plain:
        raise NameProblem("it is empty")
    labels = plain.split(".")
    result = ".".join(_label(label, number) for number, label in enumerate(labels))
    if len(result) > LONGEST:
        raise NameProblem(f"it has {len(result)} characters; {LONGEST} are possible")
    return result


def _label(label: str, number: int) -> str:
    if not label:
        raise NameProblem("it has two dots in a row, or one at its beginning")
    if label == "*":
        if number:
            raise NameProblem("its * is not at the beginning")
        return label
    if not label.isascii() or label.startswith("xn--"):
        label = _international(label)
    if len(label) > 63:
        raise NameProblem(f"its part {label[:20]}... has {len(label)} characters; 63 are possible")
    if not _LABEL.fullmatch(label):
        raise NameProblem(f"its part '{label}' has other characters than letters, digits, - and _, or - at an end")
    return label


def _international(label: str) -> str:
    if idna is None:
        raise NameProblem("it is an IDN name, and the Python package idna is not installed (pip install idna)")
    try:
        if label.isascii():
            idna.decode(label)
            return label
        return idna.encode(label, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise NameProblem(f"its part '{label}' is no IDN name: {error}") from error


def is_within(name: str, zone: str) -> bool:
    """Whether a name is the zone's own name or below it. Both as to_ascii gives them."""
    return name == zone or name.endswith(f".{zone}")


def zone_of(name: str, zones: Iterable[str]) -> str:
    """The zone that a name belongs to, the longest where several fit; "" when none does."""
    return max((zone for zone in zones if is_within(name, zone)), key=len, default="")


def in_zone(name: str, zone: str) -> str:
    """Return the whole name of a record as it was written in a zone: @, a part before the zone, or all of it.

    Raises NameProblem.
    """
    text = name.strip()
    if text in {"", "@"}:
        return zone
    whole = to_ascii(text)
    if is_within(whole, zone):
        return whole
    if text.endswith("."):
        raise NameProblem(f"it is not in the zone {zone}")
    return to_ascii(f"{whole}.{zone}")
