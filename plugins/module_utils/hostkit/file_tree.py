# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a file tree consists of, and the record that a host keeps of what each tree wrote there.

Only what the record says we made may be pruned. Paths here are paths on the host ("/etc/x"), whatever the root.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import fcntl
import json
import os
import re
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .files import FileError, HostRoot, clean_path, explain, look, parents_of, read_file, sync_folders, write_file

RECORDS = "/var/lib/hypercode/trees"
_RECORD_VERSION = 1
_LOCK_WAIT = 60  # seconds


@dataclass(frozen=True, kw_only=True)
class WantedFolder:
    """A folder that has to exist. `implied`: only a file needs it, so it is made but, when there, left as it is."""

    path: str
    mode: int
    owner: str
    group: str
    implied: bool = False


@dataclass(frozen=True, kw_only=True)
class WantedFile:
    """A file that has to exist with this content. `validate` is a command with %s where the file goes."""

    path: str
    content: bytes
    mode: int
    owner: str
    group: str
    validate: str = ""
    follow: bool = False
    sensitive: bool = False


@dataclass(frozen=True, kw_only=True)
class WantedLink:
    """A symbolic link that has to exist; the target is taken as it is written and need not exist."""

    path: str
    target: str


@dataclass(frozen=True, kw_only=True)
class Tree:
    """Everything one owner wants on a host."""

    name: str
    files: tuple[WantedFile, ...] = ()
    folders: tuple[WantedFolder, ...] = ()
    links: tuple[WantedLink, ...] = ()
    absent: tuple[str, ...] = ()


def implied_folders(paths: Iterable[str], mode: int, owner: str, group: str) -> list[WantedFolder]:
    """The folders above `paths`, for when they have to be made."""
    folders = {folder for path in paths for folder in parents_of(path)}
    return [WantedFolder(path=path, mode=mode, owner=owner, group=group, implied=True) for path in sorted(folders)]


def check_name(name: str) -> str:
    """Return the name of a tree, which is also a file name. FileError when it is not usable as one."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", name):
        raise FileError(f'name {name!r}: use lower-case letters, digits, - and _, at most 63, like "base"')
    return name


def pack(tree: dict[str, Any]) -> str:
    """Pack a tree description (plain data; `content` of files as bytes) into one line of text for a module argument."""
    files = [{**item, "content": base64.b64encode(item["content"]).decode()} for item in tree["files"]]
    text = json.dumps({**tree, "files": files}, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode())).decode()


def unpack(name: str, payload: str) -> Tree:
    """The reverse of pack(). FileError when the text is damaged or not a tree."""
    try:
        data = json.loads(zlib.decompress(base64.b64decode(payload, validate=True)))
        files = [{**item, "content": base64.b64decode(item["content"])} for item in data["files"]]
        return Tree(
            name=check_name(name),
            files=tuple(WantedFile(**item) for item in files),
            folders=tuple(WantedFolder(**item) for item in data["folders"]),
            links=tuple(WantedLink(**item) for item in data["links"]),
            absent=tuple(clean_path(path) for path in data["absent"]),
        )
    except (binascii.Error, zlib.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileError(
            f"the tree did not arrive whole ({type(error).__name__}): run again; if it repeats, controller and host run"
            " different versions of this collection"
        ) from error


# --- the record ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Record:
    """One path that a tree wrote. `mark` is the sha256 of a file or the target of a link.

    `created`: nothing was there when the tree first wrote it; only then may it be pruned. `earlier` holds the mark
    before a write that is under way, so that a run that was killed half-way is still recognized.
    """

    mark: str
    created: bool
    sensitive: bool = False
    earlier: str = ""


@dataclass
class Records:
    """All that one tree wrote: files and links by path, and the folders it made."""

    files: dict[str, Record] = field(default_factory=dict)
    links: dict[str, Record] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)

    @property
    def paths(self) -> set[str]:
        return {*self.files, *self.links, *self.folders}

    def to_json(self, name: str) -> bytes:
        data = {
            "version": _RECORD_VERSION,
            "tree": name,
            "files": {path: asdict(record) for path, record in sorted(self.files.items())},
            "links": {path: asdict(record) for path, record in sorted(self.links.items())},
            "folders": sorted(self.folders),
        }
        return json.dumps(data, indent=1).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> Records:
        """Raises ValueError, KeyError, TypeError or AttributeError when this is not a record."""
        raw = json.loads(data)
        if raw["version"] != _RECORD_VERSION:
            raise ValueError(f"version {raw['version']}")
        return cls(
            files={clean_path(path): Record(**item) for path, item in raw["files"].items()},
            links={clean_path(path): Record(**item) for path, item in raw["links"].items()},
            folders={clean_path(path) for path in raw["folders"]},
        )


class RecordStore:
    """The records of all trees on a host, one file each in /var/lib/hypercode/trees, for root only."""

    def __init__(self, root: HostRoot, sleep: Callable[[float], None] = time.sleep) -> None:
        self._root = root.root
        self._folder = root.locate(f"{RECORDS}/x").parent
        self._sleep = sleep

    def load(self, name: str) -> Records:
        """The record of a tree; empty when it never wrote anything here."""
        path = self._folder / f"{check_name(name)}.json"
        if look(path).kind == "missing":
            return Records()
        try:
            return Records.from_json(read_file(path))
        except (ValueError, KeyError, TypeError, AttributeError, FileError) as error:
            raise FileError(
                f"{path} cannot be read ({error}). It says which files tree {name!r} wrote, so nothing was changed."
                f" Fix: mv {path} {path}.damaged and run again; files that are no longer wanted then have to be removed"
                " by hand"
            ) from error

    def others(self, name: str) -> Records:
        """What all other trees together wrote."""
        together = Records()
        for path in sorted(self._folder.glob("*.json")):
            if path.stem != name:
                records = self.load(path.stem)
                together.files.update(records.files)
                together.links.update(records.links)
                together.folders.update(records.folders)
        return together

    def save(self, name: str, records: Records) -> None:
        """Write a record whole, or remove it when it holds nothing any more. FileError when that fails."""
        path = self._folder / f"{name}.json"
        try:
            self._save(path, name, records)
        except OSError as error:
            raise explain(str(path), "written", error) from error

    def _save(self, path: Path, name: str, records: Records) -> None:
        if records.paths:
            if not self._folder.parent.exists():
                self._folder.parent.mkdir(parents=True)
                self._folder.parent.chmod(0o755)  # Others keep their state beside the records, whatever the umask.
            self._folder.mkdir(mode=0o700, exist_ok=True)
            data = records.to_json(name)
            if look(path).kind == "missing" or read_file(path) != data:
                write_file(path, data, mode=0o600)
            return
        path.unlink(missing_ok=True)
        sync_folders([self._folder])
        # The two folders are ours and worth nothing when empty; anything in them keeps them.
        for folder in (self._folder, self._folder.parent):
            with contextlib.suppress(OSError):
                folder.rmdir()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs off this host's trees. FileError when another one holds them for a minute.

        The lock is on the root folder: it is always there, so that a check run, too, can take it and write nothing.
        """
        handle = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for _second in range(_LOCK_WAIT):
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                self._sleep(1)
            else:
                raise FileError("another run is changing files on this host: wait until it has ended, then run again")
            yield
        finally:
            os.close(handle)
