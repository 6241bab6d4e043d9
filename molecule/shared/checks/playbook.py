"""Runs playbooks from the project folder and reads the recap, as an operator would."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
RECAP = re.compile(r"^(\S+)\s+: ok=(\d+) changed=(\d+) unreachable=(\d+) failed=(\d+)", re.MULTILINE)
# Plain lines as a person sees them, or the pair of lines that molecule's idempotence step wants.
CHANGE = re.compile(r"^(?:changed|would change)  (?P<host>\S+)  (?P<task>.+?)(?: \(prediction.*\))?$", re.MULTILINE)
TASK = re.compile(r"TASK \[(?P<task>.+?)(?: \(prediction.*\))?\]\nchanged: \[(?P<host>\S+?)\]", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """Exit code and output of one run."""

    code: int
    output: str

    def changed(self, host: str) -> int:
        """Return the recap's number of changed tasks of a host."""
        for name, _ok, changed, _unreachable, _failed in RECAP.findall(self.output):
            if name == host:
                return int(changed)
        raise AssertionError(f"{host} is not in the recap:\n{self.output}")

    @property
    def changes(self) -> list[tuple[str, str]]:
        """Return (host, task) of each changed task, in order."""
        return changes_in(self.output)


def changes_in(output: str) -> list[tuple[str, str]]:
    return [(match["host"], match["task"]) for match in (*CHANGE.finditer(output), *TASK.finditer(output))]


def environment() -> dict[str, str]:
    """Return the operator's environment: the project's own configuration, nothing of molecule's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MOLECULE", "ANSIBLE"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**kept, "PATH": path, "NO_COLOR": "1", "COLUMNS": "200", "CI": "true"}


def command(*words: str, inventory: str | Path | None, playbook: str = "site.yml") -> list[str]:
    chosen = ["-i", str(inventory)] if inventory else []
    return [str(Path(sys.executable).parent / "ansible-playbook"), playbook, *chosen, *words]


def start(
    *words: str, inventory: str | Path | None, playbook: str = "site.yml", variables: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start a playbook in a process group of its own; its output is read from the process."""
    return subprocess.Popen(
        command(*words, inventory=inventory, playbook=playbook),
        cwd=ROOT,
        env={**environment(), **(variables or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def descendants(pid: int) -> list[int]:
    """Return the processes below one, the nearest first."""
    table = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    children: dict[int, list[int]] = {}
    for line in table.splitlines():
        child, parent = map(int, line.split())
        children.setdefault(parent, []).append(child)
    found = list(children.get(pid, []))
    for child in found:
        found += children.get(child, [])
    return found


def play(
    *words: str,
    inventory: str | Path | None,
    playbook: str = "site.yml",
    timeout: float = 400,
    variables: Mapping[str, str] | None = None,
) -> Outcome:
    """Run a playbook to its end, with more environment variables where given."""
    process = start(*words, inventory=inventory, playbook=playbook, variables=variables)
    try:
        output, _nothing = process.communicate(timeout=timeout)
    except BaseException:
        # Ansible's workers have sessions of their own: a signal to the group would leave them at work.
        for child in descendants(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        process.kill()
        process.wait()
        raise
    return Outcome(process.returncode, output)
