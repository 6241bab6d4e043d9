# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""scripts/load_test: load from here, judged by what comes back."""

from __future__ import annotations

import argparse
import datetime
import getpass
import os
import sys
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import report as reports
from .job import HTTP, MISSIONS, Job, JobError
from .run import LoadError, put_load
from .verdict import judge

PASSWORD = "LOAD_TEST_PASSWORD"  # noqa: S105  The name of a variable.
BAD, WRONG = 1, 2
EPILOG = f"""\
The password of --user is read from the variable {PASSWORD}, or asked for.
Exit codes: 0 all is well, 1 something is not, 2 the command was typed wrong. More: docs/load_test.md"""


def main(argv: Sequence[str], root: Path) -> int:
    """Run the command; return its exit code."""
    arguments = _parser(root).parse_args(argv)
    try:
        job = _job(arguments)
        job.check()
    except JobError as error:
        print(f"load_test: {error}", file=sys.stderr)
        return WRONG
    began = datetime.datetime.now(datetime.UTC)
    line = _Line(job)
    try:
        result = put_load(job, line.show)
    except LoadError as error:
        line.clear()
        print(f"load_test: {error}", file=sys.stderr)
        return BAD
    line.clear()
    report = reports.document(job, result, judge(result, job), began=began)
    try:
        reports.write(arguments.json, report)
    except OSError as error:
        print(f"load_test: {arguments.json} cannot be written: {error.strerror}. Fix: --json PATH", file=sys.stderr)
        return BAD
    print("\n".join([*reports.table(report), "", *reports.verdict(report), f"All figures: {_shown(arguments.json)}"]))
    return 0 if report["good"] else BAD


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


class _Line:
    """The line that is rewritten while it runs; on no terminal, one line in five seconds."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._live = sys.stderr.isatty()
        self._calls = 0

    def show(self, progress: Mapping[str, Any]) -> None:
        text = reports.progress_line(self._job, progress)
        if self._live:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        elif self._calls % 5 == 0:
            print(text, file=sys.stderr, flush=True)
        self._calls += 1

    def clear(self) -> None:
        if self._live:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _job(arguments: argparse.Namespace) -> Job:
    words = {name: value for name, value in vars(arguments).items() if name not in ("json", "profile", "url")}
    parts = urllib.parse.urlsplit(arguments.url)
    url = arguments.url
    if arguments.profile == HTTP and parts.netloc:
        url = f"{parts.scheme}://{parts.netloc}"
        words["path"] = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if arguments.user:
        words["password"] = os.environ.get(PASSWORD) or _asked()
    return Job(profile=arguments.profile, url=url, **words)


def _asked() -> str:
    if not sys.stdin.isatty():
        raise JobError(f"The password of --user is missing. Fix: set the variable {PASSWORD}")
    return getpass.getpass("Password: ")


def _parser(root: Path) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="load_test",
        description="Puts load on a stack from outside, and says whether it answers well.",
        epilog=EPILOG,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    verbs = parser.add_subparsers(required=True, metavar="PROFILE", dest="profile")
    usual = {name: field.default for name, field in Job.__dataclass_fields__.items()}

    def add(name: str, text: str, url: str) -> argparse.ArgumentParser:
        verb = verbs.add_parser(name, help=text, epilog=EPILOG, formatter_class=argparse.RawTextHelpFormatter)
        verb.add_argument("url", metavar="URL", help=url)
        return verb

    def number(verb: argparse.ArgumentParser, name: str, text: str, kind: type = float, dest: str = "") -> None:
        field = dest or name.replace("-", "_")
        verb.add_argument(
            f"--{name}", dest=field, type=kind, default=usual[field], metavar="N", help=f"{text} (default: %(default)s)"
        )

    missions = add(MISSIONS, "missions to the orchestrator, all at once", "where it answers: https://crew.example.com")
    number(missions, "missions", "how many", int)
    number(missions, "time-limit", "seconds in which each has to complete")
    missions.add_argument("--task", default=usual["task"], metavar="TEXT", help="what each mission is")
    missions.add_argument("--shared-ids", action="store_true", help="accept missions that are given the same id")
    http = add(HTTP, "one address again and again", "what to get: https://app.example.com/health")
    number(http, "users", "how many at once", int)
    number(http, "rate", "requests a second in all; 0 for as many as the users can make")
    number(http, "seconds", "for how long", dest="duration")
    for verb in (missions, http):
        number(verb, "p95", "milliseconds below which 95 of 100 answers have to stay", dest="p95_ms")
        number(verb, "errors", "how many requests may fail", int)
        number(verb, "timeout", "seconds to wait for an answer")
        verb.add_argument(
            "--address", default="", metavar="HOST", help="go to this host, whatever DNS says of the name"
        )
        verb.add_argument("--ca-file", default="", metavar="PATH", help="trust the certificates of this CA only")
        verb.add_argument("--user", default="", metavar="NAME", help="log in with basic authentication")
        where = root / ".cache" / "load_test" / "report.json"
        verb.add_argument("--json", type=Path, default=where, metavar="PATH", help="where the figures go")
    return parser
