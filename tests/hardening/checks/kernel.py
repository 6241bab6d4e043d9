"""Settings of the kernel. Those outside of "net." a host that is a container shares with its machine."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from ..facts import Facts, UnreadableError
from ..points import Point, Verdict, met_unless, not_applicable

GROUP = "Kernel settings"
SHARED = "A test host is a container and shares this with its machine. On a server it is set at boot."

# id, title, setting -> values that are right
_WANTED: tuple[tuple[str, str, Mapping[str, str]], ...] = (
    ("debian-1.5.1", "Addresses of programs are random", {"kernel.randomize_va_space": "2"}),
    ("debian-1.5.2", "A program cannot look into its neighbours", {"kernel.yama.ptrace_scope": "1 2 3"}),
    (
        "debian-3.3.1",
        "The host does not forward packets",
        {"net.ipv4.ip_forward": "0", "net.ipv6.conf.all.forwarding": "0"},
    ),
    (
        "debian-3.3.2",
        "The host sends no redirects",
        {"net.ipv4.conf.all.send_redirects": "0", "net.ipv4.conf.default.send_redirects": "0"},
    ),
    ("debian-3.3.3", "Malformed ICMP errors are ignored", {"net.ipv4.icmp_ignore_bogus_error_responses": "1"}),
    ("debian-3.3.4", "Pings to everybody are ignored", {"net.ipv4.icmp_echo_ignore_broadcasts": "1"}),
    (
        "debian-3.3.5",
        "Redirects by others are not followed",
        {f"net.{v}.conf.{i}.accept_redirects": "0" for v in ("ipv4", "ipv6") for i in ("all", "default")},
    ),
    (
        "debian-3.3.6",
        "Redirects by gateways are not followed",
        {"net.ipv4.conf.all.secure_redirects": "0", "net.ipv4.conf.default.secure_redirects": "0"},
    ),
    (
        "debian-3.3.7",
        "Packets must come by the way that leads back to their sender",
        {"net.ipv4.conf.all.rp_filter": "1", "net.ipv4.conf.default.rp_filter": "1"},
    ),
    (
        "debian-3.3.8",
        "Senders do not choose the route",
        {f"net.{v}.conf.{i}.accept_source_route": "0" for v in ("ipv4", "ipv6") for i in ("all", "default")},
    ),
    (
        "debian-3.3.9",
        "Packets with impossible senders are logged",
        {"net.ipv4.conf.all.log_martians": "1", "net.ipv4.conf.default.log_martians": "1"},
    ),
    ("debian-3.3.10", "A flood of half-open connections does not stop others", {"net.ipv4.tcp_syncookies": "1"}),
    (
        "debian-3.3.11",
        "Announcements of IPv6 routers are not followed",
        {"net.ipv6.conf.all.accept_ra": "0", "net.ipv6.conf.default.accept_ra": "0"},
    ),
    ("own-kernel-pointers", "Kernel addresses are hidden", {"kernel.kptr_restrict": "1 2"}),
    ("own-kernel-log", "Only root reads the kernel's log", {"kernel.dmesg_restrict": "1"}),
    ("own-kernel-bpf", "Only root loads BPF programs", {"kernel.unprivileged_bpf_disabled": "1 2"}),
    ("own-kernel-sysrq", "The keyboard gives the kernel no orders", {"kernel.sysrq": "0"}),
    (
        "own-kernel-links",
        "Links and files of others in shared folders are not followed",
        {
            "fs.protected_hardlinks": "1",
            "fs.protected_symlinks": "1",
            "fs.protected_fifos": "2",
            "fs.protected_regular": "2",
        },
    ),
    ("own-kernel-overcommit", "Redis can save when memory is tight", {"vm.overcommit_memory": "1"}),
)


def wrong(wanted: Mapping[str, str], actual: Mapping[str, str]) -> list[str]:
    """Return 'setting = value' for each that is not right. A setting that the kernel does not have is none."""
    return [
        f"{key} = {actual[key]}"
        for key, values in wanted.items()
        if key in actual and actual[key] not in values.split()
    ]


def configured(facts: Facts) -> dict[str, str]:
    """Return what the distribution and the role would set at boot. The role leaves out what a container shares."""
    found = {}
    for line in facts.lines("sysctl-config", needed=True):
        key, sign, value = line.lstrip("-").partition("=")
        if sign and not line.startswith(("#", ";")):
            found[key.strip().replace("/", ".")] = value.strip()
    return {**found, **facts.promised}


def judge(wanted: Mapping[str, str], facts: Facts) -> Verdict:
    """Judge settings as they are; those that a container cannot show, as they would be set on a server."""
    shared = {key for key in wanted if facts.is_container and (not key.startswith("net.") or key not in facts.sysctl)}
    if not shared:
        if not wanted.keys() & facts.sysctl.keys():
            raise UnreadableError(f"the host has none of {', '.join(wanted)}")
        return met_unless(wrong(wanted, facts.sysctl))
    settings = configured(facts)
    missing = [f"{key} is not set" for key in wanted if key not in settings]
    found = [*wrong(wanted, settings), *missing]
    return met_unless(found) if found else not_applicable(SHARED)


def core_dumps(facts: Facts) -> Verdict:
    """No memory of a program that crashed is kept: it has secrets in it."""
    found = []
    if facts.setting("coredump", "Storage") != "none" and "systemd-coredump" in facts.packages:
        found.append("systemd-coredump stores them")
    rows = [line.split() for line in facts.lines("limits")]
    hard = [row[3] for row in rows if len(row) >= 4 and row[0] == "*" and row[1] in {"hard", "-"} and row[2] == "core"]
    if not hard or hard[-1] != "0":
        found.append("no hard limit of 0")
    dumpable = judge({"fs.suid_dumpable": "0"}, facts)
    return met_unless([*found, *dumpable.where])


POINTS = (
    *(Point(id, GROUP, title, partial(judge, wanted)) for id, title, wanted in _WANTED),
    Point("debian-1.5.3", GROUP, "No memory of crashed programs is kept", core_dumps),
)
