# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whole-file writes, safe paths, comparison and diffs: the ground that everything that writes on a host stands on."""

from __future__ import annotations

import contextlib
import difflib
import errno
import grp
import hashlib
import os
import pwd
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

DIFF_LIMIT = 100_000  # bytes of one side; beyond that a diff helps nobody
_TEMP_PREFIX = ".hypercode-"
_MAX_LINKS = 40


class FileError(Exception):
    """What went wrong with a file, where and how to repair it, in words for the operator."""


# --- what was asked for: paths, modes, owners -----------------------------------------------------------------------


def clean_path(path: str) -> str:
    """Return `path` without doubled or trailing slashes. FileError unless it is absolute, below /, and free of `..`."""
    if not path.startswith("/"):
        raise FileError(f"{path or '(empty)'}: the path must be absolute, that is, begin with /")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise FileError(f"{path}: the path must not hold '..': write it out")
    if not parts:
        raise FileError(f"{path}: this is the root folder, not a file: add a name")
    if not path.isprintable():
        raise FileError(f"{path!r}: the path holds a control or undecodable character: rename the file")
    return "/" + "/".join(parts)


def parents_of(path: str) -> list[str]:
    """Every folder above `path` except /, topmost first: /a/b/c gives /a and /a/b."""
    parts = path.strip("/").split("/")[:-1]
    return ["/" + "/".join(parts[: index + 1]) for index in range(len(parts))]


def parse_mode(value: object) -> int:
    """Return permission bits (0 to 0o7777) from octal text ("0644") or from a number that YAML read as octal (0644).

    A number such as 644 is decimal by the time it gets here and would set the sticky bit: it is refused.
    """
    if isinstance(value, str):
        if re.fullmatch(r"(0o)?[0-7]{3,5}", value) and int(value, 8) <= 0o7777:
            return int(value, 8)
        raise FileError(f'mode {value!r} is not octal: write it like "0644", in quotes')
    if isinstance(value, int) and not isinstance(value, bool):
        owner, group, other = value >> 6 & 7, value >> 3 & 7, value & 7
        # People give a group no more than its owner and none a write without a read: the rest are decimal numbers.
        if 0 <= value <= 0o777 and not group & ~owner and not other & ~group and 2 not in (group & 6, other & 6):
            return int(value)
        raise FileError(f'mode {value} was read as a decimal number: write it in quotes, like "0644"')
    raise FileError(f'mode {value!r} is not octal: write it like "0644", in quotes')


def user_id(owner: str) -> int | None:
    """The uid of a user name or of a number; None when this host has no such user."""
    if owner.isdecimal():
        return int(owner)
    with contextlib.suppress(KeyError):
        return pwd.getpwnam(owner).pw_uid
    return None


def group_id(group: str) -> int | None:
    """The gid of a group name or of a number; None when this host has no such group."""
    if group.isdecimal():
        return int(group)
    with contextlib.suppress(KeyError):
        return grp.getgrnam(group).gr_gid
    return None


# --- what is there ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """What is at a path: kind is missing, file, folder, link or other (device, socket, pipe)."""

    kind: str
    mode: int = 0
    uid: int = -1
    gid: int = -1
    target: str = ""

    @property
    def attributes(self) -> str:
        """Owner, group and mode as text: `root:adm 0640`."""
        try:
            owner = pwd.getpwuid(self.uid).pw_name
        except KeyError:
            owner = str(self.uid)
        try:
            group = grp.getgrgid(self.gid).gr_name
        except KeyError:
            group = str(self.gid)
        return f"{owner}:{group} {self.mode:04o}"


def look(path: Path) -> Found:
    """Look at `path` without following a link. FileError when a folder above it may not be entered."""
    try:
        info = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return Found("missing")
    except OSError as error:
        raise explain(str(path), "looked at", error) from error
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}
    kind = kinds.get(stat.S_IFMT(info.st_mode), "other")
    target = str(path.readlink()) if kind == "link" else ""
    return Found(kind, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, target)


def read_file(path: Path) -> bytes:
    """Read a regular file whole. FileError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise explain(str(path), "read", error) from error


def sha256(data: bytes) -> str:
    """Hex digest of `data`."""
    return hashlib.sha256(data).hexdigest()


def explain(path: str, verb: str, error: OSError) -> FileError:
    """Turn an OSError into words: what could not be done to which file, why, and what helps."""
    fixes = {
        errno.ENOSPC: "free some space on that disk (df -h), then run again",
        errno.EDQUOT: "the disk quota is used up: raise it or free some space, then run again",
        errno.EROFS: "that file system is mounted read-only: remount it, or choose another path",
        errno.EACCES: "run as root (become: true)",
        errno.EPERM: "run as root (become: true); as root already: the file may be immutable (lsattr shows an i)",
        errno.EBUSY: "something is mounted at this very path (findmnt shows it)",
        errno.ENAMETOOLONG: "shorten the name",
    }
    fix = fixes.get(error.errno or 0)
    return FileError(f"{path} cannot be {verb}: {error.strerror or error}" + (f". Fix: {fix}" if fix else ""))


class HostRoot:
    """The file system that paths are meant on: / on a host, some folder in a test or an image."""

    def __init__(self, root: str | Path = "/") -> None:
        self.root = Path(os.path.realpath(root))
        self._trusted = {0, os.geteuid()}

    def locate(self, path: str) -> Path:
        """The real place of `path` (as on the host), its parents resolved, its last name not followed.

        A linked parent is followed when only root could have made it (/bin -> usr/bin). FileError when anybody else
        could, when it leads out of the root, or when a parent is not a folder.
        """
        path = clean_path(path)
        *parents, name = path.strip("/").split("/")
        return self._resolve(path, parents) / name

    def follow(self, path: str) -> Path:
        """As locate, but a link at the very end is followed too, under the same rules."""
        path = clean_path(path)
        return self._resolve(path, path.strip("/").split("/"), last_is_folder=False)

    def _resolve(self, path: str, parts: list[str], last_is_folder: bool = True) -> Path:
        here, todo, links = self.root, parts[::-1], 0
        while todo:
            part = todo.pop()
            if part == "..":  # Only the target of a link can hold one.
                here = here.parent
                continue
            step = here / part
            found = look(step)
            if found.kind == "link":
                links += 1
                if links > _MAX_LINKS:
                    raise FileError(f"{path}: its folders are links that lead in a circle at {step}")
                here = self._check_link(path, step, found)
                todo.extend(reversed(Path(found.target).parts[1 if found.target.startswith("/") else 0 :]))
            elif found.kind in ("missing", "folder") or not (todo or last_is_folder):
                here = step
            else:
                raise FileError(
                    f"{path}: {step} is a file, but has to be a folder: move it away, or choose another path"
                )
        if not here.is_relative_to(self.root):
            raise FileError(f"{path}: a link above it leads to {here}, out of {self.root}: write the real path")
        return here

    def _check_link(self, path: str, link: Path, found: Found) -> Path:
        """Refuse a link that someone other than root may have placed; return the folder its target starts from."""
        folder = look(link.parent)
        shared = folder.mode & 0o022 and not folder.mode & stat.S_ISVTX
        if found.uid not in self._trusted or folder.uid not in self._trusted or shared:
            raise FileError(
                f"{path}: {link} is a link to {found.target} that others than root can change, so it is not followed."
                " Fix: write the real path, or give the link and its folder to root"
            )
        return Path("/") if found.target.startswith("/") else link.parent


# --- writing ----------------------------------------------------------------------------------------------------


def stage(target: Path, data: bytes, *, mode: int, uid: int | None = None, gid: int | None = None) -> Path:
    """Write `data` beside `target`, owner and mode set, on disk for good; return the temporary file for commit()."""
    mark = sha256(os.fsencode(target.name))[:16]
    sweep(target.parent, mark)
    staged = target.parent / f"{_TEMP_PREFIX}{mark}-{os.getpid()}.tmp"
    handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            set_attributes(stream.fileno(), mode, uid, gid)
            os.fsync(stream.fileno())
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    return staged


def sweep(folder: Path, mark: str = "") -> None:
    """Remove the temporary files, of one target or of all, that a killed run left in `folder`."""
    for leftover in folder.glob(f"{_TEMP_PREFIX}{mark}*.tmp"):
        pid = leftover.name.removesuffix(".tmp").rpartition("-")[2]
        if pid == str(os.getpid()) or not Path("/proc", pid).exists():
            leftover.unlink(missing_ok=True)


def set_attributes(handle: int, mode: int, uid: int | None, gid: int | None) -> None:
    """Give an open file or folder its owner and mode. The owner first: changing it clears setuid bits."""
    now = os.fstat(handle)
    if uid not in (None, now.st_uid) or gid not in (None, now.st_gid):
        os.fchown(handle, -1 if uid is None else uid, -1 if gid is None else gid)
    os.fchmod(handle, mode)


def change_attributes(path: Path, mode: int, uid: int | None, gid: int | None) -> None:
    """Set owner and mode of an existing file or folder in place; never through a link."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        set_attributes(handle, mode, uid, gid)
    finally:
        os.close(handle)


def make_folder(path: Path, mode: int, uid: int | None, gid: int | None) -> None:
    """Create one folder, closed to others until owner and mode are set."""
    path.mkdir(mode=0o700)
    try:
        change_attributes(path, mode, uid, gid)
    except BaseException:
        path.rmdir()
        raise


def commit(staged: Path, target: Path) -> None:
    """Put a staged file in its place in one step. The folder is not yet synced: see sync_folders()."""
    staged.replace(target)


def sync_folders(folders: Iterable[Path]) -> None:
    """Make renames and removals in these folders last through a power cut. Folders that are gone are skipped."""
    for folder in sorted(set(folders)):
        with contextlib.suppress(FileNotFoundError):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def write_file(target: Path, data: bytes, *, mode: int = 0o644, uid: int | None = None, gid: int | None = None) -> None:
    """Write one file whole: readers see the old content or the new, never a part. FileError when it cannot be."""
    try:
        commit(stage(target, data, mode=mode, uid=uid, gid=gid), target)
        sync_folders([target.parent])
    except OSError as error:
        raise explain(str(target), "written", error) from error


def write_link(path: Path, target: str) -> None:
    """Make `path` a symbolic link to `target` in one step, in place of an older link or file."""
    staged = path.parent / f"{_TEMP_PREFIX}{sha256(os.fsencode(path.name))[:16]}-{os.getpid()}.tmp"
    staged.unlink(missing_ok=True)
    staged.symlink_to(target)
    try:
        staged.replace(path)
    except BaseException:
        staged.unlink(missing_ok=True)
        raise


# --- showing ----------------------------------------------------------------------------------------------------


def as_text(data: bytes) -> str | None:
    """The text in `data`, or None when it is binary."""
    if b"\0" in data:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def unshowable(before: bytes, after: bytes) -> str:
    """Why a diff of these two cannot be shown; empty when it can."""
    if max(len(before), len(after)) > DIFF_LIMIT:
        return f"diff not shown: larger than {DIFF_LIMIT // 1000} kB"
    if as_text(before) is None or as_text(after) is None:
        return "diff not shown: the file is binary"
    return ""


def unified_diff(path: str, before: bytes, after: bytes) -> str:
    """A unified diff as text; one line that says why when it cannot be shown; empty when nothing differs."""
    if before == after:
        return ""
    reason = unshowable(before, after)
    if reason:
        return f"{path}: {reason}\n"
    old, new = (as_text(side) or "" for side in (before, after))
    lines = difflib.unified_diff(old.splitlines(True), new.splitlines(True), f"before: {path}", f"after: {path}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def times_of(paths: Iterable[Path]) -> list[int]:
    """When files, or the entries of folders, were written last, in nanoseconds; of what is not there, nothing."""
    found = []
    for path in paths:
        with contextlib.suppress(OSError):
            found.append(path.stat().st_mtime_ns)
    return found
