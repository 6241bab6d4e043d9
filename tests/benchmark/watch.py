"""What the daemon `hypercode watch` takes: its real process, against an engine on a socket and the kernel's files.

Engine and files are made up, the daemon is not: it runs as on a host, from the files that are installed there.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fakes.watched_host import WatchedHost
from testbed.shell import TestbedError, say

MIB = 1 << 20
# As the role bounds it, and what it must not go beyond for 50 containers.
CORE_MOST, MEMORY_MOST, CONTAINERS = 0.01, 30 * MIB, 50
FLOOD = 100_000
PROGRAM = """
import sys
from pathlib import Path
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
from hostkit.watch.run import main
sys.exit(main(Path(sys.argv[2]), sys.argv[3]))
"""


@dataclass
class Figures:
    """One daemon. Bytes of memory; `core` is the share of one core while nothing happens."""

    containers: int
    seconds: float
    looks: int
    core: float
    memory: int
    flood_seconds: float = 0.0
    flood_cpu: float = 0.0
    flood_memory: int = 0


class Process:
    """The daemon, running."""

    def __init__(self, root: Path, library: Path, host: WatchedHost) -> None:
        self.root = root
        # As its unit has it.
        environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
        words = [sys.executable, "-I", "-c", PROGRAM, str(library), str(root), str(host.socket)]
        self._child = subprocess.Popen(words, stderr=subprocess.DEVNULL, env=environment)
        self.metrics = root / "var/lib/hypercode/metrics/watch.prom"
        self.wait(self.metrics.exists)

    def wait(self, condition: Callable[[], object]) -> None:
        until = time.monotonic() + 60
        while not condition():
            if time.monotonic() > until or self._child.poll() is not None:
                raise TestbedError("The daemon does not do what it should. Next: python -m pytest tests/unit -k watch")
            time.sleep(0.05)

    @property
    def cpu(self) -> float:
        """Seconds that it has spent so far. The kernel tells it to the nanosecond, of each thread."""
        threads = Path(f"/proc/{self._child.pid}/task").glob("*/schedstat")
        return sum(int(path.read_text().split()[0]) for path in threads) / 1e9

    def memory(self, name: str = "VmRSS") -> int:
        lines = Path(f"/proc/{self._child.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))

    def value(self, metric: str) -> float:
        lines = self.metrics.read_text().splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{metric} "))

    def end(self) -> None:
        self._child.send_signal(signal.SIGTERM)
        self._child.wait(60)


def measure(library: Path, containers: int, seconds: float) -> Figures:
    """Run a daemon for so long with so many containers, then flood it."""
    with tempfile.TemporaryDirectory(prefix="bench-watch") as folder:
        root = Path(folder)
        (root / "etc/hypercode").mkdir(parents=True)
        (root / "etc/hypercode/watch.json").write_text(json.dumps({"projects": ["demo"]}))
        host = WatchedHost(root)
        # With as many labels as Compose and we give to a container.
        labels = {f"com.docker.compose.label-{number}": "x" * 60 for number in range(12)}
        ones = [host.add(f"service-{number}", labels=labels) for number in range(containers)]
        process = Process(root, library, host)
        try:
            time.sleep(5)
            spent, began, asked = process.cpu, time.monotonic(), len(host.requests)
            time.sleep(seconds)
            passed = time.monotonic() - began
            figures = Figures(
                containers, passed, len(host.requests) - asked, (process.cpu - spent) / passed, process.memory()
            )
            spent, began = process.cpu, time.monotonic()
            piece = b"".join(host.event("health_status: unhealthy", one) for one in ones)
            for _round in range(FLOOD // containers):
                host.send(piece)
            least = FLOOD // containers * containers - 1000
            process.wait(lambda: process.value("hypercode_watch_events_dropped_total") >= least)
            figures.flood_seconds, figures.flood_cpu = time.monotonic() - began, process.cpu - spent
            figures.flood_memory = process.memory("VmHWM")
            return figures
        finally:
            process.end()
            host.remove()


def table(found: Sequence[Figures]) -> list[str]:
    lines = [
        f"  {'containers':>10}  {'of a core':>9}  {'memory':>9}  {f'memory, {FLOOD} events':>21}  {'CPU for these':>13}"
    ]
    for one in found:
        memory, flood = f"{one.memory / MIB:.1f} MiB", f"{one.flood_memory / MIB:.1f} MiB"
        lines.append(f"  {one.containers:>10}  {one.core:>9.2%}  {memory:>9}  {flood:>21}  {one.flood_cpu:>11.1f} s")
    return lines


def run(root: Path, sizes: Sequence[int], seconds: float, target: Path) -> None:
    """Measure, print a table and a verdict, write the JSON."""
    say(f"hypercode watch, {seconds:.0f} s for each number of containers")
    found = [measure(root / "plugins" / "module_utils", size, seconds) for size in sizes]
    print("\n".join(table(found)))
    missed = [
        one for one in found if one.containers <= CONTAINERS and (one.core > CORE_MOST or one.memory > MEMORY_MOST)
    ]
    print(
        f"It {'is beyond' if missed else 'keeps within'} {CORE_MOST:.0%} of a core and {MEMORY_MOST / MIB:.0f} MiB "
        f"for up to {CONTAINERS} containers."
    )
    figures: dict[str, Any] = {"python": sys.version.split()[0], "runs": [asdict(one) for one in found]}
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(figures, indent=2) + "\n")
