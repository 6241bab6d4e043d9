"""Shows the progress: one live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TextIO

from .outcome import EVIDENCE_LINES, LINE_WIDTH, Outcome, evidence, plain

HEARTBEAT = 60.0
NAME_WIDTH = 20
MIN_LINES = 8
# FAILED ../tests/test_x.py::test_y - AssertionError: ...
_FAILED_TEST = re.compile(r"^(?:FAILED|ERROR) \S+::")
RED, GREEN, RESET = "\x1b[31m", "\x1b[32m", "\x1b[0m"


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


class Console:
    """Tells which part runs, for how long, and how it ended."""

    def __init__(
        self,
        *,
        verbose: bool = False,
        out: TextIO | None = None,
        environment: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
        lock: contextlib.AbstractContextManager[bool] | None = None,
    ) -> None:
        self._lock = lock or threading.RLock()
        self._out = out or sys.stdout
        terminal = self._out.isatty() and environment.get("TERM") != "dumb" and not environment.get("CI")
        self._color = terminal and not environment.get("NO_COLOR")
        self._live = terminal and not verbose
        self._verbose = verbose
        self._clock = clock
        self._name = ""
        self._began = self._spoke = 0.0
        self._log: Path | None = None
        self._offset = 0

    @property
    def running(self) -> str:
        """The part that was started last, such as 'unit' or 'molecule default'."""
        return self._name

    def beside(self) -> Console:
        """One for what runs beside this: whole lines on the same output."""
        return Console(out=_Lines(self), environment={"CI": "true"}, clock=self._clock, lock=self._lock)

    def put(self, text: str) -> None:
        """Write whole lines of somebody else's."""
        with self._lock:
            self.clear()
            self._out.write(text)
            self._out.flush()

    def start(self, name: str, log: Path) -> None:
        """A part begins; what it prints goes to the log."""
        self._name, self._log, self._offset = name, log, 0
        self._began = self._spoke = self._clock()
        if self._live:
            self.tick("")
        else:
            self._say(f"{name:<{NAME_WIDTH}} started")

    def began(self, moment: float) -> None:
        """The part that was started last began at that moment of the clock, unseen."""
        self._began = moment

    def tick(self, detail: str | None = None) -> None:
        """The part still runs; call it often. Without a detail the last line of the log is shown."""
        elapsed = self._clock() - self._began
        if self._verbose:
            self._follow()
        elif self._live:
            width = shutil.get_terminal_size((100, 24)).columns - 1
            detail = self._last_line() if detail is None else detail
            text = f"{self._name:<{NAME_WIDTH}} {duration(elapsed):>8}  {detail}"
            with self._lock:
                self._out.write(f"\r\x1b[K{text[:width]}")
                self._out.flush()
        elif self._clock() - self._spoke >= HEARTBEAT:
            self._spoke = self._clock()
            detail = self._last_line() if detail is None else detail
            self._say(f"{self._name:<{NAME_WIDTH}} {duration(elapsed)}  {detail[:100]}".rstrip())

    def finish(self, outcome: Outcome) -> None:
        """The part has ended: its line, its skips, and the evidence of what failed."""
        with self._lock:
            self._finish(outcome)

    def _finish(self, outcome: Outcome) -> None:
        if self._verbose:
            self._follow()
        if self._live:
            self._out.write("\r\x1b[K")
        word = "FAILED" if outcome.failed else "ok"
        self._say(
            f"{self._name:<{NAME_WIDTH}} {self._paint(f'{word:<6}', bad=bool(outcome.failed))}  {outcome.line()}"
            f"  ({duration(self._clock() - self._began)})"
        )
        for line in outcome.figure_lines():
            self._say(f"  measured  {line}")
        for line in outcome.skip_lines():
            self._say(f"  SKIPPED  {line}")
        share = max(MIN_LINES, EVIDENCE_LINES // max(1, len(outcome.problems)))
        for problem in outcome.problems:
            self._say(f"\n  {self._paint('FAILED', bad=True)}  {problem.name}")
            for line in evidence(problem.lines, share):
                self._say(f"    {line}")
        if outcome.problems and self._log is not None:
            self._say(f"\n  All of it: {_short(self._log)}\n")

    def say(self, text: str) -> None:
        """Print a line between parts."""
        self.clear()
        self._say(text)

    def total(self, outcome: Outcome) -> None:
        """What failed, once more, and the very last line, for people and for tools alike: never coloured.

        Who reads only the end of a long log sees what to look for.
        """
        if outcome.problems:
            self._say("\nWhat failed:")
        for problem in outcome.problems:
            self._say(f"  {problem.name}")
            for line in [line for line in problem.lines if _FAILED_TEST.match(line)][:MIN_LINES]:
                self._say(f"    {line[:LINE_WIDTH]}")
        if outcome.skipped:
            self._say(f"\n{len(outcome.skipped)} skipped, for the reasons above")
        self._say(f"\n{outcome.passed} passed, {outcome.failed} failed")

    def clear(self) -> None:
        """Take the live line away, before someone else prints."""
        if self._live and self._name:
            self._out.write("\r\x1b[K")
            self._out.flush()

    def _paint(self, text: str, *, bad: bool) -> str:
        return f"{RED if bad else GREEN}{text}{RESET}" if self._color else text

    def _say(self, text: str) -> None:
        with self._lock:
            self._out.write(text + "\n")
            self._out.flush()

    def _follow(self) -> None:
        """Print what the log has got since the last time."""
        if self._log is None or not self._log.exists():
            return
        with self._log.open("rb") as stream:
            stream.seek(self._offset)
            data = stream.read()
        self._offset += len(data)
        if data:
            self._out.write(data.decode("utf-8", errors="replace"))
            self._out.flush()

    def _last_line(self) -> str:
        if self._log is None or not self._log.exists():
            return ""
        with self._log.open("rb") as stream:
            stream.seek(max(0, self._log.stat().st_size - 4096))
            lines = stream.read().decode("utf-8", errors="replace").split("\n")
        # A line that begins with $ is the command.
        return next((text for line in reversed(lines) if (text := plain(line).strip()) and text[0] != "$"), "")


class _Lines(io.StringIO):
    """What a second console writes to: the output of the first one."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def write(self, text: str) -> int:
        self._console.put(text)
        return len(text)


def _short(path: Path) -> str:
    """Return the path as it is typed from where the user stands."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
