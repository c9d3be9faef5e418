"""A plan from a known past promises what simulated experiments then keep."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from domain.experiment.declaration import Arm, Design, Experiment, Guardrail, Kind, Outcome, Stopping
from domain.experiment.frequentist import compare
from domain.experiment.history import History
from domain.experiment.moments import Moments, of_rows
from domain.experiment.planning import Advice, CannotBePlanned, advise
from domain.experiment.policies import BetaThompson
from domain.experiment.samples import adjusted
from domain.experiment.sequential.plan import look_bounds
from domain.experiment.statistics import MEASURES

SEED = 20260301
SPENT = Outcome(name="spent", event="purchase", kind=Kind.MEAN, field="amount", lookback_days=7)
CARTS = Outcome(name="carts", event="add_to_cart", kind=Kind.COUNT)
TRIAL = Experiment(
    name="trial",
    arms=(Arm(name="control"), Arm(name="new")),
    primary=SPENT,
    minimum_effect=0.08,
    stopping=Stopping(days=14, looks=7),
)


def any_units(count: int, random: np.random.Generator, effect: float = 0.0) -> np.ndarray:
    """Units whose value follows from what they did before."""
    before = random.gamma(2, 1, count)
    value = (1 + effect) * (before + random.gamma(2, 1, count))
    return np.column_stack([value, np.zeros(count), before])


def past(outcome: Outcome = SPENT, a_day: int = 200, days: int = 14) -> History:
    random = np.random.default_rng(SEED)
    return History(outcome, [a_day] * days, of_rows(MEASURES, any_units(200_000, random)))


def advised(experiment: Experiment = TRIAL, **known: History) -> Advice:
    return advise(experiment, {"spent": past(), **known})


@pytest.mark.parametrize("design", Design)
@pytest.mark.slow
def test_simulated_experiments_find_the_effect_as_often_as_the_plan_says(design: Design) -> None:
    """400 experiments of the planned units, read with the covariate at seven looks; three binomial errors and a point.

    Looks are made on one statistic that is brought forward in equal steps of units.
    """
    stopping = replace(TRIAL.stopping, design=design)
    option = next(each for each in advised(replace(TRIAL, stopping=stopping)).options if each.design is design)
    random, runs = np.random.default_rng(SEED), 400
    bounds = look_bounds(stopping)
    each = math.ceil(option.units / 2 / len(bounds))
    found = 0
    for _ in range(runs):
        arms: dict[str, Moments] = {}
        for bound in bounds:
            for name, effect in (("control", 0.0), ("new", TRIAL.minimum_effect)):
                more = of_rows(MEASURES, any_units(each, random, effect))
                arms[name] = arms[name] + more if name in arms else more
            there = adjusted(arms, "value", ["covariate"])
            reading = compare(there["control"], there["new"])
            if abs(reading.effect) / reading.standard_error >= bound:
                found += 1
                break

    assert found / runs == pytest.approx(0.8, abs=3 * math.sqrt(0.8 * 0.2 / runs) + 0.01)


def test_looking_early_costs_a_little_in_a_group_sequential_design_and_much_in_an_always_valid_one() -> None:
    options = {option.design: option for option in advised().options}

    assert options[Design.FIXED].kept == pytest.approx(0.8)
    assert 0.77 < options[Design.GROUP_SEQUENTIAL].kept < 0.8
    assert 0.45 < options[Design.ALWAYS_VALID].kept < 0.55
    assert options[Design.GROUP_SEQUENTIAL].units < 1.06 * options[Design.FIXED].units
    assert options[Design.GROUP_SEQUENTIAL].likely_days < options[Design.FIXED].days


def test_units_come_as_they_came_and_then_at_the_last_week_s_pace() -> None:
    known = History(SPENT, [100, 50, 10, 10, 10, 10, 10, 10, 10], past().moments)

    assert known.units(2) == 150
    assert known.units(9) == 220
    assert known.units(11) == 240
    assert known.days(240) == 11
    assert known.days(125) == 1.5
    assert History(SPENT, [5, 0, 0, 0, 0, 0, 0, 0], past().moments).days(6) == math.inf


def test_the_covariate_saves_units_by_the_square_of_its_correlation() -> None:
    plain = replace(SPENT, lookback_days=0)
    without = advise(replace(TRIAL, primary=plain), {"spent": replace(past(), outcome=plain)})

    assert past().correlation ** 2 == pytest.approx(0.5, abs=0.01)
    assert advised().declared.units / without.declared.units == pytest.approx(0.5, abs=0.01)


def test_a_plan_that_ends_too_early_is_refused_with_the_days_and_the_effect_that_would_do() -> None:
    tight = replace(TRIAL, minimum_effect=0.03)
    [reason] = advised(tight).reasons

    assert reason.startswith("stopping.days is 14: 3.0% of spent is found with power 80% after ")
    mended = replace(tight, minimum_effect=math.ceil(1_000 * advised(tight).least_effect) / 1_000)
    assert advised(mended).reasons == ()
    longer = replace(tight, stopping=replace(tight.stopping, days=math.ceil(advised(tight).declared.days)))
    assert advised(longer).reasons == ()


def test_an_arm_more_a_smaller_span_and_a_holdout_each_take_longer() -> None:
    days = advised().declared.days
    third = replace(TRIAL, arms=(*TRIAL.arms, Arm(name="newer")))

    assert advised(third).declared.units > 1.5 * advised().declared.units
    assert advised(replace(TRIAL, span=(0.0, 0.5))).declared.days == pytest.approx(2 * days)
    assert advised(replace(TRIAL, holdout=0.2)).declared.days == pytest.approx(days / 0.8)


def test_a_guardrail_that_the_plan_cannot_settle_is_a_reason() -> None:
    guarded = replace(TRIAL, guardrails=(Guardrail(outcome=CARTS, margin=0.001),))

    [reason] = advised(guarded, carts=past(CARTS)).reasons

    assert reason.startswith("guardrail carts takes over 365 days to exclude its margin")


def test_what_never_happened_cannot_be_planned() -> None:
    nothing = History(SPENT, [10] * 14, of_rows(MEASURES, np.zeros((140, 3))))

    with pytest.raises(CannotBePlanned, match="'spent' was 0 with a variance of 0 over 140 units"):
        advised(spent=nothing)


def test_a_bandit_is_told_and_never_refused() -> None:
    assert advised(replace(TRIAL, policy=BetaThompson(), minimum_effect=0.001)).reasons == ()
