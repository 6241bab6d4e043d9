"""Shapes of figures over a day, as lists of numbers: noise, cycles, collection of garbage, bursts, caches that fill."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random

DAY = 86400.0


def autocorrelated(random: Random, count: int, sigma: float, phi: float) -> list[float]:
    """Noise of which each value depends on the one before: AR(1), with `sigma` as the deviation of the values."""
    step = sigma * math.sqrt(1 - phi * phi)
    gauss = random.gauss
    value = gauss(0, sigma)
    found = []
    for _index in range(count):
        value = phi * value + step * gauss(0, 1)
        found.append(value)
    return found


def smooth(random: Random) -> Callable[[float], float]:
    """One wave a day, between -1 and 1."""
    phase = random.random()
    return lambda day: math.sin(2 * math.pi * (day + phase))


def two_peaks(random: Random) -> Callable[[float], float]:
    """A wave with a second one of half its period: late morning and evening. Between -1 and 1."""
    phase, other, share = random.random(), random.random(), random.uniform(0.3, 0.6)

    def at(day: float) -> float:
        first = math.sin(2 * math.pi * (day + phase))
        return (1 - share) * first + share * math.sin(4 * math.pi * (day + other))

    return at


def office(random: Random) -> Callable[[float], float]:
    """Nothing at night, all of it in office hours: 0 or 1."""
    begins, length = random.random(), random.uniform(7, 11) / 24
    return lambda day: 1.0 if (day - begins) % 1.0 < length else 0.0


def polygon(random: Random) -> Callable[[float], float]:
    """Straight lines between random points of the day, between 0 and 1."""
    points = sorted(random.random() for _point in range(random.randint(3, 8)))
    values = _full([random.random() for _point in points])

    def at(day: float) -> float:
        day %= 1.0
        index = next((i for i, point in enumerate(points) if point > day), 0)
        before, after = points[index - 1], points[index]
        width = (after - before) % 1.0
        share = ((day - before) % 1.0) / width if width else 0.0
        return values[index - 1] + share * (values[index] - values[index - 1])

    return at


def stairs(random: Random) -> Callable[[float], float]:
    """Random levels at random times of the day, between 0 and 1."""
    points = sorted(random.random() for _point in range(random.randint(2, 7)))
    values = _full([random.random() for _point in points])
    return lambda day: values[next((i for i, point in enumerate(points) if point > day % 1.0), 0) - 1]


def ramp(random: Random) -> Callable[[float], float]:
    """Rises or falls all day, and is back at once, as with a job that clears up at night. Between 0 and 1."""
    begins, falling = random.random(), random.random() < 0.5
    return lambda day: 1 - (day - begins) % 1.0 if falling else (day - begins) % 1.0


def _full(values: list[float]) -> list[float]:
    low, high = min(values), max(values)
    return [(value - low) / (high - low) if high > low else 0.0 for value in values]


SMOOTH = (smooth, two_peaks)
ANY = (smooth, two_peaks, office, polygon, stairs, ramp)


def sawtooth(random: Random, count: int, interval: float, height: float, period: float) -> list[float]:
    """Garbage that is collected each `period` seconds or so: up to `height`, and down to 0."""
    found, left = [], random.random() * period
    length = period
    for _index in range(count):
        if left <= 0:
            length = period * random.uniform(0.8, 1.2)
            left += length
        found.append(height * (1 - max(0.0, left) / length))
        left -= interval
    return found


def bursts(random: Random, count: int, height: float, most: int) -> list[tuple[int, int, float]]:
    """Short loads: first and last index, and how high."""
    found = []
    for _burst in range(random.randint(0, most)):
        begin = random.randrange(count)
        found.append((begin, min(count, begin + random.randint(2, 30)), height * random.random()))
    return found


def filling(times: Sequence[float], height: float, hours: float) -> list[float]:
    """A cache that fills up: ever more slowly, to `height`; after `hours` it is at 63 %."""
    return [height * (1 - math.exp(-at / 3600 / hours)) for at in times]
