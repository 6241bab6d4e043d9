# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a host has: read from files, in one pass, changing nothing.

Everything is read below ``root`` (``/`` on a real host), so that tests can build a host in a folder.
"""

from __future__ import annotations

import dataclasses
import os
import pwd
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .listeners import Listener, read_listeners

# A cgroup without a limit says "max" (v2) or a number near 2**63 (v1).
_NO_LIMIT = 1 << 60
_MACHINE_MAKERS = (
    "qemu", "kvm", "vmware", "virtualbox", "innotek", "xen", "bochs", "parallels", "openstack", "virtual machine",
    "google compute engine", "amazon ec2", "digitalocean", "hetzner", "vultr", "standard pc", "cloud hypervisor",
)  # fmt: skip
_ENGINE_PACKAGES = ("docker-ce", "docker.io", "moby-engine")
_ENGINE_FILES = ("usr/bin/dockerd", "usr/sbin/dockerd", "usr/local/bin/dockerd", "snap/bin/docker")


@dataclasses.dataclass(frozen=True)
class Disk:
    """Room on the file system that holds ``path``. ``free_inodes`` is None where it does not count them."""

    path: str
    existing: str
    device: int
    free_bytes: int
    free_inodes: int | None


@dataclasses.dataclass(frozen=True)
class HostState:
    """What was read from a host. Sizes in bytes, times in seconds since the epoch; 0 or "" when unknown."""

    os_release: dict[str, str]
    architecture: str
    memory_total: int
    memory_available: int
    cpus: int
    disks: tuple[Disk, ...]
    listeners: tuple[Listener, ...]
    time: float
    init: str
    user: str
    uid: int
    python: tuple[int, ...]
    virtualization: str
    docker: dict[str, Any]
    packages: dict[str, str]
    apt_lists: bool
    apt_lists_age_seconds: int | None
    boot_id: str
    uptime_s: int
    pid1_start: int

    def facts(self) -> dict[str, Any]:
        """What later roles need to know, as plain data for JSON."""
        return {
            "distribution": self.os_release.get("ID", ""),
            "version": self.os_release.get("VERSION_ID", ""),
            "codename": self.os_release.get("VERSION_CODENAME", ""),
            "architecture": self.architecture,
            "memory_bytes": self.memory_total,
            "memory_available_bytes": self.memory_available,
            "cpus": self.cpus,
            "virtualization": self.virtualization,
            "docker": self.docker,
            "packages": self.packages,
            "apt_lists": self.apt_lists,
            "apt_lists_age_seconds": self.apt_lists_age_seconds,
            "boot_id": self.boot_id,
            "uptime_s": self.uptime_s,
            "pid1_start": self.pid1_start,
            "python": ".".join(str(part) for part in self.python),
        }


def read_text(path: Path) -> str:
    """The text of a file, "" when it is missing or not ours to read."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def parse_os_release(text: str) -> dict[str, str]:
    """The assignments of an os-release file, without quotes."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.lstrip().startswith("#"))
    return {key.strip(): value.strip().strip("\"'") for key, value in pairs}


def parse_meminfo(text: str) -> dict[str, int]:
    """The sizes in /proc/meminfo, in bytes."""
    sizes = {}
    for line in text.splitlines():
        name, _colon, rest = line.partition(":")
        fields = rest.split()
        if fields and fields[0].isdecimal():
            sizes[name] = int(fields[0]) * (1024 if fields[1:] == ["kB"] else 1)
    return sizes


def read_memory(root: Path) -> tuple[int, int]:
    """Total and available memory; inside a container with a limit the limit counts, not the machine's memory."""
    sizes = parse_meminfo(read_text(root / "proc/meminfo"))
    total, available = sizes.get("MemTotal", 0), sizes.get("MemAvailable", sizes.get("MemFree", 0))
    for limit_file, used_file in (
        ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current"),
        ("sys/fs/cgroup/memory/memory.limit_in_bytes", "sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        limit = read_text(root / limit_file).strip()
        if limit.isdecimal() and 0 < int(limit) < min(_NO_LIMIT, total or _NO_LIMIT):
            used = read_text(root / used_file).strip()
            total = int(limit)
            available = min(available, max(0, total - int(used))) if used.isdecimal() else min(available, total)
    return total, available


def count_cpus(root: Path) -> int:
    """How many processors are online, from the kernel's list (such as ``0-3,6``); 0 when unknown."""
    count = 0
    for part in read_text(root / "sys/devices/system/cpu/online").strip().split(","):
        first, _dash, last = part.partition("-")
        if first.isdecimal():
            count += int(last or first) - int(first) + 1 if (last or first).isdecimal() else 1
    if count:
        return count
    return sum(line.startswith("processor") for line in read_text(root / "proc/cpuinfo").splitlines())


def read_disk(root: Path, path: str, statvfs: Callable[[Path], os.statvfs_result] = os.statvfs) -> Disk:
    """Room for ``path``, judged on its nearest existing parent."""
    place = root / path.lstrip("/")
    while not os.path.isdir(place) and place not in (root, place.parent):  # noqa: PTH112 - Path raises where we may not look.
        place = place.parent
    room = statvfs(place)
    existing = "/" + str(place.relative_to(root)) if place != root else "/"
    inodes = room.f_favail if room.f_files else None
    return Disk(path, existing, place.stat().st_dev, room.f_bavail * room.f_frsize, inodes)


def detect_virtualization(root: Path) -> str:
    """``container``, ``vm`` or ``none``. A guess: enough to decide what a host cannot do, not for more."""
    marked = any((root / name).exists() for name in ("run/systemd/container", ".dockerenv", "run/.containerenv"))
    environment = read_text(root / "proc/1/environ").split("\0")
    if marked or any(entry.startswith("container=") and entry != "container=" for entry in environment):
        return "container"
    flags = next((line for line in read_text(root / "proc/cpuinfo").splitlines() if line.startswith("flags")), "")
    makers = " ".join(
        read_text(root / "sys/class/dmi/id" / name) for name in ("sys_vendor", "product_name", "board_vendor")
    ).lower()
    if " hypervisor" in flags or (root / "sys/hypervisor/type").exists():
        return "vm"
    return "vm" if any(maker in makers for maker in _MACHINE_MAKERS) else "none"


def parse_dpkg_status(lines: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """The versions of those of ``names`` that are installed. Removed packages whose configuration is left are not."""
    wanted = set(names)
    found: dict[str, str] = {}
    package = ""
    installed = False
    for line in lines:
        if line.startswith("Package: "):
            package, installed = line[9:].strip(), False
            package = package if package in wanted else ""
        elif not package:
            continue
        elif line.startswith("Status: "):
            # A package on hold is installed all the same.
            installed = line[8:].split() in (["install", "ok", "installed"], ["hold", "ok", "installed"])
        elif line.startswith("Version: ") and installed:
            found.setdefault(package, line[9:].strip())
    return found


def read_packages(root: Path, names: Iterable[str]) -> dict[str, str]:
    """As ``parse_dpkg_status``, for the host. Empty on a host without dpkg."""
    try:
        with (root / "var/lib/dpkg/status").open(errors="replace") as status:
            return parse_dpkg_status(status, names)
    except OSError:
        return {}


def describe_docker(root: Path, engine_versions: dict[str, str]) -> dict[str, Any]:
    """Whether an engine is installed, and the version of its package when it came as one."""
    version = next((engine_versions[name] for name in _ENGINE_PACKAGES if name in engine_versions), None)
    if version:
        return {"installed": True, "version": version}
    return {"installed": any((root / name).exists() for name in _ENGINE_FILES), "version": None}


def read_apt_lists(root: Path, now: float) -> tuple[bool, int | None]:
    """Whether apt has package indexes, and seconds since they were last fetched.

    The index files carry the time of the mirror, not of the download: the folders and the stamp tell that.
    """
    lists = root / "var/lib/apt/lists"
    try:
        present = any("_Packages" in entry.name for entry in lists.iterdir())
    except OSError:
        present = False
    if not present:
        return False, None
    marks = (lists, lists / "partial", root / "var/lib/apt/periodic/update-success-stamp")
    newest = max((mark.stat().st_mtime for mark in marks if mark.exists()), default=0.0)
    return True, max(0, int(now - newest))


def read_pid1(root: Path) -> tuple[str, int]:
    """Name of the first process and its start, in clock ticks after boot (with the boot id it names one boot)."""
    name = read_text(root / "proc/1/comm").strip()
    # The name in the brackets may hold spaces and brackets itself: count from the last one.
    fields = read_text(root / "proc/1/stat").rpartition(")")[2].split()
    start = int(fields[19]) if len(fields) > 19 and fields[19].isdecimal() else 0
    return name, start


def _init_name(root: Path, comm: str) -> str:
    """Say "systemd" only when it manages the host: any program can carry that name."""
    if comm == "systemd" and not (root / "run/systemd/system").is_dir():
        return "systemd without /run/systemd/system"
    return comm or "unknown"


def user_name(uid: int) -> str:
    """The name of a user, its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def read_host(
    root: Path,
    *,
    now: float,
    uid: int,
    user: str,
    architecture: str,
    python: tuple[int, ...],
    disk_paths: Iterable[str] = (),
    ports: Iterable[tuple[str, int]] = (),
    packages: Iterable[str] = (),
    statvfs: Callable[[Path], os.statvfs_result] = os.statvfs,
) -> HostState:
    """Read everything once. ``now``, ``uid``, ``user``, ``architecture`` and ``python`` come from the caller."""
    wanted = list(packages)
    installed = read_packages(root, [*wanted, *_ENGINE_PACKAGES])
    lists, age = read_apt_lists(root, now)
    comm, start = read_pid1(root)
    total, available = read_memory(root)
    os_file = root / "etc/os-release"
    uptime = read_text(root / "proc/uptime").split()
    return HostState(
        os_release=parse_os_release(read_text(os_file if os_file.exists() else root / "usr/lib/os-release")),
        architecture=architecture,
        memory_total=total,
        memory_available=available,
        cpus=count_cpus(root),
        disks=tuple(read_disk(root, path, statvfs) for path in disk_paths),
        listeners=tuple(read_listeners(root, ports)),
        time=now,
        init=_init_name(root, comm),
        user=user,
        uid=uid,
        python=python,
        virtualization=detect_virtualization(root),
        docker=describe_docker(root, installed),
        packages={name: installed[name] for name in wanted if name in installed},
        apt_lists=lists,
        apt_lists_age_seconds=age,
        boot_id=read_text(root / "proc/sys/kernel/random/boot_id").strip(),
        uptime_s=int(float(uptime[0])) if uptime else 0,
        pid1_start=start,
    )
