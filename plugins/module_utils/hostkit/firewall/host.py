# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the rules depend on, read from the host: sshd's ports, name servers, the way out, who gets cut off."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network
from pathlib import Path

from ..command import CommandResult
from ..listeners import holders, parse_sockets
from ..ssh_session import Session
from .settings import HostView, Network, Settings

Run = Callable[[Sequence[str]], CommandResult]
_SSHD_PORT = re.compile(r"^port (\d+)$", re.MULTILINE)
_ROUTE_UP = 0x1
_ETHERNET = "1"  # ARPHRD_ETHER
_ROUTE_REJECT = 0x200


def read_host(root: Path, run: Run, session: Session | None, settings: Settings) -> HostView:
    """Look at the host below ``root``."""
    inside = (*settings.bridges, *settings.trusted_interfaces)
    ports = {*configured_ports(run), *listening_ports(root), *((session.port,) if session else ())}
    return HostView(tuple(sorted(ports)) or (22,), tuple(read_resolvers(root)), tuple(outside(root, inside)))


# --- sshd -----------------------------------------------------------------------------------------------------------


def configured_ports(run: Run) -> list[int]:
    """The ports in sshd's effective configuration; none when it cannot say, since no sshd or no host key is there."""
    answer = run(["sshd", "-T"])
    return [int(port) for port in _SSHD_PORT.findall(answer.stdout)] if answer.code == 0 else []


def listening_ports(root: Path) -> list[int]:
    """The ports on which an sshd waits now. Its sessions may wait too, for what users forward: these do not count."""
    waiting = {
        listener.inode: listener.port
        for family in ("", "6")
        for listener in parse_sockets(_text(root / "proc" / "net" / f"tcp{family}"), "tcp")
    }
    return sorted(
        {
            waiting[inode]
            for inode, processes in holders(root, waiting).items()
            if any("sshd" in process.names and "[listener]" in "".join(process.names) for process in processes)
        }
    )


# --- name servers -----------------------------------------------------------------------------------------------------


def read_resolvers(root: Path) -> list[Network]:
    """The name servers that Docker hands on to containers: the host's, and those of its own configuration."""
    found: list[Network] = []
    words = [
        *_nameservers(_text(root / "etc" / "resolv.conf")),
        # Where the host asks a local program, Docker takes the servers behind it.
        *_nameservers(_text(root / "run" / "systemd" / "resolve" / "resolv.conf")),
        *_docker_dns(_text(root / "etc" / "docker" / "daemon.json")),
    ]
    for word in words:
        with contextlib.suppress(ValueError):
            address = ip_address(word.partition("%")[0])
            network: Network = ip_network(address)
            if not address.is_loopback and network not in found:
                found.append(network)
    return sorted(found, key=lambda network: (network.version, network))


def _nameservers(text: str) -> list[str]:
    return [words[1] for words in map(str.split, text.splitlines()) if len(words) > 1 and words[0] == "nameserver"]


def _docker_dns(text: str) -> list[str]:
    try:
        servers = json.loads(text or "{}").get("dns", [])
    except (ValueError, AttributeError):
        return []  # A broken file is Docker's to report.
    return [server for server in servers if isinstance(server, str)] if isinstance(servers, list) else []


# --- interfaces -------------------------------------------------------------------------------------------------------


def outside(root: Path, inside: Sequence[str]) -> list[str]:
    """The Ethernet interfaces on which a container could sit beside the host. A bridge or a bond stands for its ports:
    these are left out, as are those that fit one of the patterns in ``inside``."""
    try:
        found = sorted((root / "sys" / "class" / "net").iterdir())
    except OSError:
        return []
    return [
        path.name
        for path in found
        if _text(path / "type").strip() == _ETHERNET
        and not (path / "master").exists()
        and not any(fnmatchcase(path.name, pattern) for pattern in inside)
    ]


def outside_among(root: Path, patterns: Iterable[str]) -> list[str]:
    """The interfaces that fit one of these names although the host's default route leads through them."""
    ways = {*_ways_out_4(_text(root / "proc/net/route")), *_ways_out_6(_text(root / "proc/net/ipv6_route"))}
    return sorted(name for name in ways if any(fnmatchcase(name, pattern) for pattern in patterns))


def _ways_out_4(text: str) -> list[str]:
    rows = [line.split() for line in text.splitlines()[1:]]
    return [row[0] for row in rows if len(row) > 7 and row[1] == row[7] == "00000000" and _usable(row[3])]


def _ways_out_6(text: str) -> list[str]:
    rows = [line.split() for line in text.splitlines()]
    return [row[9] for row in rows if len(row) > 9 and row[0] == "0" * 32 and row[1] == "00" and _usable(row[8])]


def _usable(flags: str) -> bool:
    number = int(flags, 16)
    return bool(number & _ROUTE_UP) and not number & _ROUTE_REJECT


# --- who gets cut off -------------------------------------------------------------------------------------------------


def cuts_off(settings: Settings, session: Session | None) -> bool:
    """Whether the rules would keep out the address that this session comes from, as far as the settings show it."""
    if session is None or not settings.ssh_from or settings.trusted_interfaces:
        return False
    client = session.network
    allowed = (*settings.ssh_from, *settings.trusted_networks)
    return not any(client.version == network.version and client.overlaps(network) for network in allowed)


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
