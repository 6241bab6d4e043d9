"""How many alerts come while nothing is wrong: over a quiet time, through an update, and through the way back."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.console import duration
from testbed.shell import TestbedError, say

from .playbook import Player

# web1 | CHANGED | rc=0 >>
_HOST = re.compile(r"^(?P<host>\S+) \| [A-Z]+ \| rc=\d+ >>$", re.MULTILINE)
# An alert that waits before it fires has to have the time for it, after the last change.
AFTERWARDS = 360.0


@dataclass(frozen=True)
class Phase:
    """What was done, for how many seconds, and which alerts fired: (severity, host, name and what it is about)."""

    name: str
    seconds: float
    alerts: tuple[tuple[str, str, str], ...]

    def as_json(self) -> dict[str, Any]:
        return {"phase": self.name, "seconds": round(self.seconds, 1), "alerts": [list(row) for row in self.alerts]}

    def line(self) -> str:
        counts = Counter(severity for severity, _host, _name in self.alerts)
        names = ", ".join(sorted({f"{name} on {host}" for _severity, host, name in self.alerts}))
        return (
            f"  {self.name:28} {duration(self.seconds):>8}  {counts['critical']:>5} pages"
            f"  {counts['warning']:>5} warnings" + (f"  ({names})" if names else "")
        )


def said(output: str) -> Mapping[str, Any]:
    """What `hypercode alerts --json` printed on each host, out of what ansible printed."""
    places = list(_HOST.finditer(output))
    ends = [*(place.start() for place in places[1:]), len(output)][: len(places)]
    found: dict[str, Any] = {}
    for place, end in zip(places, ends, strict=True):
        text = output[place.end() : end]
        try:
            # Where something fires, ansible adds what it says of the exit code.
            found[place["host"]] = json.JSONDecoder().raw_decode(text.lstrip())[0]["alerts"]
        except (ValueError, KeyError, TypeError) as error:
            raise TestbedError(f"{place['host']} does not tell its alerts: {text.strip()[:300]}") from error
    if not found or None in found.values():
        raise TestbedError("A host has no Prometheus, or none was reached: it cannot be measured.\n" + output[-500:])
    return found


def alerts_of(root: Path, inventory: Path, limit: str, seconds: float) -> tuple[tuple[str, str, str], ...]:
    """The alerts of the last seconds, of each host."""
    words = ["-i", str(inventory), "--become", "-m", "command", "-a", f"hypercode alerts --json --since {seconds:.0f}s"]
    done = subprocess.run(
        [str(root / ".venv/bin/ansible"), limit or "hypercode", *words],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    return tuple(
        (row["severity"], host, f"{row['name']} {row['about']}".strip())
        for host, rows in said(done.stdout + done.stderr).items()
        for row in rows
    )


def phases(
    version: str, minutes: int, play: Callable[..., Any], wait: Callable[[float], None]
) -> Iterable[tuple[str, Any]]:
    """What is done, one thing after the other."""

    def update(*words: str) -> None:
        play("site.yml", *words)
        wait(AFTERWARDS)

    yield f"{minutes} quiet minutes", lambda: wait(minutes * 60)
    yield f"update to {version}", lambda: update("-e", f"stack_version={version}")
    yield "and back", update


def run(root: Path, inventory: Path, player: Player, minutes: int, version: str, limit: str, target: Path) -> None:
    """Measure, print, and write the figures. Raises TestbedError when somebody was paged for nothing."""
    done: list[Phase] = []
    for name, work in phases(version, minutes, player.play, time.sleep):
        say(f"  {name} ...")
        began = time.monotonic()
        work()
        seconds = time.monotonic() - began
        done.append(Phase(name, seconds, alerts_of(root, inventory, limit, seconds)))
        say(done[-1].line())
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps([phase.as_json() for phase in done], indent=2) + "\n", encoding="utf-8")
    paged = sum(severity == "critical" for phase in done for severity, _host, _name in phase.alerts)
    if paged:
        raise TestbedError(f"{paged} pages, though nothing was wrong. Next: docs/runbooks/ of what stands above")
    say(f"0 pages. The figures: {target}")
