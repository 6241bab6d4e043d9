# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The host command `hypercode`: for the operator who has only SSH, for systemd units and for cron."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from . import __version__, stack_state
from .backup import command as backup
from .backup import put_back_command
from .backup.config import BackupError
from .board_text import render_board
from .certificates import command as certificates
from .certificates.caddy import CaddyError
from .certificates.wanted import Paths as CertificatePaths
from .certificates.x509 import CertificateError
from .diagnose.command import add_verbs as add_diagnose_verbs
from .edge.caddy import EdgeError
from .edge.command import add_verbs as add_edge_verbs
from .engine import Engine, EngineError, run_docker
from .files import FileError
from .image_content_cache import ContentCache
from .image_content_text import images_of, render_images
from .journal import Journal
from .launcher import Launcher, failure_of
from .limits_command import add_verb as add_limits_verb
from .monitoring import command as monitoring
from .monitoring.check import MonitoringError
from .release import UNFINISHED, Paths, Release, ReleaseError, Store, lock, lock_holder
from .release_images import Runner
from .rollback_command import add_verbs as add_rollback_verbs
from .rollout import Rollout, RolloutError
from .rollout_abort import AbortError, abort
from .rollout_run import STARTING, run_release
from .soak.command import add_verbs as add_soak_verbs
from .soak.command import for_board as soak_for_board
from .soak.settings import SoakError
from .watch.command import add_verbs as add_watch_verbs
from .watch.config import WatchError

EPILOG = "Exit codes: 0 all is well, 1 something is not, 2 the command was typed wrong, 75 another one is at work."
INTERRUPTED = 130
WRONG = 2
LOCK_WAIT = 5.0
ABORT_TIMEOUT = 300.0
# What says itself what is wrong, and the fix.
_TOLD = (
    AbortError,
    BackupError,
    CaddyError,
    CertificateError,
    EdgeError,
    EngineError,
    FileError,
    MonitoringError,
    OSError,
    ReleaseError,
    RolloutError,
    SoakError,
    WatchError,
)


@dataclass
class Host:
    """The host that the command works on; another one in tests."""

    store: Store = field(default_factory=lambda: Store(Paths()))
    engine: Engine = field(default_factory=Engine)
    run: Runner = run_docker
    rollout: Callable[..., Rollout] = Rollout
    certificates: CertificatePaths = field(default_factory=CertificatePaths)
    launcher: Launcher = field(default_factory=Launcher)


def main(argv: Sequence[str] | None = None, host: Host | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        code = int(arguments.function(arguments, host or Host()))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Whoever read the output has seen enough, as `| head` does. Python must not complain at its own end.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except _TOLD as error:
        hint = " Fix: run it with sudo" if isinstance(error, PermissionError) else ""
        print(f"hypercode: {error}.{hint}" if hint else f"hypercode: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("hypercode: stopped. The same command, or site.yml, goes on where this ended", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hypercode", description="Looks after the stack on this host.", epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"hypercode {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")

    status = verbs.add_parser("status", help="show the board: every service, wanted and actual")
    status.add_argument("--json", action="store_true", help="print data instead of a table")
    status.set_defaults(function=_status)

    images = verbs.add_parser("images", help="show which images are in use, and the Python packages in them")
    images.add_argument("--json", action="store_true", help="print data instead of a table")
    images.add_argument("--packages", action="store_true", help="list every package")
    images.set_defaults(function=_images)

    certificates.add_parser(verbs)

    rollout = verbs.add_parser("rollout", help="look at rollouts, or go back to an earlier release")
    rollouts = rollout.add_subparsers(required=True, metavar="WHAT")
    shown = rollouts.add_parser("status", help="show how the last rollout stands")
    shown.set_defaults(function=_rollout_status)
    stop = rollouts.add_parser("abort", help="end the rollout that is at work: the previous release is put back")
    stop.set_defaults(function=_rollout_abort)
    apply = rollouts.add_parser("apply", help="move this host to a release that is prepared here")
    apply.add_argument("release", help="its id, a folder name under /opt/hypercode/releases")
    apply.set_defaults(function=_rollout_apply)
    add_rollback_verbs(rollouts)

    stack = verbs.add_parser("stack", help="start or stop the stack, or tell a service something")
    stacks = stack.add_subparsers(required=True, metavar="WHAT")
    start = stacks.add_parser("start", help="start the current release, in dependency order (done at each boot)")
    start.set_defaults(function=_stack_start)
    stop = stacks.add_parser(
        "stop", help="stop every service, last to first, each with its own grace period (done at shutdown)"
    )
    stop.set_defaults(function=_stack_stop)
    signal = stacks.add_parser("signal", help="send a signal to a running service, such as HUP to read its files again")
    signal.add_argument("service")
    signal.add_argument("signal")
    signal.add_argument("--if-there", action="store_true", help="do nothing when the release has no such service")
    signal.set_defaults(function=_stack_signal)

    add_limits_verb(verbs)
    add_edge_verbs(verbs)
    monitoring.add_verbs(verbs)
    backup.add_verbs(verbs)
    add_watch_verbs(verbs)
    add_soak_verbs(verbs)
    add_diagnose_verbs(verbs)
    return parser


def _current(host: Host) -> Release | None:
    """Return the release in use; where there is none, say so."""
    release = host.store.current()
    if release is None:
        lost = host.store.lost()
        if lost:
            print(
                f"hypercode: the release in use ({lost}) is gone from the disk. Next: run site.yml; it writes a new one"
            )
        else:
            print("hypercode: nothing is deployed on this host yet. Next: run site.yml for it")
    return release


# ---- status ----------------------------------------------------------------------------------------------------------


def _status(arguments: argparse.Namespace, host: Host) -> int:
    store = host.store
    release = store.shown()
    if release is None:
        if arguments.json:
            print(json.dumps({"release": None, "board": []}))
        else:
            _current(host)
        return 1
    about = release.read()
    containers = host.engine.containers(str(about["project"]))
    rows = stack_state.with_memory(host.engine, stack_state.make_rows(containers, about["services"]))
    sites = certificates.board_rows(host.certificates)
    backups, lines = backup.for_board(backup.paths_of(host), time.time())
    alerts, alert_lines = monitoring.for_board(containers)
    soak, soak_lines = soak_for_board(store.paths.root)
    if arguments.json:
        board = {
            "release": release.id,
            "board": [row.as_board() for row in rows],
            "certificates": sites or [],
            "backups": backups,
            "alerts": [alert.as_dict() for alert in alerts],
            "soak": soak,
        }
        print(json.dumps(board, indent=2))
    else:
        _print_board(release, [row.as_board() for row in rows])
        if sites is not None:
            certificates.show(sites)
        for line in [*lines, *alert_lines, *soak_lines]:
            print(line)
    good = all(row.is_good for row in rows) and all(entry["good"] for entry in [*(sites or []), *backups])
    return 0 if good and store.current() is not None else 1


def _images(arguments: argparse.Namespace, host: Host) -> int:
    """Show the images of the release in use; 1 when one holds a forbidden package for which there is no reason."""
    release = host.store.current()
    if release is None:
        if arguments.json:
            print(json.dumps({"release": None, "watched": [], "images": []}))
        else:
            _current(host)
        return 1
    found = images_of(release, ContentCache(host.store.paths.images))
    if arguments.json:
        print(json.dumps(found.as_dict(packages=arguments.packages), indent=2))
    else:
        print("\n".join(render_images(found, packages=arguments.packages)))
    return 1 if found.verdict.refused else 0


def _print_board(release: Release, board: Sequence[dict[str, object]]) -> None:
    about = release.read()
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    width = shutil.get_terminal_size().columns
    print(render_board(board, title=os.uname().nodename, width=width, unicode=unicode))
    print(f"release {release.id}  version {about.get('version') or '-'}  status {about['status']}")


def last_moved(store: Store) -> Release:
    """Return the release of the last rollout: one that has not ended, else the one whose journal was written last."""
    releases = store.all()
    unfinished = [release for release in releases if release.status in UNFINISHED]
    return unfinished[-1] if unfinished else max(releases, key=lambda found: (_written(store, found), found.id))


def _written(store: Store, release: Release) -> int:
    try:
        return Journal(store.paths, release.id).path.stat().st_mtime_ns
    except OSError:
        return 0


def _rollout_status(_arguments: argparse.Namespace, host: Host) -> int:
    releases = host.store.all()
    if not releases:
        print("hypercode: no rollout has run on this host")
        return 1
    newest = last_moved(host.store)
    about = newest.read()
    status = about["status"]
    print(f"release {newest.id}  version {about.get('version') or '-'}  status {status}")
    for event in Journal(host.store.paths, newest.id).read():
        details = " ".join(f"{key}={value}" for key, value in event.items() if key not in ("time", "event") and value)
        print(f"  {event['event']}  {details}".rstrip())
    if status in UNFINISHED and lock_holder(host.store.paths) is None:
        is_way_back = newest.was_in_use and newest != host.store.current()
        again = f"hypercode rollout back {newest.id}" if is_way_back else "run site.yml again"
        print(f"It was cut off: no process is at work on it. Next: {again}; it finishes the job")
    elif status not in UNFINISHED and status != "done":
        print(failure_of(about, host.store.paths, timeout=0))
    return 0 if status == "done" else 1


# ---- what changes something ------------------------------------------------------------------------------------------


def _rollout_apply(arguments: argparse.Namespace, host: Host) -> int:
    release = host.store.get(arguments.release)
    return run_release(host.store, release, host.engine, run=host.run, echo=_say, rollout=host.rollout)


def _rollout_abort(_arguments: argparse.Namespace, host: Host) -> int:
    release = abort(host.store, timeout=ABORT_TIMEOUT)
    about = release.read()
    if about["status"] == "done":
        print(f"hypercode: it was too late: release {release.id} is done. Next: hypercode rollout status")
        return 1
    print(f"hypercode: {failure_of(about, host.store.paths, timeout=ABORT_TIMEOUT)}")
    return 0


def _say(text: str) -> None:
    print(text, flush=True)


def _stack_start(_arguments: argparse.Namespace, host: Host) -> int:
    release = _current(host)
    if release is None:
        return 0
    with lock(host.store.paths, wait_seconds=LOCK_WAIT, holder=STARTING) as held:
        if not held:
            print("hypercode: a rollout is at work; it starts the stack")
            return 0
        stays, wrong = put_back_command.before_start(host)
        stack = host.rollout(host.store, release, host.engine, run=host.run).stack(evidence="start")
        failures = [*wrong, *map(str, stack.start(stays))]
        put_back_command.after_start(host)
        if not failures and release.status in UNFINISHED:
            # A repair that the shutdown cut off: the start has done its work.
            release.update(status="done", pid=None)
    for failure in failures:
        print(f"hypercode: {failure}", file=sys.stderr)
    if failures:
        print(f"hypercode: release {release.id} is up but for the above. Next: hypercode status")
        return 1
    print(f"hypercode: release {release.id} is up")
    return 0


def _stack_stop(_arguments: argparse.Namespace, host: Host) -> int:
    release = _current(host)
    if release is not None:
        host.rollout(host.store, release, host.engine, run=host.run).stack(evidence="stop").stop()
    return 0


def _stack_signal(arguments: argparse.Namespace, host: Host) -> int:
    release = _current(host)
    if release is None:
        return 0
    about = release.read()
    service = arguments.service
    if service not in about["services"]:
        if arguments.if_there:
            return 0
        known = ", ".join(sorted(about["services"]))
        print(f"hypercode: there is no service '{service}'. Services: {known}", file=sys.stderr)
        return WRONG
    found = stack_state.containers_by_service(host.engine.containers(str(about["project"]))).get(service, [])
    running = [str(container["Id"]) for container in found if container["State"]["Status"] == "running"]
    if not running:
        print(f"hypercode: {service} is not running, so there is nobody to tell")
    for container in running:
        done = host.run(["docker", "kill", "--signal", arguments.signal, container], timeout=30)
        if done.code != 0:
            raise EngineError(f"{service} did not take the signal {arguments.signal}: {done.stderr.strip()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
