# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What every way to encrypt a file of secrets can do."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Store(Protocol):
    """Opens and seals the content of one environment's file of secrets. All methods may raise StoreError."""

    @property
    def path(self) -> Path:
        """The file of secrets."""

    def is_sealed(self, data: bytes) -> bool:
        """Whether this content is encrypted (wholly)."""

    def open(self, data: bytes) -> bytes:
        """The text behind encrypted content."""

    def seal(self, text: bytes) -> bytes:
        """The text encrypted: as the content that was opened last, else as for a new file."""

    def edit(self, copy: Path) -> None:
        """Let a person edit an encrypted copy in their editor. The text is never left on the disk."""
