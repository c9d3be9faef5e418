"""Near people share a mean, in groups as small as they may be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.privacy.anonymize import microaggregate


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9), st.integers(1, 3)), min_size=4, max_size=60),
    st.integers(2, 4),
)
def test_groups_are_large_enough_and_keep_the_mean(rows: list[tuple[int, int, int]], k: int) -> None:
    points, weights = np.array([row[:2] for row in rows], dtype=float), np.array([row[2] for row in rows])
    of, means, loss = microaggregate.groups(points, weights, k)
    count = np.bincount(of, weights)

    assert count.min() >= k
    assert np.average(means[of], axis=0, weights=weights) == pytest.approx(np.average(points, axis=0, weights=weights))
    assert 0 <= loss <= 1 + 1e-9


def test_people_of_two_towns_are_not_mixed() -> None:
    points = np.array([[0.0], [1.0], [2.0], [100.0], [101.0], [102.0]])
    of, means, loss = microaggregate.groups(points, np.ones(6, dtype=np.int64), 3)

    assert len(set(of[:3].tolist())) == len(set(of[3:].tolist())) == 1
    assert sorted(means[:, 0].tolist()) == [1.0, 101.0]
    assert loss == pytest.approx(4 / (4 + 6 * 50**2))


def test_with_single_people_no_group_is_twice_too_large() -> None:
    points = np.random.default_rng(3).normal(size=(101, 3))
    of, _, _ = microaggregate.groups(points, np.ones(101, dtype=np.int64), 4)

    assert 4 <= np.bincount(of).min() <= np.bincount(of).max() <= 7
