# Copyright: the hypercode.deploy authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Statistics on plain sequences of numbers: medians, slopes, steps. Each names its source."""

from __future__ import annotations

import math
from collections.abc import Sequence


def median(values: Sequence[float]) -> float:
    """The middle one; of an even number the mean of the two. Raises ValueError when there is none."""
    if not values:
        raise ValueError("no median of nothing")
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def spread(values: Sequence[float]) -> float:
    """The standard deviation as the median of distances from the median tells it (1.4826 MAD); 0 for less than two."""
    if len(values) < 2:
        return 0.0
    middle = median(values)
    return 1.4826 * median([abs(value - middle) for value in values])


def windows(
    times: Sequence[float], values: Sequence[float], width: float, least: int = 1
) -> list[tuple[float, list[float]]]:
    """The values of each window of `width` seconds, with when it begins. Those with less than `least` are left out."""
    found: dict[int, list[float]] = {}
    for at, value in zip(times, values, strict=True):
        found.setdefault(int(at // width), []).append(value)
    return [(slot * width, part) for slot, part in sorted(found.items()) if len(part) >= least]


def theil_sen(times: Sequence[float], values: Sequence[float]) -> float:
    """The median of the slopes of all pairs (Theil 1950, Sen 1968). 0 when all times are the same."""
    slopes = [
        (values[j] - values[i]) / (times[j] - times[i])
        for i in range(len(times))
        for j in range(i + 1, len(times))
        if times[j] != times[i]
    ]
    return median(slopes) if slopes else 0.0


def solve(matrix: Sequence[Sequence[float]], columns: Sequence[Sequence[float]]) -> list[list[float]]:
    """X of `matrix` X = `columns`, by elimination with the largest pivot. Raises ValueError for a singular matrix."""
    size, width = len(matrix), len(columns[0])
    rows = [[*matrix[i], *columns[i]] for i in range(size)]
    for i in range(size):
        best = max(range(i, size), key=lambda row: abs(rows[row][i]))
        if abs(rows[best][i]) < 1e-12:
            raise ValueError("singular")
        rows[i], rows[best] = rows[best], rows[i]
        pivot = rows[i]
        for j in range(size):
            if j != i and rows[j][i]:
                factor = rows[j][i] / pivot[i]
                rows[j] = [left - factor * right for left, right in zip(rows[j], pivot, strict=True)]
    return [[rows[i][size + k] / rows[i][i] for k in range(width)] for i in range(size)]


def cusum(values: Sequence[float], target: float, sigma: float, slack: float = 0.5) -> tuple[float, int]:
    """The highest of the upward sums of what is above `target` + `slack` sigma (Page 1954), in sigmas, and since when.

    The index is that of the first value of the climb.
    """
    if sigma <= 0:
        sigma = 1e-9
    best, since, total, begun = 0.0, 0, 0.0, 0
    for index, value in enumerate(values):
        step = (value - target) / sigma - slack
        if total + step <= 0:
            total, begun = 0.0, index + 1
        else:
            total += step
            if total > best:
                best, since = total, begun
    return best, since


def beta_share(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (Lentz's way; Abramowitz & Stegun 26.5.8)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_share(1 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    tiny = 1e-300
    c, d = 1.0, 1 - (a + b) * x / (a + 1)
    d = 1 / (d if abs(d) > tiny else tiny)
    fraction = d
    for m in range(1, 1000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 + term * d
            d = 1 / (d if abs(d) > tiny else tiny)
            c = 1 + term / c
            c = c if abs(c) > tiny else tiny
            fraction *= d * c
        if abs(d * c - 1) < 1e-12:
            break
    return front * fraction


def clopper_pearson(failures: float, requests: float, alpha: float) -> tuple[float, float]:
    """The exact bounds of a share (Clopper and Pearson 1934): each is wrong with a chance of at most `alpha`."""
    if requests <= 0:
        return 0.0, 1.0
    lower = 0.0 if failures <= 0 else _share_at(alpha, failures, requests - failures + 1)
    upper = 1.0 if failures >= requests else _share_at(1 - alpha, failures + 1, requests - failures)
    return lower, upper


def _share_at(chance: float, a: float, b: float) -> float:
    low, high = 0.0, 1.0
    for _step in range(60):
        middle = (low + high) / 2
        if beta_share(middle, a, b) < chance:
            low = middle
        else:
            high = middle
    return (low + high) / 2
