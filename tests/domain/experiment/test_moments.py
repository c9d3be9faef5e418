from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.experiment.moments import InvalidMoments, Moments, empty, merge, of_rows, of_shifted_sums

SEED = 20260301
COLUMNS = ("value", "before")


def any_rows(count: int, seed: int = SEED) -> np.ndarray:
    random = np.random.default_rng(seed)
    before = random.normal(3, 2, count)
    return np.column_stack([before + random.normal(0, 1, count), before])


def close(one: Moments, other: Moments, relative: float) -> bool:
    scale = np.abs(np.diag(other.product)).max() + 1e-300
    return (
        one.count == other.count
        and np.allclose(one.mean, other.mean, rtol=relative, atol=relative)
        and np.allclose(one.product, other.product, rtol=relative, atol=relative * scale)
    )


def test_moments_are_numpy_s() -> None:
    rows = any_rows(1_000)
    found = of_rows(COLUMNS, rows)

    assert found.of("value") == pytest.approx(rows[:, 0].mean(), rel=1e-14)
    assert np.allclose(found.covariance, np.cov(rows.T), rtol=1e-13)


def test_a_variance_far_from_nought_survives() -> None:
    """A mean of 1e8 beside a deviation of 1 takes 16 of 16 digits from raw sums (gbstats answers -14.7)."""
    random = np.random.default_rng(SEED)
    small = random.normal(0, 1, 1_000_000)
    exact = np.var(small, ddof=1)
    rows = (small + 1e8)[:, None]
    merged = merge(of_rows(("value",), part) for part in np.array_split(rows, 1_000))
    summed = of_shifted_sums(
        ("value",), len(rows), np.array([rows[0, 0]]), (rows - rows[0]).sum(0), (rows - rows[0]).T @ (rows - rows[0])
    )
    rounding = np.var(rows[:, 0] - 1e8, ddof=1) / exact - 1  # what storing 1e8 + x in a double does to x

    for found in (of_rows(("value",), rows), merged, summed):
        assert found.variance("value") / exact - 1 == pytest.approx(rounding, abs=1e-9)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_merging_in_any_order_is_summing_all(sizes: list[int], random: object) -> None:
    rows = any_rows(sum(sizes) + 2)
    cuts = np.cumsum(sizes)
    parts = [of_rows(COLUMNS, part) for part in np.split(rows, cuts)]
    random.shuffle(parts)  # type: ignore[attr-defined]

    assert close(merge(parts), of_rows(COLUMNS, rows), 1e-12)


def test_merging_is_associative_at_a_thousand_million_rows() -> None:
    one, two, three = (
        Moments(COLUMNS, 1e9 * scale, part.mean, part.product * scale)
        for scale, part in (
            (1.0, of_rows(COLUMNS, any_rows(99, 1))),
            (0.3, of_rows(COLUMNS, any_rows(98, 2))),
            (1e-6, of_rows(COLUMNS, any_rows(97, 3))),
        )
    )

    assert close((one + two) + three, one + (two + three), 1e-12)
    assert close(three + two + one, one + two + three, 1e-12)


def test_merging_is_associative_far_from_nought() -> None:
    """A mean of one double alone keeps eleven digits of a variance of one at 1e8."""
    random = np.random.default_rng(SEED)
    parts = [of_rows(("value",), part) for part in np.array_split(random.normal(1e8, 1.0, (100_000, 1)), 1_000)]
    orders = [parts, parts[::-1], [parts[place] for place in random.permutation(1_000)]]
    halves = [merge(parts[:500]) + merge(parts[500:])]

    variances = [found.variance("value") for found in [merge(order) for order in orders] + halves]

    assert max(abs(variance / variances[0] - 1) for variance in variances) < 1e-12


def test_no_units_merge_with_any() -> None:
    found = of_rows(COLUMNS, any_rows(10))

    assert close(empty(COLUMNS) + found, found, 0)
    assert close(found + empty(COLUMNS), found, 0)


def test_one_unit_has_no_variance() -> None:
    assert np.isnan(of_rows(COLUMNS, any_rows(1)).variance("value"))


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(InvalidMoments, match="value, before is not finite"):
        of_rows(COLUMNS, np.array([[1.0, np.inf]]))


def test_sums_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(InvalidMoments, match="sum of squares"):
        of_shifted_sums(("value",), 10, np.zeros(1), np.array([100.0]), np.array([[5.0]]))


def test_other_columns_do_not_merge() -> None:
    with pytest.raises(InvalidMoments, match="do not merge"):
        _ = empty(COLUMNS) + empty(("value",))
