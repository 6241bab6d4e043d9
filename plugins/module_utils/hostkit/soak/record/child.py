# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the recorder does in a process of its own, so that its memory stays as small as it is: judging, and asking in
containers. What it finds is printed as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MAIN = (
    "import sys; sys.dont_write_bytecode = True; sys.path.insert(0, sys.argv[1]); "
    "from importlib import import_module; sys.exit(import_module(sys.argv[2]).main(sys.argv[3:]))"
)


def command(*words: str) -> list[str]:
    """The command that runs `main` with these words, wherever this package lies."""
    name = __name__
    base = Path(__file__).parents[name.count(".")]
    return [sys.executable, "-I", "-c", _MAIN, str(base), name, *words]


def main(words: Sequence[str]) -> int:
    """`evaluate FOLDER running|ended`, `canary VERB RUN VALUE NAME=KIND=CONTAINER…` or `databases KIND=CONTAINER…`."""
    what, more = words[0], words[1:]
    if what == "evaluate":
        found = _evaluate(Path(more[0]), more[1] == "running")
    else:
        found = _canary(*more) if what == "canary" else _databases(*more)
    sys.stdout.write(json.dumps(found))
    return 0


def _evaluate(folder: Path, running: bool) -> dict[str, Any]:
    from . import verdict  # noqa: PLC0415  Each does without what the other needs.

    report = verdict.judge(folder, running=running)
    verdict.write(folder, report, full=not running)
    return {key: report.get(key) for key in ("verdict", "reason", "coverage")}


def _canary(verb: str, run: str, value: str, *servers: str) -> dict[str, Any]:
    from . import canary  # noqa: PLC0415  Each does without what the other needs.

    found = {}
    for server in servers:
        name, kind, container = server.split("=", 2)
        found[name] = canary.do(verb, kind, container, run, value)
    return {name: state for name, state in found.items() if state}


def _databases(*servers: str) -> dict[str, Any]:
    from . import databases  # noqa: PLC0415  Each does without what the other needs.

    answers: dict[str, list[dict[str, Any]]] = {}
    for server in servers:
        kind, container = server.split("=", 1)
        answers.setdefault(kind, []).append(databases.look(kind, container))
    return {kind: databases.together(found) for kind, found in answers.items() if any(found)}


@dataclass
class Child:
    """One that is under way. `done` takes what it printed, or None where it failed."""

    process: subprocess.Popen[bytes]
    done: Callable[[dict[str, Any] | None], None]
    ends: float
    what: str


class Children:
    """Runs children one after the other; nobody waits for them."""

    def __init__(self, say: Callable[[str], None], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._say, self._monotonic = say, monotonic
        self._queue: list[tuple[str, list[str], Callable[[dict[str, Any] | None], None], float]] = []
        self._now: Child | None = None

    def add(
        self, words: Sequence[str], done: Callable[[dict[str, Any] | None], None], timeout: float, what: str = ""
    ) -> None:
        """Run one when those before it are done. The same is not added twice."""
        what = what or words[0]
        if what not in self.waiting:
            self._queue.append((what, command(*words), done, timeout))

    @property
    def waiting(self) -> set[str]:
        """What is under way, or waits."""
        return {entry[0] for entry in self._queue} | ({self._now.what} if self._now else set())

    def poll(self) -> None:
        """See whether one has ended, and begin the next."""
        if self._now is not None:
            if self._now.process.poll() is None:
                if self._monotonic() < self._now.ends:
                    return
                self._now.process.kill()
                self._say(f"{self._now.what} did not end in time")
            self._end(self._now)
            self._now = None
        if self._queue:
            what, argv, done, timeout = self._queue.pop(0)
            process = subprocess.Popen(
                ["nice", "-n", "10", *argv],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                close_fds=True,
            )
            self._now = Child(process, done, self._monotonic() + timeout, what)

    def _end(self, child: Child) -> None:
        stdout, stderr = child.process.communicate()
        try:
            found = json.loads(stdout) if child.process.returncode == 0 else None
        except ValueError:
            found = None
        if found is None:
            said = stderr.decode(errors="replace").strip().splitlines()
            self._say(f"{child.what} failed: {said[-1][:300] if said else child.process.returncode}")
        child.done(found if isinstance(found, dict) else None)

    def finish(self, seconds: float, sleep: Callable[[float], None] = time.sleep) -> None:
        """Wait for all of them, for so long at most."""
        until = self._monotonic() + seconds
        while self.waiting and self._monotonic() < until:
            self.poll()
            sleep(0.05)
        if self._now is not None:
            self._now.process.kill()
            self._now.process.wait()
