# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`hypercode monitoring …` and `hypercode alerts`: what an operator or a playbook asks."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..engine import EngineError
from .alerts import Alert, Fired, fired, firing
from .check import JUDGES, MonitoringError, check


def add_verbs(verbs: Any) -> None:
    """Add `alerts` and `monitoring` to the command."""
    alerts = verbs.add_parser("alerts", help="show the alerts that fire, and where to read what to do")
    alerts.add_argument("--json", action="store_true", help="print data instead of lines")
    words = "those that fired within such a time, and do no more or still do: 30m, 12h, 7d"
    alerts.add_argument("--since", type=_span, metavar="TIME", help=words)
    alerts.set_defaults(function=_alerts)
    monitoring = verbs.add_parser("monitoring", help="judge settings of Prometheus, Alertmanager and the prober")
    what = monitoring.add_subparsers(required=True, metavar="WHAT")
    judge = what.add_parser("check", help="have a file judged by the program that reads it (done before it is written)")
    judge.add_argument("file", type=Path, help=f"one of {', '.join(sorted(JUDGES))}, with what it needs beside it")
    judge.set_defaults(function=_check)


def _containers(host: Any) -> Sequence[Mapping[str, Any]]:
    release = host.store.shown()
    return host.engine.containers(str(release.read()["project"])) if release else []


def _span(text: str) -> int:
    """A time such as 12h, in seconds. ValueError when it is none."""
    found = re.fullmatch(r"([1-9]\d{0,4})([smhd])", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time. Fix: write a number and s, m, h or d, such as 12h")
    return int(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]


def _alerts(arguments: argparse.Namespace, host: Any) -> int:
    containers = _containers(host)
    found: Sequence[Alert | Fired] | None
    found = fired(containers, arguments.since) if arguments.since else firing(containers)
    if arguments.json:
        print(json.dumps({"alerts": None if found is None else [alert.as_dict() for alert in found]}, indent=2))
    elif found is None:
        print("hypercode: no Prometheus runs here, so nobody knows of alerts. Next: hypercode status")
    else:
        print("\n".join(alert.line() for alert in found) or "alert: none")
    return 0 if found is not None and not found else 1


def _check(arguments: argparse.Namespace, host: Any) -> int:
    try:
        containers = _containers(host)
    except EngineError:
        # Docker is not there yet, or does not run: then neither does anything whose settings could be broken.
        containers = []
    said = check(arguments.file, containers, host.run)
    if said:
        print(f"hypercode: {said}")
    return 0


def for_board(containers: Sequence[Mapping[str, Any]]) -> tuple[list[Alert], list[str]]:
    """The alerts and their lines for the board of the stack, which is shown whatever is wrong with Prometheus."""
    try:
        found = firing(containers) or []
    except MonitoringError as error:
        return [], [f"alert: {error}"]
    return found, [alert.line() for alert in found]
