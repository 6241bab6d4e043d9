"""What the probe read on a host, taken apart."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

# What systemd-detect-virt says of hosts that share their kernel with others.
CONTAINERS = frozenset({"docker", "lxc", "lxc-libvirt", "podman", "systemd-nspawn", "openvz", "container-other"})


class UnreadableError(Exception):
    """A part that a point is judged by is missing or makes no sense."""


@dataclass(frozen=True)
class Part:
    """What one command of the probe printed, and its exit code."""

    text: str
    code: int


@dataclass(frozen=True)
class File:
    """A file of the host; `kind` is in stat's words."""

    path: str
    owner: str
    group: str
    mode: int
    kind: str


def split(text: str, mark: str) -> dict[str, Part]:
    """Return the parts of the probe's output by name. Raises UnreadableError when it was cut off."""
    parts: dict[str, Part] = {}
    name, lines = "", list[str]()
    for line in text.split("\n"):
        if not line.startswith(f"{mark} "):
            lines.append(line)
            continue
        words = line.removeprefix(f"{mark} ").split(" ")
        if words[0] == "end":
            parts[name] = Part("\n".join(lines).strip("\n"), int(words[1]))
            name = ""
        else:
            name, lines = words[0], []
    if name or not parts:
        raise UnreadableError(f"The host's answer ends in the middle of '{name or 'nothing'}'.")
    return parts


@dataclass(frozen=True)
class Facts:
    """The parts by name; `promised` are the kernel settings that the role base makes on a host with its own kernel."""

    parts: Mapping[str, Part]
    promised: Mapping[str, str]

    def text(self, name: str, *, needed: bool = True) -> str:
        """Return what a part printed. Where it is needed, nothing at all from a command that failed is no answer."""
        part = self.parts.get(name)
        if part is None or (needed and part.code != 0 and not part.text):
            raise UnreadableError(f"the host gave no answer for '{name}'")
        return part.text

    def lines(self, name: str, *, needed: bool = False) -> list[str]:
        return [line for line in self.text(name, needed=needed).splitlines() if line.strip()]

    def document(self, name: str) -> Any:
        try:
            return json.loads(self.text(name))
        except json.JSONDecodeError as error:
            raise UnreadableError(f"the host's answer for '{name}' is no JSON: {error}") from error

    @cached_property
    def is_container(self) -> bool:
        return self.text("virtualization", needed=False).strip() in CONTAINERS

    @cached_property
    def packages(self) -> frozenset[str]:
        rows = (line.split() for line in self.lines("packages", needed=True))
        return frozenset(row[1] for row in rows if row[0] == "installed")

    @cached_property
    def sysctl(self) -> dict[str, str]:
        pairs = (line.partition(" = ") for line in self.lines("sysctl", needed=True))
        return {key: value.strip() for key, _sign, value in pairs}

    @cached_property
    def sshd(self) -> dict[str, list[str]]:
        """Return the settings that sshd would use, names in small letters."""
        found: dict[str, list[str]] = {}
        for line in self.lines("sshd", needed=True):
            key, _space, value = line.partition(" ")
            found.setdefault(key.lower(), []).append(value)
        return found

    @cached_property
    def files(self) -> dict[str, File]:
        return {file.path: file for file in self._files("owners")}

    @cached_property
    def homes(self) -> dict[str, File]:
        return {file.path: file for file in self._files("homes")}

    def _files(self, name: str) -> Iterator[File]:
        for line in self.lines(name):
            path, owner, group, mode, kind = line.rsplit("|", 4)
            yield File(path, owner, group, int(mode, 8), kind)

    @cached_property
    def mounts(self) -> dict[str, set[str]]:
        """Return the options of each mount point."""
        return {row[1]: set(row[3].split(",")) for line in self.lines("mounts", needed=True) if (row := line.split())}

    @cached_property
    def unit_files(self) -> dict[str, str]:
        rows = (line.split() for line in self.lines("unit-files", needed=True))
        return {row[0]: row[1] for row in rows if len(row) > 1}

    @cached_property
    def active_units(self) -> frozenset[str]:
        rows = (line.split() for line in self.lines("units", needed=True))
        return frozenset(row[0] for row in rows if len(row) > 2 and row[2] == "active")

    def setting(self, name: str, key: str) -> str:
        """Return the last value of 'key=value' or 'key value' in a part, '' where there is none."""
        value = ""
        for line in self.lines(name):
            words = line.split("#")[0].replace("=", " ", 1).split(None, 1)
            if len(words) == 2 and words[0].lower() == key.lower():
                value = words[1].strip()
        return value

    @cached_property
    def info(self) -> dict[str, Any]:
        """Return what `docker info` says."""
        found: dict[str, Any] = self.document("docker-info")
        return found

    @cached_property
    def daemon(self) -> dict[str, Any]:
        """Return the engine's configuration; what stands on its command line counts as configured, too."""
        found: dict[str, Any] = self.document("daemon-json") if self.text("daemon-json", needed=False) else {}
        for word in self.text("dockerd").split():
            if word.startswith("--"):
                key, sign, value = word[2:].partition("=")
                found.setdefault(key, value if sign else True)
        return found

    @cached_property
    def containers(self) -> dict[str, dict[str, Any]]:
        """Return `docker inspect` of each container by its Compose service, by its name where it has none.

        Those that keep an image are left out: they have no process, and never had one.
        """
        found: dict[str, dict[str, Any]] = {}
        for one in self.document("containers"):
            labels = one["Config"].get("Labels") or {}
            if labels.get("hypercode.purpose") == "keep-image" and one["State"]["Status"] == "created":
                continue
            name = labels.get("com.docker.compose.service") or one["Name"].lstrip("/")
            # A second copy of a service must not hide the first.
            found[name if name not in found else one["Name"].lstrip("/")] = one
        return dict(sorted(found.items()))

    @cached_property
    def is_empty(self) -> bool:
        """Say whether the engine has no container, as before the first deploy."""
        return not self.info["Containers"]

    @cached_property
    def images(self) -> dict[str, dict[str, Any]]:
        """Return the images of the containers by their ids."""
        return {one["Id"]: one for one in self.document("images")}
