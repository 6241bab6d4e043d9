# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Receives the WAL of the Postgres services all the time, and ships it: `hypercode backup stream`, run by systemd.

A container that is restarted or replaced is attached to anew; its server keeps for us what we have not got yet.
"""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..board_text import human_size
from ..engine import EngineError
from ..files import FileError
from ..journal import Journal
from ..release import ReleaseError
from .config import BackupError
from .facts import read_facts
from .run import Backup, url_sum
from .runs import make_id
from .stack import Container, Stack, data_folder
from .wal import Server, ask_server, drop_slot, make_slot, segments
from .wal_base import ASYNC, BaseMaker, BasesMissing
from .wal_chain import Chain, Folder, Shipped
from .wal_receiver import Receiver, refused
from .wal_ship import Shipper

# Seconds. With the host is lost what was written since the last shipment began that came to its end.
TICK, SHIP = 2.0, 30.0
RECEIVE = 5.0
RETRY_MAX = 60.0
# After a slot was dropped, for the disk to get some room.
PAUSE = 600.0
# A new base comes with each nightly run, and in any case before the last one is a day and two hours old.
BASE_DUE, BASE_LATE = 20 * 3600.0, 26 * 3600.0
BASE_RETRY = 3600.0
# So much may the server keep for us; less where its disk has hardly any room left.
SLOT_MAX, SLOT_MIN = 8 << 30, 512 << 20
ROOM = 2 << 30
_WRONG = (BackupError, EngineError, FileError, ReleaseError, OSError)


def too_much(kept: int, folder: str) -> str:
    """Why so many bytes of WAL must not be kept on the disk of this folder any longer; "" while they may."""
    if kept > SLOT_MAX:
        return f"{human_size(kept)} of WAL waited for the backups"
    if kept < SLOT_MIN:
        return ""
    disk = shutil.disk_usage(folder)
    if disk.free < max(ROOM, disk.total // 20):
        return f"{human_size(kept)} of WAL waited for the backups, and its disk has only {human_size(disk.free)} free"
    return ""


@dataclass
class Stream:
    """The WAL of one service. `tick` is called all the time, from one thread."""

    backup: Backup
    stack: Stack
    service: str
    receiver: Receiver | None = None
    retry: float = 0.0
    failed: int = 0
    looked: float = 0.0
    # Why a new chain has to begin.
    gap: str = ""
    base: threading.Thread | None = None
    told: str = ""
    # Set when the service is no more.
    over: threading.Event = field(default_factory=threading.Event)
    folder: Folder = field(init=False)
    shipper: Shipper = field(init=False)

    def __post_init__(self) -> None:
        self.folder = Folder.of(self.backup.paths, self.service)
        self.folder.make()
        chain = self.folder.read(self.service)
        self.folder.gone.unlink(missing_ok=True)
        self.folder.forget_ships(chain.id)
        known, chain.repositories = chain.repositories, {}
        for restic in self.backup.repositories:
            entry, found = known.get(restic.name), url_sum(restic)
            same = entry is not None and entry.url_sum == found
            chain.repositories[restic.name] = entry if entry and same else Shipped(url_sum=found)
        chain.attached = False
        chain.began = chain.began or self.backup.clock()
        self.shipper = Shipper(self.backup, chain, self.folder)
        self.shipper.until = max((entry.until for entry in chain.repositories.values()), default=0.0)
        self.shipper.place = max(0, *(entry.place for entry in chain.repositories.values()))

    @property
    def chain(self) -> Chain:
        return self.shipper.chain

    def tick(self) -> None:
        """Do what is due. Never raises for what may pass: it is noted, and tried again."""
        try:
            self._tick()
        except _WRONG as error:
            self._note(str(error))

    def _tick(self) -> None:
        running = self._running()
        if self.receiver and (self.receiver.container.id not in running or not self.receiver.alive()):
            self._detached(self.receiver)
        now = time.monotonic()
        if not self.receiver:
            self.shipper.go_on()
        if not self.receiver and running and now >= self.retry:
            self.failed += 1
            self.retry = now + min(RETRY_MAX, TICK * 2 ** min(self.failed, 5))
            self._attach()
        if self.receiver and now - self.looked >= SHIP:
            self.looked = now
            self._look(self.receiver)

    def _running(self) -> list[str]:
        """The running containers of the service: one question, whatever the size of the stack."""
        labels = [f"com.docker.compose.project={self.stack.config.project}"]
        labels.append(f"com.docker.compose.service={self.service}")
        return [str(item["Id"]) for item in self.stack.engine.get("/containers/json", filters={"label": labels})]

    def _note(self, failure: str) -> None:
        self.chain.failure = failure
        if failure != self.told:
            self.told = failure
            self.backup.tell(f"{self.service}: {failure or 'all is well again'}")
        self.shipper.remember()

    # --- the receiver -----------------------------------------------------------------------------------------------

    def _attach(self) -> None:
        container = self.stack.container(self.service, well=False)
        server = ask_server(self.stack, container)
        held = segments(self.folder.wal, server.segment)
        if self.folder.let_go.exists():
            self.gap = self.folder.let_go.read_text(encoding="utf-8") or "its log was let go"
        if not self.chain.fits(server):
            self._begin(server, "its data was exchanged" if self.chain.id else "")
        elif max(server.flushed, 1) < max(self.shipper.place, *held.values(), 0):
            self._begin(server, "its data is older than before")
        elif self.gap:
            self._begin(server, self.gap, same=True)
        elif not server.slot:
            # No backup of a server has its slots: this may be another one with the same past. A first timeline is not.
            reason = "its slot is gone: the server no longer has what is missing here, or it is another one"
            self._begin(server, reason, same=server.timeline == 1)
        self.folder.let_go.unlink(missing_ok=True)
        if server.slot and server.slot.lost:
            drop_slot(self.stack, container)
        if not server.slot or server.slot.lost:
            make_slot(self.stack, container)
        self.gap = ""
        self.shipper.image, self.shipper.image_id = container.image, container.image_id
        receiver = Receiver(self.stack, container, self.folder.wal, self.backup.clock)
        receiver.attach()
        self.receiver, self.looked = receiver, time.monotonic() - SHIP + TICK
        self.backup.tell(f"{self.service}: receiving from {container.id[:12]}")

    def _begin(self, server: Server, reason: str, *, same: bool = False) -> None:
        """Begin a new chain; what there is of the old one is sent first. `same` where the data is known to be."""
        now = self.backup.clock()
        name = make_id(now, secrets.token_hex(2))
        line = (self.chain.line if same else "") or name
        chain = Chain(self.service, name, server.system, server.timeline, server.segment, now, reason, line=line)
        self.shipper.begin(chain)
        if reason:
            self.backup.tell(f"{self.service}: {reason}, so a new base is made")
        Journal(self.backup.paths, "journal", self.backup.clock).write(
            "log begins", service=self.service, reason=reason
        )

    def _detached(self, receiver: Receiver) -> None:
        """The receiver has ended, or its container was replaced: send what it has, and look for the reason."""
        ended = not receiver.alive()
        reason, good = receiver.reason() if ended else "", receiver.good
        # Else what it has is less than what was written: it was killed, or its disk was full.
        until = receiver.ended if ended and receiver.had_all() else 0.0
        receiver.stop()
        self.receiver, self.chain.attached = None, False
        if "has already been removed" in reason or "can no longer" in reason:
            self.gap = "the server no longer has what is missing here"
            # At once: until there is a new base, nothing new can be restored.
            self.retry = 0.0
        if good:
            self.shipper.ship(until, 0, all_of_it=True)
        if reason and self.failed > 2:
            raise refused(self.service, reason)

    def stop(self) -> None:
        """End the receiver. The server goes on keeping what comes."""
        if self.receiver:
            self.receiver.stop()
            self.receiver = None

    # --- what is shipped --------------------------------------------------------------------------------------------

    def _look(self, receiver: Receiver) -> None:
        container = receiver.container
        moment = self.backup.clock() - ASYNC
        server = ask_server(self.stack, container)
        self.chain.retained = server.retained
        self._guard(container, server)
        wanted, until = server.flushed, time.monotonic() + RECEIVE
        while server.received < wanted and time.monotonic() < until and receiver.alive():
            time.sleep(0.3)
            server = ask_server(self.stack, container)
        if server.received >= wanted:
            receiver.good = True
            self.chain.attached, self.chain.seen = True, moment
            self.failed, self.retry = 0, 0.0
            self.shipper.ship(moment, server.received)
            self._make_bases(container)
            self._note("")
        else:
            self.shipper.ship(0.0, 0, all_of_it=True)

    def _guard(self, container: Container, server: Server) -> None:
        """Never let the WAL that waits for us fill a disk: give it up before, and begin anew later."""
        self.shipper.prune()
        while reason := too_much(self.folder.size(), str(self.folder.wal)):
            names = self.shipper.give_up(reason)
            if not names:
                break
            self.backup.tell(f"{self.service}: {reason}, so {', '.join(names)} needs a new base")
        reason = too_much(server.retained, data_folder(container))
        if reason:
            self.stop()
            drop_slot(self.stack, container)
            self.gap, self.retry = reason, time.monotonic() + PAUSE
            self.chain.attached = False
            self.folder.forget_before()
            raise BackupError(
                f"{reason}, so it was let go: from here to the next base no point in time of {self.service} can be "
                "restored. Fix: free some space, and see why the repositories did not take it: hypercode backup status"
            )

    def _make_bases(self, container: Container) -> None:
        if self.base and self.base.is_alive():
            return
        last = read_facts(self.backup.paths).get("last") or {}
        # One that comes early makes room here before any is taken away.
        full = self.folder.size() > SLOT_MAX // 2
        names = due(self.chain, last, self.backup.clock(), image=container.image_id, full=full)
        if names:
            fast = not all(self.chain.of(name).base for name in names)
            self.base = threading.Thread(target=self._base, args=(container, names, fast), daemon=True)
            self.base.start()

    def _base(self, container: Container, names: Sequence[str], fast: bool) -> None:
        chain, failures = self.chain, dict[str, str]()
        self.backup.tell(f"{self.service}: making a base in {', '.join(names)}")
        try:
            BaseMaker(self.shipper, self.stack, container).make(names, fast=fast)
        except BasesMissing as error:
            failures = error.failures
        except _WRONG as error:
            failures = dict.fromkeys(names, str(error))
        for name in names:
            shipped = chain.of(name)
            shipped.base_failure = failures.get(name, "")
            if name in failures:
                shipped.failed, shipped.tried = shipped.failed + 1, self.backup.clock()
                self.backup.tell(f"{self.service}: no base in {name}: {failures[name]}")
            else:
                self.backup.tell(f"{self.service}: the base in {name} is done")
        self.shipper.remember()


def due(chain: Chain, last: dict[str, object], now: float, *, image: str = "", full: bool = False) -> list[str]:
    """The repositories that need a new base. `last` is what is known of the last run.

    With another image the one of the base may go from this host, and with it what can replay the log.
    """
    ran = float(str(last.get("ended") or 0))
    names = []
    for name, shipped in chain.repositories.items():
        base = chain.bases.get(shipped.base)
        age = now - float(base["began"]) if base else BASE_LATE + 1
        wanted = age > BASE_LATE or (age > BASE_DUE and base is not None and ran > base["began"]) or age < 0
        wanted = wanted or (full and age > BASE_RETRY) or bool(image and base and base.get("image_id") != image)
        if wanted and (not shipped.failed or now - shipped.tried >= min(BASE_RETRY, 30 * 2**shipped.failed)):
            names.append(name)
    return names
