# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the streams of all Postgres services, until it is ended: `hypercode backup stream`."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..engine import EngineError
from ..files import FileError, times_of
from ..release import ReleaseError
from .config import BackupError, Busy
from .facts import alone
from .points import read_bases, spans, superseded
from .restic import Locked, Restic
from .run import Backup
from .stack import POSTGRES, Stack
from .wal_facts import write_metrics
from .wal_leave import known, leave, leave_all
from .wal_receiver import remove_all
from .wal_stream import TICK, Stream

LOOK = 15.0
# How often snapshots are forgotten whose content newer ones hold too. What they alone used is freed in the night.
TIDY = 3600.0
FORGET = 900.0
_WRONG = (BackupError, EngineError, FileError, ReleaseError, OSError)


@dataclass
class Supervisor:
    """Has a stream for each Postgres of the release in use."""

    backup: Backup
    streams: dict[str, Stream] = field(default_factory=dict)
    ended: threading.Event = field(default_factory=threading.Event)
    oldest: dict[tuple[str, str], float] = field(default_factory=dict)
    told: str = ""
    broken: bool = False
    threads: dict[str, threading.Thread] = field(default_factory=dict)
    # The services that are no more and could not be asked.
    left: set[str] = field(default_factory=set)

    def run(self) -> None:
        """Run until KeyboardInterrupt, or until the settings or our own files change: systemd starts it anew.

        Nothing is left running then; the servers keep what comes meanwhile.
        """
        stack: Stack | None = None
        tidied, files = 0.0, self._files()
        tidying: threading.Thread | None = None
        try:
            while self._files() == files and not self.broken:
                try:
                    if stack is None:
                        # Of one that was killed.
                        stack = self.backup.stack()
                        remove_all(stack, stack.config.project)
                    self.look()
                    if time.monotonic() - tidied > TIDY or not tidied:
                        tidied = time.monotonic()
                        if tidying is None or not tidying.is_alive():
                            # A store that is away keeps nothing else waiting.
                            tidying = threading.Thread(target=self.tidy, daemon=True)
                            tidying.start()
                    self.told = ""
                except _WRONG as error:
                    self._tell(str(error))
                with suppress(OSError, FileError):
                    chains = [stream.chain for stream in self.streams.values()]
                    write_metrics(self.backup.paths, chains, self.oldest, self.backup.clock())
                time.sleep(LOOK)
        finally:
            self.ended.set()
            for stream in self.streams.values():
                stream.stop()
            if stack:
                with suppress(BackupError):
                    remove_all(stack, stack.config.project)

    def _files(self) -> list[int]:
        """When the settings and our own files were written last."""
        here = Path(__file__).parent
        return times_of((self.backup.paths.config, here, here.parent))

    def _tell(self, text: str) -> None:
        if text != self.told:
            self.told = text
            self.backup.tell(text)

    def look(self) -> None:
        """Begin a stream for each service that is new in the release in use, and end those of services that are not."""
        stack = self.backup.stack()
        services = stack.of_kind(POSTGRES)
        for service in services:
            if service not in self.streams:
                self.streams[service] = Stream(self.backup, stack, service)
                self.threads[service] = threading.Thread(
                    target=self._follow, args=(self.streams[service],), daemon=True
                )
                self.threads[service].start()
        if stack.model["services"]:
            gone = set(known(self.backup.paths)) - set(services)
            leave_all(self.backup, stack, gone & self.left)
            for service in gone - self.left:
                self._leave(stack, service)
            self.left &= set(known(self.backup.paths))

    def _leave(self, stack: Stack, service: str) -> None:
        """A service is no more, or no Postgres that is known as one. What the repositories have of it stays."""
        stream, thread = self.streams.pop(service, None), self.threads.pop(service, None)
        if stream:
            stream.over.set()
            if thread:
                thread.join(60)
            stream.stop()
        self.backup.tell(f"{service} is no Postgres of the release any more, so its log is not kept any more")
        self.left.add(service)
        try:
            leave(self.backup, stack, service)
        except (*_WRONG, ValueError, KeyError, TypeError) as error:
            self.backup.tell(f"{service}: it could not be asked to let its log go, which is tried again: {error}")

    def _follow(self, stream: Stream) -> None:
        try:
            while not stream.over.is_set() and not self.ended.wait(TICK):
                stream.tick()
        finally:
            # Not by what may pass, which `tick` takes: all begins anew then.
            self.broken = self.broken or not (self.ended.is_set() or stream.over.is_set())

    def tidy(self) -> None:
        """Forget what newer snapshots hold too, unless a run or a check is at work; look for the bases."""
        for restic in self.backup.repositories:
            try:
                self._tidy(replace(restic, patience=0))
            except (Busy, Locked):
                continue
            except _WRONG as error:
                self.backup.tell(f"not tidied up: {error}")

    def _tidy(self, restic: Restic) -> None:
        listed = self.backup.clock()
        bases = read_bases(restic, self.backup.config.host)
        for stream in list(self.streams.values()):
            stream.shipper.compare(restic.name, bases, listed)
        for service in {base.service for base in bases}:
            found = spans(base for base in bases if base.service == service)
            if found:
                self.oldest[service, restic.name] = found[0][0]
        gone = superseded(bases)
        if gone:
            # A run begins with what does not mind, so it need not be kept away all the time.
            with alone(self.backup.paths, "stream"):
                pass
            restic.call("forget", "--quiet", *gone, timeout=FORGET)
