# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a step of the collection gives: files, and what could not be had."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class File:
    """A text that goes into the bundle, masked, as `name` (a relative path). `cut` says that it is a part only."""

    name: str
    text: str
    cut: bool = False


@dataclass(frozen=True)
class Problem:
    """Something that could not be collected, and why."""

    why: str


@dataclass(frozen=True)
class Absent:
    """Something that this host does not have, which is no fault."""

    what: str


Entry: TypeAlias = "File | Problem | Absent"
Entries = Iterator[Entry]
