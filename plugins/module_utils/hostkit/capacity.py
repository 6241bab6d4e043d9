# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Whether a host can carry the stack: rules over what ``host_reader`` read. Pure: no I/O."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from .finding import ERROR, WARNING, Finding
from .host_reader import Disk, HostState
from .listeners import Listener, Process

_UNITS = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))


@dataclasses.dataclass(frozen=True)
class SupportedOs:
    """A distribution (the ``ID`` of os-release) in one version; version "" stands for every version."""

    distribution: str
    version: str = ""

    def __str__(self) -> str:
        return f"{self.distribution} {self.version}".strip()


@dataclasses.dataclass(frozen=True)
class WantedPort:
    """A port that must be free, or held by one of our own programs (``owner``: process or service names).

    ``setting`` names the variable that moves us to another port, "" when there is none.
    """

    port: int
    proto: str = "tcp"
    owner: tuple[str, ...] = ()
    setting: str = ""


@dataclasses.dataclass(frozen=True)
class Requirements:
    """What a host must offer. Sizes in bytes, times in seconds; 0, "" and empty tuples ask for nothing."""

    os_supported: tuple[SupportedOs, ...] = ()
    architectures: tuple[str, ...] = ()
    memory_min_bytes: int = 0
    memory_limits_bytes: int = 0
    disk_min_bytes: int = 0
    disk_min_inodes: int = 0
    cpus_min: int = 0
    ports: tuple[WantedPort, ...] = ()
    controller_time: float | None = None
    clock_skew_max: float = 0
    clock_round_trip_max: float = 0
    python_min: tuple[int, ...] = ()
    root: bool = True
    systemd: bool = True


def parse_version(text: str) -> tuple[int, ...]:
    """Turn "3.11" into (3, 11), "" into (). Raises ValueError for anything else."""
    return tuple(int(part) for part in text.split(".")) if text else ()


def human_size(size: int) -> str:
    """A size for people, such as ``3.8 GiB``."""
    for unit, factor in _UNITS:
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


def _sizes(have: int, need: int) -> tuple[str, str]:
    """Both sizes for people, fine enough that the smaller one does not look the same as the larger."""
    if human_size(have) != human_size(need):
        return human_size(have), human_size(need)
    return f"{have} bytes", f"{need} bytes"


def _error(rule: str, name: str, message: str, fix: str) -> Finding:
    return Finding(rule, ERROR, name, message, fix)


def judge_os(state: HostState, supported: tuple[SupportedOs, ...]) -> list[Finding]:
    """The distribution and its version must be in the list."""
    name, version = state.os_release.get("ID", ""), state.os_release.get("VERSION_ID", "")
    if not supported or any(item.distribution == name and item.version in ("", version) for item in supported):
        return []
    shown = state.os_release.get("PRETTY_NAME") or f"{name} {version}".strip() or "unknown (no /etc/os-release)"
    choices = ", ".join(str(item) for item in supported)
    return [
        _error(
            "os-unsupported",
            "operating system",
            f"The operating system is {shown}; supported are: {choices}.",
            "Install the server anew with one of these. To try another at your own risk, add it to "
            "`preflight_os_supported`.",
        )
    ]


def judge_architecture(state: HostState, supported: tuple[str, ...]) -> list[Finding]:
    """The machine type (as uname says it) must be in the list."""
    if not supported or state.architecture in supported:
        return []
    return [
        _error(
            "architecture-unsupported",
            "architecture",
            f"The processor type is {state.architecture}; there are packages and images for {', '.join(supported)}.",
            "Use a server with one of these processor types.",
        )
    ]


def judge_memory(state: HostState, minimum: int, limits: int) -> list[Finding]:
    """Enough memory in all; warnings when little is left, and when the services may together use more than there is."""
    found = []
    total, available = state.memory_total, state.memory_available
    if minimum and total < minimum:
        have, need = _sizes(total, minimum)
        found.append(
            _error(
                "memory-too-small",
                "memory",
                f"The server has {have} of memory; at least {need} is needed.",
                "Give the server more memory, or turn services off and lower `preflight_memory_min_mb`.",
            )
        )
    elif minimum and available < minimum // 10:
        found.append(
            Finding(
                "memory-low",
                WARNING,
                "memory",
                f"Only {human_size(available)} of {human_size(total)} memory is free.",
                "See what uses it: `ps aux --sort=-rss | head`.",
            )
        )
    if limits > total > 0:
        found.append(
            Finding(
                "memory-overcommitted",
                WARNING,
                "memory",
                f"The memory limits of all services add up to {human_size(limits)}, but the server has "
                f"{human_size(total)}. If they all grow at once, the kernel stops some of them.",
                "Nothing to do while usage stays low; otherwise lower the limits or give the server more memory.",
            )
        )
    return found


def judge_cpus(state: HostState, minimum: int) -> list[Finding]:
    """Enough processors."""
    if state.cpus >= minimum:
        return []
    return [
        _error(
            "cpus-too-few",
            "cpus",
            f"The server has {state.cpus} CPU{'' if state.cpus == 1 else 's'}; at least {minimum} are needed.",
            "Give the server more CPUs, or lower `preflight_cpus_min` (it will be slower).",
        )
    ]


def judge_disks(disks: Iterable[Disk], min_bytes: int, min_inodes: int) -> list[Finding]:
    """Enough room for every path; paths on the same file system are judged, and reported, together."""
    by_device: dict[int, list[Disk]] = {}
    for disk in disks:
        by_device.setdefault(disk.device, []).append(disk)
    found = []
    for together in by_device.values():
        paths, disk = ", ".join(item.path for item in together), together[0]
        if disk.free_bytes < min_bytes:
            have, need = _sizes(disk.free_bytes, min_bytes)
            found.append(
                _error(
                    "disk-too-small",
                    "disk",
                    f"Only {have} of disk is free for {paths}; at least {need} is needed.",
                    f"Make room or enlarge the disk (`df -h {disk.existing}` shows it, `docker system df` what Docker "
                    "uses), or lower `preflight_disk_min_gb`.",
                )
            )
        if disk.free_inodes is not None and disk.free_inodes < min_inodes:
            found.append(
                _error(
                    "inodes-too-few",
                    "disk",
                    f"Only {disk.free_inodes} more files fit on the disk of {paths} (inodes); "
                    f"room for {min_inodes} is needed.",
                    f"Remove what holds many small files (`du --inodes -x {disk.existing} | sort -n | tail`).",
                )
            )
    return found


def _is_ours(process: Process, owners: tuple[str, ...]) -> bool:
    """Whether a process or its service has one of the names; the kernel cuts process names at 15 characters."""
    names = {*process.names, process.unit[: -len(".service")] if process.unit else ""}
    return any(owner in names or owner[:15] in names for owner in owners if owner)


def _stop_command(process: Process, port: WantedPort) -> str:
    if process.name.startswith("docker-proxy"):
        return (
            f"a container publishes this port, `docker ps --filter publish={port.port}` names it: stop that container"
        )
    if process.unit:
        return f"stop it: `systemctl disable --now {process.unit}`"
    return f"stop it: `kill {process.pid}`"


def _port_finding(port: WantedPort, listeners: list[Listener]) -> Finding:
    addresses = ", ".join(sorted({listener.address for listener in listeners}))
    # systemd holds the socket of a socket-activated service too: the service is the better name.
    held = sorted({process for listener in listeners for process in listener.processes}, key=lambda one: -one.pid)
    move = f"choose another port with `{port.setting}`" if port.setting else "move that program to another port"
    if held:
        taker = f"{held[0].name} (pid {held[0].pid}{', ' + held[0].unit if held[0].unit else ''})"
        fix = f"If nobody needs it, {_stop_command(held[0], port)}. Or {move}."
    else:
        taker = "a process that cannot be seen from here"
        fix = f"Find it with `sudo ss -{port.proto[0]}lnp 'sport = :{port.port}'` and stop it, or {move}."
    return _error(
        "port-taken",
        f"port {port.port}/{port.proto}",
        f"port {port.port}/{port.proto} is taken by {taker} on {addresses}.",
        fix,
    )


def judge_ports(listeners: Iterable[Listener], ports: Iterable[WantedPort]) -> list[Finding]:
    """Every wanted port is free, or held by one of its owners."""
    listed = list(listeners)
    found = []
    for port in ports:
        foreign = [
            listener
            for listener in listed
            if (listener.proto, listener.port) == (port.proto, port.port)
            and not any(_is_ours(process, port.owner) for process in listener.processes)
        ]
        if foreign:
            found.append(_port_finding(port, foreign))
    return found


def judge_clock(state: HostState, wanted: Requirements) -> list[Finding]:
    """The clock agrees with the controller's, which was read up to ``clock_round_trip_max`` seconds earlier."""
    if wanted.controller_time is None or not wanted.clock_skew_max:
        return []
    difference = state.time - wanted.controller_time
    ahead = difference - wanted.clock_round_trip_max
    behind = -difference
    if max(ahead, behind) <= wanted.clock_skew_max:
        return []
    how = f"about {behind:.0f} seconds behind" if behind > 0 else f"about {difference:.0f} seconds ahead of"
    return [
        _error(
            "clock-skew",
            "clock",
            f"The server's clock is {how} the clock of the machine you deploy from; "
            f"{wanted.clock_skew_max:.0f} seconds are allowed. With a wrong time, certificates and package lists are "
            "refused.",
            "Find out which of the two clocks is wrong with `date -u` on both. On the server, "
            "`apt-get install systemd-timesyncd && timedatectl set-ntp true` sets the clock from the network.",
        )
    ]


def judge_base(state: HostState, wanted: Requirements) -> list[Finding]:
    """Root rights, systemd, Python."""
    found = []
    if wanted.root and state.uid != 0:
        found.append(
            _error(
                "not-root",
                "root rights",
                f"Tasks run as user {state.user} (uid {state.uid}); they need root rights.",
                "Set `ansible_become: true` in the inventory, and see on the server that `sudo -v` works "
                f"for {state.user}.",
            )
        )
    if wanted.systemd and state.init != "systemd":
        found.append(
            _error(
                "no-systemd",
                "systemd",
                f"The first process is {state.init}, not systemd: services cannot be managed.",
                "Use a server that boots with systemd, as Debian and Ubuntu do; a plain container is not a server.",
            )
        )
    if wanted.python_min and state.python < wanted.python_min:
        have, need = (".".join(str(part) for part in version) for version in (state.python, wanted.python_min))
        found.append(
            _error(
                "python-too-old",
                "python",
                f"Python on the server is {have}; {need} or newer is needed.",
                "Use a supported release of the operating system, or name a newer Python in "
                "`ansible_python_interpreter`.",
            )
        )
    return found


def judge(state: HostState, wanted: Requirements) -> list[Finding]:
    """All findings at once: what is missing first, then what is in the way."""
    return [
        *judge_os(state, wanted.os_supported),
        *judge_architecture(state, wanted.architectures),
        *judge_base(state, wanted),
        *judge_memory(state, wanted.memory_min_bytes, wanted.memory_limits_bytes),
        *judge_cpus(state, wanted.cpus_min),
        *judge_disks(state.disks, wanted.disk_min_bytes, wanted.disk_min_inodes),
        *judge_ports(state.listeners, wanted.ports),
        *judge_clock(state, wanted),
    ]
