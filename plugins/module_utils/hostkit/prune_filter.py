# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tells root's docker client to leave the keepers of images alone when it prunes containers.

`docker system prune --all` removes containers that do not run before it looks at images. The client's own configuration
may name filters for every prune (`pruneFilters`); what else is in it stays.
"""

from __future__ import annotations

import json
from pathlib import Path

from .files import FileError, explain, write_file

FILTER = "label!=hypercode.purpose=keep-image"
CONFIG = "root/.docker/config.json"


def set_filter(root: Path, *, wanted: bool, check: bool = False) -> tuple[list[str], list[str]]:
    """Have our filter in root's client configuration, or have it out; return its filters before and after.

    A file that says nothing any more is removed. With `check`, nothing is written. Raises FileError.
    """
    path = root / CONFIG
    try:
        document = json.loads((path.read_text(encoding="utf-8") if path.exists() else "") or "{}")
        before = [*(document.get("pruneFilters") or [])]
        after = [*(found for found in before if found != FILTER), *([FILTER] if wanted else [])]
        if check or (FILTER in before) == wanted:
            return before, before if (FILTER in before) == wanted else after
        document["pruneFilters"] = after
        _write(path, document if after else {key: value for key, value in document.items() if key != "pruneFilters"})
    except OSError as error:
        raise explain(str(path), "changed", error) from error
    except (ValueError, AttributeError, TypeError) as error:
        # Somebody else's file: what cannot be read is not written over.
        raise FileError(
            f"{path} is not what the docker client writes, so it was left alone. "
            "Fix: mend it or move it away, then run the same command again"
        ) from error
    return before, after


def _write(path: Path, document: dict[str, object]) -> None:
    if not document:
        path.unlink()
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    write_file(path, (json.dumps(document, indent="\t") + "\n").encode(), mode=mode)


def add_filter(root: Path) -> str:
    """Put the filter there, where it is not yet. Return what is in the way, or nothing."""
    try:
        set_filter(root, wanted=True)
    except FileError as error:
        return str(error)
    return ""
