from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import dblquad, quad
from scipy.stats import norm

from domain.experiment.frequentist import compare
from domain.experiment.samples import Sample
from domain.experiment.sequential import brownian
from domain.experiment.sequential.group import SPENDING, UNREACHABLE, InvalidLooks, bounds, p_value, repeated

SEED = 20260301
FIVE = (0.2, 0.4, 0.6, 0.8, 1.0)


@pytest.mark.parametrize(
    ("spending", "published"),
    [
        ("obrien_fleming", (4.8769, 3.3570, 2.6803, 2.2898, 2.0310)),
        ("pocock", (2.4380, 2.4268, 2.4102, 2.3966, 2.3860)),
    ],
)
def test_bounds_are_the_published_ones(spending: str, published: Sequence[float]) -> None:
    """Five equal looks at 5 %, two-sided: the tables of Lan and DeMets's programs (Reboussin et al. 2000)."""
    assert bounds(FIVE, 0.05, SPENDING[spending]) == pytest.approx(published, abs=1e-4)


def stays_two(information: Sequence[float], limits: Sequence[float]) -> float:
    """The chance of staying inside at two looks, by one-dimensional quadrature."""
    first, second = information
    step = math.sqrt(second - first)
    low, high = -limits[0] * math.sqrt(first), limits[0] * math.sqrt(first)
    end = limits[1] * math.sqrt(second)

    def density(x: float) -> float:
        inside = norm.cdf((end - x) / step) - norm.cdf((-end - x) / step)
        return float(norm.pdf(x, scale=math.sqrt(first)) * inside)

    return float(quad(density, low, high, epsabs=1e-13, epsrel=1e-13)[0])


@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.2])
@pytest.mark.parametrize("spending", sorted(SPENDING))
@pytest.mark.parametrize("first", [0.1, 0.5, 0.9])
def test_two_looks_spend_what_they_should_by_another_quadrature(alpha: float, spending: str, first: float) -> None:
    limits = bounds((first, 1.0), alpha, SPENDING[spending])

    assert 1 - stays_two((first, 1.0), limits) == pytest.approx(alpha, abs=1e-9)
    assert 2 * norm.sf(limits[0]) == pytest.approx(SPENDING[spending](first, alpha), abs=1e-10)


@pytest.mark.slow
def test_three_looks_spend_what_they_should_by_another_quadrature() -> None:
    times = (0.3, 0.55, 1.0)
    limits = bounds(times, 0.05, SPENDING["pocock"])
    ends = [limit * math.sqrt(time) for limit, time in zip(limits, times, strict=True)]
    steps = [math.sqrt(0.3), math.sqrt(0.25), math.sqrt(0.45)]

    def density(second: float, first: float) -> float:
        last = norm.cdf((ends[2] - second) / steps[2]) - norm.cdf((-ends[2] - second) / steps[2])
        return float(norm.pdf(first, scale=steps[0]) * norm.pdf(second - first, scale=steps[1]) * last)

    inside = dblquad(density, -ends[0], ends[0], -ends[1], ends[1], epsabs=1e-11, epsrel=1e-11)[0]
    assert 1 - inside == pytest.approx(0.05, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(20, 1_000), min_size=1, max_size=12, unique=True).map(
        lambda thousandths: [part / 1_000 for part in sorted(thousandths)]
    ),
    st.sampled_from(sorted(SPENDING)),
    st.sampled_from([0.001, 0.05, 0.3]),
)
def test_any_looks_spend_no_more_and_no_less_than_alpha(times: list[float], spending: str, alpha: float) -> None:
    limits = bounds(times, alpha, SPENDING[spending])

    assert brownian.exits(times, limits).total == pytest.approx(alpha, abs=1e-10)


def test_a_grid_twice_as_fine_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    times = [(look + 1) / 30 for look in range(30)]
    coarse = bounds(times)
    monkeypatch.setattr(brownian, "PANEL", brownian.PANEL / 2)

    assert coarse == pytest.approx(bounds(times), abs=1e-10)


def test_looks_beyond_the_plan_spend_what_was_left() -> None:
    """Overrun: the first look at or beyond the plan spends all, a later one nothing."""
    limits = bounds((50.0, 120.0, 130.0), 0.05, planned=100.0)

    assert limits[2] == UNREACHABLE
    assert brownian.exits((0.5, 1.2), limits[:2]).total == pytest.approx(0.05, abs=1e-10)


def test_a_first_look_too_early_to_stop_cannot_be_crossed() -> None:
    limits = bounds((1e-4, 1.0))

    assert limits[0] == UNREACHABLE
    assert limits[1] == pytest.approx(norm.isf(0.025), abs=1e-9)


@pytest.mark.parametrize(
    ("looks", "alpha", "said"),
    [
        ([], 0.05, "at least one"),
        ([0.5, 0.5], 0.05, "more than the one before"),
        ([0.0, 1.0], 0.05, "more than the one before"),
        ([0.9999, 1.0], 0.05, "each look must have 0.09% more than the one before"),
        ([0.5, math.nan], 0.05, "give a finite number"),
        ([0.5], 0.0, "alpha is 0.0"),
    ],
)
def test_looks_that_cannot_be_are_refused(looks: list[float], alpha: float, said: str) -> None:
    with pytest.raises(InvalidLooks, match=said):
        bounds(looks, alpha)


def test_a_repeated_interval_excludes_nought_exactly_where_the_bound_is_crossed() -> None:
    reading = compare(Sample(1_000, 0, 1), Sample(1_000, 0.1, 1))
    statistic = reading.effect / reading.standard_error

    assert repeated(reading, statistic * 1.0001).low < 0 < repeated(reading, statistic * 0.9999).low


def test_a_p_value_at_the_last_bound_is_alpha_and_at_the_first_look_the_usual_one() -> None:
    limits = bounds(FIVE)

    assert p_value(FIVE, limits[:4], limits[4]) == pytest.approx(0.05, abs=1e-10)
    assert p_value(FIVE[:1], (), 3.0) == pytest.approx(2 * norm.sf(3), rel=1e-10)


def test_simulated_null_experiments_are_refused_at_alpha_and_peeked_at_naively_four_times_as_often() -> None:
    """10,000 paths of 14 looks; the bands are four binomial standard errors."""
    looks, paths = 14, 10_000
    times = (np.arange(looks) + 1) / looks
    walks = np.random.default_rng(SEED).normal(0, math.sqrt(1 / looks), (paths, looks)).cumsum(axis=1) / np.sqrt(times)
    stopped = (np.abs(walks) > np.array(bounds(list(times)))).any(axis=1).mean()
    naive = (np.abs(walks) > norm.isf(0.025)).any(axis=1).mean()

    assert stopped == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / paths))
    assert naive == pytest.approx(0.217, abs=4 * math.sqrt(0.217 * 0.783 / paths))


@pytest.mark.parametrize("planned", [0.0, -1.0, math.nan, math.inf])
def test_a_plan_of_no_information_is_refused(planned: float) -> None:
    with pytest.raises(InvalidLooks, match="planned is"):
        bounds((0.5, 1.0), planned=planned)


@pytest.mark.parametrize(
    ("looks", "pocock", "obrien_fleming"),
    [
        (2, 2.178, 1.977),
        (3, 2.289, 2.004),
        (4, 2.361, 2.024),
        (5, 2.413, 2.040),
        (10, 2.555, 2.087),
        (20, 2.672, 2.126),
    ],
)
def test_constant_bounds_leave_as_often_as_the_tables_say(looks: int, pocock: float, obrien_fleming: float) -> None:
    """Two-sided at 5 % (Jennison and Turnbull 1999, tables 2.1 and 2.3, of three decimals)."""
    times = [(look + 1) / looks for look in range(looks)]
    for constant, power in ((pocock, 0.0), (obrien_fleming, -0.5)):
        wider, narrower = (
            brownian.exits(times, [(constant + off) * time**power for time in times]).total for off in (6e-4, -6e-4)
        )
        assert wider < 0.05 < narrower
