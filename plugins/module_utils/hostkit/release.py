# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Releases on the host: one folder each under /opt/hypercode/releases, and the link `current`.

A release folder holds `compose.yaml` (fully resolved, images by digest), `env` (0600, the secrets), `model.json` (the same
project as data, as the controller sent it) and `release.json` (what, who, when, why, digests, outcome).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .files import write_file

SCHEMA = 1
ID = re.compile(r"^\d{8}T\d{6}Z-[0-9a-f]{8}$")
# A release goes prepared -> running -> done, or ends as failed or reverted.
UNFINISHED = ("prepared", "running")


class ReleaseError(Exception):
    """A release cannot be read or written; the text says what, where and the fix."""


@dataclass(frozen=True)
class Paths:
    """Where things are on the host; `root` is / except in tests."""

    root: Path = field(default_factory=lambda: Path("/"))

    @property
    def home(self) -> Path:
        return self.root / "opt/hypercode"

    @property
    def releases(self) -> Path:
        return self.home / "releases"

    @property
    def current(self) -> Path:
        return self.home / "current"

    @property
    def state(self) -> Path:
        return self.root / "var/lib/hypercode/rollout"


@dataclass(frozen=True)
class Release:
    """One release folder."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def compose_file(self) -> Path:
        return self.folder / "compose.yaml"

    @property
    def env_file(self) -> Path:
        return self.folder / "env"

    def read_model(self) -> dict[str, Any]:
        return self._read("model.json")

    def read(self) -> dict[str, Any]:
        """Read release.json."""
        return self._read("release.json")

    def _read(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ReleaseError(
                f"{path} cannot be read ({error}). Fix: run site.yml again; it writes a fresh release"
            ) from error
        if not isinstance(document, dict):
            raise ReleaseError(f"{path} does not hold a mapping. Fix: run site.yml again; it writes a fresh release")
        return document

    def update(self, **changes: Any) -> dict[str, Any]:
        """Change keys of release.json."""
        document = self.read() | changes
        write_file(self.folder / "release.json", _json(document), mode=0o644)
        return document

    def write_compose(self, text: str) -> None:
        write_file(self.compose_file, text.encode(), mode=0o600)

    def read_env(self) -> str:
        try:
            return self.env_file.read_text(encoding="utf-8")
        except OSError:
            return ""


class Store:
    """All the releases of this host."""

    def __init__(self, paths: Paths) -> None:
        self.paths = paths

    def current(self) -> Release | None:
        """Return the release that `current` points at; None before the first one."""
        link = self.paths.current
        if not link.is_symlink():
            return None
        folder = self.paths.home / os.readlink(link)
        return Release(folder) if (folder / "release.json").exists() else None

    def get(self, release_id: str) -> Release:
        folder = self.paths.releases / release_id
        if not ID.match(release_id) or not (folder / "release.json").exists():
            known = ", ".join(release.id for release in self.all()) or "none"
            raise ReleaseError(f"There is no release '{release_id}' here. Releases: {known}")
        return Release(folder)

    def all(self) -> list[Release]:
        """Every complete release folder, oldest first."""
        if not self.paths.releases.is_dir():
            return []
        folders = sorted(path for path in self.paths.releases.iterdir() if ID.match(path.name))
        return [Release(folder) for folder in folders if (folder / "release.json").exists()]

    def unfinished(self) -> Release | None:
        """Return the newest release when its rollout was cut off before it ended."""
        found = self.all()
        return found[-1] if found and found[-1].read().get("status") in UNFINISHED else None

    def create(self, model: Mapping[str, Any], compose_text: str, env_text: str, about: Mapping[str, Any]) -> Release:
        """Write a new release folder. It appears under its name only when it is complete."""
        created = time.gmtime()
        short = hashlib.sha256(compose_text.encode()).hexdigest()[:8]
        release_id = f"{time.strftime('%Y%m%dT%H%M%SZ', created)}-{short}"
        folder = self.paths.releases / release_id
        if folder.exists():
            raise ReleaseError(
                f"{folder} exists already: two rollouts began in the same second. Run the same command again"
            )
        partial = self.paths.releases / f".{release_id}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True, mode=0o755)
        write_file(partial / "model.json", _json(model), mode=0o600)
        write_file(partial / "compose.yaml", compose_text.encode(), mode=0o600)
        write_file(partial / "env", env_text.encode(), mode=0o600)
        previous = self.current()
        document = {
            "schema": SCHEMA,
            "id": release_id,
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", created),
            "status": "prepared",
            "previous": previous.id if previous else None,
            **about,
        }
        write_file(partial / "release.json", _json(document), mode=0o644)
        partial.rename(folder)
        return Release(folder)

    def switch(self, release: Release) -> None:
        """Point `current` at a release, in one step."""
        temporary = self.paths.home / f".current.{os.getpid()}"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(Path("releases") / release.id)
        temporary.replace(self.paths.current)

    def prune(self, keep: int) -> list[str]:
        """Remove the folders of the oldest releases, never the current one or the one before it."""
        current = self.current()
        keeps = {current.id, str(current.read().get("previous"))} if current else set()
        candidates = [release for release in self.all() if release.id not in keeps]
        removed = []
        for release in candidates[: max(0, len(self.all()) - max(keep, 2))]:
            shutil.rmtree(release.folder)
            removed.append(release.id)
        return removed


@contextlib.contextmanager
def lock(paths: Paths, wait_seconds: float = 0) -> Iterator[bool]:
    """Hold the host's rollout lock while inside; yields False when another process has it all that time.

    The kernel frees it when its holder dies, so a crash never blocks the next rollout.
    """
    paths.state.mkdir(parents=True, exist_ok=True, mode=0o755)
    descriptor = os.open(paths.state / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + wait_seconds
        while not _try_lock(descriptor):
            if time.monotonic() >= deadline:
                yield False
                return
            time.sleep(0.05)
        yield True
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, sort_keys=True, default=str) + "\n").encode()
