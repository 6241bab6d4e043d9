# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The host command `hypercode`: for the operator who has only SSH, for systemd units and for cron."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Sequence

from . import __version__, stack_state
from .board_text import render_board
from .engine import Engine, EngineError, run_docker
from .release import Paths, Release, ReleaseError, Store, lock
from .rollout import Journal, Rollout, RolloutError, run_release

EPILOG = "Exit codes: 0 all is well, 1 something is not, 2 the command was typed wrong, 75 another rollout is at work."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = _parser().parse_args(argv)
    store = Store(Paths())
    engine = Engine()
    try:
        return int(arguments.function(arguments, store, engine))
    except (EngineError, ReleaseError, RolloutError, PermissionError) as error:
        hint = " Fix: run it with sudo" if isinstance(error, PermissionError) else ""
        print(f"hypercode: {error}{hint}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hypercode", description="Looks after the stack on this host.", epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"hypercode {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")

    status = verbs.add_parser("status", help="show the board: every service, wanted and actual")
    status.add_argument("--json", action="store_true", help="print data instead of a table")
    status.set_defaults(function=_status)

    rollout = verbs.add_parser("rollout", help="look at the newest rollout").add_subparsers(
        required=True, metavar="WHAT"
    )
    shown = rollout.add_parser("status", help="show how the newest rollout stands")
    shown.set_defaults(function=_rollout_status)
    apply = rollout.add_parser("apply", help="move this host to a release that is prepared here")
    apply.add_argument("release", help="its id, a folder name under /opt/hypercode/releases")
    apply.set_defaults(function=lambda a, store, engine: run_release(store, store.get(a.release), engine))

    stack = verbs.add_parser("stack", help="start the stack, or tell a service something").add_subparsers(
        required=True, metavar="WHAT"
    )
    start = stack.add_parser("start", help="start the current release, in dependency order (done at each boot)")
    start.set_defaults(function=_stack_start)
    stop = stack.add_parser(
        "stop", help="stop every service, last to first, each with its own grace period (at shutdown)"
    )
    stop.set_defaults(function=_stack_stop)
    signal = stack.add_parser("signal", help="send a signal to a running service, such as HUP to read its files again")
    signal.add_argument("service")
    signal.add_argument("signal")
    signal.set_defaults(function=_stack_signal)
    return parser


def _current(store: Store) -> Release | None:
    release = store.current()
    if release is None:
        print("hypercode: nothing is deployed on this host yet. Next: run site.yml for it")
    return release


def _status(arguments: argparse.Namespace, store: Store, engine: Engine) -> int:
    release = _current(store)
    if release is None:
        return 1
    about = release.read()
    rows = stack_state.read_board(engine, str(about["project"]), release, memory=True)
    if arguments.json:
        print(json.dumps({"release": release.id, "board": [row.as_board() for row in rows]}, indent=2))
    else:
        unicode = (sys.stdout.encoding or "").lower().startswith("utf")
        width = shutil.get_terminal_size().columns
        print(render_board([row.as_board() for row in rows], title=os.uname().nodename, width=width, unicode=unicode))
        print(f"release {release.id}  version {about.get('version') or '-'}  status {about['status']}")
    return 0 if all(row.is_ready and not row.drift for row in rows) else 1


def _rollout_status(_arguments: argparse.Namespace, store: Store, _engine: Engine) -> int:
    releases = store.all()
    if not releases:
        print("hypercode: no rollout has run on this host")
        return 1
    about = releases[-1].read()
    print(f"release {about['id']}  status {about['status']}")
    for event in Journal(store.paths, releases[-1].id).read():
        details = " ".join(f"{key}={value}" for key, value in event.items() if key not in ("time", "event"))
        print(f"  {event['event']}  {details}")
    return 0 if about["status"] == "done" else 1


def _stack_start(_arguments: argparse.Namespace, store: Store, engine: Engine) -> int:
    release = _current(store)
    if release is None:
        return 0
    with lock(store.paths, wait_seconds=5) as held:
        if not held:
            print("hypercode: a rollout is at work; it starts the stack")
            return 0
        Rollout(store, release, engine).bring_up(release)
    print(f"hypercode: release {release.id} is up")
    return 0


def _stack_stop(_arguments: argparse.Namespace, store: Store, engine: Engine) -> int:
    release = _current(store)
    if release is None:
        return 0
    done = Rollout(store, release, engine).compose(release, str(release.read()["project"]), "stop")
    if done.code != 0:
        raise EngineError(f"The stack did not stop: {done.stderr.strip()}")
    return 0


def _stack_signal(arguments: argparse.Namespace, store: Store, engine: Engine) -> int:
    release = _current(store)
    if release is None:
        return 0
    about = release.read()
    if arguments.service not in about["services"]:
        print(f"hypercode: there is no service '{arguments.service}'. Services: {', '.join(sorted(about['services']))}")
        return 2
    rows = stack_state.read_board(engine, str(about["project"]), release)
    for row in (row for row in rows if row.service == arguments.service and row.state == "running"):
        done = run_docker(["docker", "kill", "--signal", arguments.signal, row.container_id], timeout=30)
        if done.code != 0:
            raise EngineError(f"{arguments.service} did not take the signal: {done.stderr.strip()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
