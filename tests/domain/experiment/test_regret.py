"""What exploring has cost: against numbers by hand, and against draws from the beliefs."""

from __future__ import annotations

import numpy as np
import pytest

from domain.experiment.bayesian.belief import Beta, Normal
from domain.experiment.regret import regret

DRAWS = 200_000
ARMS = {"popular": Beta(20, 80), "recent": Beta(30, 70), "personal": Beta(45, 55)}
UNITS = {"popular": 98.0, "recent": 98.0, "personal": 498.0}


def lost(seed: int) -> np.ndarray:
    """Draw true means from the beliefs, and say what the units would have lost under each."""
    random = np.random.default_rng(seed)
    means = np.column_stack([random.beta(belief.a, belief.b, DRAWS) for belief in ARMS.values()])
    return np.asarray((means.max(axis=1, keepdims=True) - means) @ np.array([UNITS[arm] for arm in ARMS]))


def test_the_expected_regret_is_the_mean_over_what_may_be_true() -> None:
    drawn = lost(seed=1)

    assert regret(UNITS, ARMS).expected == pytest.approx(drawn.mean(), abs=4 * drawn.std() / DRAWS**0.5)


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_the_bound_holds_with_at_least_its_probability(level: float) -> None:
    assert (lost(seed=2) <= regret(UNITS, ARMS, level).at_most).mean() >= level


def test_nothing_is_lost_by_an_arm_that_is_surely_the_best() -> None:
    sure = regret({"a": 0.0, "b": 1000.0}, {"a": Normal(0.0, 1e-6), "b": Normal(1.0, 1e-6)})

    assert sure.units == 1000
    assert sure.expected == pytest.approx(0.0, abs=1e-6)
    assert sure.at_most == 0.0


def test_every_unit_of_an_arm_that_is_surely_worse_costs_the_difference() -> None:
    sure = regret({"a": 10.0, "b": 1000.0}, {"a": Normal(0.0, 1e-6), "b": Normal(1.0, 1e-6)})

    assert sure.expected == pytest.approx(10.0, rel=1e-4)
    assert sure.at_most == pytest.approx(10.0, rel=1e-4)
