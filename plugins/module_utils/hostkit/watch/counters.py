# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the kernel counts for a container: its control groups, of version 1 or 2, and its network.

Read straight from the files: asking the engine costs it a second a container. Names and units: the kernel's
cgroup-v2.rst, cgroup-v1/memory.rst, cpuacct.rst, blkio-controller.rst, and proc_pid_net_dev(5).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..container_limits import paths_of

# More than one file of these ever holds.
_MOST = 65536
# cgroup v1 writes the largest number it can for "no limit", rounded to pages.
_NO_LIMIT = 2**62


@dataclass
class Usage:
    """One container at one moment. Counters are since its start; None where it is not told, or has no limit."""

    memory: int | None = None
    memory_anonymous: int | None = None
    memory_cache: int | None = None
    memory_limit: int | None = None
    oom_kills: int | None = None
    cpu_seconds: float | None = None
    cpu_limit: float | None = None
    cpu_periods: int | None = None
    cpu_throttled: int | None = None
    processes: int | None = None
    processes_limit: int | None = None
    disk_read: int | None = None
    disk_write: int | None = None
    network_receive: int | None = None
    network_transmit: int | None = None


@dataclass(frozen=True)
class Places:
    """The folders of one container's control groups, by controller, and the file that counts its network."""

    folders: Mapping[str, str]
    version: int
    network: str

    def read(self) -> Usage | None:
        """Read all of it; None when the container is gone."""
        usage = Usage()
        there = _read_v2(self.folders[""], usage) if self.version == 2 else _read_v1(self.folders, usage)
        if not there:
            return None
        if self.network:
            usage.network_receive, usage.network_transmit = network_of(_text(self.network))
        return usage


def find(pid: int, root: Path, *, own_network: bool) -> Places | None:
    """Where a container is counted whose first process is `pid`; None when it is gone.

    The network of the host, or of another container, is not its own: it is left out.
    """
    paths, base = paths_of(pid, root), root / "sys/fs/cgroup"
    network = str(root / f"proc/{pid}/net/dev") if own_network else ""
    if "memory" in paths:
        folders = {name: str(base / name / paths[name]) for name in paths if name and "=" not in name}
        return Places(folders, 1, network)
    if "" not in paths:
        return None
    folder = base / paths[""]
    return Places({"": str(folder)}, 2, network) if folder.is_dir() else None


def _text(path: str) -> str:
    """A small file; empty when it is not there."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(handle, _MOST).decode(errors="replace")
    except OSError:
        # Of a control group that is going away.
        return ""
    finally:
        os.close(handle)


def _number(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _table(text: str) -> dict[str, int]:
    """Lines of a name and a number each."""
    words = text.split()
    return {name: int(value) for name, value in zip(words[::2], words[1::2], strict=False) if value.isdigit()}


def _read_v2(folder: str, usage: Usage) -> bool:
    usage.memory = _number(_text(f"{folder}/memory.current"))
    if usage.memory is None:
        return False
    memory = _table(_text(f"{folder}/memory.stat"))
    usage.memory_anonymous, usage.memory_cache = memory.get("anon"), memory.get("file")
    usage.memory_limit = _number(_text(f"{folder}/memory.max"))
    usage.oom_kills = _table(_text(f"{folder}/memory.events")).get("oom_kill")
    cpu = _table(_text(f"{folder}/cpu.stat"))
    if "usage_usec" in cpu:
        usage.cpu_seconds = cpu["usage_usec"] / 1e6
    usage.cpu_periods, usage.cpu_throttled = cpu.get("nr_periods"), cpu.get("nr_throttled")
    quota, _space, period = _text(f"{folder}/cpu.max").strip().partition(" ")
    if quota.isdigit() and period.isdigit() and int(period):
        usage.cpu_limit = int(quota) / int(period)
    usage.processes = _number(_text(f"{folder}/pids.current"))
    usage.processes_limit = _number(_text(f"{folder}/pids.max"))
    usage.disk_read, usage.disk_write = disks_v2(_text(f"{folder}/io.stat"))
    return True


def disks_v2(text: str) -> tuple[int, int]:
    """Bytes read and written, of all disks together: `8:0 rbytes=1 wbytes=2 …`."""
    total = {"rbytes": 0, "wbytes": 0}
    for word in text.split():
        name, _equals, value = word.partition("=")
        if name in total and value.isdigit():
            total[name] += int(value)
    return total["rbytes"], total["wbytes"]


def _read_v1(folders: Mapping[str, str], usage: Usage) -> bool:
    memory = folders["memory"]
    usage.memory = _number(_text(f"{memory}/memory.usage_in_bytes"))
    if usage.memory is None:
        return False
    table = _table(_text(f"{memory}/memory.stat"))
    usage.memory_anonymous, usage.memory_cache = table.get("total_rss"), table.get("total_cache")
    limit = _number(_text(f"{memory}/memory.limit_in_bytes"))
    usage.memory_limit = limit if limit is not None and limit < _NO_LIMIT else None
    usage.oom_kills = _table(_text(f"{memory}/memory.oom_control")).get("oom_kill")
    if "cpuacct" in folders:
        spent = _number(_text(f"{folders['cpuacct']}/cpuacct.usage"))
        usage.cpu_seconds = None if spent is None else spent / 1e9
    if "cpu" in folders:
        cpu = _table(_text(f"{folders['cpu']}/cpu.stat"))
        usage.cpu_periods, usage.cpu_throttled = cpu.get("nr_periods"), cpu.get("nr_throttled")
        quota = _number(_text(f"{folders['cpu']}/cpu.cfs_quota_us")) or 0
        period = _number(_text(f"{folders['cpu']}/cpu.cfs_period_us")) or 0
        usage.cpu_limit = quota / period if quota > 0 and period > 0 else None
    if "pids" in folders:
        usage.processes = _number(_text(f"{folders['pids']}/pids.current"))
        usage.processes_limit = _number(_text(f"{folders['pids']}/pids.max"))
    if "blkio" in folders:
        usage.disk_read, usage.disk_write = disks_v1(_text(f"{folders['blkio']}/blkio.throttle.io_service_bytes"))
    return True


def disks_v1(text: str) -> tuple[int, int]:
    """Bytes read and written, of all disks together: lines such as `8:0 Read 4096`."""
    total = {"Read": 0, "Write": 0}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] in total and words[2].isdigit():
            total[words[1]] += int(words[2])
    return total["Read"], total["Write"]


def network_of(text: str) -> tuple[int | None, int | None]:
    """Bytes received and sent, of all interfaces but the loopback; None for both where nothing is told."""
    received, sent, told = 0, 0, False
    for line in text.splitlines():
        name, colon, rest = line.partition(":")
        counts = rest.split()
        if not colon or len(counts) < 9:
            continue
        told = True
        if name.strip() != "lo":
            received, sent = received + int(counts[0]), sent + int(counts[8])
    return (received, sent) if told else (None, None)
