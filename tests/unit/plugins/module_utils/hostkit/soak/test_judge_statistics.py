"""The statistics against values that are known, or reckoned in another way."""

from __future__ import annotations

import math
from random import Random

import pytest
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.judge.statistics import (
    beta_share,
    clopper_pearson,
    cusum,
    median,
    solve,
    spread,
    theil_sen,
    windows,
)
from ansible_collections.hypercode.deploy.plugins.module_utils.hostkit.soak.judge.trend import (
    fit,
    since_drop,
    without_jumps,
    without_spikes,
)


def binomial_tail(least: int, count: int, share: float) -> float:
    """The chance of at least so many, added up term by term."""
    return sum(math.comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(least, count + 1))


def test_a_median_and_a_spread() -> None:
    assert median([3, 1, 2]) == 2
    assert median([4, 1, 2, 3]) == 2.5
    with pytest.raises(ValueError, match="nothing"):
        median([])
    assert spread([1, 2, 3, 4, 100]) == pytest.approx(1.4826)


def test_windows_leave_out_those_with_too_few() -> None:
    assert windows([0, 1, 10, 21, 22], [1, 2, 3, 4, 5], 10, least=2) == [(0, [1, 2]), (20, [4, 5])]


def test_a_slope_of_all_pairs_bears_a_wild_value() -> None:
    times = list(range(20))
    values = [2.0 * at for at in times]
    values[7] = 1e6
    assert theil_sen(times, values) == pytest.approx(2.0)
    assert theil_sen([1, 1], [0, 5]) == 0


@pytest.mark.parametrize(("failures", "requests"), [(0, 10), (5, 10), (1, 1000), (10, 10), (17, 300)])
def test_exact_bounds_are_those_that_the_sums_of_chances_say(failures: int, requests: int) -> None:
    lower, upper = clopper_pearson(failures, requests, 0.025)
    if failures:
        assert binomial_tail(failures, requests, lower) == pytest.approx(0.025, rel=1e-6)
    else:
        assert lower == 0
    if failures < requests:
        assert 1 - binomial_tail(failures + 1, requests, upper) == pytest.approx(0.025, rel=1e-6)
    else:
        assert upper == 1


def test_exact_bounds_from_a_table() -> None:
    lower, upper = clopper_pearson(5, 10, 0.025)
    assert (round(lower, 4), round(upper, 4)) == (0.1871, 0.8129)
    assert clopper_pearson(0, 0, 0.025) == (0.0, 1.0)


def test_the_incomplete_beta_function() -> None:
    assert beta_share(0.3, 1, 1) == pytest.approx(0.3)
    assert beta_share(0.25, 2, 3) == pytest.approx(1 - binomial_tail(0, 4, 0.25) + binomial_tail(2, 4, 0.25))
    assert (beta_share(0, 2, 2), beta_share(1, 2, 2)) == (0, 1)


def test_equations() -> None:
    assert solve([[0, 2], [4, 1]], [[2], [9]]) == [[2.0], [1.0]]
    with pytest.raises(ValueError, match="singular"):
        solve([[1, 2], [2, 4]], [[1], [2]])


def test_sums_find_where_a_step_is() -> None:
    height, since = cusum([0.0] * 10 + [3.0] * 5, 0.0, 1.0)
    assert height == pytest.approx(12.5)
    assert since == 10


def test_a_fit_finds_a_slope_below_waves() -> None:
    times = [0.5 * index for index in range(1, 48)]
    values = [5 + 3 * at + 40 * math.sin(2 * math.pi * at / 24) + 9 * math.cos(4 * math.pi * at / 24) for at in times]
    found = fit(times, values, 2)
    assert found.slope == pytest.approx(3.0)
    assert found.error == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="too few"):
        fit(times[:6], values[:6], 2)


def test_the_error_of_a_slope_is_that_of_newey_and_west() -> None:
    random = Random(3)  # noqa: S311
    times = [float(index) for index in range(40)]
    values = [random.gauss(0, 1) for _at in times]
    # A line only: the slope's weights are known in closed form.
    middle = sum(times) / 40
    square = sum((at - middle) ** 2 for at in times)
    slope = sum((at - middle) * value for at, value in zip(times, values, strict=True)) / square
    mean = sum(values) / 40
    scores = [(at - middle) / square * (v - mean - slope * (at - middle)) for at, v in zip(times, values, strict=True)]
    variance = sum(score**2 for score in scores)
    for lag in range(1, 7):
        variance += 2 * (1 - lag / 7) * sum(scores[i] * scores[i - lag] for i in range(lag, 40))
    found = fit(times, values, 0)
    assert found.slope == pytest.approx(slope)
    assert found.error == pytest.approx(math.sqrt(variance * 40 / 38))


def test_jumps_are_taken_out_and_the_slope_stays() -> None:
    values = [2.0 * index + (30 if 10 <= index < 20 else 0) for index in range(30)]
    level, jumps = without_jumps(values, 6)
    assert jumps == [10, -20]
    assert level == pytest.approx([2.0 * index for index in range(30)])


def test_a_burst_is_no_jump_that_lasts_also_where_the_day_climbs() -> None:
    office = [2.0 * index + (30 if 10 <= index < 20 else 0) for index in range(30)]
    assert without_jumps(office, 6, lasting=True) == without_jumps(office, 6)
    # Of a burst one side is a jump and the other is not, since the day goes up meanwhile.
    burst = [20 * math.sin(2 * math.pi * index / 24) + (24 if index == 23 else 0) for index in range(48)]
    assert without_jumps(burst, 6)[1] == [23]
    assert without_jumps(burst, 6, lasting=True) == (pytest.approx(burst), [])


def test_processes_one_after_another_have_a_slope_together_and_levels_of_their_own() -> None:
    hours = [0.5 * index for index in range(46)]
    values = [4.0 * at + 10 * math.sin(2 * math.pi * at / 24) - (70 if at >= 15 else 0) for at in hours]
    assert fit(hours, values, 2).slope < 3
    assert fit(hours, values, 2, begins=[30]).slope == pytest.approx(4.0)
    filling = [60 * (1 - math.exp(-(at - (15 if at >= 15 else 0)) / 2.5)) - (20 if at >= 15 else 0) for at in hours]
    assert fit(hours, filling, 0, 2.5, begins=[30]).rest == pytest.approx(0, abs=1e-6)
    # A process that begins lower is no jump.
    level, jumps = without_jumps([value - 4.0 * at for at, value in zip(hours, values, strict=True)], 6, [30])
    assert jumps == []
    assert abs(level[30] - level[29]) < 2


def test_a_spike_goes_and_a_step_stays() -> None:
    step = [0.0, 1, 0, 1, 0, 20, 21, 20, 21, 20]
    assert without_spikes(step, 6) == step
    calm = [float(index % 3) for index in range(30)]
    assert without_spikes([*calm[:15], 40.0, *calm[16:]], 6)[15] < 3
    assert without_spikes([*calm, 60.0], 6)[-1] < 6
    assert without_spikes(calm, 6) == calm


def test_garbage_is_known_by_drops_that_come_again() -> None:
    hours = [0.5 * index for index in range(24)]
    assert since_drop(hours, [-5, -10, -15, -20]) is not None
    assert since_drop(hours, [-4, -5, -10, -15, -19, -20]) == since_drop(hours, [-5, -10, -15, -20])
    assert since_drop(hours, [-5, -6, -7]) is None
    assert since_drop(hours, [-5, 8, -10, 12, -15, 18]) is None
    assert since_drop(hours, [-5, -10]) is None


def test_what_a_tooth_has_grown_is_told_in_hours_and_as_a_part_of_it() -> None:
    hours = [0.5 * index for index in range(24)]
    since, share = since_drop(hours, [-5, -9, -15, -20]) or ([], [])
    assert since[:6] == [0.0, 0.5, 1.0, 1.5, 2.0, 0.0]
    assert share[5:10] == [0.0, 0.25, 0.5, 0.75, 0.0]
    assert share[20:] == [0.0, 0.2, 0.4, pytest.approx(0.6)]
    # A process that is started anew begins without garbage, and ends the tooth of the one before.
    since, share = since_drop(hours, [-5, -9, -20], [12]) or ([], [])
    assert (since[11], since[12]) == (1.0, 0.0)
