# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`hypercode certificates`: shows the states, writes the metric, rehearses a renewal, replaces one now."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from .metrics import write_metrics
from .rehearsal_log import render_rehearsal
from .rehearse import rehearse_names
from .replace import replace_names
from .state import read_states
from .text import render_certificates
from .wanted import Paths, read_wanted

NONE_WANTED = "hypercode: no site is served on this host, so there are no certificates to look at"


def add_parser(verbs: Any) -> None:
    """Add the verb to the command."""
    parser = verbs.add_parser(
        "certificates", help="show how much of each certificate's lifetime is left, and what is wrong"
    )
    parser.add_argument("--json", action="store_true", help="print data instead of lines")
    parser.add_argument("--metrics", action="store_true", help="write them for Prometheus instead (done by a timer)")
    parser.set_defaults(function=lambda arguments, host: run(arguments, host.certificates))
    verbs = parser.add_subparsers(metavar="WHAT")
    rehearsal = verbs.add_parser(
        "rehearse", help="go the whole way to a new certificate, without touching one that is in use"
    )
    rehearsal.add_argument("name", nargs="*", help="only for these names")
    rehearsal.add_argument("--ca", default="", help="ask this ACME directory, not the test directory of the CA in use")
    rehearsal.add_argument("--timeout", type=float, default=120.0, help="seconds for all names together (120)")
    rehearsal.add_argument("--json", action="store_true", help="print data instead of lines")
    rehearsal.set_defaults(function=lambda arguments, host: run_rehearsal(arguments, host.certificates))
    replacing = verbs.add_parser(
        "replace", help="get a new certificate with a new key now, as after one was revoked; it may restart Caddy"
    )
    replacing.add_argument("name", nargs="+", help="for these names")
    replacing.add_argument("--timeout", type=float, default=120.0, help="seconds for all names together (120)")
    replacing.set_defaults(function=lambda arguments, host: run_replacement(arguments, host.certificates))


def run(arguments: argparse.Namespace, paths: Paths) -> int:
    """Show or write the states; 1 when one is wrong. Writing them is never wrong: the alert tells."""
    wanted = read_wanted(paths.wanted)
    states = read_states(paths, wanted or [])
    if arguments.metrics:
        write_metrics(paths.metrics, states, time.time())
        return 0
    if arguments.json:
        print(json.dumps([state.as_dict() for state in states], indent=2))
    elif wanted is None:
        print(NONE_WANTED)
    else:
        show([state.as_dict() for state in states])
    return 0 if all(state.is_good for state in states) else 1


def run_rehearsal(arguments: argparse.Namespace, paths: Paths) -> int:
    """Rehearse a renewal for the names that come from a CA; 1 when one failed."""
    wanted = read_wanted(paths.wanted) or []
    results = rehearse_names(paths, wanted, arguments.name, ca=arguments.ca, timeout=arguments.timeout)
    if arguments.json:
        print(json.dumps([result.as_dict() for result in results], indent=2))
    elif not results:
        print("hypercode: no certificate of this host comes from a CA, so there is nothing to rehearse")
    else:
        print(render_rehearsal(results))
    return 0 if all(result.passed for result in results) else 1


def run_replacement(arguments: argparse.Namespace, paths: Paths) -> int:
    """Replace the certificates for these names; 1 when one failed, whose old certificate then goes on."""
    results = replace_names(paths, read_wanted(paths.wanted) or [], arguments.name, timeout=arguments.timeout)
    print(render_rehearsal(results, "certificates", "replaced"))
    return 0 if all(result.passed for result in results) else 1


def board_rows(paths: Paths | None = None) -> list[dict[str, Any]] | None:
    """The states as rows for the board; None where no site is served."""
    paths = paths or Paths()
    wanted = read_wanted(paths.wanted)
    return None if wanted is None else [state.as_dict() for state in read_states(paths, wanted)]


def show(rows: Sequence[Mapping[str, object]]) -> None:
    """Print rows for a person."""
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    print(render_certificates(rows, width=shutil.get_terminal_size().columns, unicode=unicode))
