# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the daemon is told (/etc/hypercode/watch.json, written by the role watch), and where things are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class WatchError(Exception):
    """The daemon cannot do what it is told; the text says why and the fix."""


@dataclass(frozen=True)
class Paths:
    """Where things are on the host; `root` is / except in tests."""

    root: Path = field(default_factory=lambda: Path("/"))

    @property
    def config(self) -> Path:
        return self.root / "etc/hypercode/watch.json"

    @property
    def metrics(self) -> Path:
        return self.root / "var/lib/hypercode/metrics/watch.prom"

    @property
    def folder(self) -> Path:
        """The journals, and what is remembered between runs."""
        return self.root / "var/lib/hypercode/watch"

    @property
    def state(self) -> Path:
        return self.folder / "state.json"


@dataclass(frozen=True)
class Config:
    """The settings. Times in seconds, sizes in bytes."""

    projects: tuple[str, ...]
    interval: float = 15.0
    journal_interval: float = 60.0
    journal_days: int = 30
    journal_max_bytes: int = 512 * 2**20
    heal: bool = True
    # How long a container is unhealthy before it is restarted.
    heal_after: float = 60.0
    # So many restarts within an hour, then it is given up.
    heal_max: int = 5


# Of each setting but the projects: the least that makes sense.
_LEAST: Mapping[str, float] = {
    "interval": 1,
    "journal_interval": 1,
    "journal_days": 1,
    "journal_max_bytes": 2**20,
    "heal_after": 0,
    "heal_max": 1,
}


def read_config(path: Path) -> Config:
    """Read the settings. WatchError when they are missing or make no sense."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WatchError(f"{path} cannot be read: {error.strerror}. Fix: run site.yml for this host") from error
    except ValueError as error:
        raise WatchError(f"{path} is no JSON. Fix: run site.yml for this host, it is written anew") from error
    problem = _problem(document)
    if problem:
        raise WatchError(f"{path}: {problem}. Fix: correct it in the inventory, then run site.yml for this host")
    numbers = {key: type(getattr(Config, key))(document[key]) for key in _LEAST if key in document}
    return Config(tuple(document["projects"]), heal=document.get("heal", True), **numbers)


def _problem(document: Any) -> str:
    if not isinstance(document, dict):
        return "it does not hold a mapping"
    projects = document.get("projects")
    if not isinstance(projects, list) or not projects or not all(isinstance(name, str) and name for name in projects):
        return "projects has to be a list of names, with one at least"
    if not isinstance(document.get("heal", True), bool):
        return "heal has to be true or false"
    for key, least in _LEAST.items():
        value = document.get(key, least)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < 1e15:
            return f"{key} has to be a number of at least {least:g}"
    return ""
