# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sends the WAL of one service to the repositories, each for itself: one that is away keeps nobody waiting."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..files import FileError
from .config import BackupError
from .points import ABOUT, Base, wal_words
from .restic import Locked, Restic, Unreadable
from .run import Backup
from .wal import first_missing, segments, written
from .wal_chain import Chain, Folder, Shipped

# While nothing is written, a newer snapshot says now and then that this is so.
QUIET = 600.0
# So long one shipment may take. After failures it is tried ever more slowly.
UPLOAD = 3600.0
COOL_MIN, COOL_MAX = 30.0, 600.0
# For so long the last of a log is waited for before a new one begins.
LAST = 300.0


@dataclass
class Shipper:
    """Sends what is in the folder of a chain. Several threads may use it.

    `lock` is for the state and for the files, and is held for a moment only. Each repository has a lock of its own
    besides, which whoever works on it holds: it is taken first.
    """

    backup: Backup
    chain: Chain
    folder: Folder
    lock: threading.RLock = field(default_factory=threading.RLock)
    # Up to when, and how far, all is on disk here, as far as anybody has said. `sure` is how far that was before.
    until: float = 0.0
    place: int = 0
    sure: int = 0
    # Where a base begins that is just being made.
    making: int | None = None
    # Of the database: what a recovery runs.
    image: str = ""
    image_id: str = ""
    workers: dict[str, threading.Thread] = field(default_factory=dict)
    failures: dict[str, tuple[int, float]] = field(default_factory=dict)
    # Who has not got the last of a log that is not received at the moment.
    owed: set[str] = field(default_factory=set)
    busy: dict[str, threading.RLock] = field(init=False)

    def __post_init__(self) -> None:
        self.busy = {restic.name: threading.RLock() for restic in self.backup.repositories}

    def remember(self) -> None:
        """Write down how it stands."""
        with self.lock:
            self.folder.write(self.chain)

    def note(self, until: float, place: int) -> None:
        """All that was written up to this moment, and up to this place, is on disk here."""
        with self.lock:
            if place > self.place:
                self.sure, self.place = self.place, place
            # A clock that was ahead is set back: what it said then is in the future.
            self.until = max(until, self.until if self.until <= self.backup.clock() else 0.0)

    def ship(self, until: float, place: int, *, all_of_it: bool = False) -> None:
        """Send what is new to each repository that has a base, without waiting for any.

        With `all_of_it` there may be more than up to `place`. What went wrong is noted for each, and tried again.
        """
        self.note(until, place)
        with self.lock:
            due = {name for name in self.busy if self._due(name, all_of_it=all_of_it)}
            self.owed |= due if all_of_it else set()
            self._start(due)
            self.folder.write(self.chain)

    def go_on(self) -> None:
        """Send the last of a log that is not received any more to those that have not got it yet."""
        with self.lock:
            self._start(self.owed)

    def _start(self, names: set[str]) -> None:
        for restic in self.backup.repositories:
            worker = self.workers.get(restic.name)
            waits = time.monotonic() < self.failures.get(restic.name, (0, 0.0))[1]
            if restic.name in names and not waits and not (worker and worker.is_alive()):
                # Whoever has a repository for himself may take long: then this comes later.
                words = (self.chain, replace(restic, patience=0))
                self.workers[restic.name] = threading.Thread(target=self._work, args=words, daemon=True)
                self.workers[restic.name].start()

    def _due(self, name: str, *, all_of_it: bool) -> bool:
        shipped, now = self.chain.of(name), self.backup.clock()
        if shipped.base not in self.chain.bases:
            return False
        if self.place != shipped.place or not 0 <= now - shipped.at < QUIET or shipped.failure or all_of_it:
            return True
        # Nothing was written since.
        shipped.until = self.until
        return False

    def wait(self, seconds: float) -> None:
        """Wait for what is being sent to repositories that do not fail."""
        until = time.monotonic() + seconds
        for name, worker in list(self.workers.items()):
            if name not in self.failures:
                worker.join(max(0.0, until - time.monotonic()))

    def _work(self, chain: Chain, restic: Restic) -> None:
        with self.busy[restic.name]:
            with self.lock:
                # Whoever had it before may have sent all there is.
                due = restic.name in self.owed or self._due(restic.name, all_of_it=False)
            if due:
                self.send(chain, restic)

    def send(self, chain: Chain, restic: Restic) -> None:
        """Send all there is to one repository. What went wrong is noted."""
        with self.busy[restic.name]:
            shipped = chain.of(restic.name)
            base, failure = shipped.base, ""
            with self.lock:
                until, place, sure = self.until, self.place, self.sure
                if chain is not self.chain or base not in chain.bases or until < chain.bases[base]["ended"]:
                    return
                shipped.number += 1
                owed = restic.name in self.owed
                self.owed.discard(restic.name)
            try:
                self._send(chain, restic, base, (until, place, sure), shipped.number)
            except Locked as error:
                # Nothing is wrong: how late it is shows in `until`.
                self.backup.tell(f"{chain.service}: sent later: {error}")
                with self.lock:
                    self.owed |= {restic.name} if owed else set()
                    self.failures[restic.name] = (0, time.monotonic() + COOL_MIN / 2)
                return
            except (BackupError, FileError, OSError) as error:
                failure = str(error)
            with self.lock:
                self.owed |= {restic.name} if owed and failure and shipped.base == base else set()
                before = shipped.failure
                self._done(shipped, restic.name, base, failure)
                if not failure and shipped.base == base:
                    shipped.failure, shipped.at = "", self.backup.clock()
                    shipped.until, shipped.place = until, place
                # The folder may be gone with its service.
                with contextlib.suppress(FileError):
                    if chain is self.chain:
                        self.folder.write(chain)
            # Each reason once, not each try: whoever reads the journal wants to know since when, and why.
            if shipped.base == base and failure != before:
                said = failure or "the log is sent again"
                self.backup.tell(f"{chain.service}: {restic.name}: {said}")
            if chain is not self.chain:
                shutil.rmtree(self.folder.ship(chain.id, restic.name), ignore_errors=True)

    def _done(self, shipped: Shipped, name: str, base: str, failure: str) -> None:
        if not failure:
            self.failures.pop(name, None)
        elif shipped.base == base:
            shipped.failure = failure
            count = self.failures.get(name, (0, 0.0))[0]
            self.failures[name] = (count + 1, time.monotonic() + min(COOL_MAX, COOL_MIN * 2**count))

    def _send(self, chain: Chain, restic: Restic, base: str, reach: tuple[float, int, int], number: int) -> None:
        facts = chain.bases[base]
        words = wal_words(
            *(self.backup.config.host, chain.service, chain.id, base),
            (float(facts["ended"]), reach[0]),
            reach[1],
            number,
        )
        folder = self.folder.ship(chain.id, restic.name)
        names = self._link(chain, folder, facts, reach)
        try:
            summary = restic.back_up_paths([str(folder)], (), words, UPLOAD)
        except Unreadable:
            names = self._link(chain, folder, facts, reach)
            summary = restic.back_up_paths([str(folder)], (), words, UPLOAD)
        if not all((folder / name).exists() for name in names):
            # Meanwhile the disk had no room for them. What is said of them would not be true.
            restic.call("forget", "--quiet", str(summary["snapshot_id"]), timeout=UPLOAD)
            raise BackupError(
                f"The log of {chain.service} was let go while it was sent. Fix: none needed, a base comes"
            )

    def _link(
        self, chain: Chain, folder: Path, facts: Mapping[str, Any], reach: tuple[float, int, int]
    ) -> Sequence[str]:
        """Bring the files to send up to date; return their names. BackupError where one of them is missing."""
        missing: int | None = None
        for _attempt in range(3):
            with self.lock:
                if chain is not self.chain:
                    raise BackupError(f"A new log of {chain.service} began meanwhile. Fix: none needed")
                self.folder.link(folder)
                self.folder.about(folder / ABOUT, self._about(chain, facts, reach))
            held = segments(folder, chain.segment)
            last = max(reach[1] - 1, int(facts["start"])) // chain.segment * chain.segment
            missing = first_missing(held.values(), int(facts["start"]), chain.segment)
            if missing is None and max(held.values()) < last:
                missing = last
            if missing is None:
                return list(held)
            # One that was renamed just now is there the next time.
            time.sleep(0.2)
        raise BackupError(
            f"The log of {chain.service} lacks what is from {written(missing or 0)} on, so it was not sent. Fix: "
            "systemctl restart hypercode-backup-wal; where that does not help, remove that service's folder in "
            f"{self.folder.root.parent} first: then a new base is made"
        )

    def _about(self, chain: Chain, facts: Mapping[str, Any], reach: tuple[float, int, int]) -> dict[str, Any]:
        return {
            "schema": 1,
            "host": self.backup.config.host,
            "service": chain.service,
            "chain": chain.id,
            "system": chain.system,
            "timeline": chain.timeline,
            "segment": chain.segment,
            "until": reach[0],
            "place": reach[1],
            "sure": max(reach[2], int(facts["start"])),
            "image": self.image,
            "image_id": self.image_id,
            "base": dict(facts),
        }

    # --- what is here -----------------------------------------------------------------------------------------------

    def begin(self, chain: Chain) -> None:
        """Go on with another chain, once the last of the one before was sent, except to who is away."""
        if self.chain.id:
            self.wait(LAST)
            self.ship(self.until, self.place, all_of_it=True)
            self.wait(LAST)
        with self.lock:
            self.folder.clear()
            for name, shipped in self.chain.repositories.items():
                chain.repositories[name] = Shipped(url_sum=shipped.url_sum)
            self.chain, self.until, self.place, self.sure = chain, 0.0, 0, 0
            self.owed = set()
            if not any(worker.is_alive() for worker in self.workers.values()):
                self.folder.forget_ships(chain.id)
            self.folder.write(chain)

    def prune(self) -> None:
        """Remove what nobody needs any more: what is before the newest base of each repository, and one to come."""
        with self.lock:
            chain = self.chain
            starts = [int(chain.bases[name]["start"]) for name in chain.used()]
            starts += [self.making] if self.making is not None else []
            if chain.segment:
                self.folder.prune(min(starts, default=self.place), chain.segment)

    def compare(self, name: str, bases: Iterable[Base], listed: float) -> None:
        """Take the base from a repository that has not got it: it was exchanged, or something of it is lost."""
        with self.lock:
            shipped, chain = self.chain.of(name), self.chain
            facts = chain.bases.get(shipped.base)
            if facts is None or facts["ended"] >= listed:
                return
            found = next((base for base in bases if base.id == shipped.base), None)
            sent = shipped.place >= 0 and shipped.at < listed
            if found is None or found.base is None or (sent and found.wal is None):
                shipped.base, shipped.place, shipped.failed = "", -1, 0
                shipped.base_failure = (
                    f"The repository '{name}' has lost the base that was in it, or is another one. Fix: where that is "
                    "meant none, for a new base is made; else hypercode backup verify --all"
                )
                chain.bases = {base: chain.bases[base] for base in chain.used()}
                self.folder.write(chain)
                self.backup.tell(f"{chain.service}: {shipped.base_failure}")

    def give_up(self, reason: str) -> list[str]:
        """Make room: take the base from the repositories that need the oldest WAL. Who is healthy had a new one before.

        The log goes on; these get a new base when they can. Returns their names.
        """
        with self.lock:
            chain = self.chain
            self.folder.forget_before()
            bases = {name: shipped.base for name, shipped in chain.repositories.items() if shipped.base in chain.bases}
            starts = {name: int(chain.bases[base]["start"]) for name, base in bases.items()}
            victims = [name for name, begin in starts.items() if begin == min(starts.values())]
            for name in victims:
                shipped = chain.of(name)
                shipped.base, shipped.place, shipped.failed, shipped.failure = "", -1, 0, ""
                shipped.base_failure = (
                    f"{reason}, so its log was let go: it needs a new base. Fix: see why the repository took none"
                )
            chain.bases = {name: chain.bases[name] for name in chain.used()}
            self.prune()
            self.folder.write(chain)
        return victims
