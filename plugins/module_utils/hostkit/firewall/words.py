# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads single words of the settings: networks, ports, interfaces. Each problem becomes a finding with its place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from ipaddress import IPv6Network, ip_address, ip_network
from typing import Any

from ..finding import ERROR, Finding
from .settings import Network, Ports

_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,14}\*?")
_MAPPED = ip_network("::ffff:0:0/96")
_COMMENT_MAX = 100


class Reader:
    """Collects what is wrong while words are read. A word that is wrong reads as None, or is left out of its list."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def wrong(self, place: str, message: str, fix: str, rule: str = "firewall-setting") -> None:
        """Keep a problem. ``place`` is the variable, with the entry in it."""
        self.findings.append(Finding(rule, ERROR, place, f"{place} {message}", fix))

    def items(self, place: str, value: Any) -> list[Any]:
        """A list; nothing and None are an empty one."""
        if value is None:
            return []
        if isinstance(value, list | tuple):
            return list(value)
        self.wrong(place, f"is {kind(value)}, not a list.", "Write it as a list: one entry a line, each after a dash.")
        return []

    def mapping(self, place: str, value: Any, known: Iterable[str]) -> Mapping[str, Any] | None:
        """A mapping with none but known keys."""
        known = list(known)
        if not isinstance(value, Mapping):
            self.wrong(place, f"is {kind(value)}, not a mapping.", f"Write it with the keys {', '.join(known)}.")
            return None
        unknown = sorted(str(key) for key in value if key not in known)
        if unknown:
            self.wrong(
                place,
                f"has the unknown key{'s' if len(unknown) > 1 else ''} {', '.join(unknown)}.",
                f"The keys are {', '.join(known)}. Correct the name, or take it away.",
            )
            return None
        return value

    def network(self, place: str, value: Any) -> Network | None:
        """An address or a network, IPv4 or IPv6."""
        fix = "Write a network such as 192.0.2.0/24 or 2001:db8::/32, or one address."
        if not isinstance(value, str) or not value.strip():
            self.wrong(place, f"is {kind(value)}, not a network.", fix)
            return None
        text = value.strip()
        try:
            found = ip_network(text)
        except ValueError as error:
            self._wrong_network(place, text, str(error), fix)
            return None
        if isinstance(found, IPv6Network) and found.subnet_of(_MAPPED):  # type: ignore[arg-type]
            self.wrong(
                place,
                f"is {text}: an IPv4 address written as IPv6. No packet ever has it.",
                "Write the IPv4 network itself.",
                "family-mix",
            )
            return None
        return found

    def _wrong_network(self, place: str, text: str, reason: str, fix: str) -> None:
        if "host bits" in reason:
            clean = ip_network(text, strict=False)
            self.wrong(
                place, f"is {text}, which names a host and a network at once.", f"Write {clean}, or the address alone."
            )
            return
        address, slash, _length = text.partition("/")
        try:
            version = ip_address(address).version
        except ValueError:
            self.wrong(place, f"is '{text}', which is no address and no network.", fix)
            return
        limit = 32 if version == 4 else 128
        self.wrong(
            place, f"is {text}: {slash}{_length} is no length for IPv{version}.", f"Write a length from 0 to {limit}."
        )

    def networks(self, place: str, value: Any, *, any_word: bool = False) -> tuple[Network, ...] | None:
        """A list of networks. With ``any_word``, ``any`` alone stands for all: an empty tuple."""
        if any_word and isinstance(value, str) and value == "any":
            return ()
        if isinstance(value, str):
            value = [value]
        before = len(self.findings)
        words = self.items(place, value)
        if any_word and words == ["any"]:
            return ()
        if any_word and "any" in words:
            self.wrong(place, "has 'any' beside networks.", "Keep 'any' alone, or the networks without it.")
            return None
        found: dict[Network, str] = {}
        for number, word in enumerate(words):
            network = self.network(f"{place}[{number}]", word)
            if network is None:
                continue
            if network in found:
                self.wrong(
                    f"{place}[{number}]",
                    f"is {network}, which {found[network]} is already.",
                    "Keep one of them.",
                    "duplicate",
                )
            found.setdefault(network, f"{place}[{number}]")
        return tuple(found) if len(self.findings) == before else None

    def ports(self, place: str, value: Any) -> Ports | None:
        """A port from 1 to 65535, or a range such as 8000-8010."""
        fix = 'Write a number from 1 to 65535, or a range such as "8000-8010".'
        text = str(value).strip() if isinstance(value, int | str) and not isinstance(value, bool) else ""
        match = re.fullmatch(r"(\d{1,6})(?:\s*-\s*(\d{1,6}))?", text)
        if match is None:
            self.wrong(place, f"is {kind(value)}, not a port.", fix)
            return None
        first, last = int(match[1]), int(match[2] or match[1])
        if not (1 <= first <= 65535 and 1 <= last <= 65535):
            self.wrong(place, f"is {text}. There is no such port.", fix)
            return None
        if first > last:
            self.wrong(place, f"is {text}, a range that ends before it begins.", f'Write "{last}-{first}".')
            return None
        return Ports(first, last)

    def interface(self, place: str, value: Any) -> str | None:
        """The name of a network interface; a star at its end stands for any rest."""
        if isinstance(value, str) and _INTERFACE.fullmatch(value):
            return value
        self.wrong(
            place,
            f"is {kind(value)}, not the name of an interface.",
            "Write a name as 'ip link' shows it, such as wg0. A star may stand at its end: br-*.",
        )
        return None

    def number(self, place: str, value: Any, least: int, most: int) -> int | None:
        """A whole number in a range."""
        if isinstance(value, str) and value.strip().isdecimal():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return int(value)
        self.wrong(place, f"is {kind(value)}.", f"Write a whole number from {least} to {most}.")
        return None

    def choice(self, place: str, value: Any, choices: Iterable[str]) -> str | None:
        """One of some words."""
        choices = list(choices)
        if isinstance(value, str) and value in choices:
            return value
        self.wrong(place, f"is {kind(value)}.", f"Write {' or '.join(choices)}.")
        return None

    def boolean(self, place: str, value: Any) -> bool | None:
        """True or false, also in the words that Ansible takes for them."""
        if isinstance(value, bool):
            return bool(value)
        words = {"true": True, "yes": True, "false": False, "no": False}
        if isinstance(value, str) and value.lower() in words:
            return words[value.lower()]
        self.wrong(place, f"is {kind(value)}.", "Write true or false.")
        return None

    def comment(self, place: str, value: Any) -> str:
        """A line of text that may stand in quotes in the rules."""
        text = "" if value is None else str(value)
        if len(text.encode()) > _COMMENT_MAX or not text.isprintable() or '"' in text or "\\" in text:
            self.wrong(
                place,
                "does not fit into the rules.",
                f"Write one line of at most {_COMMENT_MAX} letters, without quotes and backslashes.",
            )
            return ""
        return text


def kind(value: Any) -> str:
    """A wrong value in words. Settings of the firewall are no secrets."""
    if value is None or value == "":
        return "empty"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = str(value)
    return f"'{text if len(text) <= 60 else text[:57] + '...'}'"
