# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was found in images, kept by image id: an id never stands for other contents, so no image is looked into twice.

One file each, `/var/lib/hypercode/images/<id>.json`.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .files import FileError, explain, write_file
from .image_content import MOST_PACKAGES, ContentError, Package

SCHEMA = 1
ID = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
FILE = re.compile(r"[0-9a-f]{64}\.json")
# More than the packages of any image fill.
MOST_BYTES = 16 * 2**20


@dataclass(frozen=True)
class ContentCache:
    """The folder of what was found."""

    folder: Path

    def read(self, image_id: str) -> list[Package] | None:
        """Return what was found in an image; None where nobody looked, or the file is damaged."""
        path = self._path(image_id)
        try:
            if path is None or path.stat().st_size > MOST_BYTES:
                return None
            document = json.loads(path.read_text(encoding="utf-8"))
            return _packages(document, image_id)
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write(self, image_id: str, packages: Sequence[Package]) -> None:
        """Keep what was found. Raises ContentError where it cannot be written."""
        path = self._path(image_id)
        if path is None:
            return
        document = {"schema": SCHEMA, "image_id": image_id, "packages": [asdict(package) for package in packages]}
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o755)
            write_file(path, (json.dumps(document, indent=1) + "\n").encode(), mode=0o644)
        except FileError as error:
            raise ContentError(str(error)) from error
        except OSError as error:
            raise ContentError(str(explain(str(self.folder), "written", error))) from error

    def prune(self, keep: Collection[str]) -> None:
        """Remove what is about images that are not among `keep`. What cannot be removed does no harm."""
        kept = {path.name for path in map(self._path, keep) if path}
        with contextlib.suppress(OSError):
            for path in list(self.folder.iterdir()):
                if FILE.fullmatch(path.name) and path.name not in kept:
                    path.unlink(missing_ok=True)

    def _path(self, image_id: str) -> Path | None:
        found = ID.fullmatch(image_id)
        return self.folder / f"{found[1]}.json" if found else None


def _packages(document: Any, image_id: str) -> list[Package] | None:
    if document["schema"] != SCHEMA or document["image_id"] != image_id or len(document["packages"]) > MOST_PACKAGES:
        return None
    found = [Package(**entry) for entry in document["packages"]]
    is_whole = all(isinstance(text, str) for package in found for text in (package.name, package.version, package.path))
    return found if is_whole else None
