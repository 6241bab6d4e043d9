# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is no container's: disks and network of the host, and which release is in use since when.

node_exporter in a container sees the network and the mounts of that container, unless it is given all of the host. The
daemon sees those of the host.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..exposition import escaped, head, labels_of
from ..release import ReleaseError, Store

NETWORK, FILESYSTEM = "hypercode_host_network", "hypercode_host_filesystem"
RELEASE = "hypercode_stack_release"
REVERTED = "reverted"
# Ends of the links of containers: each of those is counted as what it is, a container.
_LEFT_OUT = ("veth",)
# What is on a disk of this host: a server of files that does not answer would keep the daemon waiting for ever.
_DISKS = ("/dev/",)
_POOLS = ("zfs",)
# Their files have other device numbers than their mounts have.
_OWN_NUMBERS = ("btrfs", "zfs", "bcachefs")
# What is full by nature.
_FULL = ("squashfs", "iso9660", "erofs")
_OCTAL = re.compile(r"\\([0-7]{3})")
_FILESYSTEM: Mapping[str, str] = {
    "size_bytes": "How large the file system is.",
    "avail_bytes": "How much of it is left for those who are not root.",
    "files": "How many files it has room for; 0 where that is not counted.",
    "files_free": "How many more files it has room for.",
    "readonly": "1 when nothing can be written to it.",
}


@dataclass(frozen=True)
class Mount:
    """A file system of the host, at the shortest of its places. `number` is that of its device, such as 8:1."""

    device: str
    kind: str
    place: str
    readonly: bool
    number: str = ""

    def is_at(self, root: Path) -> bool:
        """Whether we see it at its place: a service with a view of its own may not see what was mounted later."""
        if self.kind in _OWN_NUMBERS:
            return True
        found = (root / self.place.lstrip("/")).stat().st_dev
        return self.number == f"{os.major(found)}:{os.minor(found)}"


@dataclass(frozen=True)
class Current:
    """The release in use. `since` in seconds since 1970; `how` is rollout, or rollback where a later one was in use."""

    project: str
    release: str
    version: str
    how: str
    since: float


def network_lines(root: Path = Path("/")) -> list[str]:
    """Bytes received and sent by each interface of the host, as lines of the exposition; none where that is unknown."""
    try:
        # Of process 1: the daemon itself has a network of its own, with nothing in it.
        text = (root / "proc/1/net/dev").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    counts = list(_counts(text))
    if not counts:
        return []
    lines = []
    for number, (way, what) in enumerate((("receive", "received"), ("transmit", "sent"))):
        metric = f"{NETWORK}_{way}_bytes_total"
        lines += head(metric, f"Bytes {what} by an interface of the host.", "counter")
        lines += [f'{metric}{{device="{escaped(device)}"}} {both[number]}' for device, both in counts]
    return lines


def _counts(text: str) -> Iterator[tuple[str, tuple[int, int]]]:
    # Two lines of headings, then: name: 8 numbers of what was received, 8 of what was sent.
    for line in text.splitlines()[2:]:
        name, _colon, rest = line.rpartition(":")
        words, device = rest.split(), name.strip()
        if len(words) >= 9 and device != "lo" and not device.startswith(_LEFT_OUT):
            yield device, (int(words[0]), int(words[8]))


def mounts_in(text: str, is_folder: Callable[[str], bool]) -> list[Mount]:
    """The file systems on disks that a mountinfo names (proc_pid_mountinfo(5)), each once, by their places."""
    found: dict[str, Mount] = {}
    for line in text.splitlines():
        before, _dash, after = line.partition(" - ")
        words, more = before.split(), after.split()
        if len(words) < 6 or len(more) < 3:
            continue
        kind, device = more[0], _plain(more[1])
        place = _plain(words[4])
        if kind in _FULL or not (device.startswith(_DISKS) or kind in _POOLS) or not is_folder(place):
            continue
        # Of the file system, not of this place: a container has it read-only at one, and the host writes at another.
        mount = Mount(device, kind, place, "ro" in more[2].split(","), words[2])
        if device not in found or len(place) < len(found[device].place):
            found[device] = mount
    return sorted(found.values(), key=lambda mount: mount.place)


def _plain(word: str) -> str:
    """A word of a mountinfo, where a blank is \\040."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), word)


def filesystems(root: Path = Path("/")) -> list[tuple[Mount, dict[str, int]]]:
    """The file systems on disks of the host, each with what _FILESYSTEM names; none where that is unknown."""
    try:
        text = (root / "proc/1/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    found = []
    for mount in mounts_in(text, lambda place: (root / place.lstrip("/")).is_dir()):
        try:
            # Figures of another disk would be worse than none.
            if not mount.is_at(root):
                continue
            state = os.statvfs(root / mount.place.lstrip("/"))
        except OSError:
            continue
        values = {
            "size_bytes": state.f_blocks * state.f_frsize,
            "avail_bytes": state.f_bavail * state.f_frsize,
            "files": state.f_files,
            "files_free": state.f_ffree,
            "readonly": int(mount.readonly),
        }
        found.append((mount, values))
    return found


def filesystem_lines(root: Path = Path("/")) -> list[str]:
    """How full the file systems of the host are, as lines of the exposition; none where that is unknown."""
    values = {
        labels_of({"device": mount.device, "fstype": mount.kind, "mountpoint": mount.place}): found
        for mount, found in filesystems(root)
    }
    lines = []
    for name, what in _FILESYSTEM.items() if values else ():
        lines += head(f"{FILESYSTEM}_{name}", what)
        lines += [f"{FILESYSTEM}_{name}{{{labels}}} {found[name]}" for labels, found in values.items()]
    return lines


def host_lines(root: Path = Path("/")) -> list[str]:
    """What is known of the host, as lines of the exposition."""
    return [*filesystem_lines(root), *network_lines(root)]


class ReleaseReader:
    """Reads which release is in use, again only when something about it has changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._key: object = None
        self._found: Current | None = None

    def read(self) -> Current | None:
        """The release in use; None where there is none, and the last known where it cannot be read now."""
        try:
            current = self._store.current()
            if current is None:
                self._key, self._found = None, None
                return None
            releases = self._store.all()
            key = (
                current.id,
                self._store.paths.current.lstat().st_mtime_ns,
                [(release.id, (release.folder / "release.json").stat().st_mtime_ns) for release in releases],
            )
            if key != self._key:
                about = current.read()
                left = [other for other in releases if other.id > current.id and _was_left(other.peek())]
                how = "rollback" if left else "rollout"
                self._found = Current(
                    str(about["project"]), current.id, str(about.get("version") or ""), how, key[1] / 1e9
                )
                self._key = key
        except (ReleaseError, OSError):
            pass
        return self._found

    def lines(self) -> list[str]:
        """The release in use as lines of the exposition; none where there is none."""
        found = self.read()
        if found is None:
            return []
        labels = {"project": found.project, "release": found.release, "how": found.how}
        return [
            *head(f"{RELEASE}_info", "1 for the release in use."),
            f"{RELEASE}_info{{{labels_of(labels | {'version': found.version})}}} 1",
            *head(f"{RELEASE}_timestamp_seconds", "When the release in use was put in place."),
            f"{RELEASE}_timestamp_seconds{{{labels_of(labels)}}} {found.since:.3f}",
        ]


def _was_left(about: dict[str, object]) -> bool:
    """Whether a release, by its release.json, was in use and is no more."""
    return bool(about.get("in_use_since")) or about.get("status") in ("done", REVERTED)
