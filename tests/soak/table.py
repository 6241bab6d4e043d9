"""The table: for each fault and size how many soaks were judged FAIL, INCONCLUSIVE and PASS, and after which time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.judge.evaluate import judge

from soak import shapes
from soak.generator import Fault, Habits, generate

# Hours at which a soak that runs is looked at.
_LOOKS = (1.0, 2.0, 4.0, 6.0, 9.0, 12.0, 16.0, 20.0)


@dataclass(frozen=True)
class Row:
    """What is made: its name, the fault, the habits. `target`: whether there is a bound that it has to keep."""

    name: str
    fault: Fault | None
    habits: Habits
    target: bool = True


SMOOTH = Habits(cycles=shapes.SMOOTH)
ANY = Habits()
ROWS = (
    Row("healthy, any cycle", None, ANY),
    Row("healthy, smooth cycles", None, SMOOTH),
    Row("healthy, errors just below 0.1 %", None, Habits(error_rate=0.0009)),
    Row(
        "healthy, all caches fill (to 80 MiB)",
        None,
        Habits(fills=1.0, fill_mib=80.0, fill_hours=(0.3, 4.0)),
        target=False,
    ),
    Row("healthy, a cache of 40 MiB fills in each 5th", None, Habits(fills=0.2), target=False),
    Row("healthy, each service restarted once", None, Habits(planned_restarts=math.inf), target=False),
    Row("leak 2 MiB/h, smooth cycles", Fault("leak", 2.0), SMOOTH),
    Row("leak 4 MiB/h, any cycle", Fault("leak", 4.0), ANY),
    Row("leak 4 MiB/h, each service restarted once", Fault("leak", 4.0), Habits(planned_restarts=math.inf)),
    Row("leak 8 MiB/h, any cycle", Fault("leak", 8.0), ANY),
    Row("latency +5 %/h", Fault("creep", 0.05), ANY, target=False),
    Row("latency +10 %/h", Fault("creep", 0.1), ANY),
    Row("errors 0.2 %", Fault("errors", 0.002), ANY, target=False),
    Row("errors 0.5 %", Fault("errors", 0.005), ANY),
    Row("flapping each 60 min", Fault("flapping", 60.0), ANY),
    Row("restart storm of 4", Fault("storm", 4.0), ANY),
    Row("disk full in 12 h", Fault("disk", 12.0), ANY),
    Row("disk full in 20 h", Fault("disk", 20.0), ANY),
)


@dataclass
class Outcome:
    """Of all runs of a row. `false`: which checks failed that had no fault. `hours`: until the verdict."""

    verdicts: Counter[str] = field(default_factory=Counter)
    false: Counter[str] = field(default_factory=Counter)
    hours: list[float] = field(default_factory=list)

    def add(self, one: tuple[str, list[str], float | None]) -> None:
        """One more run."""
        self.verdicts[one[0]] += 1
        self.false.update(one[1])
        if one[2] is not None:
            self.hours.append(one[2])


_BLAMED = {
    "leak": {"memory_leak", "memory_share"},
    "creep": {"latency"},
    "errors": {"probe_errors"},
    "flapping": {"health"},
    "storm": {"restarts", "exit_codes"},
    "disk": {"disk_full"},
}


def run(row: Row, seed: int, early: bool = False) -> tuple[str, list[str], float | None]:
    """The verdict of one soak, the checks that failed without a fault, and the hours until the verdict.

    The verdict is that on the fault: what else failed is told apart.
    """
    made = generate(seed, [row.fault] if row.fault else [], row.habits)
    report = judge(made.recording(), made.settings)
    states = {check["id"]: check["verdict"] for check in report["checks"]}
    blamed = _BLAMED[row.fault.kind] if row.fault else set()
    false = [name for name, verdict in states.items() if verdict == "FAIL" and name not in blamed]
    if row.fault is None:
        return str(report["verdict"]), false, None
    verdict = "FAIL" if any(states[name] == "FAIL" for name in blamed) else "PASS"
    if verdict == "PASS" and "INCONCLUSIVE" in (report["verdict"], *(states[name] for name in blamed)):
        verdict = "INCONCLUSIVE"
    if verdict == "PASS" and false:
        # Found for another reason, by chance: that is a miss.
        verdict = "PASS"
    hours = None
    if verdict == "FAIL" and early:
        hours = row.habits.hours
        for look in _LOOKS:
            if judge(made.until(look * 3600).recording(), made.settings, running=True, now=None)["verdict"] == "FAIL":
                hours = look
                break
    return verdict, false, hours


def _job(job: tuple[Row, int, int, bool]) -> tuple[int, tuple[str, list[str], float | None]]:
    row, index, seed, early = job
    return index, run(row, seed, early)


def measure(
    counts: Sequence[int],
    processes: int,
    said: Callable[[str], None] | None = None,
    early: int = 20,
    rows: Sequence[Row] = ROWS,
) -> list[Outcome]:
    """Run so many of each row. Of the first `early` with a fault it is seen when they would have failed."""
    jobs = [(rows[index], index, seed, seed < early) for index, count in enumerate(counts) for seed in range(count)]
    outcomes = [Outcome() for _row in rows]
    done = 0

    def collect(results: Iterable[tuple[int, tuple[str, list[str], float | None]]]) -> None:
        nonlocal done
        for index, one in results:
            outcomes[index].add(one)
            done += 1
            if said and done % 200 == 0:
                said(f"{done} of {len(jobs)}")

    if processes > 1:
        with ProcessPoolExecutor(processes) as pool:
            collect(pool.map(_job, jobs, chunksize=10))
    else:
        collect(map(_job, jobs))
    return outcomes


def lines(outcomes: Sequence[Outcome], rows: Sequence[Row] = ROWS) -> list[str]:
    """The table in text."""
    head = f"{'fault':44} {'runs':>5} {'FAIL':>7} {'PASS':>7} {'INCONCL.':>8} {'h to FAIL':>9}  failed without a fault"
    found = [head, "-" * len(head)]
    for row, outcome in zip(rows, outcomes, strict=True):
        runs = sum(outcome.verdicts.values())
        if not runs:
            continue
        shares = [outcome.verdicts[name] / runs for name in ("FAIL", "PASS", "INCONCLUSIVE")]
        middle = f"{sorted(outcome.hours)[len(outcome.hours) // 2]:.0f}" if outcome.hours else "-"
        other = ", ".join(f"{name} {count}" for name, count in outcome.false.most_common(4))
        found.append(
            f"{row.name:44} {runs:5} {shares[0]:7.1%} {shares[1]:7.1%} {shares[2]:8.1%} {middle:>9}  {other}".rstrip()
        )
    return found


def document(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """The same as data."""
    return [
        {
            "fault": row.name,
            "target": row.target,
            "runs": sum(one.verdicts.values()),
            **{name.lower(): one.verdicts[name] for name in ("FAIL", "PASS", "INCONCLUSIVE")},
            "hours_to_fail": sorted(one.hours),
            "failed_without_fault": dict(one.false),
        }
        for row, one in zip(ROWS, outcomes, strict=True)
    ]
