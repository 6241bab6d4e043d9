# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a restore into the stack has done so far: /var/lib/hypercode/backup/restore.json, written before each step.

While that file is there, a restore is at work or was cut off: then what it did is undone before anything else is done.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..files import sync_folders, write_file
from .config import BackupError, Paths

# Once all is back and well, what was set aside only has to be removed.
# STARTING: all of it is in its place. From then on services may write, so it goes forward: only a person takes it back.
WORKING, STARTING, DONE = "working", "starting", "done"
UNDO = "hypercode backup restore --undo"
# One thing that is put back: its kind, and what is needed to undo it.
Deed = dict[str, Any]


@dataclass
class Record:
    """One restore. `stops` are the services that it stops, `ran` those of them that ran before."""

    paths: Paths
    id: str
    run: str
    stops: list[str] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    # Containers that Docker would start by itself -> their restart policy.
    policies: dict[str, str] = field(default_factory=dict)
    safety: str = ""
    phase: str = WORKING
    # The services that are started at the end.
    starts: list[str] = field(default_factory=list)
    # Those of them that were not well before, for a reason of their own.
    sick: list[str] = field(default_factory=list)
    deeds: list[Deed] = field(default_factory=list)

    @property
    def staging(self) -> Path:
        return staging_of(self.paths)

    def advance(self, phase: str) -> None:
        """Begin the next phase: it counts once it is written. FileError."""
        before, self.phase = self.phase, phase
        try:
            self.write(moved=True)
        except BaseException:
            self.phase = before
            raise

    def write(self, *, moved: bool = False) -> None:
        """Write all of it, whole. FileError. Where files were `moved`, that is on the disk before."""
        document = {
            "id": self.id,
            "run": self.run,
            "stops": self.stops,
            "ran": self.ran,
            "policies": self.policies,
            "safety": self.safety,
            "phase": self.phase,
            "starts": self.starts,
            "sick": self.sick,
            "deeds": self.deeds,
        }
        if moved:
            os.sync()
        self.paths.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_file(place_of_record(self.paths), json.dumps(document, indent=2).encode(), mode=0o600)

    def close(self) -> None:
        """It is over, well or not."""
        os.sync()
        place_of_record(self.paths).unlink(missing_ok=True)
        sync_folders([self.paths.state])

    def of_kind(self, kind: str) -> Sequence[Deed]:
        return [deed for deed in self.deeds if deed["kind"] == kind]


def place_of_record(paths: Paths) -> Path:
    return paths.state / "restore.json"


def staging_of(paths: Paths) -> Path:
    """Where items lie until they are put back."""
    return paths.state / "restore"


def read_record(paths: Paths) -> Record | None:
    """The restore that is at work or was cut off; None where there is none. BackupError when it cannot be read."""
    place = place_of_record(paths)
    try:
        found = json.loads(place.read_text(encoding="utf-8"))
        return Record(
            paths,
            str(found["id"]),
            str(found["run"]),
            [str(name) for name in found["stops"]],
            [str(name) for name in found["ran"]],
            {str(key): str(value) for key, value in found["policies"].items()},
            str(found["safety"]),
            str(found["phase"]),
            [str(name) for name in found["starts"]],
            [str(name) for name in found["sick"]],
            [dict(deed) for deed in found["deeds"]],
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BackupError(
            f"{place} tells of a restore that was cut off, and cannot be read ({error!r}). What was set aside is in "
            "folders named .hypercode-aside-…, and in databases named hypercode_aside_…. Fix: put them back by hand, "
            f"then remove {place}"
        ) from error


def cut_off(paths: Paths) -> str:
    """What to say where a restore was cut off; empty where none was. The lock of backups is the caller's."""
    if not place_of_record(paths).exists():
        return ""
    try:
        record = read_record(paths)
    except BackupError as error:
        return str(error)
    phase = record.phase if record else DONE
    if phase == DONE:
        return (
            "A restore into the stack came to its end on this host, and was cut off before it had tidied up: the data "
            f"is whole, and old data is still set aside. Fix: {UNDO} removes that"
        )
    if phase == STARTING:
        return (
            "A restore into the stack was cut off on this host while the services were started: its data is in place. "
            "Fix: hypercode stack start brings it to its end where all is well. To have the old data instead: "
            f"{UNDO}, which first saves what is there"
        )
    return (
        "A restore into the stack was cut off on this host, so its data may be half old and half new. "
        f"Fix: {UNDO} puts the old data back and starts the services"
    )
