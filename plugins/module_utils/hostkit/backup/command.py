# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`hypercode backup`: runs, shows, checks and brings back."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from ..files import FileError, write_file
from ..release import Paths as ReleasePaths
from . import point_command, put_back_command
from .config import BackupError, Busy, Config, Paths, read_config
from .drill import Drill
from .facts import AGE_MAX, alone, is_at_work, read_facts, write_facts
from .put_back_record import cut_off
from .restore import choose, restore_to_folder
from .run import Backup
from .runs import LATEST, read_manifest, read_runs
from .streams import Deadline
from .text import age, board, judge, runs_table
from .verify import verify
from .wal_leave import guard

BUSY = 75
# With --if-due: a run of the night that was missed is made up once the last good one is so old.
DUE = AGE_MAX - 3600


def add_verbs(verbs: Any) -> None:
    """Add `backup` to the command."""
    parser = verbs.add_parser("backup", help="back up what the stack holds, check the backups, bring something back")
    group = parser.add_subparsers(required=True, metavar="WHAT")

    run = group.add_parser("run", help="make a backup now (done by cron every night)")
    run.add_argument("--if-due", action="store_true", help="only where the last good one is older than 25 hours")
    run.add_argument("--jitter", type=float, default=0, metavar="S", help="wait up to so many seconds at first")
    run.add_argument("--accept-loss", action="store_true", help="take it that something is empty that was not before")
    run.set_defaults(function=_run)

    status = group.add_parser("status", help="show how the backups stand")
    status.add_argument("--json", action="store_true", help="print data instead of lines")
    status.set_defaults(function=_status)

    listed = group.add_parser("list", help="list the runs in a repository")
    _add_place(listed)
    listed.add_argument("--json", action="store_true", help="print data instead of a table")
    listed.add_argument("--points", action="store_true", help="with --json: the spans of time that can be restored")
    listed.set_defaults(function=_list)

    check = group.add_parser("verify", help="read a thirtieth of each repository, another one each time")
    check.add_argument("--all", action="store_true", help="read everything")
    check.set_defaults(function=_verify)

    restore = group.add_parser("restore", help="bring back a run, or a part of it, into a folder or the running stack")
    _add_place(restore)
    point_command.add_restore(restore)
    restore.add_argument("--run", default=LATEST, metavar="ID", help="which one (default: the newest good one)")
    restore.add_argument(
        "--item",
        action="append",
        default=[],
        metavar="NAME",
        help="only this, such as postgres/db (list --json has all)",
    )
    restore.add_argument("--to", type=Path, metavar="FOLDER", help="a folder that is new or empty")
    put_back_command.add_options(restore)
    restore.set_defaults(function=_restore)

    drill = group.add_parser(
        "drill", help="restore the newest run into scratch containers, and compare it with what was saved"
    )
    drill.add_argument("--repository", default="", metavar="NAME", help="which one (default: the first)")
    drill.set_defaults(function=_drill)

    point_command.add_stream(group, _stream)

    init = group.add_parser(
        "init", help="make the password file where none is, and the repositories (done by site.yml)"
    )
    init.set_defaults(function=_init)


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repository", default="", metavar="NAME", help="which one (default: the first)")
    parser.add_argument("--host", default="", help="whose (default: this host's), as for a host that is lost")


def _backup(host: Any) -> Backup:
    paths = paths_of(host)
    config = read_config(paths.config)
    return Backup(config, paths, host.engine, tell=lambda line: print(line, flush=True))


def paths_of(host: Any) -> Paths:
    """The places of backups on the host that the command works on."""
    found: ReleasePaths = host.store.paths
    return Paths(found.root)


def _run(arguments: argparse.Namespace, host: Any) -> int:
    backup = _backup(host)
    if arguments.jitter:
        time.sleep(random.uniform(0, arguments.jitter))  # noqa: S311  No secret: it spreads the load.
    with _alone(backup.paths, "run") as held:
        if not held:
            return BUSY
        if arguments.if_due:
            guard(backup)
        if arguments.if_due and not due(backup.config, backup.paths, backup.clock()):
            return 0
        put_back_command.refuse_cut_off(backup)
        failures = backup.run(accept_loss=arguments.accept_loss)
        if failures:
            raise BackupError(
                "the backup failed. " + " ".join(f"[{number}] {text}." for number, text in enumerate(failures, 1))
            )
        print("hypercode: the backup is done, and was read back. All runs: hypercode backup list")
    return 0


def due(config: Config, paths: Paths, now: float) -> bool:
    """Whether a repository lacks a good run of the last 25 hours.

    One in the future was made before the clock was set back: it says nothing. After failures it is tried again after
    1, 2, 4 ... 12 hours, for each try may be a full backup.
    """
    facts = read_facts(paths)
    failed, ended = int(facts.get("failed") or 0), (facts.get("last") or {}).get("ended")
    # Cron comes once an hour, so a little less counts as an hour.
    if failed and ended and 0 <= now - ended < min(2 ** min(failed - 1, 4), 12) * 3600 - 900:
        return False
    known = facts.get("repositories") or {}
    goods = [((known.get(entry.name) or {}).get("good") or {}).get("began") for entry in config.repositories]
    return any(began is None or not 0 <= now - float(began) < DUE for began in goods)


def _status(arguments: argparse.Namespace, host: Any) -> int:
    found = board_lines(paths_of(host), time.time())
    if found is None:
        raise BackupError(
            f"nothing is backed up here: {paths_of(host).config} is missing. Fix: run site.yml for this host"
        )
    rows, lines = found
    print(json.dumps(rows, indent=2) if arguments.json else "\n".join(lines))
    return 0 if all(row["good"] for row in rows) else 1


def board_lines(paths: Paths, now: float) -> tuple[list[dict[str, Any]], list[str]] | None:
    """How the backups stand, as rows and as lines; None where none are set up. It asks no repository."""
    try:
        since = paths.config.stat().st_mtime
        config = read_config(paths.config)
    except FileNotFoundError:
        return None
    facts = read_facts(paths)
    known = facts.get("repositories") or {}
    facts["repositories"] = {entry.name: known.get(entry.name) or {} for entry in config.repositories}
    rows = judge(facts, now, since)
    points, more = point_command.board_of(paths, now)
    lines = [*board(facts, rows, now), *more]
    rows += points
    said = cut_off(paths)
    if said and not is_at_work(paths):
        rows.append({"repository": "", "good": False, "message": said})
        lines.append(f"restore: {said}")
    return rows, lines


def for_board(paths: Paths, now: float) -> tuple[list[dict[str, Any]], list[str]]:
    """The same for the board of the stack, which is shown whatever is wrong with the backups."""
    if paths.config.exists() and not os.access(paths.config, os.R_OK):
        return [], ["backup: only root may look: sudo hypercode backup status"]
    try:
        return board_lines(paths, now) or ([], [])
    except (BackupError, FileError) as error:
        return [{"repository": "", "good": False, "message": str(error)}], [f"backup: {error}"]


def _list(arguments: argparse.Namespace, host: Any) -> int:
    backup = _backup(host)
    restic = backup.repository(arguments.repository)
    runs = read_runs(restic, arguments.host or backup.config.host)
    manifests = {run.id: read_manifest(backup.paths, restic, run) for run in runs if run.good}
    points = point_command.span_rows(point_command.read_points(backup, restic, arguments.host or backup.config.host))
    if arguments.json:
        rows = [{"id": run.id, "good": run.good, "manifest": manifests.get(run.id)} for run in runs]
        print(json.dumps(points if arguments.points else rows, indent=2))
        return 0
    if runs:
        print("\n".join(runs_table(runs, manifests, time.time())))
    else:
        print(f"hypercode: the repository '{restic.name}' holds no run of {arguments.host or backup.config.host} yet")
    for line in point_command.span_lines(points):
        print(line)
    return 0


def _verify(arguments: argparse.Namespace, host: Any) -> int:
    backup = _backup(host)
    with _alone(backup.paths, "verify") as held:
        if not held:
            return BUSY
        found = verify(backup, everything=arguments.all)
    for name, failure in found.items():
        if not failure:
            print(f"hypercode: the repository '{name}' is sound, as far as it was read")
    wrong = [failure for failure in found.values() if failure]
    if wrong:
        raise BackupError(" ".join(wrong))
    return 0


def _restore(arguments: argparse.Namespace, host: Any) -> int:
    backup = _backup(host)
    into_stack = arguments.into_stack or arguments.undo
    if into_stack == (arguments.to is not None):
        raise BackupError("Where to was not said, or twice. Fix: either --to FOLDER, or --into-stack (or --undo)")
    if arguments.plan and not into_stack:
        raise BackupError("--plan goes with --into-stack; nothing was written. Fix: leave out --to, or --plan")
    if arguments.time is not None and not into_stack:
        return point_command.restore(backup, arguments)
    if into_stack:
        backup.tell = put_back_command.patient(backup.tell)
        with contextlib.ExitStack() as stack:
            if not arguments.plan and not stack.enter_context(_alone(backup.paths, "restore")):
                return BUSY
            return _busy_is_told(partial(put_back_command.restore_into_stack, arguments, host, backup))
    restic, run, manifest = backup.find(arguments.run, arguments.repository, arguments.host)
    items = choose(manifest, arguments.item)
    written = restore_to_folder(restic, run, manifest, items, arguments.to, Deadline.after(backup.config.timeout))
    print("\n".join(str(path) for path in written))
    print(f"hypercode: {len(written)} items of {run.id} are in {arguments.to}, each as it was saved")
    return 0


def _busy_is_told(work: Callable[[], int]) -> int:
    try:
        return work()
    except Busy as error:
        print(f"hypercode: {error}", flush=True)
        return BUSY


def _drill(arguments: argparse.Namespace, host: Any) -> int:
    backup = _backup(host)
    with _alone(backup.paths, "drill") as held:
        if not held:
            return BUSY
        # A start of the stack must not have to wait for it.
        put_back_command.refuse_cut_off(backup)
        report = Drill(backup, arguments.repository).go()
    if report["failures"]:
        raise BackupError(
            "the drill failed. " + " ".join(f"[{n}] {text}." for n, text in enumerate(report["failures"], 1))
        )
    for name in report["left_out"]:
        print(f"left out, since disk or memory has no room for it: {name}")
    print(
        f"hypercode: {report['run']} came back as it was saved, in {report['rto_seconds']:.0f} s (RTO). "
        f"It was {age(report['rpo_seconds'])} old (RPO)"
    )
    return 0


def _stream(arguments: argparse.Namespace, host: Any) -> int:
    signal.signal(signal.SIGTERM, _stop)
    try:
        return point_command.run_stream(_backup(host), off=arguments.off)
    except KeyboardInterrupt:
        return 0


def _init(_arguments: argparse.Namespace, host: Any) -> int:
    backup = _backup(host)
    # From now on it can be late. A run that is at work notes that itself.
    with contextlib.suppress(Busy), alone(backup.paths, "init"):
        facts = read_facts(backup.paths)
        for entry in backup.config.repositories:
            known = facts.setdefault("repositories", {}).setdefault(entry.name, {})
            known.setdefault("configured", backup.clock())
        write_facts(backup.paths, facts)
    # A lock of its own: a deploy need not wait for a run, which makes no repository.
    with _alone(backup.paths, "init", "init.lock") as held:
        if not held:
            return BUSY
        for entry in backup.config.repositories:
            path = Path(entry.password_file)
            if not path.exists():
                write_file(path, secrets.token_urlsafe(32).encode() + b"\n", mode=0o600)
                print(f"hypercode: made a password in {path}. Keep a copy elsewhere: without it no backup can be read")
        for restic in backup.repositories:
            backup.open_repository(restic, make=True)
    return 0


@contextlib.contextmanager
def _alone(paths: Paths, what: str, file: str = "lock") -> Iterator[bool]:
    """Hold the lock; where another one has it, say so and yield False. SIGTERM ends what is inside in good order."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(alone(paths, f"{what} since {time.strftime('%H:%M UTC', time.gmtime())}", file))
        except Busy as error:
            print(f"hypercode: {error}", flush=True)
            yield False
            return
        usual = signal.signal(signal.SIGTERM, _stop)
        try:
            yield True
        finally:
            signal.signal(signal.SIGTERM, usual)


def _stop(_number: int, _frame: object) -> NoReturn:
    # Not by a SIGINT to ourselves: what cron or a shell starts in the background ignores that.
    raise KeyboardInterrupt
