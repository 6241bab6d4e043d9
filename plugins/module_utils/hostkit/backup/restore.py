# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The way back, into a folder: each item is compared with what the run wrote down about it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..files import explain
from .config import BackupError
from .restic import Restic
from .runs import Run
from .saver import STREAM, file_of
from .streams import Deadline, write_back


def choose(manifest: Mapping[str, Any], wanted: Sequence[str]) -> list[str]:
    """The items that fit: a name, or the beginning of names up to a slash. All where nothing is named. BackupError."""
    items = list(manifest["items"])
    chosen: list[str] = []
    for word in wanted:
        fitting = [name for name in items if name == word or name.startswith(f"{word.rstrip('/')}/")]
        if not fitting:
            raise BackupError(
                f"There is no item '{word}' in the run {manifest['id']}. Items: {', '.join(sorted(items))}"
            )
        chosen += fitting
    return list(dict.fromkeys(chosen)) if wanted else items


def make_new(folder: Path) -> None:
    """Make a folder, or take one that is empty. BackupError where anything is in it."""
    try:
        if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
            raise BackupError(f"{folder} is not empty: nothing is ever overwritten there. Fix: name a new folder")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise explain(str(folder), "made", error) from error


def restore_to_folder(
    restic: Restic, run: Run, manifest: Mapping[str, Any], items: Sequence[str], folder: Path, deadline: Deadline
) -> list[Path]:
    """Write each item below a folder, which has to be new or empty. Returns what was written.

    BackupError names the items that did not come back as they were saved; what came of them has the suffix .differs.
    A dump becomes a file, what was files before becomes a folder with their whole paths in it.
    """
    make_new(folder)
    missing = [name for name in items if name not in run.snapshots]
    if missing:
        raise BackupError(
            f"The repository '{restic.name}' has no {', '.join(missing)} of this run. Fix: use another --repository"
        )
    written, wrong = [], []
    for name in items:
        target = folder / place_of(name)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            restore_item(restic, run, manifest, name, target, deadline)
        except OSError as error:
            _remove(target)
            raise explain(str(target), "written", error) from error
        except BackupError as error:
            wrong.append(str(error))
            if target.exists():
                target.rename(target.with_name(f"{target.name}.differs"))
        else:
            written.append(target)
    if wrong:
        raise BackupError(
            f"{len(wrong)} of {len(items)} items did not come back as they were saved; the others are in {folder}. "
            f"What came of these ends in .differs: {' '.join(f'[{n}] {text}.' for n, text in enumerate(wrong, 1))}"
        )
    return written


def restore_item(
    restic: Restic, run: Run, manifest: Mapping[str, Any], name: str, target: Path, deadline: Deadline
) -> None:
    """Write one item to a path that does not exist yet. BackupError where it is not what was saved."""
    facts, snapshot = manifest["items"][name], run.snapshots[name]
    if facts["kind"] == STREAM:
        found = write_back(restic, snapshot.id, f"/{file_of(name)}", target, deadline)
        if found != facts["sha256"]:
            raise BackupError(
                f"{name} came back from the repository '{restic.name}' other than it was saved. "
                "Fix: take another run or repository; hypercode backup verify --all tells how much is damaged"
            )
        return
    target.mkdir(mode=0o700)
    restic.call("restore", snapshot.id, "--quiet", "--target", str(target), timeout=deadline.left())
    count = sum(1 for path in target.rglob("*") if path.is_file() and not path.is_symlink())
    saved = (facts.get("files_in") or {}).get(restic.name, facts["files"])
    if count != saved:
        raise BackupError(
            f"{name} came back with {count} files, and {saved} were saved. Fix: take another run or repository"
        )


def place_of(item: str) -> Path:
    """Where an item lies below the folder. No name of a database or volume leads out of it."""
    parts = [part.replace("\\0", "_") for part in item.split("/") if part not in ("", ".", "..")]
    return Path(*(parts or ["item"]))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
