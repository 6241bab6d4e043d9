# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keeps the files as written, which the merged project no longer shows."""

from __future__ import annotations

from ..findings import Document
from ..loader import Reader


class RecordingReader:
    """Passes a reader's documents on and keeps them: defaults of variables stand in the files as written only."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.documents: list[Document] = []

    def document(self, path: str) -> Document:
        """A YAML file; see ``Reader``."""
        document = self._reader.document(path)
        self.documents.append(document)
        return document

    def text(self, path: str) -> str | None:
        """A text file; see ``Reader``."""
        return self._reader.text(path)
