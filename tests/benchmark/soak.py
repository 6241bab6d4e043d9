"""How well the judge of the soak check judges, and what it takes.

The table: synthetic soaks of a day, healthy and with faults of several sizes, and what was said of each. Then the time
and the memory to evaluate the journal of a day of 50 services.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.judge.evaluate import evaluate
from soak.generator import Habits, generate
from soak.table import ROWS, document, lines, measure

from benchmark.backup import in_a_process

MIB = 1 << 20
_SERVICES = 50
_ROUNDS = 3


def run(healthy: int, faulty: int, target: Path) -> None:
    """Print the table and what it takes, and write both to a file."""
    counts = [faulty if row.fault or not row.target else healthy for row in ROWS]
    print(f"{sum(counts)} soaks of a day, 17 services, a sample a minute …", flush=True)
    began = time.monotonic()
    outcomes = measure(counts, os.cpu_count() or 1, lambda text: print(f"  {text}", flush=True))
    print("\n".join(lines(outcomes)))
    print(f"made and judged in {time.monotonic() - began:.0f} s\n")
    cost = effort()
    print(
        f"a journal of a day of {_SERVICES} services, {cost['megabytes']:.0f} MB: {cost['seconds']:.2f} s to evaluate,"
    )
    print(
        f"with {cost['memory_megabytes']:.0f} MB of memory above the {cost['idle_megabytes']:.0f} MB of the interpreter"
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({"table": document(outcomes), "effort": cost}, indent=2) + "\n")
    print(f"figures: {target}")


def effort() -> dict[str, Any]:
    """Seconds (the best of three), and memory, in MB, of one evaluation in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "journal.jsonl"
        generate(1, [], Habits(services=_SERVICES)).write(journal)
        idle = in_a_process(lambda: time.sleep(0.5))[1]
        runs = [in_a_process(lambda: evaluate(journal)) for _round in range(_ROUNDS)]
        return {
            "services": _SERVICES,
            "megabytes": journal.stat().st_size / 1e6,
            "seconds": min(seconds for seconds, _memory in runs),
            "memory_megabytes": max(0, max(memory for _seconds, memory in runs) - idle) / MIB,
            "idle_megabytes": idle / MIB,
        }
