# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Folders that the controller keeps because making them again takes time."""

from __future__ import annotations

import shutil
from pathlib import Path


def keep_newest(folder: Path, number: int) -> None:
    """Remove all but the newest entries of a cache; hidden ones are work in progress and stay."""
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    entries.sort(key=lambda entry: entry.stat().st_mtime, reverse=True)
    for entry in entries[number:]:
        # What another run removes at the same moment is gone all the same.
        shutil.rmtree(entry, ignore_errors=True)
