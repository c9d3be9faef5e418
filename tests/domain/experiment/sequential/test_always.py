from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import dirichlet, multinomial, norm

from domain.experiment.frequentist import compare
from domain.experiment.samples import Sample
from domain.experiment.sequential.always import mismatch, mixture_p_value, sequence, tuned, widening

SEED = 20260301


@pytest.mark.parametrize(("statistic", "scaled"), [(0.5, 1.0), (3.0, 0.2), (-4.0, 10.0), (6.0, 1e-3)])
def test_the_mixture_s_ratio_is_the_integral_it_stands_for(statistic: float, scaled: float) -> None:
    """Likelihood ratios of the statistic's mean, mixed over a normal with variance τ²/v."""
    deviation = math.sqrt(scaled)
    ratio = quad(
        lambda mean: norm.pdf(mean, scale=deviation) * math.exp(statistic * mean - mean**2 / 2),
        -12 * deviation,
        12 * deviation,
        epsabs=1e-13,
        limit=500,
        points=[statistic * scaled / (1 + scaled)],
    )[0]

    assert mixture_p_value(statistic, scaled) == pytest.approx(min(1, 1 / ratio), rel=1e-8)


@given(st.floats(10, 1e9), st.floats(1e-4, 0.5), st.floats(0.1, 10))
def test_the_sequence_excludes_nought_exactly_where_its_p_value_is_below_alpha(
    units: float, alpha: float, tuning: float
) -> None:
    rho = tuned(units * tuning, alpha)
    half = widening(units, rho, alpha)

    assert mixture_p_value(half, units * rho**2) == pytest.approx(alpha, rel=1e-9)


@given(st.floats(10, 1e7), st.sampled_from([0.05, 0.01]))
def test_a_sequence_is_nearly_tightest_where_it_was_tuned(units: float, alpha: float) -> None:
    best = min(widening(units, tuned(units * factor, alpha), alpha) for factor in np.geomspace(0.2, 5, 41))

    assert widening(units, tuned(units, alpha), alpha) <= best * 1.002


def test_a_sequence_is_wider_than_a_fixed_interval_and_its_relative_one_alike() -> None:
    reading = compare(Sample(10_000, 5, 4), Sample(10_000, 5.2, 4))
    wider = sequence(reading, 20_000, 20_000)

    assert wider.low < reading.low < reading.high < wider.high
    assert (wider.relative_high - wider.relative) / (reading.relative_high - reading.relative) == pytest.approx(
        (wider.high - wider.effect) / (reading.high - reading.effect)
    )
    assert wider.p_value > reading.p_value


def test_null_experiments_looked_at_after_every_hundred_units_are_seldom_refused() -> None:
    """5,000 paths of 100 looks: at most alpha, with a band of four standard errors."""
    paths, looks = 5_000, 100
    sums = np.random.default_rng(SEED).normal(0, 10, (paths, looks)).cumsum(axis=1)
    units = 100.0 * (np.arange(looks) + 1)
    limits = np.array([widening(seen, tuned(units[-1])) for seen in units])
    refused = (np.abs(sums / np.sqrt(units)) > limits).any(axis=1).mean()

    assert refused <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / paths)
    assert refused > 0.005  # it is a test of something


def test_the_ratio_of_samples_is_the_dirichlet_mixture_s() -> None:
    """Against the mixture summed over every possible count."""
    shares = np.array([0.2, 0.3, 0.5])
    counts = np.array([9, 2, 1])
    random = np.random.default_rng(SEED)
    drawn = dirichlet(100 * shares, seed=random).rvs(400_000)
    ratio = np.mean(np.exp((counts * np.log(drawn)).sum(axis=1) - (counts * np.log(shares)).sum()))
    found = mismatch(dict(zip("abc", counts, strict=True)), dict(zip("abc", shares, strict=True)))

    assert found == pytest.approx(min(1, 1 / ratio), rel=0.01)
    assert multinomial(12, shares).pmf(counts) > 0


def test_right_ratios_looked_at_daily_seldom_alarm_and_wrong_ones_always_do() -> None:
    random = np.random.default_rng(SEED)
    shares = {"a": 0.5, "b": 0.5}

    def least(true_share: float) -> float:
        counts = random.binomial(1_000, true_share, 28).cumsum()
        days = 1_000 * (np.arange(28) + 1)
        return min(mismatch({"a": a, "b": n - a}, shares) for a, n in zip(counts, days, strict=True))

    assert sum(least(0.5) < 0.01 for _ in range(1_000)) <= 10 + 4 * math.sqrt(10)
    assert all(least(0.47) < 0.01 for _ in range(50))


def test_an_arm_without_a_share_must_be_empty() -> None:
    assert mismatch({"a": 5, "b": 5, "c": 1}, {"a": 0.5, "b": 0.5, "c": 0}) == 0
    assert mismatch({}, {"a": 0.5, "b": 0.5}) == 1
