from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm
from statsmodels.stats.power import NormalIndPower

from domain.experiment.declaration import Design, Stopping
from domain.experiment.sequential.plan import look_bounds, needed_drift, plan, power

SEED = 20260301
SIZES: dict[str, Any] = {"mean": 0.1, "deviation": 0.3, "shares": (0.5, 0.5), "effect": 0.05, "units_a_day": 5_000}


@pytest.mark.parametrize(("alpha", "wanted"), [(0.05, 0.8), (0.01, 0.9), (0.1, 0.5)])
@pytest.mark.parametrize("ratio", [1.0, 3.0])
def test_a_fixed_design_takes_the_units_that_statsmodels_says(alpha: float, wanted: float, ratio: float) -> None:
    stopping = Stopping(design=Design.FIXED, alpha=alpha, power=wanted)
    found = plan(stopping, **{**SIZES, "shares": (1 / (1 + ratio), ratio / (1 + ratio))})
    control = NormalIndPower().solve_power(effect_size=0.005 / 0.3, alpha=alpha, power=wanted, ratio=ratio)

    assert found.units == pytest.approx(control * (1 + ratio), rel=1e-6)
    assert found.days == pytest.approx(found.units / 5_000)
    assert found.power == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize(
    ("design", "looks", "published"),
    [
        (Design.GROUP_SEQUENTIAL, 14, 0.783),
        (Design.GROUP_SEQUENTIAL, 100, 0.782),
        (Design.ALWAYS_VALID, 14, 0.481),
        (Design.ALWAYS_VALID, 100, 0.525),
    ],
)
def test_looking_early_costs_what_was_measured(design: Design, looks: int, published: float) -> None:
    """At the effect that a fixed design finds in 80 of 100: 40,000 simulated paths said `published` (four errors)."""
    drift = needed_drift(Stopping(design=Design.FIXED))
    found = power(Stopping(design=design, looks=looks), drift)

    assert found == pytest.approx(published, abs=4 * math.sqrt(0.25 / 40_000))


@pytest.mark.parametrize("design", list(Design))
def test_planted_effects_are_found_as_often_as_planned(design: Design) -> None:
    stopping = Stopping(design=design, looks=10)
    looks = len(look_bounds(stopping))
    times = (np.arange(looks) + 1) / looks
    steps = np.random.default_rng(SEED).normal(needed_drift(stopping) / looks, math.sqrt(1 / looks), (20_000, looks))
    found = (np.abs(steps.cumsum(axis=1) / np.sqrt(times)) > np.array(look_bounds(stopping))).any(axis=1).mean()

    assert found == pytest.approx(0.8, abs=4 * math.sqrt(0.16 / 20_000))


def test_an_early_stop_is_expected_to_save_units() -> None:
    found = plan(Stopping(design=Design.GROUP_SEQUENTIAL), **SIZES)
    fixed = plan(Stopping(design=Design.FIXED), **SIZES)

    assert fixed.units < found.units < 1.1 * fixed.units
    assert found.units * found.expected_share < fixed.units


@pytest.mark.parametrize(
    ("name", "value"), [("mean", 0.0), ("deviation", math.nan), ("units_a_day", 0), ("effect", -1)]
)
def test_what_cannot_be_sized_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"plan: {name} is {abs(value) if name == 'mean' else value}"):
        plan(Stopping(), **{**SIZES, name: value})


def test_more_power_takes_more() -> None:
    assert needed_drift(Stopping()) < needed_drift(replace(Stopping(), power=0.9))


def test_a_power_that_no_effect_has_is_refused() -> None:
    for wanted in (0.0, 1.0, 1 - 1e-15, math.nan):
        with pytest.raises(ValueError, match=r"power is .*; give a probability"):
            needed_drift(Stopping(design=Design.ALWAYS_VALID, power=wanted, looks=2))


@pytest.mark.parametrize(("alpha", "wanted"), [(1e-9, 0.8), (1e-200, 0.5), (0.05, 0.999999), (0.5, 0.51)])
@pytest.mark.parametrize("design", [Design.FIXED, Design.GROUP_SEQUENTIAL, Design.ALWAYS_VALID])
def test_any_level_and_power_have_an_effect_that_is_found(design: Design, alpha: float, wanted: float) -> None:
    stopping = Stopping(design=design, alpha=alpha, power=wanted, looks=3)
    drift = needed_drift(stopping)

    assert power(stopping, drift) == pytest.approx(wanted, abs=1e-9)
    if design is Design.FIXED:
        found = norm.sf(norm.isf(alpha / 2) - drift) + norm.cdf(-norm.isf(alpha / 2) - drift)
        assert found == pytest.approx(wanted, abs=1e-9)
