# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The file of a bundle: everything that goes in is masked here. It appears under its name only when it is whole."""

from __future__ import annotations

import contextlib
import os
import re
import tarfile
import zlib
from io import BytesIO
from pathlib import Path
from types import TracebackType

from ..board_text import clean_text
from ..files import explain, make_folder, sha256, sweep, sync_folders
from .bounded import MEBIBYTE
from .mask import Mask

LARGEST = 50 * MEBIBYTE
# Kept for the index, and for what the compressor has not written yet.
_RESERVE = 2 * MEBIBYTE
KEEP = 3
_UNSAFE = re.compile(r"[^\w.@+=-]", re.ASCII)
_NAME_MOST = 120
_LEFT_OUT = "[a line that is no text is left out]"


class DiagnoseError(Exception):
    """No bundle could be written. The text says why, and the fix."""


class Bundle:
    """Writes the file at ``path``, mode 0600. ``folder`` is what it unpacks to, ``now`` the time of its files."""

    def __init__(self, path: Path, mask: Mask, *, folder: str, now: float, largest: int = LARGEST) -> None:
        self.path, self._mask, self._folder, self._now = path, mask, folder, now
        self._room = largest - _RESERVE
        # As files.stage() names them, so that what a killed run left behind is found and removed.
        self._mark = sha256(os.fsencode(path.name))[:16]
        self._partial = path.parent / f".hypercode-{self._mark}-{os.getpid()}.tmp"
        self.names: dict[str, int] = {}

    def __enter__(self) -> Bundle:
        try:
            if self.path.is_dir():
                raise DiagnoseError(f"{self.path} is a folder. Fix: name a file, such as {self.path}/bundle.tar.gz")
            sweep(self.path.parent, self._mark)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            self._stream = os.fdopen(os.open(self._partial, flags, 0o600), "wb")
            self._tar = tarfile.open(fileobj=self._stream, mode="w:gz", compresslevel=6)
        except OSError as error:
            raise _refused(self.path, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.close()
        self._partial.unlink(missing_ok=True)

    def mask(self, text: str) -> str:
        """``text`` without secrets, without what steers a terminal, and without lines that are no text."""
        masked = self._mask(text)
        cleaned = clean_text(_without_binary(masked))
        # What was taken away may have stood in the middle of a secret.
        return masked if cleaned == masked else self._mask(cleaned)

    def add(self, name: str, text: str) -> str | None:
        """Add a text; return its name in the bundle, None where there is no room left for it. DiagnoseError."""
        data, name = self.mask(text).encode(errors="replace"), self._safe(name)
        room = self._room - self._stream.tell()
        if len(data) > room and len(zlib.compress(data, 1)) > room:
            return None
        self._write(name, data)
        return name

    def finish(self, *texts: tuple[str, str]) -> int:
        """Add the last texts, for which there is always room, and put the file in its place; return its size."""
        for name, text in texts:
            self._write(name, self.mask(text).encode(errors="replace"))
        try:
            self._tar.close()
            self._stream.flush()
            os.fsync(self._stream.fileno())
            size = self._stream.tell()
            self._stream.close()
            self._partial.replace(self.path)
            sync_folders([self.path.parent])
        except OSError as error:
            raise _refused(self.path, error) from error
        return size

    def _write(self, name: str, data: bytes) -> None:
        about = tarfile.TarInfo(f"{self._folder}/{name}")
        about.size, about.mode, about.mtime, about.uname, about.gname = len(data), 0o600, int(self._now), "root", "root"
        try:
            self._tar.addfile(about, BytesIO(data))
        except OSError as error:
            raise _refused(self.path, error) from error
        self.names[name] = len(data)

    def _safe(self, name: str) -> str:
        """A name for the bundle, which no other file in it has: a container may be called anything."""
        parts = [_UNSAFE.sub("_", part)[:_NAME_MOST] for part in self._mask(name).split("/")]
        safe = "/".join("_" if part.strip(".") == "" else part for part in parts)
        number, found = 1, safe
        while found in self.names:
            number += 1
            found = f"{safe}.{number}"
        return found


def _without_binary(text: str) -> str:
    if "\0" not in text and "\ufffd" not in text:
        return text
    return "\n".join(_LEFT_OUT if _is_binary(line) else line for line in text.split("\n"))


def _is_binary(line: str) -> bool:
    return "\0" in line or line.count("\ufffd") * 10 > len(line)


def _refused(path: Path, error: OSError) -> DiagnoseError:
    return DiagnoseError(
        f"{explain(str(path), 'written', error)}. Another place may do: "
        "hypercode diagnose --output /run/hypercode-diagnose.tar.gz (in memory)"
    )


def have_folder(folder: Path) -> None:
    """Make the folder for bundles, for root only. DiagnoseError."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if not folder.is_dir():
            make_folder(folder, 0o700, None, None)
    except OSError as error:
        raise _refused(folder, error) from error


def free_bytes(folder: Path) -> int:
    """What can be written to the disk on which this folder is, or will be."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        about = os.statvfs(folder)
    except OSError:
        return 0
    return about.f_bavail * about.f_frsize


def prune(folder: Path, host: str, keep: int = KEEP) -> None:
    """Remove all but the newest bundles of this host. Nothing else in the folder is touched."""
    names = re.compile(rf"{re.escape(host)}-\d{{8}}T\d{{6}}Z\.tar\.gz")
    with contextlib.suppress(OSError):
        found = sorted(path for path in folder.iterdir() if names.fullmatch(path.name))
        for path in found[:-keep]:
            path.unlink(missing_ok=True)
