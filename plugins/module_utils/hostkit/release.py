# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Releases on the host: one folder each under /opt/hypercode/releases, and the link `current`.

A release folder holds `compose.yaml` (fully resolved, images by digest), `env` (0600, the secrets), `model.json` (the
same project as data, as the controller sent it) and `release.json` (what, who, when, why, digests, outcome).
"""

from __future__ import annotations

import calendar
import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .files import FileError, explain, sync_folders, write_file, write_link

SCHEMA = 1
ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")
TIME = "%Y%m%dT%H%M%SZ"
# A release goes prepared -> running -> done, or ends as failed, reverted or abandoned (another one took its place).
UNFINISHED = ("prepared", "running")
DAMAGED = "damaged"
# Who holds the lock while `hypercode watch` restarts a container. Whoever comes waits: it takes no longer than the
# container takes to stop.
HEALING = "the restart of an unhealthy container"
HEALING_MAX = 180.0
# What release.json must hold for anything to be done with it, and of which type.
REQUIRED: Mapping[str, type] = {"status": str, "project": str, "services": dict, "order": list}


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

    @property
    def evidence(self) -> Path:
        return self.state / "evidence"

    @property
    def images(self) -> Path:
        return self.root / "var/lib/hypercode/images"


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

    @property
    def status(self) -> str:
        """The status in release.json; `damaged` where that cannot be read."""
        try:
            return str(self.read()["status"])
        except ReleaseError:
            return DAMAGED

    @property
    def was_in_use(self) -> bool:
        """True when it has been up on this host: then it can be gone back to, whatever became of it since."""
        about = self.peek()
        return bool(about.get("in_use_since")) or about.get("status") == "done"

    def read_model(self) -> dict[str, Any]:
        """Read model.json, the project as it was wanted."""
        model = self._read("model.json")
        if not isinstance(model.get("services"), dict):
            raise self._damaged("model.json", "it has no services")
        return model

    def read(self) -> dict[str, Any]:
        """Read release.json. What it returns has at least a status, a project, services and their order."""
        about = self._read("release.json")
        for key, kind in REQUIRED.items():
            if not isinstance(about.get(key), kind):
                raise self._damaged("release.json", f"its '{key}' is missing or of the wrong kind")
        if not all(isinstance(meta, dict) for meta in about["services"].values()):
            raise self._damaged("release.json", "a service in it is no mapping")
        if not all(isinstance(level, list) for level in about["order"]):
            raise self._damaged("release.json", "its 'order' is no list of lists")
        return about

    def peek(self) -> dict[str, Any]:
        """Return release.json as far as it can be read; empty where it cannot."""
        try:
            return self.read()
        except ReleaseError:
            return {}

    def _read(self, name: str) -> dict[str, Any]:
        try:
            document = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except OSError as error:
            raise self._damaged(name, error.strerror or str(error)) from error
        except ValueError as error:
            raise self._damaged(name, "it is no JSON, perhaps cut off") from error
        if not isinstance(document, dict):
            raise self._damaged(name, "it does not hold a mapping")
        return document

    def _damaged(self, name: str, reason: str) -> ReleaseError:
        return ReleaseError(
            f"{self.folder / name} cannot be used: {reason}. Fix: run site.yml again; it writes a fresh release"
        )

    def update(self, **changes: Any) -> dict[str, Any]:
        """Change keys of release.json; return all of it."""
        document = self.read() | changes
        _write(self.folder / "release.json", _json(document), mode=0o644)
        return document

    def write_compose(self, text: str) -> None:
        """Replace compose.yaml."""
        _write(self.compose_file, text.encode(), mode=0o600)

    def read_env(self) -> str:
        """Return the text of the env file, the secrets."""
        try:
            return self.env_file.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise self._damaged("env", "it is missing or unreadable") from error


class Store:
    """All the releases of this host."""

    def __init__(self, paths: Paths, clock: Callable[[], float] = time.time) -> None:
        self.paths = paths
        self._clock = clock

    def current(self) -> Release | None:
        """Return the release that `current` points at; None before the first one, and where the link leads nowhere."""
        target = self._target()
        release = Release(self.paths.home / target) if target else None
        return release if release and (release.folder / "release.json").exists() else None

    def shown(self) -> Release | None:
        """Return the release to look at: after a first rollout that failed there are containers, and no current one."""
        return self.current() or next(reversed(self.all()), None)

    def lost(self) -> str | None:
        """Return where `current` points when there is no release there; None when all is well."""
        target = self._target()
        return str(target) if target and self.current() is None else None

    def _target(self) -> Path | None:
        try:
            return self.paths.current.readlink()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ReleaseError(
                f"{self.paths.current} is not the link that it has to be. Fix: move it away, then run site.yml again"
            ) from error

    def get(self, release_id: str) -> Release:
        """Return a release by its id. ReleaseError lists the ids that there are."""
        folder = self.paths.releases / release_id
        if not ID.fullmatch(release_id) or not (folder / "release.json").exists():
            known = ", ".join(release.id for release in self.all()) or "none"
            raise ReleaseError(f"There is no release '{release_id}' here. Releases: {known}")
        return Release(folder)

    def all(self) -> list[Release]:
        """Every complete release folder, oldest first."""
        return [Release(folder) for folder in self._folders() if (folder / "release.json").exists()]

    def _folders(self) -> list[Path]:
        try:
            return sorted(path for path in self.paths.releases.iterdir() if ID.fullmatch(path.name))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise ReleaseError(str(explain(str(self.paths.releases), "read", error))) from error

    def unfinished(self) -> Release | None:
        """Return the newest release when its rollout was cut off before it ended."""
        found = self.all()
        return found[-1] if found and found[-1].status in UNFINISHED else None

    def abandon_others(self, release: Release | None) -> None:
        """Mark every unfinished release but this one: nobody is to finish them any more."""
        current = self.current()
        for other in self.all():
            if other.status in UNFINISHED and (release is None or other.id != release.id):
                # What is in use came up; only its time on trial was cut off.
                other.update(status="done" if current and other.id == current.id else "abandoned")

    def create(self, model: Mapping[str, Any], compose_text: str, env_text: str, about: Mapping[str, Any]) -> Release:
        """Write a new release folder. It appears under its name only when it is complete."""
        created = self._next_second()
        short = hashlib.sha256(compose_text.encode()).hexdigest()[:8]
        release_id = f"{time.strftime(TIME, created)}-{short}"
        previous = self.current()
        document = {
            "schema": SCHEMA,
            "id": release_id,
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", created),
            "status": "prepared",
            "previous": previous.id if previous else None,
            **about,
        }
        folder = self.paths.releases / release_id
        partial = self.paths.releases / f".{release_id}.partial"
        try:
            self._remove_partial()
            partial.mkdir(parents=True, mode=0o755)
            _write(partial / "model.json", _json(model), mode=0o600)
            _write(partial / "compose.yaml", compose_text.encode(), mode=0o600)
            _write(partial / "env", env_text.encode(), mode=0o600)
            _write(partial / "release.json", _json(document), mode=0o644)
            partial.rename(folder)
            sync_folders([self.paths.releases])
        except OSError as error:
            raise ReleaseError(str(explain(str(folder), "written", error))) from error
        finally:
            # It holds secrets: nothing of it stays when it was not completed.
            shutil.rmtree(partial, ignore_errors=True)
        return Release(folder)

    def _remove_partial(self) -> None:
        for leftover in self.paths.releases.glob(".*.partial"):
            shutil.rmtree(leftover, ignore_errors=True)

    def _next_second(self) -> time.struct_time:
        """Return the time now, later than every release there is: ids sort by age even when the clock was set back."""
        now = int(self._clock())
        names = [folder.name for folder in self._folders()]
        if names:
            with contextlib.suppress(ValueError):
                now = max(now, calendar.timegm(time.strptime(names[-1].partition("-")[0], TIME)) + 1)
        return time.gmtime(now)

    def switch(self, release: Release) -> None:
        """Point `current` at a release, in one step."""
        try:
            write_link(self.paths.current, f"releases/{release.id}")
            sync_folders([self.paths.home])
        except OSError as error:
            raise ReleaseError(str(explain(str(self.paths.current), "switched", error))) from error

    def prune(self, keep: int) -> list[str]:
        """Remove the oldest releases, with their journals and evidence; return their ids.

        The newest `keep` that were deployed stay, so that there is something to go back to, and as many that were not;
        the current one and the one before it always stay. Images are not touched.
        """
        keep = max(keep, 2)
        current = self.current()
        keeps = {current.id, str(current.read().get("previous"))} if current else set()
        deployed = [release for release in self.all() if release.was_in_use or release.id in keeps]
        others = [release for release in self.all() if release not in deployed]
        removed = []
        for release in sorted([*deployed[:-keep], *others[:-keep]], key=lambda found: found.id):
            if release.id not in keeps:
                self._remove(release)
                removed.append(release.id)
        return removed

    def _remove(self, release: Release) -> None:
        try:
            shutil.rmtree(release.folder)
            shutil.rmtree(self.paths.evidence / release.id, ignore_errors=True)
            (self.paths.state / f"{release.id}.jsonl").unlink(missing_ok=True)
        except OSError as error:
            raise ReleaseError(str(explain(str(release.folder), "removed", error))) from error


@contextlib.contextmanager
def lock(paths: Paths, wait_seconds: float = 0, *, holder: str = "") -> Iterator[bool]:
    """Hold the host's rollout lock while inside; yields False when another process has it all that time.

    `holder` says who it is: the id of a release, or a word. The kernel frees the lock when its holder dies, so a crash
    never blocks the next rollout. Who waits at all also waits for a container that is being restarted.
    """
    descriptor = _open_lock(paths, create=True)
    try:
        began = time.monotonic()
        while not _try_lock(descriptor, fcntl.LOCK_EX):
            waited = time.monotonic() - began
            healing = wait_seconds > 0 and waited < HEALING_MAX and _holder_in(descriptor) == HEALING
            if waited >= wait_seconds and not healing:
                yield False
                return
            time.sleep(0.05)
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, holder.encode(), 0)
        # Who it was stays there at the end: whoever waits for a holder of that kind would take none for another one.
        yield True
    finally:
        os.close(descriptor)


def lock_holder(paths: Paths) -> str | None:
    """Return who holds the lock; None when it is free. It is not taken, so this is in nobody's way."""
    try:
        descriptor = _open_lock(paths, create=False)
    except ReleaseError:
        return None
    try:
        if _try_lock(descriptor, fcntl.LOCK_SH):
            return None
        return _holder_in(descriptor) or "unknown"
    finally:
        os.close(descriptor)


def _holder_in(descriptor: int) -> str:
    return os.pread(descriptor, 200, 0).decode(errors="replace")


def _open_lock(paths: Paths, *, create: bool) -> int:
    path = paths.state / "lock"
    try:
        if create:
            paths.state.mkdir(parents=True, exist_ok=True, mode=0o755)
        return os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o600)
    except OSError as error:
        raise ReleaseError(str(explain(str(path), "opened", error))) from error


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(path: Path, data: bytes, *, mode: int) -> None:
    try:
        write_file(path, data, mode=mode)
    except FileError as error:
        raise ReleaseError(str(error)) from error


def _json(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=2, sort_keys=True, default=str) + "\n").encode()
