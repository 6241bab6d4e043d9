# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The part of a drill that is about points in time: the newest base of each Postgres comes to the end of its log."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ..command import CommandResult
from .config import BackupError
from .points import Base, newest_of_lines, read_about, read_bases, stamp
from .recover import recover, room_for

if TYPE_CHECKING:
    from .drill import Drill

# What pg_amcheck, or docker, says of an image that has no such check.
_WITHOUT = ("executable file not found", "no such file or directory", "amcheck.control", "is not available")


def point_parts(drill: Drill) -> list[tuple[str, Callable[[], None]]]:
    """What is to be done, one by one. What the disk has no room for is noted as left out."""
    backup, restic = drill.backup, drill.restic
    bases = read_bases(restic, backup.config.host)
    services = sorted({base.service for base in bases})
    parts: list[tuple[str, Callable[[], None]]] = []
    # Where the data is new, what was before has to come back too: after a loss that is what is wanted.
    newest = [(name, base) for name in services for base in newest_of_lines(bases, name, backup.clock())]
    for service, base in newest:
        name = f"the log of {service}, to {stamp(base.ends)}"
        about = read_about(restic, base)
        if shutil.disk_usage(drill.folder).free < room_for(about):
            drill.left_out.append(name)
        else:
            parts.append((name, partial(_recover, drill, base)))
    return parts


def _recover(drill: Drill, base: Base) -> None:
    folder = drill.folder / f"point-{base.service}-{base.id}"
    folder.mkdir(mode=0o700)
    try:
        look = partial(check_structure, base.service, drill.backup.tell)
        recover(drill.backup, drill.restic, base, folder, drill.deadline, inspect=look, memory=str(drill.memory))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_structure(service: str, tell: Callable[[str], None], ask: Callable[..., CommandResult]) -> Mapping[str, Any]:
    """Have Postgres check its tables and indexes. BackupError names what is damaged."""
    done = ask("pg_amcheck", "--all", "--install-missing")
    said = (done.stdout + done.stderr).strip()
    if done.code and any(words in said for words in _WITHOUT):
        tell(f"its image has no pg_amcheck, so the tables of {service} were not checked")
        return {"checked": False}
    if done.code:
        raise BackupError(
            f"The tables of {service} are damaged after a recovery: {' '.join(said.split())[:300].rstrip('.')}. Fix: "
            "run pg_amcheck in the database itself: either that is damaged, or what was saved is"
        )
    return {"checked": True}
