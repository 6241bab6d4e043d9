"""Makes soaks: a stack over a day as arrays of figures, with faults if wanted.

    made = generate(seed=7, faults=[Fault("leak", 4.0)])
    made.write(Path("journal.jsonl"))        # a real journal
    made.recording()                         # what the reader would make of it, without the JSON in between

The same seed makes the same soak. The faults of a soak are in one service, which the seed chooses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.settings import (
    Expected,
    Settings,
    settings_from,
)

from soak import shapes
from soak.made import BEGAN, Made, Service

MIB = 1 << 20
PAGE = 4096
_LOG = math.log(1.1)


@dataclass(frozen=True)
class Fault:
    """What is wrong. `size`: MiB an hour (leak), MiB (step), share an hour (creep), share (errors), minutes between
    (flapping), restarts (storm), hours until it is full (disk)."""

    kind: str
    size: float


@dataclass(frozen=True)
class Habits:
    """How a soak is made: what the seed may choose from."""

    services: int = 17
    hours: float = 24.0
    interval: float = 60.0
    # Daily cycles of memory: which shapes, and up to how many MiB (of a wave: to each side).
    cycles: tuple[Any, ...] = shapes.ANY
    cycle_mib: float = 40.0
    noise_mib: tuple[float, float] = (0.2, 4.0)
    phi: tuple[float, float] = (0.0, 0.98)
    base_mib: tuple[float, float] = (50.0, 4096.0)
    sawtooth_mib: float = 40.0
    fills: float = 0.0
    fill_mib: float = 40.0
    fill_hours: tuple[float, float] = (0.3, 2.5)
    bursts: int = 4
    # So many in a stack, by chance; of infinitely many each service has one.
    planned_restarts: float = 0.3
    gaps: float = 0.5
    error_rate: float = 0.0002
    # The median of latency, and how it moves over the day: factor at the peak.
    latency_cycle: float = 2.5
    plain: float = 0.1


def generate(seed: int, faults: Sequence[Fault] = (), habits: Habits | None = None) -> Made:
    """A soak by its seed, with faults in one of its services."""
    return _Maker(seed, habits or Habits()).make(list(faults))


class _Maker:
    def __init__(self, seed: int, habits: Habits) -> None:
        self.random, self.habits = Random(seed), habits  # noqa: S311  It has to be the same each time.
        count = round(habits.hours * 3600 / habits.interval)
        self.times = [habits.interval * (index + 1) for index in range(count)]

    def make(self, faults: list[Fault]) -> Made:
        random, habits = self.random, self.habits
        gaps = []
        if random.random() < habits.gaps:
            # Less than the hundredth of the time that may be missing.
            length = random.uniform(3, 0.008 * len(self.times)) * habits.interval
            begin = random.uniform(0.05, 0.9) * self.times[-1]
            gaps.append((begin, begin + length))
            self.times = [at for at in self.times if not begin < at < begin + length]
        expect: list[Expected] = []
        broken = random.randrange(habits.services)
        services = [
            self._service(f"service{n:02d}", faults if n == broken else [], expect) for n in range(habits.services)
        ]
        duration = habits.hours * 3600
        times = {"interval": habits.interval, "probe_interval": habits.interval / 6}
        settings = settings_from({"duration": duration, "warmup": duration / 48, **times})
        settings = Settings(**{**vars(settings), "expect": tuple(expect)})
        size = random.uniform(20, 500) * 1024 * MIB
        made = Made(settings, self.times, services, self._disk(size, faults), size, gaps=gaps)
        made.backup_at = random.uniform(0.05, 0.9) * duration
        return made

    def _disk(self, size: float, faults: list[Fault]) -> list[float]:
        random = self.random
        left = random.uniform(0.3, 0.8) * size
        for fault in faults:
            if fault.kind == "disk":
                # Full so many hours after the start, from some time on.
                begins = random.uniform(0, 0.7) * self.times[-1]
                speed = left / max(1.0, fault.size * 3600)
                return [max(0.0, left - speed * max(0.0, at - begins) + random.gauss(0, 1e6)) for at in self.times]
        # Logs that grow a little, a backup that is written and goes.
        speed, begin = left / (random.uniform(100, 2000) * 3600), random.random() * self.times[-1]
        length, height = random.uniform(600, 7200), left * random.uniform(0, 0.25)
        return [
            left
            - speed * at
            - (height * min(1.0, (at - begin) / length * 1.5) if begin <= at < begin + length else 0.0)
            for at in self.times
        ]

    def _service(self, name: str, faults: list[Fault], expect: list[Expected]) -> Service:
        random, habits, times = self.random, self.habits, self.times
        count, duration = len(times), habits.hours * 3600
        restarts, started = [0] * count, [BEGAN - 86400.0] * count
        if random.random() < habits.planned_restarts / habits.services:
            index = random.randrange(count)
            at = times[index]
            expect.append(Expected("restart", max(0.0, at - 300), at + 300, name))
            started[index:] = [BEGAN + at - 5] * (count - index)
        memory, limit = self._memory(faults, started)
        threads = float(random.randint(4, 200))
        cycle = random.choice(habits.cycles)(random)
        levels = [cycle(at / shapes.DAY) for at in times]
        cpu, total = [], 0.0
        share = random.uniform(0.01, 0.25)
        for level in levels:
            total += habits.interval * share * (1 + 0.5 * level) * random.uniform(0.8, 1.2)
            cpu.append(round(total, 3))
        made = Service(
            name=name,
            limit=limit,
            memory=memory,
            cpu=cpu,
            threads=[threads + random.randint(0, 3) for _index in times],
            descriptors=[threads * 3 + round(20 * level) + random.randint(0, 9) for level in levels],
            restarts=restarts,
            started=started,
            health=["healthy"] * count,
            failures=self._failures(faults),
            latency=self._latency(faults),
            errors_logged=[1 if random.random() < 0.05 else 0 for _index in times],
        )
        for fault in faults:
            if fault.kind == "flapping":
                every = max(2, round(fault.size * 60 / habits.interval))
                for index in range(random.randrange(every), count, every):
                    made.health[index] = "unhealthy"
            elif fault.kind == "storm":
                begin = random.randint(5, count - 30)
                for extra in range(round(fault.size)):
                    for index in range(begin + extra, count):
                        made.restarts[index] += 1
                        made.started[index] = BEGAN + times[begin + extra] - 1
        assert duration > 0
        return made

    def _memory(self, faults: list[Fault], started: list[float]) -> tuple[list[float], float]:
        random, habits, times = self.random, self.habits, self.times
        count = len(times)
        low, high = habits.base_mib
        base = math.exp(random.uniform(math.log(low), math.log(high)))
        if random.random() < habits.plain:
            # Nothing moves at all, or whole pages only.
            values = (
                [base] * count if random.random() < 0.5 else [base + random.randint(0, 3) * 0.00390625 for _at in times]
            )
        else:
            sigma = random.uniform(*habits.noise_mib) * min(1.0, base / 200)
            values = [
                base + noise for noise in shapes.autocorrelated(random, count, sigma, random.uniform(*habits.phi))
            ]
            height = min(random.uniform(0, habits.sawtooth_mib), base / 2)
            period = math.exp(random.uniform(math.log(300), math.log(6 * 3600)))
            if random.random() < 0.6:
                teeth = shapes.sawtooth(random, count, habits.interval, height, period)
                values = [value + tooth for value, tooth in zip(values, teeth, strict=True)]
            if random.random() < 0.3:
                jitter = random.uniform(0.0005, 0.005)
                values = [value * math.exp(random.gauss(0, jitter)) for value in values]
        cycle = random.choice(habits.cycles)(random)
        depth = habits.cycle_mib * random.choice((0.0, random.random(), 1.0))
        values = [value + depth * (1 + cycle(at / shapes.DAY)) for value, at in zip(values, times, strict=True)]
        for begin, end, height in shapes.bursts(random, count, 80.0, habits.bursts):
            for index in range(begin, end):
                values[index] += height
        # A cache fills from the start of the process on, of which the soak sees the rest.
        if random.random() < habits.fills:
            filled = shapes.filling(times, random.uniform(0.1, 1) * habits.fill_mib, random.uniform(*habits.fill_hours))
            values = [value + more for value, more in zip(values, filled, strict=True)]
        for fault in faults:
            if fault.kind == "leak":
                # A process that is started anew begins without what it had lost.
                since = [max(0.0, begun - BEGAN) for begun in started]
                values = [v + fault.size * (at - s) / 3600 for v, at, s in zip(values, times, since, strict=True)]
            elif fault.kind == "step":
                index = random.randint(count // 6, count * 5 // 6)
                values = [value + (fault.size if i >= index else 0.0) for i, value in enumerate(values)]
        limit = 0.0 if random.random() < 0.1 else round(max(values) * random.uniform(1.5, 4.0)) * MIB
        return [float(max(PAGE, round(value * MIB / PAGE) * PAGE)) for value in values], limit or -1.0

    def _failures(self, faults: list[Fault]) -> list[int]:
        random = self.random
        rate = self.habits.error_rate
        for fault in faults:
            rate = fault.size if fault.kind == "errors" else rate
        return [sum(1 for _n in range(6) if random.random() < rate) if random.random() < 1 else 0 for _at in self.times]

    def _latency(self, faults: list[Fault]) -> list[list[int]]:
        random, habits = self.random, self.habits
        middle, spread = math.log(random.uniform(1.0, 25.0)), random.uniform(0.1, 0.6)
        cycle = random.choice(habits.cycles)(random)
        depth = random.random() * math.log(habits.latency_cycle) / 2
        creep = math.log1p(sum(fault.size for fault in faults if fault.kind == "creep"))
        gauss, ceil = random.gauss, math.ceil
        found = []
        for at in self.times:
            level = middle + depth * (1 + cycle(at / shapes.DAY)) + creep * at / 3600
            found.append([ceil((level + spread * gauss(0, 1)) / _LOG) for _n in range(6)])
        return found
