"""Owners and modes of the engine's files."""

from __future__ import annotations

from functools import partial

from ..facts import Facts, UnreadableError
from ..points import Point, Verdict, met_unless, not_applicable
from .files import closed

GROUP = "Files of the engine"

# id of owner, id of mode, path or its end, widest mode, groups beside root that may own it.
_FILES = (
    ("docker-3.1", "docker-3.2", "docker.service", 0o644, ""),
    ("docker-3.3", "docker-3.4", "docker.socket", 0o644, ""),
    ("docker-3.5", "docker-3.6", "/etc/docker", 0o755, ""),
    ("docker-3.7", "docker-3.8", "/etc/docker/certs.d/", 0o444, ""),
    ("docker-3.15", "docker-3.16", "/run/docker.sock", 0o660, "docker"),
    ("docker-3.17", "docker-3.18", "/etc/docker/daemon.json", 0o644, ""),
    ("docker-3.19", "docker-3.20", "/etc/default/docker", 0o644, ""),
    ("docker-3.23", "docker-3.24", "/run/containerd/containerd.sock", 0o660, ""),
    ("own-engine-login-owner", "own-engine-login-mode", "/etc/hypercode/docker/config.json", 0o600, ""),
    ("own-release-env-owner", "own-release-env-mode", "/env", 0o600, ""),
    ("own-engine-data-owner", "own-engine-data-mode", "/var/lib/docker", 0o710, ""),
)
# The last of these are there in every deploy: a host without them shows nothing.
_NAMES = {
    "/etc/docker/certs.d/": "Certificates of registries",
    "/env": "Secrets of a release",
    "docker.service": "docker.service",
    "docker.socket": "docker.socket",
}
_OPTIONAL = frozenset({"/etc/docker/certs.d/", "/etc/default/docker", "/etc/hypercode/docker/config.json"})


def judge(name: str, mode: int, groups: str, facts: Facts) -> Verdict:
    """Judge all files of a name, by owner (with the mode 7777) or by mode."""
    paths = [path for path in facts.files if path == name or (name in _NAMES and belongs(path, name))]
    if not paths:
        if name in _OPTIONAL or (name == "/env" and facts.is_empty):
            return not_applicable("There is no such file.")
        raise UnreadableError(f"the host has no {name}")
    return met_unless(item for path in paths for item in closed(path, mode, groups, facts).where)


def belongs(path: str, name: str) -> bool:
    return path.startswith(name) if name.endswith("/") else path.endswith(f"/{name.lstrip('/')}")


def owner(name: str, groups: str, facts: Facts) -> Verdict:
    return judge(name, 0o7777, groups, facts)


def mode(name: str, widest: int, groups: str, facts: Facts) -> Verdict:
    wrong = judge(name, widest, groups, facts)
    return wrong if wrong.note else met_unless(item for item in wrong.where if "has the mode" in item)


POINTS = tuple(
    point
    for by_owner, by_mode, name, widest, groups in _FILES
    for point in (
        Point(by_owner, GROUP, f"{_NAMES.get(name, name)}: owned by root", partial(owner, name, groups)),
        Point(by_mode, GROUP, f"{_NAMES.get(name, name)}: {widest:04o} or less", partial(mode, name, widest, groups)),
    )
)
