"""Runs a playbook, takes its time and reads what it printed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runner.outcome import evidence, plain
from runner.process import Children
from testbed.shell import TestbedError

# web1 : ok=28 changed=0 unreachable=0 failed=0 skipped=4 rescued=0 ignored=0
_RECAP = re.compile(
    r"^(?P<host>\S+)\s*: ok=\d+ changed=(?P<changed>\d+) unreachable=(?P<gone>\d+) failed=(?P<failed>\d+)"
)
# Done in 5 s, 25 tasks on 2 hosts. tasks=25
_TASKS = re.compile(r"\btasks=(?P<tasks>\d+)(?: \(check: .*\))?$")
# changed  web1  docker : Write the settings of the engine
_CHANGED = re.compile(r"^(?:would change|changed)  (?P<what>\S+  .+)$")
CONTROLLER = "localhost"


@dataclass(frozen=True)
class Run:
    """One run of a playbook.

    `seconds` is the wall time, right to 0.05 s; `tasks` how many tasks ran on any host; `hosts` how many hosts besides
    the controller; `changed` the recap's sum; `changes` what changed, as 'host  role : task'.
    """

    seconds: float
    tasks: int
    hosts: int
    changed: int = 0
    changes: Sequence[str] = field(default_factory=tuple)


def read(lines: Sequence[str], seconds: float) -> Run | None:
    """Return what the lines of a run say; None when it has no recap, or when it failed."""
    recaps = [match for line in lines if (match := _RECAP.match(line))]
    tasks = [int(match["tasks"]) for line in lines if (match := _TASKS.search(line))]
    if not recaps or not tasks or any(int(match["gone"]) or int(match["failed"]) for match in recaps):
        return None
    return Run(
        seconds=seconds,
        tasks=tasks[-1],
        hosts=sum(match["host"] != CONTROLLER for match in recaps),
        changed=sum(int(match["changed"]) for match in recaps),
        changes=tuple(match["what"] for line in lines if (match := _CHANGED.match(line))),
    )


class Player:
    """Runs playbooks of one checkout against one inventory, all with the same settings; `log` gets what they print.

    `limit` narrows the inventory to some of its hosts, as ansible-playbook's --limit does; '' takes them all.
    """

    def __init__(
        self,
        root: Path,
        inventory: Path,
        log: Path,
        children: Children,
        clock: Callable[[], float] = time.monotonic,
        limit: str = "",
    ) -> None:
        self._root, self._inventory, self._log = root, inventory, log
        self._limit = ("--limit", limit) if limit else ()
        self._children, self._clock = children, clock

    @property
    def environment(self) -> Mapping[str, str]:
        """Settings on top of ansible.cfg, the same for whatever is compared."""
        return {
            "ANSIBLE_CONFIG": str(self._root / "ansible.cfg"),
            # What one side reads about a host must not serve the other.
            "ANSIBLE_CACHE_PLUGIN": "memory",
            "ANSIBLE_STDOUT_CALLBACK": "hypercode.deploy.progress",
            "HYPERCODE_PROGRESS": "plain",
            "HYPERCODE_PROGRESS_FILE": str(self._log.with_suffix(".timings.json")),
            "CI": "true",
        }

    def play(self, playbook: str, *words: str) -> Run:
        """Run a playbook to its end. Raises TestbedError with the evidence when it fails."""
        command = self._root / ".venv" / "bin" / "ansible-playbook"
        start = self._log.stat().st_size if self._log.exists() else 0
        began = self._clock()
        code = self._children.run(
            [command, playbook, "-i", self._inventory, *self._limit, *words],
            log=self._log,
            cwd=self._root,
            env=self.environment,
        )
        seconds = self._clock() - began
        with self._log.open("rb") as stream:
            stream.seek(start)
            text = stream.read().decode("utf-8", errors="replace")
        # The first line is the command.
        lines = [plain(line) for line in text.split("\n")[1:]]
        run = read(lines, seconds) if code == 0 else None
        if run is None:
            tail = "\n".join(f"  {line}" for line in evidence(lines, 15))
            raise TestbedError(f"{playbook} did not get to its end (exit code {code}):\n{tail}\nAll of it: {self._log}")
        return run
