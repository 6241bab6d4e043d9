# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes the base backups from which the WAL of one service leads on."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from .config import BackupError
from .points import BASE_FILE, base_words
from .restic import LOCK_POLL, LOCK_WAIT, Locked, Restic
from .runs import make_id
from .stack import Container, Stack
from .streams import Deadline, Producer, Streamed, save_stream
from .wal import BASE, Server, ask_server, written
from .wal_chain import Chain
from .wal_receiver import base_command, login, name_of, refused, remove_container
from .wal_ship import Shipper

# How long a base may wait until all of its WAL has been received.
RECEIVED = 120.0
# A statement that does not wait for the disk (synchronous_commit = off) is there this much later.
ASYNC = 1.0


class BasesMissing(BackupError):
    """Some repositories did not get a base. `failures` has what went wrong, by repository."""

    def __init__(self, failures: dict[str, str]) -> None:
        super().__init__(" ".join(failures.values()))
        self.failures = failures


@dataclass(frozen=True)
class BaseMaker:
    """Makes bases of a service, whose receiver has to be at work meanwhile."""

    shipper: Shipper
    stack: Stack
    container: Container

    def make(self, names: Sequence[str], *, fast: bool) -> None:
        """Make a base in these repositories. It counts where its first WAL came too. Raises BackupError."""
        shipper = self.shipper
        # Until then WAL is pruned by this: it must not be later than where the base begins.
        shipper.making = shipper.place
        try:
            self._make(names, fast=fast)
        finally:
            shipper.making = None
            shipper.prune()

    def _make(self, names: Sequence[str], *, fast: bool) -> None:
        shipper, backup = self.shipper, self.shipper.backup
        chain, clock = shipper.chain, backup.clock
        before = ask_server(self.stack, self.container)
        if not chain.fits(before):
            raise _anew(chain)
        base, began = make_id(clock(), secrets.token_hex(2)), clock()
        done = self._copy(chain, base, names, fast=fast)
        ended = clock()
        # So that it counts with its first WAL: its times are told in whole seconds.
        time.sleep(1 + ASYNC)
        moment, server = clock(), ask_server(self.stack, self.container)
        after = self._received(server.flushed)
        facts = {
            "id": base,
            "began": began,
            "ended": ended,
            "start": before.flushed,
            "end": after.flushed,
            "bytes": done.size,
            "sha256": done.sha256,
            "seconds": done.seconds,
            "image": self.container.image,
            "image_id": self.container.image_id,
            "owner": self.container.environment.get("POSTGRES_USER") or "postgres",
            "version": before.version,
            "segment": before.segment,
        }
        if shipper.chain is not chain:
            raise _anew(chain)
        shipper.note(moment - ASYNC, after.received)
        for restic in backup.repositories:
            if restic.name in done.snapshots:
                try:
                    self._count(chain, restic, facts)
                except BackupError as error:
                    done.failures[restic.name] = str(error)
        if done.failures:
            raise BasesMissing(done.failures)

    def _count(self, chain: Chain, restic: Restic, facts: dict[str, Any]) -> None:
        """Let a base take the place of the one before in a repository, once that one's WAL reaches the end of it.

        Then no point is missing between them. Whoever has the repository for himself is waited for.
        """
        shipper, shipped = self.shipper, chain.of(restic.name)
        until = time.monotonic() + LOCK_WAIT
        while True:
            with suppress(Locked):
                restic.wait_for_lock()
            with shipper.busy[restic.name]:
                if shipped.base in chain.bases:
                    shipper.send(chain, restic)
                if shipper.chain is not chain:
                    raise _anew(chain)
                if shipped.base not in chain.bases or shipped.until >= facts["ended"]:
                    with shipper.lock:
                        chain.bases[facts["id"]] = facts
                        shipped.base, shipped.failed, shipped.base_failure = facts["id"], 0, ""
                        shipped.place, shipped.failure = -1, ""
                        chain.bases = {name: chain.bases[name] for name in chain.used()}
                        if all(entry.base in chain.bases for entry in chain.repositories.values()):
                            shipper.folder.forget_before()
                        shipper.folder.write(chain)
                    # What hinders it is noted there, and it is tried again.
                    shipper.send(chain, restic)
                    return
            if shipped.failure or time.monotonic() > until:
                reason = shipped.failure or "another process had it for itself. Fix: none needed, it is tried again"
                raise BackupError(f"The WAL of before did not reach the repository '{restic.name}': {reason}")
            time.sleep(LOCK_POLL)

    def _copy(self, chain: Chain, base: str, names: Sequence[str], *, fast: bool) -> Streamed:
        stack, container, backup = self.stack, self.container, self.shipper.backup
        environment = login(stack, container, BASE)
        argv = base_command(stack, container, environment, fast=fast)
        what = f"pg_basebackup of {container.service}"
        producer = Producer(argv, what, cut=_whole, environment=environment)
        words = base_words(backup.config.host, container.service, chain.id, base, chain.line)
        name = name_of(stack.config.project, container.service, "base")
        wanted, failures = list[Restic](), dict[str, str]()
        for restic in backup.repositories:
            try:
                if restic.name in names:
                    restic.wait_for_lock()
                    wanted.append(restic)
            except BackupError as error:
                # The others get theirs all the same.
                failures[restic.name] = str(error)
        if not wanted:
            raise BasesMissing(failures)
        remove_container(stack, name)
        try:
            done = save_stream(producer, wanted, BASE_FILE, words, Deadline.after(backup.config.timeout))
            done.failures.update(failures)
            return done
        except BackupError as error:
            reason = str(error).partition("broke off: ")[2].partition(". Fix:")[0]
            raise (refused(container.service, reason) if reason else error) from error
        finally:
            # It would go on without us.
            remove_container(stack, name)

    def _received(self, place: int) -> Server:
        until = time.monotonic() + RECEIVED
        while True:
            server = ask_server(self.stack, self.container)
            if server.received >= place:
                return server
            if time.monotonic() > until:
                name = self.container.service
                raise BackupError(
                    f"The WAL of {name} was received up to {written(server.received)} only, and the base ends at "
                    f"{written(place)}. Fix: hypercode backup status tells how the receiver stands"
                )
            time.sleep(0.5)


def _anew(chain: Chain) -> BackupError:
    return BackupError(f"A new log of {chain.service} began meanwhile. Fix: none needed, it is tried again")


def _whole(size: int, said: str) -> int:
    if "base backup completed" not in said or size % 512:
        raise BackupError("pg_basebackup has not said that its copy is whole. Fix: it is tried again; see docker logs")
    return 0
