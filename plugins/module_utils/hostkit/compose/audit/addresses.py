# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who speaks to whom, and on which port: addresses in the settings of services, ports that they listen on.

Everything here is evidence from the file, not knowledge: what is not stated is not claimed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .view import View, number

_URL = re.compile(
    r"(?<![A-Za-z0-9+.-])(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,30})://(?:[^\s/@'\"]*@)?(?P<host>[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?)"
    r"(?::(?P<port>\d{1,5}))?(?![\w:])"
)
_PAIR = re.compile(r"(?<![\w./@:-])(?P<host>[A-Za-z][A-Za-z0-9_.-]*):(?P<port>\d{2,5})(?![\w.:])")
_HOST_KEY = re.compile(r"(^|_)(HOST|HOSTNAME|SERVER|ADDR|ADDRESS)$", re.IGNORECASE)
_PORT_KEY = re.compile(r"PORT$", re.IGNORECASE)
# The names by which programs are told their own port; DB_PORT and SMTP_PORT are those of others.
_OWN_PORT_KEY = re.compile(
    r"^((AGENT|APP|APPLICATION|SERVER|HTTP|HTTPS|LISTEN|WEB|API|UVICORN|GUNICORN|SERVICE)_)?PORT$"
)
_PORT_OPTION = re.compile(
    r"(?:^|\s)(?P<name>--?[\w.-]+)(?:=|\s+)(?:[\w.*\[\]:-]*:)?(?P<port>\d{2,5})(?=\s|$)", re.IGNORECASE
)
_PORT_OPTION_NAME = re.compile(r"port|listen|bind|address|^-[pb]$", re.IGNORECASE)
_ANY_PORT = re.compile(r"(?<!\d)(\d{2,5})(?!\d)")
_REFERENCE = re.compile(r"\$\{[^}]*\}")
_DEFAULT_PORTS = {"http": 80, "https": 443}
# Addresses stand in short texts; a longer one is data, and patterns would take too long over it.
LONGEST = 8192


class Address(NamedTuple):
    """An address in the settings of a service. ``port`` is None where none is stated or implied."""

    host: str
    port: int | None
    path: str
    label: str


def texts(service: Mapping[str, Any], name: str) -> Iterator[tuple[str, str, str]]:
    """Environment, command and entrypoint: ``(label, text, path)``, a command as one line."""
    base = f"services.{name}"
    for key, value in (service.get("environment") or {}).items():
        yield str(key), str(value or ""), f"{base}.environment.{key}"
    for key in ("command", "entrypoint"):
        if service.get(key):
            yield key, words(service[key]), f"{base}.{key}"


def words(command: Any) -> str:
    """A command as one line."""
    return " ".join(map(str, command)) if isinstance(command, list) else str(command or "")


def addresses(service: Mapping[str, Any], name: str) -> Iterator[Address]:
    """Every host that the settings of a service name, with its port."""
    for label, text, path in texts(service, name):
        plain = _REFERENCE.sub("_", text[:LONGEST])
        for match in _URL.finditer(plain):
            port = match["port"] or _DEFAULT_PORTS.get(match["scheme"].lower())
            yield Address(match["host"], int(port) if port else None, path, label)
        if "://" not in plain or "," in plain:
            for match in _PAIR.finditer(plain):
                # postgres:15 is an image and its tag.
                if int(match["port"]) >= 1000 or match["port"] in ("80", "443"):
                    yield Address(match["host"], int(match["port"]), path, label)
        if _HOST_KEY.search(label) and re.fullmatch(r"[A-Za-z][\w.-]*", plain):
            yield Address(plain, None, path, label)


def names_of(view: View) -> dict[str, str]:
    """The names under which services reach each other, each with its service."""
    names: dict[str, str] = {}
    for name, service in view.services.items():
        for alias in view.aliases(name):
            names.setdefault(alias, name)
        if service.get("container_name"):
            names.setdefault(str(service["container_name"]), name)
    return {**names, **{name: name for name in view.services}}


class Ports(NamedTuple):
    """Ports inside a container. ``stated``: the file says that the service listens there. ``possible``: it may, too.

    ``outside`` maps a published port of the host to the port in the container.
    """

    stated: frozenset[int]
    possible: frozenset[int]
    outside: Mapping[int, int]


def ports_of(view: View, name: str) -> Ports:
    """What the file says about the ports of a service."""
    key = ("ports", name)
    if key not in view.memo:
        view.memo[key] = _ports(view, name)
    ports: Ports = view.memo[key]
    return ports


def _ports(view: View, name: str) -> Ports:
    service = view.services[name]
    stated: set[int] = set()
    for item in service.get("expose") or []:
        stated.update(_range(str(item).partition("/")[0]))
    stated.update(int(port["target"]) for port in service.get("ports") or [])
    possible: set[int] = set()
    for label, long_text, _path in texts(service, name):
        text = long_text[:LONGEST]
        if label in ("command", "entrypoint"):
            options = (match for match in _PORT_OPTION.finditer(text) if _PORT_OPTION_NAME.search(match["name"]))
            stated.update(int(match["port"]) for match in options)
            possible.update(map(int, _ANY_PORT.findall(text)))
        elif (port := number(text)) is not None and _PORT_KEY.search(label):
            (stated if _OWN_PORT_KEY.search(label.upper()) else possible).add(port)
        elif _PORT_KEY.search(label) or "LISTEN" in label.upper() or "BIND" in label.upper():
            possible.update(map(int, _ANY_PORT.findall(text)))
    known = view.known(name)
    possible.update(known.ports if known else ())
    possible.update(a.port for a in addresses(service, name) if a.port and a.host in (name, "localhost", "127.0.0.1"))
    return Ports(frozenset(stated), frozenset(stated | possible), view.before.published.get(name, {}))


def _range(text: str) -> range:
    first, _dash, last = text.partition("-")
    start, end = number(first), number(last or first)
    return range(start, end + 1) if start is not None and end is not None else range(0)
