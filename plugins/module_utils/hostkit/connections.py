# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How many connections this host has to given addresses, read from /proc. Linux only; changes nothing."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from pathlib import Path

from .listeners import parse_address, read_text, rows_in

# Socket states of the kernel, as /proc/net writes them: one that is being opened, and one that is open.
_OPEN = ("01", "02")


def connections_to(addresses: Collection[str], root: Path = Path("/")) -> int:
    """The TCP connections from this host itself to these addresses (text), open or being opened."""
    wanted = {ipaddress.ip_address(address.strip("[]")) for address in addresses}
    return sum(peer in wanted for name in ("tcp", "tcp6") for peer in _peers(root / "proc" / "net" / name))


def _peers(path: Path) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The other ends of all open connections. An IPv4 address that an IPv6 socket speaks to is given as IPv4."""
    found = []
    for fields in rows_in(read_text(path), _OPEN):
        try:
            address = ipaddress.ip_address(parse_address(fields[2])[0])
        except ValueError:
            continue
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        found.append(mapped or address)
    return found
