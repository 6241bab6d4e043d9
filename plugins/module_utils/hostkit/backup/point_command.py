# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The verbs of `hypercode backup` that are about points in time."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .config import BackupError, Paths, read_config
from .facts import alone
from .points import Base, choose, read_bases, spans, stamp
from .recover import recover, told
from .restic import Restic
from .restore import make_new
from .run import Backup
from .runs import LATEST
from .streams import Deadline
from .wal_facts import board, judge, read_chains
from .wal_leave import switch_off
from .wal_supervisor import Supervisor

# With --off: a database could not be asked.
STAYS = 3


def add_stream(group: Any, function: Any) -> None:
    """Add `stream`."""
    stream = group.add_parser("stream", help="receive and ship the log of each Postgres all the time (run by systemd)")
    stream.add_argument("--off", action="store_true", help="take away what it left on the host and in the databases")
    stream.set_defaults(function=function)


def add_restore(parser: argparse.ArgumentParser) -> None:
    """Add the options of `restore` that are about points in time."""
    parser.add_argument(
        "--time",
        type=parse_time,
        metavar="WHEN",
        help="bring Postgres back as it was then, such as 2026-11-30T01:02:03Z, or `newest`",
    )
    parser.add_argument("--service", default="", metavar="NAME", help="with --time: only this one")


def parse_time(text: str) -> float:
    """A moment in seconds since 1970; infinite for the newest. Without a zone it is UTC."""
    if text == "newest":
        return float("inf")
    try:
        found = datetime.fromisoformat(text.replace("z", "Z"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"'{text}' is no time. Fix: write it as 2026-11-30T01:02:03Z, or newest"
        ) from error
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def run_stream(backup: Backup, *, off: bool) -> int:
    """Run the streams, or take away what they left."""
    with alone(backup.paths, "stream", "wal.lock"):
        if off:
            done, stays = switch_off(backup)
            for line in done:
                print(f"hypercode: took away: {line}")
            for line in stays:
                print(f"hypercode: not taken away: {line}")
            return STAYS if stays else 0
        Supervisor(backup).run()
    return 0


def restore(backup: Backup, arguments: argparse.Namespace) -> int:
    """Bring Postgres to a moment, into a folder. BackupError."""
    folder: Path = arguments.to
    restic, chosen, moment = chosen_of(backup, arguments)
    make_new(folder)
    deadline = Deadline.after(backup.config.timeout)
    for base in chosen:
        target = folder / "postgres" / base.service
        target.mkdir(mode=0o700, parents=True)
        try:
            found = recover(backup, restic, base, target, deadline, moment=moment)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
        print(found.data)
        print(f"hypercode: {told(found, moment)}; {found.seconds:.0f} s")
    return 0


def chosen_of(backup: Backup, arguments: argparse.Namespace) -> tuple[Restic, list[Base], float | None]:
    """The repository, the bases to begin from, and the moment, which is None for the newest. BackupError."""
    if arguments.item or arguments.run != LATEST:
        raise BackupError("--time is about Postgres alone. Fix: leave out --run and --item; --service names one")
    restic = backup.repository(arguments.repository)
    host = arguments.host or backup.config.host
    moment = None if arguments.time == float("inf") else float(arguments.time)
    bases = read_points(backup, restic, host)
    return restic, choose_all(bases, restic, host, arguments.service, moment, backup.clock()), moment


def read_points(backup: Backup, restic: Restic, host: str) -> list[Base]:
    """The bases of a host in a repository. Of its own ones a host knows better how long nothing more was written."""
    bases = read_bases(restic, host)
    for chain in read_chains(backup.paths) if host == backup.config.host else []:
        shipped = chain.of(restic.name)
        for base in bases:
            if base.good and base.id == shipped.base:
                base.ends = max(base.ends, float(int(shipped.until)))
    return bases


def choose_all(
    bases: Sequence[Base], restic: Restic, host: str, service: str, moment: float | None, now: float
) -> list[Base]:
    """The base to begin from for each service, or for the one that is named. BackupError."""
    services = [service] if service else sorted({base.service for base in bases if base.good})
    if not services:
        raise BackupError(
            f"The repository '{restic.name}' has no base backup of {host}, so no point in time can be restored. Fix: "
            "hypercode backup status tells how that stands; hypercode backup list has the dumps"
        )
    return [choose(bases, name, moment, restic.name, now) for name in services]


def span_rows(bases: Sequence[Base]) -> list[dict[str, Any]]:
    """From when until when each service can be restored from a repository."""
    return [
        {"service": service, "from": begins, "until": ends}
        for service in sorted({base.service for base in bases})
        for begins, ends in spans(base for base in bases if base.service == service)
    ]


def span_lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The same as lines."""
    return [f"any time of {row['service']} from {stamp(row['from'])} to {stamp(row['until'])}" for row in rows]


def board_of(paths: Paths, now: float) -> tuple[list[dict[str, Any]], list[str]]:
    """How the logs stand, as rows and as lines."""
    config = read_config(paths.config)
    rows = judge(config, read_chains(paths), now) if config.point_in_time else []
    return rows, board(rows)
