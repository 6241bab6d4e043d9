# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is known of the host itself, and of this program: read from the kernel, nothing is started for it."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...watch.host import filesystems

# adjtimex(2): the clock is not synchronised; offset is in nanoseconds.
_UNSYNCHRONISED, _NANOSECONDS = 0x40, 0x2000
# struct timex of 64-bit Linux, as 64-bit numbers: modes, offset, freq, maxerror, esterror, status, …; 208 bytes.
_TIMEX, _OFFSET, _STATUS = 26, 1, 5
_PRESSURE = (("cpu", "some"), ("memory", "some"), ("memory", "full"), ("io", "some"), ("io", "full"))


def look_at_host(root: Path = Path("/")) -> dict[str, Any]:
    """The key `host` of a sample. What is not known is left out."""
    found: dict[str, Any] = {**_memory(root), **_pressure(root), **_connections(root), **_clock()}
    disks = [
        {
            "mountpoint": mount.place,
            "device": mount.device,
            "size": values["size_bytes"],
            "available": values["avail_bytes"],
            "files": values["files"],
            "files_free": values["files_free"],
        }
        for mount, values in filesystems(root)
        if not mount.readonly
    ]
    return found | ({"filesystems": disks} if disks else {})


def _text(path: Path) -> str:
    with suppress(OSError, ValueError):
        return path.read_text(encoding="ascii")
    return ""


def _memory(root: Path) -> dict[str, int]:
    names = {"MemTotal:": "memory_total", "MemAvailable:": "memory_available"}
    lines = (line.split() for line in _text(root / "proc/meminfo").splitlines())
    return {names[words[0]]: int(words[1]) * 1024 for words in lines if len(words) == 3 and words[0] in names}


def _pressure(root: Path) -> dict[str, int]:
    found = {}
    for what, share in _PRESSURE:
        for line in _text(root / f"proc/pressure/{what}").splitlines():
            kind, _space, rest = line.partition(" ")
            total = rest.rpartition("total=")[2].strip()
            if kind == share and total.isdigit():
                found[f"{what}_{share}"] = int(total)
    return found


def _connections(root: Path) -> dict[str, int]:
    found = {}
    for key, name in (("conntrack", "count"), ("conntrack_max", "max")):
        text = _text(root / f"proc/sys/net/netfilter/nf_conntrack_{name}").strip()
        if text.isdigit():
            found[key] = int(text)
    return found if len(found) == 2 else {}


def _clock() -> dict[str, Any]:
    """What the kernel knows of its clock; nothing where it may not be asked, or is laid out in another way."""
    try:
        import ctypes  # noqa: PLC0415  Some systems forbid it.

        timex = (ctypes.c_int64 * _TIMEX)()
        state = ctypes.CDLL(None).adjtimex(ctypes.byref(timex))
    except (ImportError, AttributeError, MemoryError, OSError):
        return {}
    if state < 0 or ctypes.sizeof(ctypes.c_long) != 8:
        return {}
    status = int(timex[_STATUS]) & 0xFFFFFFFF
    synchronised = state != 5 and not status & _UNSYNCHRONISED
    unit = 1e-9 if status & _NANOSECONDS else 1e-6
    # Nobody has measured it where nobody sees to the clock.
    offset = {"clock_offset": round(timex[_OFFSET] * unit, 6)} if synchronised else {}
    return {"clock_synchronised": synchronised, **offset}


def look_at_self(seconds: float) -> dict[str, Any]:
    """The key `self` of a sample, which has taken so many seconds."""
    pages = _text(Path("/proc/self/statm")).split()
    memory = {"memory": int(pages[1]) * os.sysconf("SC_PAGESIZE")} if len(pages) > 1 else {}
    times = os.times()
    spent = time.process_time() + times.children_user + times.children_system
    return {**memory, "cpu_seconds": round(spent, 3), "seconds": round(seconds, 3)}
