"""Molecule's scenarios, in two lanes: each step counts as a test, and so does each test of testinfra.

A scenario waits for most of its time, so two of them take little longer than one. Each lane has an address range of
its own. A scenario whose files name an address is bound to the first one.
"""

from __future__ import annotations

import dataclasses
import os
import re
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from testbed import hosts
from testbed.shell import TestbedError

from . import beds
from .context import Context, begin_log
from .outcome import LINE_WIDTH, Outcome, PartError, read_lines
from .process import POLL

# What takes long is run on request only, and then may take long.
TIMEOUT = 3600.0 if not os.environ.get("HYPERCODE_LONG") else 10800.0
DESTROY_TIMEOUT = 300.0
FIRST, SECOND = "molecule", "molecule-2"
ADDRESSES = "198.51.100."

# INFO     [default > converge] Executed: Successful
_STEP = re.compile(r"^(?:INFO|WARNING|ERROR|CRITICAL)\s+\[(?P<scenario>[^\]>]+?) > (?P<step>[^\]]+)\] (?P<text>.*)")
# ==== 12 passed, 1 skipped in 3.20s ====
_PYTEST = re.compile(r"^=*\s*(?P<counts>\d+ [a-z]+(?:, \d+ [a-z]+)*) in [\d.]+s\b")
# What a scenario has measured: see molecule/onboard/tests/conftest.py.
_FIGURE = re.compile(r"^measured {2}(?P<text>.+)")
_SKIP = re.compile(r"^SKIPPED \[(?P<count>\d+)\] (?P<place>[^:]+(?::\d+)?): (?P<reason>.*)")


def names(root: Path) -> list[str]:
    """Return the scenarios, in alphabetical order."""
    return sorted(path.parent.name for path in (root / "molecule").glob("*/molecule.yml"))


def chosen(root: Path, wanted: Sequence[str]) -> list[str]:
    """Return the scenarios to run: the wanted ones, or all."""
    known = names(root)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise PartError(f"There is no scenario {', '.join(unknown)}. There is: {', '.join(known) or 'none at all'}.")
    return [name for name in known if not wanted or name in wanted]


def is_bound(root: Path, name: str) -> bool:
    """Whether a scenario names an address, so that it has to run in the first range."""
    folder = root / "molecule" / name
    files = [path for path in folder.rglob("*") if path.suffix in (".yml", ".py") and "testbed" not in path.name]
    return any(ADDRESSES in path.read_text(encoding="utf-8") for path in files)


class Lanes:
    """The scenarios of a run, and who takes which."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._todo: list[str] | None = None
        self._beside: Future[Outcome] | None = None
        # The scenarios that run now.
        self.running: set[str] = set()

    def run(self, context: Context) -> Outcome:
        """Run the scenarios on real hosts. A Docker engine that was started for this is stopped at the end."""
        if not self._beside:
            todo = self._all(context)
            if len(todo) < 2 or context.keep:
                return self._lane(context, FIRST)
            self.begin(context)
        total = self._lane(context, SECOND)
        if self._beside:
            while not self._beside.done():
                time.sleep(POLL)
            total.add(self._beside.result())
        return total

    def begin(self, context: Context) -> None:
        """Begin with the first lane, beside what else is run."""
        beside = dataclasses.replace(context, console=context.console.beside())
        workers = ThreadPoolExecutor(1, thread_name_prefix="lane")
        self._beside = workers.submit(self._lane, beside, FIRST)
        workers.shutdown(wait=False)

    def _all(self, context: Context) -> list[str]:
        with self._lock:
            if self._todo is None:
                found = chosen(context.root, context.scenarios)
                # Those that only one lane can take come first there.
                self._todo = sorted(found, key=lambda name: not is_bound(context.root, name))
            return self._todo

    def _take(self, context: Context, lane: str) -> str:
        todo = self._all(context)
        with self._lock:
            name = next((name for name in todo if lane == FIRST or not is_bound(context.root, name)), "")
            if name:
                todo.remove(name)
                self.running.add(name)
        return name

    def _lane(self, context: Context, lane: str) -> Outcome:
        total = Outcome()
        name = self._take(context, lane)
        if not name:
            return total
        try:
            with beds.ready(context, name, apart_from=SECOND if lane == FIRST else FIRST):
                while name:
                    total.add(run_one(context, name, lane))
                    self.running.discard(name)
                    name = self._take(context, lane)
        except (PartError, TestbedError) as error:
            context.console.start(f"molecule {name}", context.output / f"molecule-{name}.log")
            failed = Outcome()
            failed.fail(f"molecule {name}", str(error).splitlines())
            context.console.finish(failed)
            total.add(failed)
        return total


def run_one(context: Context, name: str, lane: str = FIRST) -> Outcome:
    """Run one scenario. Its hosts are gone afterwards, unless they are to be kept."""
    log = begin_log(context.output / f"molecule-{name}.log")
    context.console.start(f"molecule {name}", log)
    options = ["--no-command-borders", "--scenario-name", name]
    code = context.run(
        [context.tool("molecule"), "test", *options, *(["--destroy=never"] if context.keep else [])],
        log,
        # Why a test was skipped or failed is worth a line (pytest cuts it at COLUMNS), and so is which one takes long.
        env={
            "PYTEST_ADDOPTS": "-rsfE --color=no --durations=6",
            "COLUMNS": str(LINE_WIDTH),
            hosts.RANGE_VARIABLE: lane,
        },
        timeout=TIMEOUT,
    )
    outcome = judge(name, read_lines(log), code)
    context.console.finish(outcome)
    if code != 0 and not context.keep:
        after = begin_log(log.with_name(f"molecule-{name}-destroy.log"))
        if context.run([context.tool("molecule"), "destroy", *options], after, timeout=DESTROY_TIMEOUT) != 0:
            left = Outcome()
            left.fail(f"molecule destroy -s {name}: its hosts may still be there", read_lines(after))
            context.console.finish(left)
            outcome.add(left)
    elif context.keep:
        context.console.say(
            f"  The hosts of {name} are kept. To remove them: . .venv/bin/activate && molecule destroy -s {name}"
        )
    return outcome


def judge(name: str, lines: Sequence[str], code: int) -> Outcome:
    """Return the outcome of one scenario from molecule's log."""
    outcome = Outcome()
    failed_step = ""
    first_failure = len(lines)
    in_step = 0
    for number, line in enumerate(lines):
        if match := _STEP.match(line):
            if match["text"].startswith("Executing") and match["text"].strip() == "Executing":
                in_step = 0
            elif match["text"].startswith("Executed: Successful"):
                outcome.passed += 1
            elif match["text"].startswith("Executed: Failed"):
                # Where testinfra's tests failed, they are what counts.
                outcome.failed += 0 if in_step else 1
                if not failed_step:
                    failed_step, first_failure = match["step"], number
        elif match := _PYTEST.match(line):
            counts = {word: int(number) for number, word in (part.split() for part in match["counts"].split(", "))}
            bad = sum(counts.get(word, 0) for word in ("failed", "error", "errors"))
            outcome.passed += counts.get("passed", 0) + counts.get("xfailed", 0)
            outcome.failed += bad
            in_step += bad
        elif match := _FIGURE.match(line):
            outcome.figures.append(match["text"])
        elif match := _SKIP.match(line):
            outcome.skipped += [(f"{name} {match['place']}", match["reason"])] * int(match["count"])
    if outcome.failed:
        outcome.fail(f"scenario {name}, step {failed_step or 'unknown'}", lines[: first_failure + 1], 0)
    elif code != 0:
        outcome.fail(f"molecule ended with exit code {code}", lines)
    elif outcome.passed == 0:
        outcome.fail(f"scenario {name} ran no step", lines)
    return outcome
