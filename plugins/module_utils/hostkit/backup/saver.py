# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Saves the items of one run, each in every repository, and keeps what came of each."""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .config import BackupError
from .restic import TAG, Restic, Unreadable
from .streams import Deadline, Producer, save_stream

STREAM, TREE = "stream", "tree"
MANIFEST = "manifest"
# More rows than that in a table are not deleted in passing, nor are so many in all but for a smaller share than this.
LARGE = 1000
LEFT = 0.1
_NONE_LEFT = "{item} was not saved: no repository is left. Fix: see the other failures"


def quoted(name: str) -> str:
    """A name as a tag can hold it: restic separates tags with commas."""
    return urllib.parse.quote(name, safe="/@+=~")


def file_of(item: str) -> str:
    """The name of a streamed item's file in its snapshot."""
    return urllib.parse.quote(item, safe="").replace("%2F", "--") + (".json" if item == MANIFEST else ".dump")


@dataclass
class Saver:
    """What the sources hand their data to. `items` has what the manifest tells of each, `failures` what went wrong."""

    run_id: str
    host: str
    repositories: Sequence[Restic]
    deadline: Deadline
    last: dict[str, dict[str, Any]] = field(default_factory=dict)
    accept_loss: bool = False
    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    # Repositories that failed in this run, and why.
    lost: dict[str, str] = field(default_factory=dict)
    tell: Callable[[str], None] = lambda _line: None
    # A further tag on all of it.
    mark: str = ""

    def words(self, item: str) -> list[str]:
        """The options of restic that mark a snapshot as an item of this run."""
        more = f",{self.mark}" if self.mark else ""
        return ["--host", self.host, "--tag", f"{TAG},run={self.run_id},item={quoted(item)}{more}"]

    def _left(self) -> list[Restic]:
        return [restic for restic in self.repositories if restic.name not in self.lost]

    def stream(self, item: str, producer: Producer, **facts: Any) -> None:
        """Save a program's output. Raises BackupError."""
        self._guard(item, facts)
        failures = {}
        for restic in self._left():
            try:
                # Once restic reads the stream it is too late to wait.
                restic.wait_for_lock()
            except BackupError as error:
                failures[restic.name] = str(error)
        self._lose(failures)
        if not self._left():
            raise BackupError(_NONE_LEFT.format(item=item))
        done = save_stream(producer, self._left(), file_of(item), self.words(item), self.deadline)
        self._lose(done.failures)
        self._add(item, {"kind": STREAM, "bytes": done.size, "sha256": done.sha256, "seconds": done.seconds, **facts})

    def tree(self, item: str, paths: Sequence[str], exclude: Sequence[str] = (), *, ours: bool = False) -> None:
        """Save files and folders. Raises BackupError."""
        began, failures, counts, summary = time.monotonic(), {}, {}, None
        for restic in self._left():
            if self.deadline.passed():
                raise BackupError("The run took too long and was ended. Fix: raise backup_timeout_hours")
            try:
                summary = self._back_up_paths(restic, paths, exclude, item)
                files = counts[restic.name] = int(summary["total_files_processed"])
                if not ours:
                    self._guard_files(item, files, restic, str(summary["snapshot_id"]))
            except (EmptyError, Unreadable):
                raise
            except BackupError as error:
                failures[restic.name] = str(error)
        self._lose(failures)
        if summary is None:
            raise BackupError(next(iter(failures.values()), _NONE_LEFT.format(item=item)))
        facts = {
            "kind": TREE,
            "bytes": int(summary["total_bytes_processed"]),
            "files": int(summary["total_files_processed"]),
            # What lives may change between one repository and the next.
            "files_in": counts,
        }
        self._add(item, {**facts, "paths": list(paths), "seconds": round(time.monotonic() - began, 2)})

    def _back_up_paths(self, restic: Restic, paths: Sequence[str], exclude: Sequence[str], item: str) -> dict[str, Any]:
        try:
            return restic.back_up_paths(paths, exclude, self.words(item))
        except Unreadable:
            # As a rule it vanished between the listing and the reading, and the next listing does not have it.
            return restic.back_up_paths(paths, exclude, self.words(item))

    def save_manifest(self, restic: Restic, path: Path) -> None:
        """Make the run count in this repository: save the manifest, a file. Raises BackupError."""
        producer = Producer(["cat", str(path)], "the manifest")
        restic.wait_for_lock()
        done = save_stream(producer, [restic], file_of(MANIFEST), self.words(MANIFEST), Deadline.after(600))
        for reason in done.failures.values():
            raise BackupError(reason)

    # --- what must not pass as a backup -----------------------------------------------------------------------------

    def fail(self, error: Exception) -> None:
        """Note what went wrong, and go on: what else can be saved is saved, but the run will not count."""
        self.failures.append(str(error))
        self.tell(f"FAILED: {error}")

    def guard_gone(self, item: str) -> None:
        """What the last good run had is not there any more: EmptyError where there was data in it."""
        self._guard(item, {"rows": {}})

    def guard_all(self) -> None:
        """Fail the run where a whole item of the last good run is in this one no more, unless nothing was in it.

        Where something has failed already the run does not count in any case, and what failed is not gone.
        """
        gone = sorted(
            name
            for name, facts in self.last.items()
            if name not in self.items and weight(facts) != 0 and facts.get("files") != 0
        )
        if gone and not self.failures and not self.accept_loss:
            self.fail(
                BackupError(
                    f"The last good run had {', '.join(gone)}, and nothing of the kind is found any more: a service or "
                    "volume with another name, image or label? Nothing was forgotten. Fix: name it in backup_services, "
                    "backup_volumes or backup_paths. Where it is meant to be gone: hypercode backup run --accept-loss"
                )
            )

    def _guard(self, item: str, facts: dict[str, Any]) -> None:
        last = self.last.get(item, {})
        had, has = weight(last), weight(facts)
        if self.accept_loss or not had or has is None:
            return
        if has == 0:
            raise EmptyError(_loss(item, had, "rows or keys"))
        rows = facts.get("rows") or {}
        for table, count in (last.get("rows") or {}).items():
            # One that was dropped went on purpose; it counts in the sum.
            if count > LARGE and rows.get(table) == 0:
                raise EmptyError(_loss(f"the table {table} in {item}", count, "rows"))
        # Keys with an end of life come and go.
        had, has = (count - sum((entry.get("expiring") or {}).values()) for count, entry in ((had, last), (has, facts)))
        if had > LARGE and has < LEFT * had:
            raise EmptyError(_loss(item, had, "rows or keys", f"has only {has} left"))

    def _guard_files(self, item: str, files: int, restic: Restic, snapshot: str) -> None:
        had = int(self.last.get(item, {}).get("files") or 0)
        if had and files == 0 and not self.accept_loss:
            restic.call("forget", "--quiet", snapshot)
            raise EmptyError(_loss(item, had, "files"))

    def _lose(self, failures: dict[str, str]) -> None:
        self.lost.update(failures)
        if failures and not self._left():
            raise BackupError(next(iter(failures.values())))

    def _add(self, item: str, facts: dict[str, Any]) -> None:
        self.items[item] = facts
        self.tell(f"saved {item} ({facts['bytes']} bytes)")


class EmptyError(BackupError):
    """Where data was is none."""


def weight(facts: dict[str, Any]) -> int | None:
    """How many rows or keys an item holds; None where that is not told."""
    if "rows" in facts:
        return sum(int(count) for count in facts["rows"].values())
    if "keys" in facts:
        return sum(int(max(pair)) for pair in facts["keys"].values())
    return None


def _loss(item: str, had: int, what: str, state: str = "is empty") -> str:
    return (
        f"{item} {state}, and had {had} {what} in the last good run: a loss, not a backup. Nothing was forgotten. "
        "Fix: restore it (hypercode backup restore --into-stack). Where it is meant to be so: hypercode backup run "
        "--accept-loss"
    )
