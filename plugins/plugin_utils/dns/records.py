# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One set of records (a name and a type with its values), and the values of each type as the DNS writes them."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .names import NameProblem, to_ascii

TYPES = ("A", "AAAA", "ALIAS", "CAA", "CNAME", "MX", "NS", "PTR", "SRV", "SSHFP", "TLSA", "TXT")
# Of these there is one at a name.
SINGLE = ("ALIAS", "CNAME")
_CAA = re.compile(r'(?P<flags>\d{1,3})\s+(?P<tag>[a-z0-9]+)\s+"?(?P<value>[^"]*)"?', re.IGNORECASE)
_CHUNK = 255


class ValueProblem(ValueError):
    """A value that a type cannot have. The text says why and what is right."""


@dataclasses.dataclass(frozen=True, order=True)
class RecordSet:
    """All values of one type at one name. ``name`` is whole, without a dot at its end; values as in a zone file."""

    name: str
    type: str
    ttl: int
    values: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str]:
        return self.name, self.type

    def lines(self) -> str:
        """As in a zone file, one line for each value."""
        return "".join(f"{self.name}. {self.ttl} {self.type} {value}\n" for value in self.values)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> RecordSet:
        """From what as_dict gave."""
        return cls(str(data["name"]), str(data["type"]), int(data["ttl"]), tuple(map(str, data["values"])))

    def as_dict(self) -> dict[str, object]:
        return {"name": self.name, "type": self.type, "ttl": self.ttl, "values": list(self.values)}


def value_of(kind: str, text: str) -> str:
    """Return a value in its one form. Raises ValueProblem."""
    return _READ[kind](text.strip())


def _address(version: int) -> Callable[[str], str]:
    def read(text: str) -> str:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            raise ValueProblem(f"is no IPv{version} address") from None
        if address.version != version:
            raise ValueProblem(f"is an IPv{address.version} address; its type is {'A' if version == 6 else 'AAAA'}")
        return str(address)

    return read


def _target(text: str) -> str:
    """A name, always whole: what has no dot in it was meant to be completed, and by what nobody knows."""
    try:
        name = to_ascii(text)
    except NameProblem as problem:
        raise ValueProblem(f"is no name: {problem}") from problem
    if "." not in name and not text.endswith("."):
        raise ValueProblem("is no whole name, such as mail.example.com")
    return f"{name}."


def _numbers(text: str, names: tuple[str, ...], form: str) -> tuple[list[str], str]:
    words = text.split()
    if len(words) != len(names) + 1:
        raise ValueProblem(f'has another form than "{form}"')
    for name, word in zip(names, words, strict=False):
        if not word.isdecimal() or int(word) > 65535:
            raise ValueProblem(f'has a {name} that is no number from 0 to 65535; the form is "{form}"')
    return [str(int(word)) for word in words[:-1]], words[-1]


def _mx(text: str) -> str:
    numbers, host = _numbers(text, ("preference",), "10 mail.example.com")
    return " ".join([*numbers, "." if host == "." else _target(host)])


def _srv(text: str) -> str:
    numbers, host = _numbers(text, ("priority", "weight", "port"), "10 5 443 host.example.com")
    return " ".join([*numbers, "." if host == "." else _target(host)])


def _caa(text: str) -> str:
    match = _CAA.fullmatch(text)
    if not match or int(match["flags"]) > 255:
        raise ValueProblem('has another form than 0 issue "letsencrypt.org"')
    return f'{int(match["flags"])} {match["tag"].lower()} "{match["value"]}"'


def _hex(counts: int, form: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        words = text.split(maxsplit=counts)
        numbers = words[:counts]
        digest = "".join(words[counts:]).replace(" ", "").lower()
        if len(words) != counts + 1 or not all(word.isdecimal() and int(word) < 256 for word in numbers):
            raise ValueProblem(f'has another form than "{form}"')
        if not re.fullmatch(r"([0-9a-f]{2})+", digest):
            raise ValueProblem("does not end with a hexadecimal number")
        return " ".join([*(str(int(word)) for word in numbers), digest])

    return read


def _txt(text: str) -> str:
    """Plain text, quoted and cut in pieces of 255 bytes as the DNS wants it."""
    if text.startswith('"') and text.endswith('"') and len(text) > 1:
        raise ValueProblem("has quotation marks around it: the plain text is wanted, the marks are set for you")
    if not text or not text.isascii() or not text.isprintable():
        raise ValueProblem("is empty, or has other characters in it than the letters, digits and signs of ASCII")
    if "\\" in text:
        # octoDNS takes some of them for the sign before a semicolon, and what arrives is another text.
        raise ValueProblem("has a \\ in it, which octoDNS cannot write")
    pieces = [text[start : start + _CHUNK] for start in range(0, len(text), _CHUNK)]
    return " ".join('"' + piece.replace('"', r"\"") + '"' for piece in pieces)


_READ: Mapping[str, Callable[[str], str]] = {
    "A": _address(4),
    "AAAA": _address(6),
    "ALIAS": _target,
    "CAA": _caa,
    "CNAME": _target,
    "MX": _mx,
    "NS": _target,
    "PTR": _target,
    "SRV": _srv,
    "SSHFP": _hex(2, "4 2 HEXADECIMAL"),
    "TLSA": _hex(3, "3 1 1 HEXADECIMAL"),
    "TXT": _txt,
}


def address_records(name: str, addresses: Iterable[str], ttl: int) -> list[RecordSet]:
    """A and AAAA for a name. The addresses are right already."""
    found = sorted({ipaddress.ip_address(address) for address in addresses}, key=lambda item: (item.version, int(item)))
    kinds = (("A", 4), ("AAAA", 6))
    return [
        RecordSet(name, kind, ttl, tuple(map(str, values)))
        for kind, version in kinds
        if (values := [item for item in found if item.version == version])
    ]
