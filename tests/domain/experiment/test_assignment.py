from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import chdtrc

from domain.experiment.assignment import assign, is_eligible, is_held_out, is_in_span, place
from domain.experiment.declaration import Arm, Condition, Experiment, Kind, Outcome

BUYERS = Outcome(name="buyers", event="purchase", kind=Kind.PROPORTION)
UNITS = [f"u-{number}" for number in range(40_000)]


def any_experiment(**weights: float) -> Experiment:
    arms = tuple(Arm(name=name, weight=weight) for name, weight in (weights or {"control": 1, "new": 1}).items())
    return Experiment(name="any", arms=arms, primary=BUYERS)


def chi_square(experiment: Experiment) -> float:
    """The p-value of the units' arms against the declared shares."""
    found = Counter(assign(experiment, unit) for unit in UNITS)
    expected = {arm: share * len(UNITS) for arm, share in experiment.arm_to_share.items() if share}
    statistic = sum((found[arm] - count) ** 2 / count for arm, count in expected.items())
    return float(chdtrc(len(expected) - 1, statistic))


@given(st.text())
def test_a_unit_always_gets_the_same_arm(unit: str) -> None:
    assert assign(any_experiment(), unit) == assign(any_experiment(), unit)


@pytest.mark.parametrize(
    "weights",
    [{"control": 1, "new": 1}, {"control": 0.9, "new": 0.1}, {"control": 1, "a": 2, "b": 3, "c": 0.01, "d": 0}],
)
def test_arms_get_their_shares(weights: dict[str, float]) -> None:
    assert chi_square(any_experiment(**weights)) > 0.001


def test_an_arm_without_weight_gets_nobody() -> None:
    assert {assign(any_experiment(control=1, new=0), unit) for unit in UNITS[:1000]} == {"control"}


def test_raising_a_weight_only_brings_units_to_that_arm() -> None:
    before, after = any_experiment(control=5, a=3, b=2), any_experiment(control=5, a=6, b=2)
    moved = [unit for unit in UNITS if assign(before, unit) != assign(after, unit)]

    assert {assign(after, unit) for unit in moved} == {"a"}
    assert len(moved) / len(UNITS) == pytest.approx(6 / 13 - 3 / 10, abs=0.01)


def test_a_new_arm_takes_its_share_from_all_and_moves_nobody_else() -> None:
    before, after = any_experiment(control=1, a=1), any_experiment(control=1, a=1, b=1)

    assert all(assign(after, unit) in (assign(before, unit), "b") for unit in UNITS)


def test_two_experiments_assign_independently() -> None:
    one, other = any_experiment(), replace(any_experiment(), name="other")
    found = Counter((assign(one, unit), assign(other, unit)) for unit in UNITS)
    statistic = sum((count - len(UNITS) / 4) ** 2 / (len(UNITS) / 4) for count in found.values())

    assert chdtrc(3, statistic) > 0.001


def test_an_experiment_with_another_s_salt_assigns_as_that_one() -> None:
    one = any_experiment()
    other = replace(one, name="other", salt="any")

    assert all(assign(one, unit) == assign(other, unit) for unit in UNITS[:1000])


def test_experiments_of_one_layer_with_spans_apart_share_no_unit() -> None:
    first, second = replace(any_experiment(), span=(0, 0.3)), replace(any_experiment(), name="b", span=(0.3, 1))
    inside = Counter((is_in_span(first, unit), is_in_span(second, unit)) for unit in UNITS)

    assert set(inside) == {(True, False), (False, True)}
    assert inside[True, False] / len(UNITS) == pytest.approx(0.3, abs=0.01)


def test_the_holdout_is_one_for_the_layer_and_independent_of_the_arms() -> None:
    held = replace(any_experiment(), holdout=0.1)
    out = [unit for unit in UNITS if is_held_out(held, unit)]
    news = sum(assign(held, unit) == "new" for unit in out)

    assert len(out) / len(UNITS) == pytest.approx(0.1, abs=0.006)
    assert news / len(out) == pytest.approx(0.5, abs=0.04)


def test_only_units_that_meet_every_condition_are_eligible() -> None:
    conditions = (Condition(key="country", values=("DE", "FR")), Condition(key="device", values=("mobile",)))
    picky = replace(any_experiment(), eligibility=conditions)

    assert is_eligible(picky, {"country": "FR", "device": "mobile"})
    assert not is_eligible(picky, {"country": "US", "device": "mobile"})
    assert not is_eligible(picky, {"country": "DE"})


@given(st.text(), st.text())
def test_a_place_lies_strictly_between_nought_and_one(salt: str, unit: str) -> None:
    assert 0 < place(salt, unit) < 1
