from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from domain.events import EVENTS
from domain.experiment.declaration import (
    Arm,
    Condition,
    Experiment,
    Guardrail,
    InvalidExperiment,
    Kind,
    Outcome,
    Stopping,
    check,
)
from domain.experiment.features import Choice, Number
from domain.experiment.policies.linear import LinUCB
from domain.experiments import EXPERIMENTS

BUYERS = Outcome(name="buyers", event="purchase", kind=Kind.PROPORTION)
REVENUE = Outcome(name="revenue", event="purchase", kind=Kind.MEAN, field="amount")
AGE = Number(key="age", low=0, high=100)
MANY = Choice(key="page", values=tuple(f"p-{number}" for number in range(200)))
DE = Condition(key="country", values=("DE",))
SOUND = Experiment(name="any", arms=(Arm(name="control"), Arm(name="new")), primary=BUYERS)


def outcome(**changes: Any) -> dict[str, Any]:
    return {"primary": replace(REVENUE, **changes)}


def test_the_declared_experiments_can_work_together() -> None:
    check(EXPERIMENTS.values(), EVENTS)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arms": (Arm(name="control"),)}, "arms is ['control']; name at least two"),
        ({"arms": (Arm(name="control"), Arm(name="control"))}, "each once"),
        ({"policy": "thompson"}, "policy is 'thompson'; give a policy of domain.experiment.policies"),
        ({"policy": LinUCB()}, "features is (); a contextual policy takes features of the context"),
        ({"promoted": "old"}, "promoted is 'old'; name one of control, new"),
        ({"arms": (Arm(name="control", model=3), Arm(name="new"))}, "arms.model is [3, None]; give every arm"),
        ({"arms": (Arm(name="control", model=3), Arm(name="new", model=3))}, "arms.model is [3, 3]"),
        ({"arms": (Arm(name="control", model=0), Arm(name="new", model=3))}, "arms.model is [0, 3]"),
        (
            {"arms": (Arm(name="control", model=1), Arm(name="main", model=3))},
            "arms.name is 'main'; a variant is named",
        ),
        ({"arms": (Arm(name="control", model=1), Arm(name="a_b", model=3))}, "arms.name is 'a_b'"),
        ({"features": (AGE,)}, "no other has a use for any"),
        ({"policy": LinUCB(), "features": (AGE, AGE)}, "features is ['age', 'age']; name each key once"),
        ({"policy": LinUCB(), "features": (Number(key="age", low=9, high=9),)}, "features.age is (9, 9); give two"),
        ({"policy": LinUCB(), "features": (Choice(key="tier", values=("a",)),)}, "features.tier.values is ('a',)"),
        ({"policy": LinUCB(), "features": (MANY,)}, "2 arms of 201 numbers do not fit an item of the table"),
        ({"stopping": Stopping(looks=15)}, "stopping.looks is 15; give at most 14, a readout a day"),
        ({"stopping": Stopping(power=0.05)}, "stopping.power is 0.05; give more than alpha"),
        ({"guardrails": (Guardrail(outcome=REVENUE, margin=1.0),)}, "no more than all can be lost"),
        ({"arms": (Arm(name="control", weight=0), Arm(name="new"))}, "give the control a share to compare with"),
        ({"eligibility": (Condition(key="country", values=()),)}, "eligibility.country is (); name a value"),
        ({"eligibility": (DE, DE)}, "eligibility is ['country', 'country']; name each key once"),
        ({"unit": "company"}, "unit is 'company'; name a column of purchase: event_id"),
        ({"frozen": ("old",)}, "frozen is ('old',); name some of new"),
        ({"frozen": ("control",)}, "the control is what units of a frozen arm get"),
        ({"floor": 0.6}, "floor is 0.6; give a share from 0 to 0.5"),
        ({"floor": -0.1}, "floor is -0.1"),
        ({"floor": float("nan")}, "floor is nan"),
        ({"half_life_hours": 0.0}, "half_life_hours is 0.0; give a number of hours above 0"),
        ({"half_life_hours": float("inf")}, "half_life_hours is inf"),
        ({"control": "old"}, "control is 'old'; name one of control, new"),
        ({"arms": (Arm(name="control", weight=-1), Arm(name="new"))}, "arms.control.weight is -1"),
        ({"arms": (Arm(name="control", weight=0), Arm(name="new", weight=0))}, "arms.weight is [0, 0]"),
        ({"arms": (Arm(name="control", weight=float("nan")), Arm(name="new"))}, "arms.control.weight is nan"),
        ({"span": (0.5, 0.5)}, "span is (0.5, 0.5)"),
        ({"span": (0.2, 1.1)}, "span is (0.2, 1.1)"),
        ({"holdout": 1.0}, "holdout is 1.0"),
        ({"minimum_effect": 0.0}, "minimum_effect is 0.0"),
        ({"stopping": Stopping(alpha=1.5)}, "stopping.alpha is 1.5"),
        ({"stopping": Stopping(power=0)}, "stopping.power is 0"),
        ({"stopping": Stopping(looks=0)}, "stopping.looks is 0"),
        ({"stopping": Stopping(days=-3)}, "stopping.days is -3"),
        ({"guardrails": (Guardrail(outcome=REVENUE, margin=0.0),)}, "guardrails.revenue.margin is 0.0"),
        ({"secondary": (BUYERS,)}, "name each outcome once"),
        (outcome(event="sale"), "event is 'sale'; name one of add_to_cart"),
        (outcome(field="price"), "field is 'price'; name one of items, amount"),
        (outcome(field="currency"), "field is 'currency'; name one of items, amount"),
        (outcome(field=None), "name the field whose mean is meant"),
        (outcome(kind=Kind.RATIO), "denominator_event is None; a ratio alone needs one"),
        (outcome(denominator_event="search"), "denominator_event is 'search'; a ratio alone needs one"),
        (outcome(kind=Kind.RATIO, denominator_event="visit"), "denominator_event is 'visit'"),
        (outcome(kind=Kind.QUANTILE), "quantile is None"),
        (outcome(kind=Kind.QUANTILE, quantile=1.0), "quantile is 1.0"),
        (outcome(cap=float("inf")), "cap is inf"),
        (outcome(lookback_days=-1), "lookback_days is -1"),
    ],
)
def test_what_cannot_work_is_refused_with_the_field_the_value_and_the_fix(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidExperiment) as refusal:
        check([replace(SOUND, **changes)], EVENTS)

    assert said in str(refusal.value)
    assert str(refusal.value).startswith("experiment 'any': ")


def test_spans_of_a_layer_must_not_overlap() -> None:
    first, second = replace(SOUND, span=(0.0, 0.6)), replace(SOUND, name="other", span=(0.5, 1.0))

    with pytest.raises(InvalidExperiment, match=r"'other': span is \(0.5, 1.0\); layer 'default' has 'any'"):
        check([first, second], EVENTS)
    check([first, replace(second, span=(0.6, 1.0))], EVENTS)
    check([first, replace(second, layer="another")], EVENTS)


def test_a_name_is_taken_once() -> None:
    with pytest.raises(InvalidExperiment, match="name each experiment once"):
        check([SOUND, replace(SOUND, layer="another")], EVENTS)


def test_one_experiment_at_a_time_has_the_endpoint() -> None:
    arms = (Arm(name="control", model=1), Arm(name="new", model=2))
    first, second = replace(SOUND, arms=arms), replace(SOUND, name="other", layer="another", arms=arms)

    with pytest.raises(InvalidExperiment, match="'any' has the endpoint already"):
        check([first, second], EVENTS)
    check([first, replace(second, arms=SOUND.arms)], EVENTS)


def test_shares_sum_to_one() -> None:
    three = replace(SOUND, arms=tuple(Arm(name=name, weight=0.1) for name in ("control", "a", "b")))

    assert sum(three.arm_to_share.values()) == pytest.approx(1, abs=1e-15)


ODD = [None, "x", "0.5", float("nan"), float("inf"), -1, True, 10**400, [], {}, b"x", object()]
PLACES: list[tuple[str, set[int], Any]] = [
    ("arms.1.weight", set(), lambda value: {"arms": (SOUND.arms[0], Arm(name="new", weight=value))}),
    ("arms.new.model", {0}, lambda value: {"arms": (SOUND.arms[0], Arm(name="new", model=value))}),
    ("arms", set(), lambda value: {"arms": value}),
    ("primary", set(), lambda value: {"primary": value}),
    ("primary.kind", set(), lambda value: outcome(kind=value)),
    ("primary.better", set(), lambda value: outcome(better=value)),
    ("primary.cap", {0}, lambda value: outcome(cap=value)),
    ("primary.lookback_days", set(), lambda value: outcome(lookback_days=value)),
    ("stopping.design", set(), lambda value: {"stopping": Stopping(design=value)}),
    ("stopping.days", set(), lambda value: {"stopping": Stopping(days=value)}),
    ("stopping.looks", set(), lambda value: {"stopping": Stopping(looks=value)}),
    ("stopping.alpha", set(), lambda value: {"stopping": Stopping(alpha=value)}),
    ("guardrails.0.margin", set(), lambda value: {"guardrails": (Guardrail(outcome=REVENUE, margin=value),)}),
    ("eligibility", set(), lambda value: {"eligibility": (Condition(key="country", values=value),)}),
    ("span", set(), lambda value: {"span": value}),
    ("span.1", set(), lambda value: {"span": (0.0, value)}),
    ("holdout", set(), lambda value: {"holdout": value}),
    ("sticky", {6}, lambda value: {"sticky": value}),
    ("features", set(), lambda value: {"policy": LinUCB(), "features": (Number(key="age", low=0, high=value),)}),
    ("name", {1, 2}, lambda value: {"name": value}),
]


@pytest.mark.parametrize(("place", "sound", "made"), PLACES, ids=[place for place, _, _ in PLACES])
def test_a_value_of_another_type_is_refused_and_never_read_as_something_else(
    place: str, sound: set[int], made: Any
) -> None:
    """`better="higher"` was taken for lower, `design="fixed"` for group sequential; other texts failed as they were."""
    for number, value in enumerate(ODD):
        if number not in sound:
            with pytest.raises(InvalidExperiment, match=place.rpartition(".")[2].strip("01") or "span"):
                check([replace(SOUND, **made(value))], EVENTS)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (outcome(better="higher"), "primary.better is 'higher'; give one of Better.HIGHER, Better.LOWER"),
        ({"stopping": Stopping(days="14")}, "stopping.days is '14'; give a whole number"),  # type: ignore[arg-type]
        ({"frozen": "new"}, "frozen is 'new'; give a tuple, as ('new',)"),
        (
            {"arms": (Arm(name="control", weight=1e308), Arm(name="new", weight=1e308))},
            "weight is 1e+308; give a weight",
        ),
        ({"arms": (Arm(name="control", weight=5e-324), Arm(name="new"))}, "weight is 5e-324; give a weight of 0, or"),
        ({"stopping": Stopping(alpha=1e-13)}, "stopping.alpha is 1e-13; give a probability between 0 and 1, 1e-12 off"),
        ({"name": "../elsewhere"}, "name is '../elsewhere'; give letters, digits"),
        ({"name": "n" * 129}, "at most 128"),
        ({"arms": (Arm(name="control"), Arm(name="n" * 129))}, "give at most 128 characters"),
        (outcome(name="`a`"), "outcome.name is '`a`'"),
        ({"stopping": Stopping(days=401)}, "stopping.days is 401; give 1 to 400"),
        (outcome(quantile=0.5), "quantile is 0.5; a quantile alone has one"),
        (outcome(denominator_field="amount"), "denominator_field is 'amount'; a ratio alone has one"),
        (outcome(kind=Kind.COUNT), "field is 'amount'; a count is of events"),
        (outcome(kind=Kind.QUANTILE, quantile=0.5, lookback_days=7), "a quantile takes no covariate"),
    ],
)
def test_what_would_be_read_otherwise_than_it_was_meant_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidExperiment) as refusal:
        check([replace(SOUND, **changes)], EVENTS)

    assert said in str(refusal.value)
