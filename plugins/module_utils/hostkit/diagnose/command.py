# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`hypercode diagnose`: one file to send when you ask for help."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from .bounded import run_bounded
from .bundle import LARGEST, DiagnoseError, free_bytes, have_folder, prune
from .collect import collect
from .index import Report, size_text
from .isolate import run_apart

FOLDER = "var/lib/hypercode/diagnose"
# Where nothing can be written to the disk: in memory.
SECOND = "run/hypercode-diagnose"
# No file was written.
NOTHING = 3
_UNITS = {"m": 60, "h": 3600, "d": 86400}
_LONGEST = 30 * 86400


def add_verbs(verbs: Any) -> None:
    """Add `diagnose` to the command."""
    parser = verbs.add_parser(
        "diagnose",
        help="collect what one has to look at when something is wrong, without secrets, into one file",
        epilog="Exit codes: 0 all was collected, 1 the file is there but not whole, 3 there is no file.",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help=f"a tar.gz (default: one in /{FOLDER})")
    parser.add_argument(
        "--since", type=_span, default=_span("24h"), metavar="TIME", help="how far logs go back: 90m, 24h, 7d (24h)"
    )
    parser.add_argument("--json", action="store_true", help="print data instead of lines")
    parser.set_defaults(function=_diagnose)


def _span(text: str) -> int:
    """A span of time in seconds, as argparse wants it: ValueError for what is none."""
    found = re.fullmatch(r"(\d{1,6})([mhd])", text)
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 60 <= seconds <= _LONGEST:
        raise argparse.ArgumentTypeError(f"'{text}' is no span from 1m to 30d. Write it like 90m, 24h or 7d")
    return seconds


def _diagnose(arguments: argparse.Namespace, host: Any) -> int:
    root: Path = host.store.paths.root
    usual = signal.signal(signal.SIGTERM, _stop)
    try:
        if str(root) == "/" and os.geteuid() != 0:
            raise DiagnoseError("only root may look at all this. Fix: sudo hypercode diagnose")
        report = _make(arguments, host, root)
    except DiagnoseError as error:
        print(f"hypercode: there is no bundle: {error}", file=sys.stderr)
        return NOTHING
    finally:
        signal.signal(signal.SIGTERM, usual)
    if arguments.json:
        failed = [f"{entry['step']}: {entry['why']}" for entry in report.failed]
        print(json.dumps({"path": report.path, "bytes": report.bytes, "failed": failed}))
    else:
        _tell(report)
    return 1 if report.failed else 0


def _make(arguments: argparse.Namespace, host: Any, root: Path) -> Report:
    now = time.time()
    name = re.sub(r"[^\w.-]", "_", os.uname().nodename, flags=re.ASCII) or "host"
    path, folder = arguments.output, None
    if path is None:
        folder = root / FOLDER
        if free_bytes(folder) < 2 * LARGEST < free_bytes(root / SECOND):
            folder = root / SECOND
        have_folder(folder)
        path = folder / f"{name}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}.tar.gz"
    quiet = arguments.json or not sys.stderr.isatty()
    report = collect(
        host,
        Path(os.path.abspath(path)),  # noqa: PTH100  A link at its end is replaced, not followed.
        name=name,
        now=now,
        since=now - arguments.since,
        run=run_bounded,
        isolate=run_apart,
        tell=lambda title: None if quiet else print(f"  {title}", file=sys.stderr, flush=True),
    )
    if folder is not None:
        prune(folder, name)
    return report


def _tell(report: Report) -> None:
    for entry in report.failed:
        print(f"not collected: {entry['step']}: {entry['why']}")
    print(f"hypercode: {report.path} ({size_text(report.bytes)}, {len(report.files)} files)")
    print("Next: look through it before you give it away: tar xzf it, and read README.md first")


def _stop(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt
