# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is told of a move besides its plan: who asked for it, which release it is, and the board after it."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from typing import Any

from . import stack_state
from .engine import Engine, EngineError
from .release import ReleaseError, Store


def who() -> str:
    """Return the person behind this run: the user who called sudo, where there is one."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def short(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return what names a release, from its release.json."""
    return {key: about.get(key) for key in ("id", "version", "status")}


def board_of(store: Store, engine: Engine, project: str) -> list[dict[str, Any]]:
    """Return the board of the release in use; nothing where it cannot be read."""
    try:
        return [row.as_board() for row in stack_state.read_board(engine, project, store.current())]
    except (EngineError, ReleaseError):
        return []
