# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Exchanges the content of a folder for another one, so that it can be undone after a power cut at any moment.

The old content is moved to a folder on the same file system, the new one is moved in. So the old content is only ever
renamed, and is in one of two places, whole. What uses the folder is stopped meanwhile. This is how volumes, paths and
Grafana come back, and how the whole content of a Postgres volume is replaced by another one.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from ..command import run_command
from ..files import explain
from .config import BackupError
from .put_back_record import Deed, Record

FILES = "files"
# The states of an exchange: nothing was touched, the old goes aside, the new comes in.
NEW, ASIDE, IN = "new", "aside", "in"
_COPY, _ASIDE = ".hypercode-copy", ".hypercode-aside-"
MOUNTS = Path("/proc/self/mountinfo")


def exchange_of(
    item: str,
    target: Path,
    staged: Path | None,
    services: Sequence[str],
    mark: str,
    *,
    only: Sequence[str] = ("*",),
    but: Sequence[str] = (),
) -> Deed:
    """An exchange that is to be done: of what in `target` fits `only` and not `but`, for all that is in `staged`.

    Without `staged` the folder gets empty. `services` are those that have to be down meanwhile, `mark` tells the place
    of the old content from others. The owner and mode of `staged` become those of the folder, when all of it goes.
    BackupError where that cannot be undone.
    """
    target = Path(os.path.realpath(target))
    refuse_mounts(target, item)
    name = f"{_ASIDE}{mark}"
    return {
        "kind": FILES,
        "item": item,
        "target": str(target),
        # What is mounted is a file system of its own: then it goes aside in there.
        "aside": str(target / name if _is_apart(target) else target.parent / name),
        "staged": str(staged) if staged else "",
        "only": list(only),
        "but": list(but),
        "services": list(services),
        "state": NEW,
        "made": False,
        "attributes": [],
    }


def refuse_mounts(target: Path, item: str) -> None:
    """BackupError where something is mounted below a folder: that cannot be moved aside with the rest."""
    place = os.path.realpath(target)
    below = sorted(point for point in _mounts() if point.startswith(f"{place.rstrip('/')}/"))
    if below:
        raise BackupError(
            f"{item} is not put back: something is mounted in {target}, at {', '.join(below)}, which cannot be "
            f"exchanged with the rest. Fix: umount it first, or bring {item} back with --to FOLDER and copy it by hand"
        )


def is_mount(folder: Path) -> bool:
    """Also where a folder of the same file system is mounted there, which `os.path.ismount` does not tell."""
    return os.path.realpath(folder) in _mounts()


def _is_apart(folder: Path) -> bool:
    """Whether what is in a folder can only be copied to beside it."""
    return is_mount(folder) or (folder.exists() and folder.stat().st_dev != folder.parent.stat().st_dev)


def _mounts() -> set[str]:
    text = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    return {re.sub(r"\\([0-7]{3})", _character, line.split()[4]) for line in text.splitlines()}


def _character(found: re.Match[str]) -> str:
    return chr(int(found[1], 8))


def put(deed: Deed, record: Record) -> None:
    """Do it. BackupError or FileError; then `undo` brings the old content back."""
    target, aside = Path(deed["target"]), Path(deed["aside"])
    try:
        deed["made"] = not target.exists()
        target.mkdir(mode=0o755, parents=True, exist_ok=True)
        about = target.stat()
        deed["attributes"] = [about.st_uid, about.st_gid, about.st_mode & 0o7777]
        deed["state"] = ASIDE
        record.write()
        aside.mkdir(mode=0o700, exist_ok=True)
        for name in _chosen(target, deed):
            (target / name).rename(aside / name)
        deed["state"] = IN
        record.write(moved=True)
        if deed["staged"]:
            staged = Path(deed["staged"])
            for name in _names(staged):
                if os.path.lexists(target / name):
                    raise BackupError(
                        f"Something made {target / name} anew while it was exchanged, so somebody still writes there. "
                        f"Fix: find out who: fuser -v {target}; stop that, then run this again"
                    )
                _bring(staged / name, target)
            if deed["only"] == ["*"]:
                about = staged.stat()
                _set(target, about.st_uid, about.st_gid, about.st_mode & 0o7777)
    except OSError as error:
        raise explain(str(target), "exchanged", error) from error


def undo(deed: Deed, record: Record) -> None:
    """Bring the old content back, from whatever moment. May be done again. BackupError or FileError."""
    target, aside = Path(deed["target"]), Path(deed["aside"])
    try:
        if deed["state"] == IN:
            _remove(target / _COPY)
            for name in _chosen(target, deed):
                _remove(target / name)
            deed["state"] = ASIDE
            record.write(moved=True)
        if deed["state"] == ASIDE:
            if aside.exists():
                for name in _names(aside):
                    # Whatever has its name by now was made since: what was set aside is what was there.
                    _remove(target / name)
                    (aside / name).rename(target / name)
                aside.rmdir()
            if target.exists():
                _set(target, *deed["attributes"])
                if deed["made"] and not any(target.iterdir()):
                    target.rmdir()
            deed["state"] = NEW
            record.write(moved=True)
    except OSError as error:
        raise explain(str(target), "put back", error) from error


def finish(deed: Deed) -> None:
    """Remove the old content."""
    shutil.rmtree(deed["aside"], ignore_errors=True)


def _chosen(folder: Path, deed: Deed) -> list[str]:
    """What of a folder is exchanged. What went aside in there is no part of it."""
    return [
        name
        for name in _names(folder)
        if not name.startswith(_ASIDE)
        and any(fnmatch.fnmatchcase(name, pattern) for pattern in deed["only"])
        and not any(fnmatch.fnmatchcase(name, pattern) for pattern in deed["but"])
    ]


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _bring(source: Path, folder: Path) -> None:
    """Move into a folder, also from another file system. It appears under its name only when it is whole."""
    target = folder / source.name
    try:
        source.rename(target)
        return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
    copy = folder / _COPY
    done = run_command(["cp", "--archive", "--", str(source), str(copy)], timeout=6 * 3600)
    if done.code != 0:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.code}"])[-1].rstrip(".")
        raise BackupError(f"{source} cannot be copied to {folder}: {reason}. Fix: look at the disk: df -h {folder}")
    copy.rename(target)
    _remove(source)


def _set(folder: Path, uid: int, gid: int, mode: int) -> None:
    os.chown(folder, uid, gid)
    folder.chmod(mode)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
