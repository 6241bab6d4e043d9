# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The runs that repositories hold. A run counts when its manifest is there, which is written last."""

from __future__ import annotations

import calendar
import json
import re
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..files import write_file
from .config import BackupError, Paths
from .restic import TAG, Restic, Snapshot
from .saver import MANIFEST, file_of
from .streams import Deadline, read_back

ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}")
_TIME = "%Y%m%dT%H%M%SZ"
LATEST = "latest"
# The tag of what was saved before a restore replaced it. It is no backup of its own: it goes with age alone.
SAFETY = "before-restore"
# So many good runs stay whatever their age: one with a clock that is a year ahead must not make all others too old.
KEEP = 7


@dataclass
class Run:
    """The snapshots of one run in one repository, by the name of the item."""

    id: str
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    # What a second attempt took the place of.
    others: list[Snapshot] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return MANIFEST in self.snapshots

    @property
    def safety(self) -> bool:
        """Whether it holds what a restore has replaced."""
        return any(SAFETY in snapshot.tags for snapshot in self.snapshots.values())

    @property
    def time(self) -> float:
        """When it began, in seconds since 1970."""
        return began(self.id)

    def ids(self) -> list[str]:
        return [snapshot.id for snapshot in (*self.snapshots.values(), *self.others)]


def began(run_id: str) -> float:
    """When a run began, in seconds since 1970, from its id."""
    return float(calendar.timegm(time.strptime(run_id.partition("-")[0], _TIME)))


def make_id(now: float, salt: str) -> str:
    """A new id, which tells the time."""
    return f"{time.strftime(_TIME, time.gmtime(now))}-{salt[:4]}"


def read_runs(restic: Restic, host: str) -> list[Run]:
    """The runs of a host, oldest first. What is not ours is not among them."""
    found: dict[str, Run] = {}
    for snapshot in restic.snapshots(TAG, host=host):
        run_id, item = snapshot.tagged("run"), urllib.parse.unquote(snapshot.tagged("item"))
        if snapshot.host != host or TAG not in snapshot.tags or not ID.fullmatch(run_id) or not item:
            continue
        run = found.setdefault(run_id, Run(run_id))
        if item in run.snapshots:
            run.others.append(run.snapshots[item])
        run.snapshots[item] = snapshot
    return [found[run_id] for run_id in sorted(found)]


def find(runs: Sequence[Run], run_id: str, repository: str, now: float) -> Run:
    """The run of this id, or the newest good one for "latest". BackupError names those that there are."""
    good = [run for run in runs if run.good]
    latest = newest(runs, now)
    if run_id == LATEST and latest:
        return latest
    for run in runs:
        if run.id == run_id:
            if not run.good:
                raise BackupError(
                    f"The run {run_id} did not come to its end, so it cannot be relied on. Fix: take another"
                )
            return run
    known = ", ".join(run.id for run in good[-5:]) or "none"
    raise BackupError(f"There is no run '{run_id}' in the repository '{repository}'. The newest: {known}")


def read_manifest(paths: Paths, restic: Restic, run: Run) -> dict[str, Any]:
    """What a run wrote down. BackupError when it cannot be read."""
    kept = paths.manifests / f"{run.id}.json"
    try:
        found = json.loads(kept.read_text(encoding="utf-8"))
        if found["id"] == run.id:
            return dict(found)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    parts: list[bytes] = []
    snapshot = run.snapshots[MANIFEST]
    read_back(restic, snapshot.id, f"/{file_of(MANIFEST)}", parts.append, Deadline.after(600))
    try:
        document = json.loads(b"".join(parts))
        document["items"].items()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackupError(f"The manifest of {run.id} is no such document. Fix: take another run") from error
    keep_manifest(paths, document)
    return dict(document)


def keep_manifest(paths: Paths, manifest: Mapping[str, Any]) -> None:
    """Keep it on the host too, where looking at it costs nothing."""
    paths.manifests.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_file(paths.manifests / f"{manifest['id']}.json", json.dumps(manifest, indent=2).encode(), mode=0o600)


def to_forget(runs: Sequence[Run], now: float, days: int) -> list[Run]:
    """Which runs go, so that every point of the last days can be gone back to.

    The newest good ones stay whatever their age, and the newest good one from before those days: it is the base of
    their first hours. Runs that did not come to their end go with age. With a good run from the future nothing goes:
    nobody knows whether the clock was wrong then or is now.
    """
    bound = now - days * 86400
    good = [run for run in runs if run.good and not run.safety]
    if good and good[-1].time > now:
        return []
    older = [run for run in good if run.time < bound]
    keeps = {run.id for run in (*good[-KEEP:], *older[-1:])}
    return [run for run in runs if run.time < bound and run.id not in keeps]


def newest(runs: Sequence[Run], now: float) -> Run | None:
    """The newest good run; one from the future, made while the clock was wrong, only where there is no other."""
    good = [run for run in runs if run.good and not run.safety]
    return next((run for run in reversed(good) if run.time <= now), good[-1] if good else None)
