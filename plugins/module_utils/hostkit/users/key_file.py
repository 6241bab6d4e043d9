# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A user's authorized_keys. The folder is the user's own: what lies there is never followed as a link.

Everything is done relative to an opened folder, so that a user who swaps a folder for a link in the meantime gains
nothing.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_FOLDER, _FILE = ".ssh", "authorized_keys"
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


class KeyFileError(Exception):
    """What is in the way, and the fix."""


class KeyFile:
    """authorized_keys below a home. ``shown`` is the path of the home on the host, for messages."""

    def __init__(self, home: Path, shown: str, uid: int, gid: int) -> None:
        self._home, self._shown, self._uid, self._gid = home, shown, uid, gid

    @property
    def path(self) -> str:
        """The file, as on the host."""
        return f"{self._shown}/{_FOLDER}/{_FILE}"

    def read(self) -> str:
        """The text; empty where there is no file. KeyFileError when a link or something odd is in its place."""
        try:
            with self._folder(make=False) as folder:
                handle = os.open(_FILE, _OPEN, dir_fd=folder)
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise self._odd(error) from error
        with os.fdopen(handle, encoding="utf-8", errors="surrogateescape") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise self._odd(OSError("it is no file"))
            return file.read()

    def write(self, text: str) -> None:
        """Write the file whole, as the user's own. The folder is made where it is missing."""
        try:
            with self._folder(make=True) as folder:
                self._write(folder, text)
        except OSError as error:
            raise self._odd(error) from error

    def _write(self, folder: int, text: str) -> None:
        temporary = f".{_FILE}.hypercode"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=folder)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(
            os.open(temporary, flags, 0o600, dir_fd=folder), "w", encoding="utf-8", errors="surrogateescape"
        ) as file:
            file.write(text)
            file.flush()
            os.fchown(file.fileno(), self._uid, self._gid)
            os.fsync(file.fileno())
        os.rename(temporary, _FILE, src_dir_fd=folder, dst_dir_fd=folder)
        os.fsync(folder)

    @contextlib.contextmanager
    def _folder(self, *, make: bool) -> Iterator[int]:
        home = os.open(self._home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(_FOLDER, 0o700, dir_fd=home)
                    os.chown(_FOLDER, self._uid, self._gid, dir_fd=home, follow_symlinks=False)
            folder = os.open(_FOLDER, _OPEN | os.O_DIRECTORY, dir_fd=home)
        finally:
            os.close(home)
        try:
            yield folder
        finally:
            os.close(folder)

    def _odd(self, error: OSError) -> KeyFileError:
        return KeyFileError(
            f"{self.path} cannot be used: {error.strerror or error}. A link there is not followed. Fix: make"
            f" {self._shown}/{_FOLDER} a folder and {self.path} a file, both of the user"
        )


def with_keys(text: str, add: list[str], drop: set[str]) -> str:
    """The text with these lines added, and without the lines that hold one of these data."""
    kept = [line for line in text.splitlines() if not drop.intersection(line.split())]
    return "".join(f"{line}\n" for line in [*kept, *add])
