# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`hypercode backup restore --into-stack`: shows the plan, asks for a yes, and does it under the locks of the host."""

from __future__ import annotations

import argparse
import contextlib
import select
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

from ..engine import patient_runner
from ..release import Paths as ReleasePaths
from ..release import Release, lock, lock_holder
from ..stack_state import summary
from . import point_command, put_back_safety
from .config import BackupError, Busy, Paths, read_config
from .facts import alone, is_at_work
from .put_back import PutBack
from .put_back_hands import WRONG, Hands, UndoError
from .put_back_plan import Plan, make_plan
from .put_back_points import Points
from .put_back_record import DONE, STARTING, UNDO, Record, cut_off, place_of_record, read_record
from .run import Backup
from .streams import Deadline

HOLDER = "a restore into the stack"
LOCK_WAIT = 5.0
# Docker that is started again, as for an upgrade, is waited for that long.
ENGINE_PATIENCE = 60.0
# At the start of the stack: a backup that was at work when Docker was started again ends soon.
AT_WORK_WAIT = 600.0
_AT_START = "restore --undo (at the start of the stack)"
ANSWER_WAIT = 600.0


def add_options(restore: argparse.ArgumentParser) -> None:
    """Add the options of a restore into the stack."""
    restore.add_argument(
        "--into-stack",
        action="store_true",
        help="put it back into the running stack; what is replaced is saved first",
    )
    restore.add_argument(
        "--yes",
        action="store_true",
        help="do not ask; with --undo: go on where what is there cannot be saved",
    )
    restore.add_argument("--plan", action="store_true", help="only say what would be done")
    restore.add_argument(
        "--undo", action="store_true", help="put the old data back after a restore into the stack that was cut off"
    )


def restore_into_stack(arguments: argparse.Namespace, host: Any, backup: Backup) -> int:
    """Do it. Raises BackupError; Busy where another one is at work."""
    if arguments.plan:
        if is_at_work(backup.paths) and place_of_record(backup.paths).exists():
            raise Busy("A restore is at work on this host. Nothing was changed. Fix: wait for its end")
        refuse_cut_off(backup)
        _show(_plan(arguments, backup, hands_of(host, backup))[0])
        return 0
    with _rollouts_wait(backup), _goes_on(), host.engine.patient(ENGINE_PATIENCE):
        hands = hands_of(host, backup)
        said, well = put_right(hands, back=arguments.undo, unsaved=arguments.yes)
        if arguments.undo:
            print(said or "hypercode: no restore was cut off here, so there is nothing to undo")
            return 0 if well else 1
        if said:
            print(said, flush=True)
        plan, made_ready = _plan(arguments, backup, hands)
        _show(plan)
        if not arguments.yes and not _asked():
            print("hypercode: nothing was changed")
            return 1
        began = backup.clock()
        with made_ready:
            safety = PutBack(hands, plan).go()
        seconds = backup.clock() - began
    compared = "" if arguments.time is not None else ", compared with what was saved"
    print(f"hypercode: {plan.run.id} is in the stack{compared}, after {seconds:.0f} s")
    board = hands.release.rows(list(hands.release.about["services"]))
    print(f"hypercode: {summary(board)}")
    if safety:
        print(
            f"What was there before is the run {safety}. To have it again: "
            f"hypercode backup restore --into-stack --run {safety} --repository {plan.restic.name}"
        )
    return 0


def put_right(hands: Hands, *, back: bool = False, unsaved: bool = False) -> tuple[str, bool]:
    """See to a restore that was cut off. The locks are the caller's.

    Half restored data is put back. Where all of it was in its place, services may have written since: then it is
    brought to its end. Only with `back` is it taken back, and what is there is saved before; with `unsaved` also where
    that cannot be saved. Returns what to say, "" where none was cut off, and whether all is well. BackupError.
    """
    record = read_record(hands.backup.paths)
    if record is None:
        return "", True
    begin = f"hypercode: the restore of {record.run} that was cut off"
    if record.phase == DONE:
        hands.finish(record)
        return f"{begin} had come to its end, and was tidied up", True
    if record.phase == STARTING and not back:
        try:
            hands.start(record)
            record.advance(DONE)
        except WRONG as error:
            raise BackupError(
                f"The restore of {record.run} was cut off while the services were started. Its data is in place, and "
                f"not all is well: {str(error).rstrip('.')}. Fix: mend that, then run hypercode stack start. To have "
                f"the old data instead: {UNDO}, which first saves what is there"
            ) from error
        hands.finish(record)
        hands.remember(record)
        return f"{begin} was brought to its end: the restored data is in use", True
    saved = ""
    if record.phase == STARTING:
        saved = _save_again(hands, record, unsaved=unsaved)
    failures = hands.undo(record)
    well = f" Not well: {' '.join(failures)}" if failures else ""
    return f"{begin} was undone: the old data is back.{saved}{well}", not failures


def _save_again(hands: Hands, record: Record, *, unsaved: bool) -> str:
    try:
        run = put_back_safety.take_again(hands, record, Deadline.after(hands.backup.config.timeout))
    except WRONG as error:
        if unsaved:
            hands.tell(f"what was written since the restore is not saved: {error}")
            return ""
        with contextlib.suppress(*WRONG):
            hands.start(record)
        raise BackupError(
            f"What was written since the restore could not be saved, so nothing was taken back: "
            f"{str(error).rstrip('.')}. Fix: mend that. To lose what was written since: {UNDO} --yes"
        ) from error
    return f" What was written since is the run {run}." if run else ""


def hands_of(host: Any, backup: Backup) -> Hands:
    """What works on the release in use. BackupError where there is none."""
    release: Release | None = host.store.current()
    if release is None:
        raise BackupError("No stack is deployed on this host. Nothing was changed. Fix: run site.yml for it first")
    runner = patient_runner(host.run, host.engine)
    return Hands(backup, host.rollout(host.store, release, host.engine, run=runner).stack(evidence="restore"))


def before_start(host: Any) -> tuple[frozenset[str], list[str]]:
    """See to a restore that was cut off, as by a reboot: no service is to start on half restored data.

    The lock of rollouts is the caller's. Returns the services that have to stay down, and what went wrong. BackupError
    where nobody can tell which those are.
    """
    backup = _cut_off_here(host)
    if backup is None:
        return frozenset(), []
    with alone(backup.paths, _AT_START, wait=AT_WORK_WAIT), host.engine.patient(ENGINE_PATIENCE):
        record = read_record(backup.paths)
        # One that is done only has to be tidied up, for which databases have to run.
        if record is None or record.phase == DONE:
            return frozenset(), []
        try:
            print(put_right(hands_of(host, backup))[0], flush=True)
        except UndoError as error:
            return error.services, [str(error)]
        except BackupError as error:
            if record.phase == STARTING:
                return frozenset(), [str(error)]
            raise
    return frozenset(), []


def after_start(host: Any) -> None:
    """Tidy up after a restore that had come to its end. It is in nobody's way, so nothing is raised."""
    try:
        backup = _cut_off_here(host)
        if backup is not None:
            with alone(backup.paths, _AT_START), host.engine.patient(ENGINE_PATIENCE):
                record = read_record(backup.paths)
                if record is not None and record.phase == DONE:
                    print(put_right(hands_of(host, backup))[0], flush=True)
    except WRONG as error:
        print(f"hypercode: {error}", flush=True)


def _cut_off_here(host: Any) -> Backup | None:
    paths = Paths(host.store.paths.root)
    if not place_of_record(paths).exists():
        return None
    return Backup(read_config(paths.config), paths, host.engine, tell=lambda line: print(line, flush=True))


def refuse_cut_off(backup: Backup) -> None:
    """BackupError where the data may be half restored: that must not become the newest backup."""
    said = cut_off(backup.paths)
    if said:
        raise BackupError(said)


def _plan(
    arguments: argparse.Namespace, backup: Backup, hands: Hands
) -> tuple[Plan, contextlib.AbstractContextManager[None]]:
    """What is to be done, and what has to be made ready for it first."""
    if arguments.time is not None:
        points = Points(backup, *point_command.chosen_of(backup, arguments))
        return points.plan(hands.release), points.recovered()
    found = backup.find(arguments.run, arguments.repository, arguments.host)
    return make_plan(backup, hands.release, found, arguments.item), contextlib.nullcontext()


def _show(plan: Plan) -> None:
    print("\n".join(plan.lines()), flush=True)


def _asked() -> bool:
    if not sys.stdin.isatty():
        raise BackupError("Nobody is there to say yes. Nothing was changed. Fix: add --yes")
    print(f"Go on? [y/N] (no answer in {ANSWER_WAIT / 60:.0f} min is a no) ", end="", flush=True)
    # Meanwhile no backup and no rollout can begin.
    if not select.select([sys.stdin], [], [], ANSWER_WAIT)[0]:
        print()
        return False
    return sys.stdin.readline().strip().lower() in ("y", "yes")


@contextlib.contextmanager
def _rollouts_wait(backup: Backup) -> Iterator[None]:
    paths = ReleasePaths(backup.paths.root)
    with lock(paths, wait_seconds=LOCK_WAIT, holder=HOLDER) as held:
        if not held:
            raise Busy(
                f"A rollout is at work on this host ({lock_holder(paths) or 'it has just ended'}). Nothing was "
                "changed. Fix: wait until `hypercode rollout status` says that it ended, then run this again"
            )
        yield


@contextlib.contextmanager
def _goes_on() -> Iterator[None]:
    """While inside, a connection that is lost ends nothing."""
    usual = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, usual)


def patient(tell: Callable[[str], None]) -> Callable[[str], None]:
    """Tell what is done; that nobody hears it any more ends nothing."""

    def say(line: str) -> None:
        with contextlib.suppress(OSError):
            tell(line)

    return say
