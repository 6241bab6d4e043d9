# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A backup of all that the stack holds, made before a rollout touches data: what a way back can ask for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .backup.config import BackupError, Busy, Paths, read_config
from .backup.facts import alone, read_facts
from .backup.run import Backup
from .engine import Engine
from .files import FileError
from .hook_list import BEFORE, hooks_of
from .rollout_error import RolloutError
from .start_first import written
from .start_first_move import Mover

if TYPE_CHECKING:
    from .release_stack import ReleaseStack

# Seconds to wait for a backup that is at work already, such as that of the night.
PATIENCE = 1800.0
LOOK = 5.0
# Makes a backup of this host, and returns the id of the run.
BackUp = Callable[[Path, Engine], str]


def back_up(
    root: Path,
    engine: Engine,
    *,
    make: Callable[..., Backup] = Backup,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """Make a backup by the configuration of this host; return the id of the run. BackupError or FileError."""
    paths, began = Paths(root), clock()
    backup = make(read_config(paths.config), paths, engine)
    while True:
        try:
            with alone(paths, "run (a restore point)"):
                failures = backup.run()
                run = str((read_facts(paths).get("last") or {}).get("id") or "")
            break
        except Busy:
            if clock() - began >= PATIENCE:
                raise
            sleep(LOOK)
    if failures:
        raise BackupError("; ".join(failures))
    return run


def is_set_up(root: Path) -> bool:
    return Paths(root).config.exists()


def take(stack: ReleaseStack, root: Path, back_up: BackUp) -> None:
    """Make one where an update is about to touch data, and note it in release.json. Raises RolloutError.

    Not on a way back, which must not wait for a store that is away or a database that is ill. Where no backups are set
    up there is none, and the journal says so.
    """
    about = stack.about
    if not about.get("restore_point", True) or _is_made(stack):
        return
    reason = _reason(Mover(stack).writers([name for level in stack.levels() for name in level]), about)
    if not reason:
        return
    if not is_set_up(root):
        stack.journal.write("no restore point", reason=f"{reason}, and no backups are set up on this host")
        return
    stack.journal.write("making a restore point", reason=reason)
    began = stack.tools.clock()
    try:
        run = back_up(root, stack.tools.engine)
    except (BackupError, FileError) as error:
        raise RolloutError(
            f"The restore point could not be made ({reason}): {error}. No service was touched. Fix: mend that "
            "(hypercode backup run tries it) and run the same command again, or do without: stack_restore_point: false"
        ) from error
    stack.about |= stack.release.update(restore_point_run=run)
    stack.journal.write("restore point", run=run, seconds=round(stack.tools.clock() - began, 1))


def _is_made(stack: ReleaseStack) -> bool:
    """One that was made before a cut counts; so does the first one of a release that has changed data since."""
    has_begun = bool(stack.about.get("begun"))
    return bool(stack.about.get("restore_point_run")) and (has_begun or stack.journal.since_the_end("restore point"))


def _reason(writers: Sequence[str], about: Mapping[str, Any]) -> str:
    """Why one is needed; empty when it is not."""
    if writers:
        return f"{', '.join(writers)} changes and has data"
    if about.get("reversible") is False:
        return "this release cannot be left backwards"
    return "a hook runs before the rollout, and may change data" if hooks_of(about, BEFORE) else ""


def plan_lines(
    actions: Mapping[str, str], services: Mapping[str, Any], about: Mapping[str, Any], root: Path
) -> list[str]:
    """Say for a plan whether there is to be one, from what is known before anything is pulled."""
    writers = [
        name
        for name, action in actions.items()
        if action.startswith("replace") and written(services.get(name) or {}, ("volume",))
    ]
    reason = _reason(sorted(writers), about)
    if not reason or not about.get("restore_point", True):
        return []
    if is_set_up(root):
        return [f"first a restore point, a backup of all: {reason}"]
    return [f"no restore point, since no backups are set up on this host: {reason}"]
