"""Each container, as it really runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from ..facts import Facts
from ..points import EMPTY, Point, Verdict, met_unless, not_applicable

GROUP = "Containers"
Container = dict[str, Any]
_SENSITIVE = ("/boot", "/dev", "/lib", "/proc", "/sys", "/usr", "/root", "/var/lib/docker", "/run", "/var/run")
_OURS = ("/etc/hypercode/stack/", "/etc/hypercode/monitoring/")


def host(one: Container) -> dict[str, Any]:
    found: dict[str, Any] = one["HostConfig"]
    return found


def each(wrong: Callable[[Container], bool], facts: Facts) -> Verdict:
    """Name the services whose container is wrong."""
    if facts.is_empty:
        return not_applicable(EMPTY)
    return met_unless(service for service, one in facts.containers.items() if wrong(one))


def published(one: Container) -> Iterator[tuple[str, int]]:
    """Give address and port on the host of each published port."""
    for bindings in (one["NetworkSettings"].get("Ports") or {}).values():
        for binding in bindings or []:
            yield binding["HostIp"], int(binding["HostPort"])


def sensitive(one: Container) -> bool:
    sources = [mount["Source"] for mount in one["Mounts"] if mount["Type"] == "bind"]
    return any(
        source in {"/", "/etc"}
        or (source.startswith("/etc/") and not source.startswith(_OURS))
        or any(source == path or source.startswith(f"{path}/") for path in _SENSITIVE)
        for source in sources
    )


def confined(name: str, one: Container) -> bool:
    """Say whether seccomp or AppArmor is switched off for a container."""
    return any(re.fullmatch(rf"{name}[=:]unconfined", option) for option in host(one).get("SecurityOpt") or [])


def keeps_rights(facts: Facts) -> Verdict:
    if facts.daemon.get("no-new-privileges") is True:
        return each(lambda one: any("no-new-privileges:false" in o for o in host(one).get("SecurityOpt") or []), facts)
    return each(
        lambda one: not any(o.startswith("no-new-privileges") for o in host(one).get("SecurityOpt") or []), facts
    )


def capabilities(one: Container) -> bool:
    return "ALL" not in (host(one).get("CapDrop") or []) or bool(host(one).get("CapAdd"))


def restart(one: Container) -> bool:
    policy = host(one)["RestartPolicy"]
    return not (policy["Name"] == "on-failure" and 0 < policy["MaximumRetryCount"] <= 5)


def ends(one: Container) -> bool:
    """Say whether nothing starts a container again that ended with an error."""
    return host(one)["RestartPolicy"]["Name"] in {"", "no"}


def rotation(one: Container) -> bool:
    log = host(one)["LogConfig"]
    return log["Type"] == "json-file" and not (log["Config"] or {}).get("max-size")


def ssh_inside(facts: Facts) -> Verdict:
    found = [line.split()[-1] for line in facts.lines("commands-inside", needed=True)]
    return met_unless(sorted({name for name in found if name in {"sshd", "dropbear"}}))


def apparmor(facts: Facts) -> Verdict:
    if facts.is_container:
        return each(partial(confined, "apparmor"), facts)
    return each(lambda one: one.get("AppArmorProfile", "") in {"", "unconfined"}, facts)


def by_name(one: Container, key: str, value: str) -> bool:
    return bool(host(one).get(key) == value)


_EACH: tuple[tuple[str, str, Callable[[Container], bool]], ...] = (
    ("docker-5.4", "No capability of the kernel is left", capabilities),
    ("docker-5.5", "None is privileged", lambda one: bool(host(one)["Privileged"])),
    ("docker-5.6", "None sees sensitive folders of the host", sensitive),
    (
        "docker-5.8",
        "None is reached by a port below 1024",
        lambda one: any(port < 1024 for _address, port in published(one)),
    ),
    ("docker-5.9", "None publishes a port", lambda one: any(published(one))),
    ("docker-5.10", "None is in the host's network", lambda one: by_name(one, "NetworkMode", "host")),
    ("docker-5.11", "Memory has a limit", lambda one: not host(one)["Memory"]),
    ("docker-5.12", "Processor time has a limit", lambda one: not (host(one)["NanoCpus"] or host(one)["CpuQuota"])),
    ("docker-5.13", "Its own files cannot be changed", lambda one: not host(one)["ReadonlyRootfs"]),
    (
        "docker-5.14",
        "Published ports are bound to one address",
        lambda one: any(address in {"", "0.0.0.0", "::"} for address, _port in published(one)),
    ),
    ("docker-5.15", "A program that fails is started again five times at most", restart),
    ("own-container-restart", "A program that fails is started again", ends),
    ("docker-5.16", "None sees the host's processes", lambda one: by_name(one, "PidMode", "host")),
    ("docker-5.17", "None shares memory with the host", lambda one: by_name(one, "IpcMode", "host")),
    ("docker-5.18", "None has a device of the host", lambda one: bool(host(one).get("Devices"))),
    (
        "docker-5.20",
        "Mounts inside do not reach the host",
        lambda one: any(mount.get("Propagation") in {"shared", "rshared"} for mount in one["Mounts"]),
    ),
    ("docker-5.21", "None has the host's name as its own", lambda one: by_name(one, "UTSMode", "host")),
    ("docker-5.22", "System calls are confined", partial(confined, "seccomp")),
    ("docker-5.25", "Each is in the engine's control group", lambda one: bool(host(one).get("CgroupParent"))),
    ("docker-5.27", "Each has a health check", lambda one: "Health" not in one["State"]),
    ("docker-5.29", "The number of processes has a limit", lambda one: (host(one).get("PidsLimit") or 0) <= 0),
    (
        "docker-5.30",
        "None is in the default network",
        lambda one: by_name(one, "NetworkMode", "default") or by_name(one, "NetworkMode", "bridge"),
    ),
    ("docker-5.31", "None has the host's users where they are mapped", lambda one: by_name(one, "UsernsMode", "host")),
    (
        "docker-5.32",
        "None commands the engine",
        lambda one: any(
            mount.get("Source", "").endswith(("docker.sock", "containerd.sock")) for mount in one["Mounts"]
        ),
    ),
    ("own-container-logs", "Logs have a limit of size", rotation),
    ("own-container-oom", "A container without memory ends", lambda one: bool(host(one).get("OomKillDisable"))),
)


POINTS = (
    Point("docker-5.2", GROUP, "AppArmor is switched off for none", apparmor),
    Point("docker-5.3", GROUP, "SELinux confines each", lambda _f: not_applicable("Debian has AppArmor in its place.")),
    Point("docker-5.7", GROUP, "No SSH server runs in a container", ssh_inside),
    *(Point(id, GROUP, title, partial(each, wrong)) for id, title, wrong in _EACH),
    Point("docker-5.26", GROUP, "No program gains rights", keeps_rights),
    Point(
        "docker-6.2",
        GROUP,
        "No stopped container is left behind",
        partial(each, lambda one: one["State"]["Status"] != "running"),
    ),
)
