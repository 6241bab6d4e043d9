# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Postgres as it was at a moment, for the running stack: recovered beside it, then put in the place of its data."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..release_stack import ReleaseStack
from .config import BackupError
from .points import Base, read_about, stamp
from .put_back_plan import FOLDER, Part, Plan, finish_plan, major_in
from .recover import recover, room_for, told
from .restic import Restic
from .run import Backup
from .runs import Run
from .saver import TREE
from .stack import POSTGRES, Stack
from .streams import Deadline


@dataclass
class Points:
    """The bases to begin from, one for each service. Without a moment it is the newest point of each."""

    backup: Backup
    restic: Restic
    bases: Sequence[Base]
    moment: float | None = None

    @property
    def folder(self) -> Path:
        """Where they are recovered. What a command that was killed left there goes with the next run or restore."""
        return self.backup.paths.work / "recovered"

    def _place(self, base: Base) -> Path:
        return self.folder / base.service

    def plan(self, release: ReleaseStack) -> Plan:
        """Say what is to be done. Nothing is fetched but what the repository tells of the bases. BackupError."""
        stack = self.backup.stack()
        items: dict[str, dict[str, Any]] = {}
        parts = []
        for base in self.bases:
            _check_there(stack, base.service)
            about = read_about(self.restic, base)
            _check_version(stack, base, int(about["base"]["version"]))
            item = f"{POSTGRES}/{base.service}"
            # It has grown by no more than what was logged.
            size = int(about["base"]["bytes"]) + int(about["place"]) - int(about["base"]["start"])
            items[item] = {"kind": TREE, "bytes": size, "room": room_for(about)}
            parts.append(Part(item, FOLDER, base.service, str(self._place(base) / "data")))
        then = self.moment if self.moment is not None else min(base.ends for base in self.bases)
        manifest = {"host": self.bases[0].host, "began": then, "items": items}
        run = Run(f"the state of {stamp(then)}")
        plan = Plan(run, self.restic, manifest, parts, self.backup.clock() - then)
        finish_plan(self.backup, stack, release, plan)
        return plan

    @contextlib.contextmanager
    def recovered(self) -> Iterator[None]:
        """Have the data in its folder while inside. BackupError; the stack is not touched by this."""
        deadline = Deadline.after(self.backup.config.timeout)
        try:
            for base in self.bases:
                place = self._place(base)
                shutil.rmtree(place, ignore_errors=True)
                place.mkdir(mode=0o700, parents=True)
                found = recover(self.backup, self.restic, base, place, deadline, moment=self.moment)
                self.backup.tell(told(found, self.moment))
            yield
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


def _check_there(stack: Stack, service: str) -> None:
    if service not in stack.of_kind(POSTGRES):
        raise BackupError(
            f"The release in use has no service '{service}' with Postgres. Services with Postgres: "
            f"{', '.join(stack.of_kind(POSTGRES)) or 'none'}. Nothing was changed. Fix: name one of these with "
            "--service, or bring it back with --to FOLDER"
        )


def _check_version(stack: Stack, base: Base, version: int) -> None:
    """Files of one major version are read by that one alone."""
    here = major_in(stack, base.service)
    if here and version // 10000 != here:
        raise BackupError(
            f"{base.service} was Postgres {version // 10000} at that time and is Postgres {here} now, which cannot "
            f"read such files. Nothing was changed. Fix: deploy Postgres {version // 10000} for it first; or --to "
            "FOLDER, and move a dump of that"
        )
