# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sees to it that no database keeps its WAL for nobody: that would fill its disk, until it stops."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from contextlib import suppress

from ..engine import EngineError
from ..files import FileError, write_file
from ..release import ReleaseError
from ..stack_state import containers_by_service
from .config import BackupError, Paths
from .run import Backup
from .stack import POSTGRES, Stack, data_folder
from .wal import SLOT, ask_server, drop_slot
from .wal_chain import Folder
from .wal_facts import metrics_of
from .wal_receiver import name_of, remove_all, remove_container
from .wal_stream import too_much

# What is no Postgres gives answers of its own.
_WRONG = (BackupError, EngineError, FileError, ReleaseError, OSError, ValueError, KeyError, TypeError)


def known(paths: Paths) -> list[str]:
    """The services of which anything is here."""
    root = paths.state / "wal"
    return sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def leave(backup: Backup, stack: Stack, service: str, *, quiet: bool = False) -> bool:
    """Let go of the log of a service that is no more, or not wanted any more. What the repositories have of it stays.

    Raises one of _WRONG where its database cannot be asked; that is remembered then, so that it is tried again. With
    `quiet` a slot that somebody receives from stays. Returns whether there was one.
    """
    folder = Folder.of(backup.paths, service)
    if not quiet:
        remove_container(stack, name_of(stack.config.project, service))
    try:
        container = stack.container(service, well=False)
        slot = ask_server(stack, container).slot
        found = slot is not None and not (quiet and slot.active)
        if found:
            drop_slot(stack, container)
    except _WRONG:
        if folder.root.is_dir():
            for path in folder.root.iterdir():
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
            write_file(folder.gone, b"", mode=0o600)
            folder.state.unlink(missing_ok=True)
        raise
    shutil.rmtree(folder.root, ignore_errors=True)
    return found


def leave_all(backup: Backup, stack: Stack, services: Iterable[str]) -> None:
    """Leave these. What cannot be asked is left for the next time."""
    for service in services:
        with suppress(*_WRONG):
            if leave(backup, stack, service, quiet=True):
                backup.tell(f"{service}: the database kept its log for nobody, so it was let go")


def guard(backup: Backup) -> None:
    """Let go of WAL that waits in a database for a receiver that is not there, before it fills the disk. Each hour."""
    with suppress(*_WRONG):
        stack = backup.stack()
        wanted = stack.of_kind(POSTGRES)
        if not backup.config.point_in_time:
            # A volume that was moved here may bring one along.
            leave_all(backup, stack, {*wanted, *known(backup.paths)})
            return
        if stack.model["services"]:
            leave_all(backup, stack, set(known(backup.paths)) - set(wanted))
        for service in wanted:
            with suppress(*_WRONG):
                _guard(backup, stack, service)


def _guard(backup: Backup, stack: Stack, service: str) -> None:
    container = stack.container(service, well=False)
    server = ask_server(stack, container)
    if not server.slot or server.slot.active:
        return
    reason = too_much(server.retained, data_folder(container))
    if reason:
        drop_slot(stack, container)
        folder = Folder.of(backup.paths, service)
        if folder.root.is_dir():
            # So that whoever receives it later knows that the data is the same.
            write_file(folder.let_go, reason.encode(), mode=0o600)
        backup.tell(f"{service}: nobody fetched its log, so it was let go. Fix: systemctl start hypercode-backup-wal")


def switch_off(backup: Backup) -> tuple[list[str], list[str]]:
    """Take away what the streams left on this host and in the databases. Returns what was done, and what stays.

    What is in the repositories stays in any case.
    """
    done, stays, stack = list[str](), list[str](), backup.stack()
    remove_all(stack, stack.config.project)
    services = known(backup.paths)
    for service in services:
        try:
            if leave(backup, stack, service):
                done.append(f"what {service} kept of its log for the backups")
        except _WRONG as error:
            # Without any container nothing is written, so nothing grows.
            if service in containers_by_service(stack.engine.containers(stack.config.project)):
                stays.append(
                    f"{service} keeps its log for the backups until its disk is full, since it could not be asked to "
                    f"let it go: {str(error).partition('. Fix: ')[0]}. Fix: start it, then do this again; or as its "
                    f"owner: SELECT pg_drop_replication_slot('{SLOT}')"
                )
    if services:
        done.append("the log that was received here; the repositories have what was sent")
    if not stays:
        shutil.rmtree(backup.paths.state / "wal", ignore_errors=True)
    metrics_of(backup.paths).unlink(missing_ok=True)
    return done, stays
