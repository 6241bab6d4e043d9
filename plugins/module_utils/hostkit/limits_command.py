# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`hypercode limits`: watches the stack while something else puts load on it."""

from __future__ import annotations

import argparse
import json
import signal
from pathlib import Path
from typing import Any

from .files import write_file
from .limits_watch import Bounds, Watch, render
from .release import ReleaseError


def add_verb(verbs: Any) -> None:
    """Add `limits` to the command."""
    limits = verbs.add_parser("limits", help="watch whether each service keeps within its memory and CPU for a while")
    limits.add_argument("--seconds", type=float, default=60, metavar="N", help="for how long (default: 60)")
    bounds = Bounds()
    limits.add_argument(
        "--memory-share",
        type=float,
        default=bounds.memory,
        metavar="X",
        help="the share of its memory limit that a service has to stay below (default: %(default)s)",
    )
    limits.add_argument(
        "--throttled-share",
        type=float,
        default=bounds.throttled,
        metavar="X",
        help="the share of its CPU periods in which a service may be cut short (default: %(default)s)",
    )
    limits.add_argument("--json", action="store_true", help="print data instead of a table")
    limits.add_argument("--report", type=Path, metavar="FILE", help="write the data to a file too")
    limits.set_defaults(function=_limits)


def _limits(arguments: argparse.Namespace, host: Any) -> int:
    release = host.store.current()
    if release is None:
        raise ReleaseError("nothing is deployed on this host yet. Fix: run site.yml for it")
    bounds = Bounds(arguments.memory_share, arguments.throttled_share)
    watch = Watch(host.engine, str(release.read()["project"]), bounds)
    # Whoever stops it, a load test with `systemctl stop` or a person with Ctrl-C, wants the verdict so far.
    usual = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in usual:
        signal.signal(number, lambda _number, _frame: watch.stop())

    def tell() -> None:
        if watch.looks == 1:
            _write(arguments.report, {"watching": True})

    try:
        report = watch.run(arguments.seconds, tell)
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
    _write(arguments.report, report)
    print(json.dumps(report, indent=2) if arguments.json else "\n".join(render(report)))
    return 0 if report["held"] else 1


def _write(path: Path | None, data: dict[str, Any]) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        write_file(path, json.dumps(data).encode(), mode=0o640)
