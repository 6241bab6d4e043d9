# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which Python packages an image holds, read from the tar stream of its files. Nothing of the image is run.

Every installer leaves a record beside a package: `<name>-<version>.dist-info/METADATA`, `….egg-info/PKG-INFO`, or one
file `….egg-info`. Where a record itself is unreadable, the name of its folder says the same. Source of the forms: the
packaging specifications on packaging.python.org, "Recording installed projects" and "Core metadata".
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO

# Name and version stand at the beginning; a long description follows.
RECORD_BYTES = 64 * 1024
MOST_PACKAGES = 20_000
CHUNK = 1 << 20
# tarfile copies the rest of such a piece for every file in it.
TAR_BLOCK = 16 * 1024
# A tar ends with two blocks of zeros.
END_BYTES = 1024
FOLDER = re.compile(r"(?P<stem>[^/]+)\.(?:dist-info|egg-info)")
EGG = re.compile(r"(?P<stem>[^/]+)\.egg")
NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,198}[A-Za-z0-9])?")
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_*-]{0,98}")


class ContentError(Exception):
    """The contents of an image cannot be told. What, where and the fix."""


@dataclass(frozen=True, order=True)
class Package:
    """One installed package. `version` is empty where nothing tells it; `path` is its record in the image."""

    name: str
    version: str
    path: str


def normal_name(name: str) -> str:
    """Return a package's name in the form of PEP 503: Python_Jose and python.jose are both python-jose."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


class Watched:
    """A stream that notes how many bytes went by, and how many zeros it ended with."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.total = 0
        self.zeros = 0

    def read(self, size: int = -1) -> bytes:
        """Read at most `size` bytes."""
        data = self._stream.read(size)
        self.total += len(data)
        rest = data.rstrip(b"\0")
        self.zeros = len(data) - len(rest) if rest else self.zeros + len(data)
        return data

    def drain(self) -> None:
        """Read to the end."""
        while self.read(CHUNK):
            pass


def packages_in(stream: IO[bytes]) -> list[Package]:
    """Return the packages in a tar stream, each name and version once. ContentError for a tar that is not whole."""
    watched = Watched(stream)
    found = _Found()
    try:
        with tarfile.open(fileobj=watched, mode="r|", bufsize=TAR_BLOCK) as tar:  # type: ignore[call-overload]
            while (member := tar.next()) is not None:
                # It would keep every one of a hundred thousand files.
                tar.members.clear()
                found.see(tar, member)
            watched.drain()
            end = tar.offset
    except (tarfile.TarError, EOFError, OSError, ValueError, IndexError) as error:
        raise ContentError(f"the list of its files is damaged or cut off ({error})") from error
    # tarfile takes a stream that ends between two files, or goes on with rubbish, for a whole one.
    if watched.total - end < END_BYTES or watched.zeros < watched.total - end:
        raise ContentError("the list of its files ends too early")
    return found.packages()


class _Found:
    """Collects records, and folders of records that could not be read."""

    def __init__(self) -> None:
        self._packages: dict[tuple[str, str], Package] = {}
        self._read: set[str] = set()
        # Path of the folder -> what its name says.
        self._folders: dict[str, str] = {}

    def see(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        path = "/" + member.name.removeprefix("./").lstrip("/")
        record = _record_of(path)
        if record is None:
            return
        folder, stem, is_text = record
        self._folders.setdefault(folder, stem)
        if len(self._folders) > MOST_PACKAGES:
            raise ContentError(f"it holds more than {MOST_PACKAGES} Python packages")
        # What is linked to is seen under its own name; what the link's name says counts all the same.
        if is_text and member.isfile():
            handle = tar.extractfile(member)
            name, version = _headers(handle.read(RECORD_BYTES) if handle else b"")
            if name:
                self._read.add(folder)
                self._add(name, version or _named(stem)[1], folder)

    def _add(self, name: str, version: str, path: str) -> None:
        self._packages.setdefault((normal_name(name), version), Package(normal_name(name), version, path))

    def packages(self) -> list[Package]:
        for folder in sorted(set(self._folders) - self._read):
            name, version = _named(self._folders[folder])
            if name:
                self._add(name, version, folder)
        return sorted(self._packages.values())


def _record_of(path: str) -> tuple[str, str, bool] | None:
    """Return folder, what its name says, and whether this is the text with name and version; None for other files."""
    if "-info" not in path and "EGG-INFO" not in path:
        return None
    pure = PurePosixPath(path)
    found = FOLDER.fullmatch(pure.name)
    if found:
        return path, found["stem"], path.endswith(".egg-info")
    parent = FOLDER.fullmatch(pure.parent.name)
    if parent:
        wanted = "METADATA" if pure.parent.name.endswith(".dist-info") else "PKG-INFO"
        return (str(pure.parent), parent["stem"], True) if pure.name == wanted else None
    egg = EGG.fullmatch(pure.parent.parent.name)
    if egg and pure.parent.name == "EGG-INFO" and pure.name == "PKG-INFO":
        return str(pure.parent.parent), egg["stem"], True
    return None


def _headers(data: bytes) -> tuple[str, str]:
    name = version = ""
    for line in _head_lines(data.decode("utf-8", errors="replace")):
        key, colon, value = line.partition(":")
        if colon and key.strip().lower() == "name" and not name and NAME.fullmatch(value.strip()):
            name = value.strip()
        if colon and key.strip().lower() == "version" and not version and VERSION.fullmatch(value.strip()):
            version = value.strip()
    return name, version


def _head_lines(text: str) -> Iterator[str]:
    for line in text.removeprefix("\ufeff").splitlines():
        if not line.strip():
            return
        yield line


def _named(stem: str) -> tuple[str, str]:
    """Return name and version that a folder's name tells, such as python_jose-3.3.0 or six-1.16.0-py3.11."""
    name, _dash, rest = stem.partition("-")
    version = rest.partition("-")[0]
    if not NAME.fullmatch(name):
        return "", ""
    return name, version if VERSION.fullmatch(version) else ""
