# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is backed up, and where to: /etc/hypercode/backup.json, which the role backup writes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import release
from ..files import FileError

RETENTION_DAYS = 30
TIMEOUT = 6 * 3600.0
_FIX = "Fix: run site.yml again; it writes the file anew"


class BackupError(Exception):
    """A backup, or the way back, has failed. The text says what, where and the fix."""


class Busy(BackupError):
    """Another backup, check or restore is at work on this host."""


class Paths(release.Paths):
    """Where things are on the host; `root` is / except in tests. The journal of a Paths lies in its `state`."""

    @property
    def state(self) -> Path:
        return self.root / "var/lib/hypercode/backup"

    @property
    def config(self) -> Path:
        return self.root / "etc/hypercode/backup.json"

    @property
    def manifests(self) -> Path:
        """What the good runs wrote down; the same is in the repositories."""
        return self.state / "manifests"

    @property
    def work(self) -> Path:
        """For what must be in a file for a moment."""
        return self.state / "work"

    @property
    def facts(self) -> Path:
        """What the board and the metrics tell."""
        return self.state / "state.json"

    @property
    def metrics(self) -> Path:
        return self.root / "var/lib/hypercode/metrics/backup.prom"

    @property
    def cache(self) -> Path:
        return self.root / "var/cache/hypercode/restic"

    def at(self, path: str) -> Path:
        """An absolute path of the host."""
        return self.root / path.lstrip("/")


@dataclass(frozen=True)
class Repository:
    """A restic repository. `environment` has what its kind of store needs, such as the keys of S3."""

    name: str
    url: str = field(repr=False)
    password_file: str
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Config:
    """The whole configuration. `services` says the kind of a service's data where its image does not tell, or "none".

    `paths` and `volumes` are further ones; volumes of which the Compose file says so need not be named.
    """

    project: str
    repositories: tuple[Repository, ...]
    host: str
    retention_days: int = RETENTION_DAYS
    timeout: float = TIMEOUT
    services: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    # Whether the logs of Postgres are kept, for any point in time.
    point_in_time: bool = False


def read_config(path: Path) -> Config:
    """Read the file. BackupError says what is wrong with it."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BackupError(
            f"{path} is missing, so there is nowhere to back up to. Fix: run site.yml for this host"
        ) from error
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}. Fix: run it with sudo") from error
    except ValueError as error:
        raise BackupError(f"{path} is no JSON, perhaps cut off. {_FIX}") from error
    try:
        sources = document.get("sources") or {}
        found = Config(
            project=str(document["project"]),
            repositories=tuple(_repository(entry) for entry in document["repositories"]),
            host=str(document.get("host") or os.uname().nodename),
            retention_days=int(document.get("retention_days", RETENTION_DAYS)),
            timeout=float(document.get("timeout", TIMEOUT)),
            services={str(name): str(kind) for name, kind in (sources.get("services") or {}).items()},
            volumes=tuple(str(name) for name in sources.get("volumes") or []),
            paths=tuple(str(name) for name in sources.get("paths") or []),
            point_in_time=bool(document.get("point_in_time", False)),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BackupError(f"{path} lacks something or has it in the wrong form ({error!r}). {_FIX}") from error
    if not found.repositories:
        raise BackupError(f"{path} names no repository. Fix: set backup_repositories, then run site.yml")
    return found


def _repository(entry: Mapping[str, Any]) -> Repository:
    return Repository(
        str(entry["name"]),
        str(entry["url"]),
        str(entry["password_file"]),
        {str(key): str(value) for key, value in (entry.get("environment") or {}).items()},
    )
