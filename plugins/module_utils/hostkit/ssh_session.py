# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The SSH session by which a program was started: from where, to which port, as whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path


@dataclass(frozen=True)
class Session:
    """The SSH session by which this program was started, as the host sees it. ``user`` logged in; empty if unknown."""

    client: str
    client_port: int
    port: int
    user: str = ""

    @property
    def mark(self) -> str:
        """What differs from one TCP connection to the next."""
        return f"{self.client} {self.client_port} {self.port}"

    @property
    def network(self) -> IPv4Network | IPv6Network:
        """The client's address."""
        address = ip_address(self.client.partition("%")[0])
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return ip_network(mapped or address)


def find_session(root: Path, pid: int, environment: Mapping[str, str]) -> Session | None:
    """The session of this process, from its environment or that of what started it: sudo hands on little of it.

    ``pid`` is the parent. Who logged in stands in the environment that sshd made, which is the outermost one: sudo
    changes the user in those within.
    """
    text = environment.get("SSH_CONNECTION", "")
    user = _user(environment) if text else ""
    for _step in range(64):
        if pid <= 1:
            break
        outer = _environment(root / "proc" / str(pid) / "environ")
        connection = outer.get("SSH_CONNECTION", "")
        text = text or connection
        # A session inside a session, as by ssh to itself, is another one.
        if connection and connection == text:
            user = _user(outer) or user
        pid = _parent(root, pid)
    words = text.split()
    try:
        client, client_port, _server, port = words
        session = Session(client, int(client_port), int(port), user)
        session.network  # noqa: B018 - ValueError for what is no address.
    except ValueError:
        return None
    return session


def _user(environment: Mapping[str, str]) -> str:
    return environment.get("LOGNAME") or environment.get("USER") or ""


def _environment(path: Path) -> dict[str, str]:
    entries = (entry.partition("=") for entry in _text(path).split("\0"))
    return {key: value for key, equals, value in entries if equals}


def _parent(root: Path, pid: int) -> int:
    # The name of a process stands in brackets and may hold any sign: what matters comes after the last one.
    fields = _text(root / "proc" / str(pid) / "stat").rpartition(")")[2].split()
    return int(fields[1]) if len(fields) > 1 and fields[1].isdecimal() else 0


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
