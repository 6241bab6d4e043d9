# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The log of changes (WAL) of a Postgres: what its server says of it, and the files of it that are here.

Names of segments as in PostgreSQL's xlog_internal.h: timeline, then the position, in hexadecimal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .config import BackupError
from .postgres import ask
from .stack import Container, Stack

SLOT = "hypercode_wal"
# Tell our connections from those of the application, and from those that a run ends.
RECEIVER, BASE, _ASKS = "hypercode-wal", "hypercode-base", "hypercode-wal-asks"
# Older ones end without a word where a recovery does not reach its time.
OLDEST = 130000
PARTIAL = ".partial"
_FILE = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})(\.partial)?")
HISTORY = re.compile(r"[0-9A-F]{8}\.history")
_QUESTION = f"""
SELECT json_build_object(
  'system', (SELECT system_identifier::text FROM pg_control_system()),
  'version', current_setting('server_version_num')::int,
  'standby', pg_is_in_recovery(),
  'level', current_setting('wal_level'),
  'segment', pg_size_bytes(current_setting('wal_segment_size')),
  'file', CASE WHEN NOT pg_is_in_recovery() THEN pg_walfile_name(pg_current_wal_flush_lsn()) END,
  'flushed', CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn() END,
  'received', (SELECT max(flush_lsn) FROM pg_stat_replication WHERE application_name = '{RECEIVER}'),
  'slot', (SELECT json_build_object('kept', restart_lsn, 'status', wal_status, 'active', active)
    FROM pg_replication_slots WHERE slot_name = '{SLOT}'));
"""  # noqa: S608  No value in it is from outside.
_MAKE = f"SELECT pg_create_physical_replication_slot('{SLOT}', true);\n"
# The receiver is gone by then; its connection may not be yet.
_DROP = (
    "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots "  # noqa: S608
    f"WHERE slot_name = '{SLOT}' AND active;\nSELECT pg_sleep(0.5);\n"
    f"SELECT pg_drop_replication_slot('{SLOT}') FROM pg_replication_slots WHERE slot_name = '{SLOT}';\n"
)


@dataclass(frozen=True)
class Slot:
    """What holds WAL back for us. `kept` is from where on; `lost` when the server has thrown some of it away."""

    kept: int
    lost: bool
    active: bool


@dataclass(frozen=True)
class Server:
    """What a server says of its WAL. Positions in bytes; `received` is how far we have it, 0 when nobody listens."""

    system: str
    version: int
    timeline: int
    segment: int
    flushed: int
    received: int
    slot: Slot | None

    @property
    def retained(self) -> int:
        """How many bytes of WAL it keeps for us, 0 without a slot."""
        return max(0, self.flushed - self.slot.kept) if self.slot and self.slot.kept else 0


def ask_server(stack: Stack, container: Container, timeout: float = 20) -> Server:
    """Ask a server for its WAL. BackupError where it gives none, with the reason and the fix."""
    found = json.loads(ask(stack, container, "postgres", _QUESTION, timeout=timeout, name=_ASKS))
    name = container.service
    if found["version"] < OLDEST:
        raise BackupError(
            f"Postgres in {name} is older than 13, and cannot be brought back to a point in time. "
            "Fix: take a newer one, or set backup_point_in_time to false"
        )
    if found["standby"]:
        raise BackupError(f"Postgres in {name} is a standby, or in recovery. Fix: wait for the end of its recovery")
    if found["level"] == "minimal":
        raise BackupError(
            f"Postgres in {name} has wal_level = minimal, so its log of changes cannot be kept. "
            "Fix: take that setting out, so that it is replica; then start it anew"
        )
    slot = found["slot"]
    return Server(
        found["system"],
        found["version"],
        int(found["file"][:8], 16),
        found["segment"],
        position(found["flushed"]),
        position(found["received"]),
        Slot(position(slot["kept"]), slot["status"] == "lost", slot["active"]) if slot else None,
    )


def make_slot(stack: Stack, container: Container) -> None:
    """Make the slot. From now on the server keeps its WAL until we have it."""
    try:
        ask(stack, container, "postgres", _MAKE, timeout=60, name=_ASKS)
    except BackupError as error:
        raise BackupError(
            f"{str(error).partition('. Fix: ')[0]}. Fix: Postgres needs wal_level = replica, and one of "
            "max_replication_slots and two of max_wal_senders for backups; or set backup_point_in_time to false"
        ) from error


def drop_slot(stack: Stack, container: Container) -> None:
    """Drop the slot where there is one: the server need not keep anything for us."""
    ask(stack, container, "postgres", _DROP, timeout=60, name=_ASKS)


# --- positions and files ----------------------------------------------------------------------------------------------


def position(text: str | None) -> int:
    """A position as Postgres writes it, such as 0/1500710, as a number; 0 for none."""
    if not text:
        return 0
    high, _slash, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def written(place: int) -> str:
    """A position as Postgres writes it."""
    return f"{place >> 32:X}/{place & 0xFFFFFFFF:X}"


def segment_name(timeline: int, place: int, size: int) -> str:
    """The name of the segment in which a position is."""
    number, per = place // size, 0x100000000 // size
    return f"{timeline:08X}{number // per:08X}{number % per:08X}"


def begin_of(name: str, size: int) -> int | None:
    """Where a segment begins; None for a file that is none."""
    found = _FILE.fullmatch(name)
    if not found:
        return None
    return (int(found[2], 16) * (0x100000000 // size) + int(found[3], 16)) * size


def segments(folder: Path, size: int) -> dict[str, int]:
    """The segments in a folder, whole or in the making, each with where it begins."""
    if not folder.is_dir():
        return {}
    found = ((path.name, begin_of(path.name, size)) for path in folder.iterdir())
    return {name: begin for name, begin in found if begin is not None}


def first_missing(begins: Iterable[int], start: int, size: int) -> int | None:
    """Where the WAL from `start` on breaks off before its last segment; None where it does not."""
    held = sorted(set(begins))
    if not held or held[0] > start:
        return start
    wanted = start // size * size
    for begin in held:
        if begin >= wanted:
            if begin != wanted:
                return wanted
            wanted += size
    return None
