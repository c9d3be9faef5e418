"""Quantiles from buckets lie as near the exact ones as is said, and their intervals cover as often."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erfinv

from domain.experiment.histogram import WIDTH, Histogram, InvalidHistogram, codes, edges, of_text, of_values, sample

SEED = 20260301
NUMBERS = st.floats(-1e300, 1e300, allow_subnormal=False)


@given(st.lists(NUMBERS, min_size=1, max_size=60), st.floats(0.01, 0.99))
def test_a_quantile_is_within_half_a_bucket_of_the_exact_one(values: list[float], share: float) -> None:
    exact = sorted(values)[max(math.ceil(share * len(values)), 1) - 1]

    assert of_values(values).quantile(share) == pytest.approx(exact, rel=WIDTH / 2 * 1.01, abs=0)


@given(NUMBERS)
def test_a_value_lies_within_the_edges_of_its_bucket(value: float) -> None:
    low, high = edges(int(codes(np.array([value]))[0]))

    slack = 1e-9 * abs(value)  # of a logarithm beside an exponential
    assert low - slack <= value <= high + slack


@given(st.lists(NUMBERS, max_size=30), st.lists(NUMBERS, max_size=30))
def test_parts_merge_to_the_whole_in_any_order_and_by_way_of_text(one: list[float], other: list[float]) -> None:
    merged = of_text(of_values(one).text()) + of_values(other)

    assert merged == of_values(other) + of_values(one) == of_values([*one, *other])


@given(st.lists(NUMBERS, min_size=2, max_size=30))
def test_codes_ascend_with_values(values: list[float]) -> None:
    assert (np.diff(codes(np.sort(np.array(values)))) >= 0).all()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.slow
def test_intervals_of_quantiles_cover_the_truth(share: float) -> None:
    """2,000 samples of 400; four standard errors of the share covered are 2 points."""
    random = np.random.default_rng(SEED)
    truth = math.exp(math.sqrt(2) * float(erfinv(2 * share - 1)))
    covered = 0
    for _ in range(2_000):
        low, high = of_values(random.lognormal(0, 1, 400)).interval(share)
        covered += low <= truth <= high

    assert 0.93 <= covered / 2_000 <= 0.98


def test_a_standard_error_is_that_of_the_quantiles_distribution() -> None:
    """The median of n normal values has the standard deviation sqrt(pi/2/n)."""
    random = np.random.default_rng(SEED)
    values = random.normal(100, 1, 200_000)

    found = sample(of_values(values), 0.5, 200_000)

    width = WIDTH * 100 / 3.92  # what the outer edges of two buckets add at most
    assert math.sqrt(math.pi / 2 / 200_000) * 0.9 < math.sqrt(found.error) < math.sqrt(math.pi / 2 / 200_000) + width


def test_alike_values_have_no_error_and_none_have_no_quantile() -> None:
    assert sample(of_values([3.0] * 50), 0.5, 50).variance == 0
    assert math.isnan(sample(Histogram({}), 0.5, 50).mean)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(InvalidHistogram, match="not finite"):
        of_values([1.0, value])


def test_a_count_below_nought_is_refused() -> None:
    with pytest.raises(InvalidHistogram, match="below nought"):
        of_text('{"1000001": -1}')
