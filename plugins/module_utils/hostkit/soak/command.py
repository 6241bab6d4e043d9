# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`hypercode soak`: start one, see how it stands, end it, and judge a journal anywhere."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..board_text import clean_text, one_line
from .record import run as recorder
from .record.control import Control
from .record.paths import JOURNAL, Paths, runs, unfinished
from .record.verdict import baseline_of
from .settings import SoakError

CODES: Mapping[str, int] = {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 2}
UNREADABLE = 2
_BAR = 30


def add_verbs(verbs: Any) -> None:
    """Add `soak` to the command."""
    soak = verbs.add_parser("soak", help="watch this host for a day, and say whether the release holds")
    what = soak.add_subparsers(required=True, metavar="WHAT")
    _add_start(what)
    status = what.add_parser("status", help="show how it stands: time left, findings, what to do next")
    status.add_argument("run", nargs="?", default="", help="the last one by default")
    status.add_argument("--json", action="store_true", help="print data instead")
    status.set_defaults(function=_status)
    report = what.add_parser("report", help="show the report, or where its files are")
    report.add_argument("run", nargs="?", default="", help="the last one by default")
    report.add_argument("--json", action="store_true", help="print the whole report as data")
    report.set_defaults(function=_report)
    stop = what.add_parser("stop", help="end the one that is under way, and judge it as it is")
    stop.add_argument("--reason", default="an operator", help="who ends it, or why")
    stop.set_defaults(function=_stop)
    mark = what.add_parser("mark", help="write something down in the journal, such as a load test")
    mark.add_argument("what", help='in a word or two, such as "load test"')
    mark.add_argument("text", nargs="?", default="", help="how it went")
    mark.add_argument("--ok", action="store_true", help="it went well")
    mark.add_argument("--failed", action="store_true", help="it did not")
    mark.set_defaults(function=_mark)
    listed = what.add_parser("list", help="show all soaks of this host")
    listed.set_defaults(function=_list)
    runs_it = what.add_parser("run", help="record until the end, as hypercode-soak.service does")
    runs_it.set_defaults(function=lambda _arguments, host: recorder.main(host.store.paths.root))
    judge = what.add_parser("evaluate", help="judge a journal, anywhere: exit code 0 PASS, 1 FAIL, 2 INCONCLUSIVE")
    judge.add_argument("journal", type=Path, help="a journal.jsonl, or a folder with one")
    judge.add_argument("--baseline", type=Path, help="the journal of an earlier soak to compare with")
    for name in ("html", "junit", "markdown"):
        judge.add_argument(f"--{name}", type=Path, metavar="FILE", help="write it there")
    judge.add_argument("--json", action="store_true", help="print the whole report as data")
    judge.set_defaults(function=_evaluate)


def _add_start(what: Any) -> None:
    start = what.add_parser("start", help="start one; it goes on whatever becomes of this session")
    start.add_argument("--name", default="soak")
    start.add_argument("--duration", default="24h", help="24h by default; 10m for a quick look")
    start.add_argument("--warmup", help="what is not judged at the start, but for crashes; 30m of a day")
    start.add_argument("--interval", help="from sample to sample; 60 seconds for a day")
    start.add_argument("--probe-interval", help="from request to request; 10 seconds for a day")
    start.add_argument("--baseline", default="", help='an earlier soak to compare with, or "previous"')
    start.add_argument("--settings", type=Path, help="a JSON file with limits, expect and faults")
    words = "go on to the end, also when it is clear before that the release does not hold"
    start.add_argument("--keep-going", action="store_const", const=True, help=words)
    start.set_defaults(function=_start)


def _control(host: Any) -> Control:
    return Control(Paths(host.store.paths.root), host.engine)


def _start(arguments: argparse.Namespace, host: Any) -> int:
    asked: dict[str, Any] = {}
    if arguments.settings:
        try:
            asked = dict(json.loads(arguments.settings.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise SoakError(f"{arguments.settings} cannot be read as JSON: {error}. Fix: correct it") from error
    words = ("name", "duration", "warmup", "interval", "probe_interval", "baseline", "keep_going")
    asked |= {name: getattr(arguments, name) for name in words if getattr(arguments, name) is not None}
    control = _control(host)
    run = control.start(asked)
    print(f"{run} is under way. Next: hypercode soak status")
    return 0


def _status(arguments: argparse.Namespace, host: Any) -> int:
    control = _control(host)
    found = control.status(control.find(arguments.run))
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(render(found, unicode=(sys.stdout.encoding or "").lower().startswith("utf"))))
    return CODES.get(str(found["verdict"]), 0)


def render(found: Mapping[str, Any], *, unicode: bool = True) -> list[str]:
    """How a soak stands, as lines: a bar, findings, and what to do next."""
    lines = []
    if found["running"]:
        share = found["elapsed"] / found["duration"] if found["duration"] else 0
        full, empty = ("█", "░") if unicode else ("#", ".")
        done = int(share * _BAR)
        lines.append(f"{found['run']}  {full * done}{empty * (_BAR - done)}  {time_left(found['left'])} left")
        if not found["recorded"]:
            lines.append(
                "Nobody records it. Fix: systemctl restart hypercode-soak; journalctl -u hypercode-soak says why"
            )
    else:
        lines.append(f"{found['run']}  {found['verdict'] or 'not judged'}")
    if found["reason"]:
        lines.append(one_line(found["reason"]))
    for finding in found["findings"]:
        lines.append(f"  {finding['verdict']}: {one_line(finding['title'])}: {one_line(finding['observed'])}")
    if found["running"] and not found["findings"]:
        lines.append("No findings so far. Next: nothing; hypercode soak status says how it goes on")
    elif found["next"]:
        lines.append(f"Next: {one_line(found['next'])}")
    return [clean_text(line) for line in lines]


def time_left(seconds: float) -> str:
    """Such as 3 h 20 min, 12 min, 40 s."""
    if seconds >= 3600:
        return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"
    return f"{int(seconds // 60)} min" if seconds >= 120 else f"{int(seconds)} s"


def _report(arguments: argparse.Namespace, host: Any) -> int:
    control = _control(host)
    run = control.find(arguments.run)
    found = control.report(run)
    if arguments.json:
        print(json.dumps(found, indent=2))
        return CODES.get(str(found["verdict"]), 0)
    lines = render(control.status(run), unicode=(sys.stdout.encoding or "").lower().startswith("utf"))
    print("\n".join(lines))
    for name in ("report.html", "report.md", "report.json", "junit.xml"):
        path = control.paths.run(run) / name
        if path.exists():
            print(f"  {path}")
    return CODES.get(str(found["verdict"]), 0)


def _stop(arguments: argparse.Namespace, host: Any) -> int:
    control = _control(host)
    run = control.stop(arguments.reason)
    if unfinished(control.paths) == run:
        raise SoakError(f"{run} does not end. Fix: journalctl -u hypercode-soak says what it does")
    print("\n".join(render(control.status(run))))
    return 0


def _mark(arguments: argparse.Namespace, host: Any) -> int:
    if arguments.ok and arguments.failed:
        raise SoakError("it went well or it did not. Fix: leave --ok or --failed out")
    ok = True if arguments.ok else False if arguments.failed else None
    run = _control(host).mark(arguments.what, arguments.text, ok)
    print(f"written into {run}")
    return 0


def _list(_arguments: argparse.Namespace, host: Any) -> int:
    control = _control(host)
    found = [control.status(run) for run in runs(control.paths)]
    for one in found:
        state = f"running, {time_left(one['left'])} left" if one["running"] else one["verdict"] or "not judged"
        print(f"{one['run']}  {state}  release {one['release'] or '-'}")
    if not found:
        print("hypercode: no soak was started on this host yet. Next: hypercode soak start")
    return 0


def _evaluate(arguments: argparse.Namespace, _host: Any) -> int:
    path = arguments.journal / JOURNAL if arguments.journal.is_dir() else arguments.journal
    try:
        from .judge.evaluate import evaluate  # noqa: PLC0415  Nobody else needs what it takes to judge.

        for one in (path, arguments.baseline):
            if one is not None:
                one.open("rb").close()
        found = evaluate(path, baseline=arguments.baseline or baseline_of(path.parent))
        written = _write_pages(arguments, found)
    except OSError as error:
        where, why = error.filename or path, error.strerror
        print(f"hypercode: {where} cannot be read: {why}. Fix: name the journal.jsonl of a soak", file=sys.stderr)
        return UNREADABLE
    except SoakError as error:
        print(f"hypercode: {path} cannot be judged: {error}", file=sys.stderr)
        return UNREADABLE
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        print(f"{found['verdict']}: {one_line(found['reason'])}")
        for check in found["checks"]:
            if check["verdict"] in ("FAIL", "INCONCLUSIVE"):
                print(f"  {check['verdict']}: {one_line(check['title'])}: {one_line(check['observed'])}")
        for file in written:
            print(f"  {file}")
        if found.get("next"):
            print(f"Next: {one_line(found['next'])}")
    return CODES.get(str(found["verdict"]), UNREADABLE)


def _write_pages(arguments: argparse.Namespace, found: Mapping[str, Any]) -> list[Path]:
    """Write the pages that were asked for."""
    asked = {"report.html": arguments.html, "junit.xml": arguments.junit, "report.md": arguments.markdown}
    wanted = {name: target for name, target in asked.items() if target is not None}
    if not wanted:
        return []
    import tempfile  # noqa: PLC0415  Only here.

    from .report import write  # noqa: PLC0415  Only here.

    with tempfile.TemporaryDirectory() as folder:
        made = {path.name: path for path in write(Path(folder), found)}
        for name, target in wanted.items():
            target.write_bytes(made[name].read_bytes())
    return list(wanted.values())


# What a program wants to know of it, beside the board.
_ON_BOARD = ("run", "name", "release", "running", "verdict", "reason", "next", "began", "ended", "left", "findings")


def for_board(root: Path) -> tuple[dict[str, Any], list[str]]:
    """The last soak and its line for the board; nothing where there was none."""
    paths = Paths(root)
    there = runs(paths)
    if not there:
        return {}, []
    found = Control(paths).status(there[-1])
    if found["running"]:
        count = len(found["findings"])
        state = f"{time_left(found['left'])} left, " + (f"{count} findings" if count else "no findings so far")
    else:
        state = found["verdict"] or "not judged"
    line = clean_text(f"soak {found['run']}: {state}. See hypercode soak status")
    return {key: found[key] for key in _ON_BOARD}, [line]
