# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Addresses of name servers, as 192.0.2.53, 192.0.2.53:5353, 2001:db8::53 or [2001:db8::53]:5353."""

from __future__ import annotations

import ipaddress
import re

_WITH_PORT = re.compile(r"(?P<v4>\d+\.\d+\.\d+\.\d+):(?P<port4>\d+)|\[(?P<v6>[0-9A-Fa-f:.]+)\]:(?P<port6>\d+)")
PORT = 53


class ServerProblem(ValueError):
    """What is no address of a server; the text continues 'which ...'."""


def read_server(text: str) -> tuple[str, int]:
    """Return address and port. Raises ServerProblem."""
    match = _WITH_PORT.fullmatch(text.strip())
    address, port = (match["v4"] or match["v6"], match["port4"] or match["port6"]) if match else (text.strip(), PORT)
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise ServerProblem("is no address") from None
    if not 1 <= int(port) <= 65535:
        raise ServerProblem("has a port that does not exist")
    return address, int(port)


def shown(server: tuple[str, int]) -> str:
    """A server for people, without the port where it is the usual one."""
    address, port = server
    if port == PORT:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
