# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Whole files, written safely: a reader sees the old content or the new, whatever happens in between."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.hypercode.deploy.plugins.plugin_utils.secret_store.problem import refuse

PRIVATE = 0o600
# An encrypted file is about four times as long as its text.
MAX_FILE = 16 * 1024 * 1024


def _reason(error: OSError) -> str:
    return (error.strerror or "it does not work").lower()


def read(path: Path) -> bytes | None:
    """The content of a file, None without one. Raises StoreError when it cannot be read or is far too big."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise refuse(
            "file-unreadable", f"{path} cannot be read: {_reason(error)}.", "correct its permissions."
        ) from None
    if len(data) > MAX_FILE:
        raise refuse(
            "file-too-big", f"{path} is bigger than {MAX_FILE >> 20} MB.", "a file of secrets is small: check it."
        )
    return data


def write(path: Path, data: bytes) -> None:
    """Replace a file as a whole, mode 0600; its owner stays. Raises StoreError, and then the old file is as it was."""
    # The name begins with a dot: Ansible does not take a left-over for a file with variables.
    temporary = path.parent / f".{path.name}.{os.getpid()}.new"
    try:
        owner = path.stat() if path.exists() else None
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, PRIVATE)
        with open(descriptor, "wb") as stream:  # noqa: PTH123  It is no path.
            os.fchmod(descriptor, PRIVATE)
            if owner is not None and (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
                # Somebody else's file that we may replace but not give back: ours is better than none.
                with contextlib.suppress(PermissionError):
                    os.fchown(descriptor, owner.st_uid, owner.st_gid)
            stream.write(data)
            stream.flush()
            os.fsync(descriptor)
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        message = f"{path} cannot be written: {_reason(error)}. What was there stays."
        raise refuse(
            "file-unwritable", message, f"make {path.parent} writable for you, with space left on its disk."
        ) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Remove a file; it may be gone already. Raises StoreError."""
    try:
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise refuse("file-unwritable", f"{path} cannot be removed: {_reason(error)}.", f"rm {path}") from None


def sync_folder(folder: Path) -> None:
    """Make sure that a rename survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """Keep every other run away from a folder. The lock goes with the process, so none is ever left behind.

    Raises StoreError when another run holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise refuse(
            "folder-unusable", f"{folder} cannot be used: {_reason(error)}.", "correct its permissions."
        ) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            message = f"Another scripts/secrets is at work on {name}."
            raise refuse("busy", message, "wait until it has ended, then run this again.") from None
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """A folder that only this user can enter, removed with all that is in it."""
    folder = Path(tempfile.mkdtemp(prefix="hypercode-secrets-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
