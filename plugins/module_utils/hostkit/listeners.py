# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Who listens on a port of this host, read from /proc. Linux only; changes nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import ipaddress
import os
import re
import sys
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

# Socket states of the kernel as /proc/net writes them: a listening TCP socket, and a UDP socket without a peer.
_WAITING = {"tcp": "0A", "udp": "07"}
# Only a service of the system can be stopped by name; a shell of a user sits in a session scope.
_SERVICE = re.compile(r"/system\.slice/(?:[^/\n]+/)*?([^/\n]+\.service)(?:/|$)", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Process:
    """A process: its number, its names (as the kernel and the file say) and its systemd unit ("" when in none)."""

    pid: int
    names: tuple[str, ...]
    unit: str = ""

    @property
    def name(self) -> str:
        """The name to show."""
        return self.names[0] if self.names else "unknown"


@dataclasses.dataclass(frozen=True)
class Listener:
    """A socket that waits for connections. ``processes`` is empty when the holder cannot be seen."""

    proto: str
    port: int
    address: str
    inode: int
    processes: tuple[Process, ...] = ()


def parse_address(text: str, byteorder: str = sys.byteorder) -> tuple[str, int]:
    """Turn an address of /proc/net, such as ``0100007F:0050``, into ``("127.0.0.1", 80)``.

    The kernel prints 32-bit words in the byte order of the machine. Raises ValueError for anything else.
    """
    address, _colon, port = text.partition(":")
    raw = bytes.fromhex(address)
    if len(raw) not in (4, 16):
        raise ValueError(f"not an address of /proc/net: {text!r}")
    if byteorder == "little":
        raw = b"".join(raw[start : start + 4][::-1] for start in range(0, len(raw), 4))
    return str(ipaddress.ip_address(raw)), int(port, 16)


def rows_in(text: str, states: Collection[str]) -> Iterator[list[str]]:
    """The fields of each line, in the text of a file such as /proc/net/tcp, that is in one of these states."""
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) >= 10 and fields[3] in states:
            yield fields


def parse_sockets(text: str, proto: str) -> list[Listener]:
    """The waiting sockets in the text of a file such as /proc/net/tcp. Lines that make no sense are left out."""
    found = []
    for fields in rows_in(text, (_WAITING[proto],)):
        try:
            address, port = parse_address(fields[1])
            inode = int(fields[9])
        except ValueError:
            continue
        found.append(Listener(proto, port, address, inode))
    return found


def read_text(path: Path) -> str:
    """The text of a file; "" when it is not there, not ours to read, or its process has just ended."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _process(folder: Path) -> Process:
    """Describe the process with this /proc folder. The kernel's own name is cut at 15 characters: add the file's."""
    names = [read_text(folder / "comm").strip()]
    arguments = read_text(folder / "cmdline").split("\0")
    names.append(arguments[0].rsplit("/", 1)[-1])
    # A kernel thread has no file, and that of another user's process is hidden.
    with contextlib.suppress(OSError):
        names.append(os.readlink(folder / "exe").rsplit("/", 1)[-1])  # noqa: PTH115 - see _open_files().
    units = _SERVICE.findall(read_text(folder / "cgroup"))
    return Process(int(folder.name), tuple(dict.fromkeys(name for name in names if name)), units[0] if units else "")


def _open_files(folder: Path) -> list[str]:
    """What the process with this /proc folder has open. It may end, or close files, while we look."""
    found: list[str] = []
    try:
        links = list((folder / "fd").iterdir())
    except OSError:  # It belongs to someone else, or is gone.
        return found
    for link in links:
        with contextlib.suppress(OSError):
            # Path.readlink is missing in the old Pythons on which this must still say "too old".
            found.append(os.readlink(link))  # noqa: PTH115
    return found


def holders(root: Path, inodes: Iterable[int]) -> dict[int, list[Process]]:
    """Which processes hold these sockets: inode -> processes. Those that cannot be seen are missing."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[int, list[Process]] = {}
    if not wanted:
        return found
    for folder in (root / "proc").glob("[0-9]*"):
        for inode in {wanted[file] for file in _open_files(folder) if file in wanted}:
            found.setdefault(inode, []).append(_process(folder))
    return found


def read_listeners(root: Path, ports: Iterable[tuple[str, int]]) -> list[Listener]:
    """The sockets that wait on one of ``ports`` (protocol, number), IPv4 and IPv6, with their processes."""
    asked = set(ports)
    waiting = [
        listener
        for proto in _WAITING
        for family in ("", "6")
        for listener in parse_sockets(read_text(root / "proc" / "net" / f"{proto}{family}"), proto)
        if (proto, listener.port) in asked
    ]
    # Walking through every open file of the host is slow: only when something is in the way.
    by_inode = holders(root, [listener.inode for listener in waiting])
    return [dataclasses.replace(listener, processes=tuple(by_inode.get(listener.inode, ()))) for listener in waiting]
