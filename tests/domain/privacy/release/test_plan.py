"""A plan spends what it is given, and a subject moves no part further than the plan says."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.privacy.release import ledger
from domain.privacy.release.declaration import Accounting, Kind, Question, RefusedRelease, canonical, check
from domain.privacy.release.plan import (
    LOSS_UNIT,
    Plan,
    epsilon_of,
    error,
    expected,
    half_square,
    level,
    loss_of,
    noise_bound,
    plan,
    plans,
    reach,
    total_loss,
)
from domain.releases import RELEASES, SHOPPING
from tests.domain.privacy.release.any import any_dataset, any_question

KINDS = [any_question(kind) for kind in Kind]


def test_what_is_declared_passes() -> None:
    check(RELEASES.values())


@pytest.mark.parametrize("accounting", Accounting)
@settings(deadline=None, max_examples=25)
@given(epsilon=st.floats(0.01, 4.0))
def test_a_release_never_costs_more_than_was_asked(accounting: Accounting, epsilon: float) -> None:
    dataset = any_dataset(*KINDS, accounting=accounting)
    planned = plans(dataset, epsilon)

    assert sum(each.loss for each in planned) <= loss_of(dataset, epsilon) * (1 + 1e-12)
    assert all(sum(part.loss for part in each.parts) <= each.loss * (1 + 1e-12) for each in planned)


@pytest.mark.parametrize("accounting", Accounting)
def test_the_whole_budget_can_be_spent_at_once_and_nothing_after_it(accounting: Accounting) -> None:
    dataset = any_dataset(*KINDS, any_question(Kind.COUNT, name="found", by=("country",)), accounting=accounting)
    cost = ledger.charge(plans(dataset, dataset.epsilon))

    assert cost <= ledger.budget(dataset)
    assert ledger.left(dataset, cost) < 0.002
    assert ledger.left(dataset, ledger.Units()) == dataset.epsilon


def test_delta_is_spent_on_finding_groups_alone_and_never_beyond_its_half() -> None:
    found = any_question(Kind.COUNT, name="found", by=("country",))
    known = replace(found, name="known", keys=(("DE",),))
    dataset = any_dataset(found, known)
    first, second = plans(dataset, dataset.epsilon)

    assert second.delta == 0
    assert 0 < first.delta <= dataset.delta / 2
    assert first.part("subjects").threshold > first.part("subjects").scale


@pytest.mark.parametrize("epsilon", [0.0, -1.0, math.inf, math.nan, 5.0])
def test_an_epsilon_that_is_none_or_more_than_there_is_is_refused(epsilon: float) -> None:
    with pytest.raises(RefusedRelease, match="epsilon is"):
        plans(any_dataset(any_question(Kind.COUNT)), epsilon)


def test_an_epsilon_too_small_for_the_account_is_refused() -> None:
    with pytest.raises(RefusedRelease, match="leaves nothing"):
        plans(any_dataset(any_question(Kind.COUNT)), 1e-9)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(allow_nan=False, width=32), max_size=3), st.sampled_from([(-3.0, 8.0), (0.0, 500.0)]))
def test_no_rows_of_one_subject_move_a_part_further_than_planned(
    values: list[float], span: tuple[float, float]
) -> None:
    for kind in (Kind.SUM, Kind.MEAN, Kind.VARIANCE):
        question = any_question(kind, lower=span[0], upper=span[1], step=0.5)
        planned = plans(any_dataset(question, rows_per_subject=3), 1.0)[0]
        held = [min(max(value, question.lower), question.upper) for value in values]
        start = 0.0 if kind is Kind.SUM else question.middle
        steps = [round((value - start) / question.step) for value in held]

        assert abs(sum(steps)) <= planned.part("sum").bound
        assert all(abs(step) <= reach(question) for step in steps)
        if kind is Kind.VARIANCE:
            assert abs(sum(step**2 - half_square(question) for step in steps)) <= planned.part("squares").bound


@pytest.mark.parametrize("accounting", Accounting)
def test_a_subject_in_more_groups_takes_more_noise(accounting: Accounting) -> None:
    keys = tuple((name,) for name in "abcd")
    question = any_question(Kind.COUNT, by=("country",), keys=keys)
    alone, four = (any_dataset(question, groups_per_subject=n, accounting=accounting) for n in (1, 4))
    scales = [plans(dataset, 1.0)[0].part("count").scale for dataset in (alone, four)]

    assert scales[1] / scales[0] == pytest.approx(2 if accounting is Accounting.ZCDP else 4)


@pytest.mark.parametrize("kind", Kind)
def test_a_larger_epsilon_promises_a_smaller_error(kind: Kind) -> None:
    dataset = any_dataset(any_question(kind))
    errors = [expected(plans(dataset, epsilon)[0]) for epsilon in (0.1, 0.5, 2.0)]

    assert errors == sorted(errors, reverse=True)
    assert errors[0] > errors[-1]


WEIGHTS: dict[Accounting, Callable[[int, float], float]] = {
    Accounting.ZCDP: lambda x, scale: math.exp(-(x**2) / (2 * scale**2)),
    Accounting.APPROXIMATE: lambda x, scale: math.exp(-abs(x) / scale),
}
"""Of the discrete Gaussian and the discrete Laplace distribution, up to a factor."""


@pytest.mark.parametrize("accounting", Accounting)
@pytest.mark.parametrize("scale", [0.4, 1.0, 3.0, 25.0])
def test_the_bound_of_discrete_noise_holds_and_is_no_wider_than_a_step(accounting: Accounting, scale: float) -> None:
    weights = {x: WEIGHTS[accounting](x, scale) for x in range(-3000, 3001)}
    bound = noise_bound(accounting, scale)
    beyond, nearer = (sum(weights[x] for x in weights if abs(x) > at) for at in (bound, bound - 2))

    assert beyond <= 0.05 * sum(weights.values())
    assert bound < 2 or nearer > 0.05 * sum(weights.values())


def test_epsilon_comes_back_from_the_loss() -> None:
    assert epsilon_of(SHOPPING, total_loss(SHOPPING)) == pytest.approx(SHOPPING.epsilon, rel=1e-9)


def test_a_level_is_a_fraction_of_whole_numbers() -> None:
    assert [str(level(any_question(Kind.QUANTILE, quantile=q))) for q in (0.5, 0.9, 0.999)] == [
        "1/2",
        "9/10",
        "999/1000",
    ]


def test_a_mean_over_nobody_is_off_by_at_most_its_span() -> None:
    planned = plans(any_dataset(any_question(Kind.MEAN, lower=2.0, upper=12.0)), 1.0)[0]

    assert error(planned, 0) == 10.0


def test_a_question_is_the_same_by_what_it_asks_and_not_by_its_name() -> None:
    one = any_question(Kind.SUM)

    assert canonical(one) == canonical(replace(one, name="other", share=9.0, within=3.0))
    assert canonical(one) != canonical(replace(one, upper=one.upper + 1))


WRONG: list[tuple[dict[str, object], dict[str, object], str]] = [
    ({"row": "no_such"}, {}, "any.row is 'no_such'"),
    ({"time": "no_such"}, {}, "any.time is 'no_such'"),
    ({"rows_per_subject": 0}, {}, "any.rows_per_subject is 0"),
    ({"delta": 1e-3}, {}, "any.delta is 0.001"),
    ({"epsilon": 0.0}, {}, "any.epsilon is 0.0"),
    ({}, {"column": "device"}, "any.any.column is 'device'"),
    ({}, {"column": None}, "any.any.column is None"),
    ({}, {"lower": 5.0, "upper": 5.0}, "any.any.lower and upper"),
    ({}, {"upper": math.inf}, "any.any.lower and upper"),
    ({}, {"step": 0.0}, "any.any.step is 0.0"),
    ({}, {"step": 1e-15}, "any.any.step is 1e-15"),
    ({}, {"by": ("user_id",)}, "any.any.by is 'user_id'"),
    ({}, {"by": ("device",), "keys": (("a", "b"),)}, "any.any.keys"),
    ({}, {"by": ("device",), "keys": (("a",), ("a",))}, "any.any.keys"),
    ({}, {"share": 0.0}, "any.any.share is 0.0"),
    ({"epsilon": math.inf}, {}, "any.epsilon is inf"),
    ({"epsilon": math.nan}, {}, "any.epsilon is nan"),
    ({"rows_per_subject": 1.5}, {}, "any.rows_per_subject is 1.5"),
    ({"groups_per_subject": math.inf}, {}, "any.groups_per_subject is inf"),
    ({}, {"share": math.inf}, "any.any.share is inf"),
    ({}, {"within": math.nan}, "any.any.within is nan"),
    ({}, {"step": math.inf}, "any.any.step is inf"),
    ({}, {"by": ("device", "device")}, "any.any.by is"),
    ({}, {"by": ("events",), "keys": ((1,),)}, "any.any.keys"),
    ({}, {"by": ("country",), "keys": tuple((str(number),) for number in range(2001))}, "any.any.keys is 2001"),
    ({}, {"kind": Kind.HISTOGRAM, "bins": 1.5}, "any.any.bins is 1.5"),
    ({}, {"kind": Kind.QUANTILE, "bins": 10**9}, "any.any.bins is 1000000000"),
    ({}, {"kind": Kind.HISTOGRAM, "bins": 1999}, "any.any.keys is 2001"),
    ({}, {"kind": Kind.HISTOGRAM}, "any.any.bins is 0"),
    ({}, {"kind": Kind.QUANTILE, "bins": 4, "quantile": 1.0}, "any.any.quantile is 1.0"),
]


@pytest.mark.parametrize(("dataset", "question", "said"), WRONG)
def test_what_is_declared_wrongly_is_refused_by_name(
    dataset: dict[str, object], question: dict[str, object], said: str
) -> None:
    with pytest.raises(RefusedRelease, match=said.replace(".", r"\.")):
        check([any_dataset(any_question(**{"kind": Kind.SUM, "name": "any", "bins": 0, **question}), **dataset)])  # type: ignore[arg-type]


def test_a_plan_says_all_that_an_answer_depends_on() -> None:
    first = plan(any_dataset(any_question(Kind.COUNT)), any_question(Kind.COUNT), round(0.1 * LOSS_UNIT) / LOSS_UNIT)

    assert isinstance(first, Plan)
    assert first.loss == pytest.approx(0.1)


@pytest.mark.parametrize("accounting", Accounting)
@pytest.mark.parametrize("whole", [4.0, 60.0, 1000.0])
@pytest.mark.parametrize("epsilon", [1e-12, 1e-9, 1e-6, 1e-3, 1.0])
def test_any_epsilon_is_planned_with_noise_or_refused(accounting: Accounting, whole: float, epsilon: float) -> None:
    dataset = any_dataset(any_question(Kind.COUNT, by=("country",)), epsilon=whole, accounting=accounting)
    try:
        [planned] = plans(dataset, epsilon)
    except RefusedRelease as refused:
        assert "leaves nothing" in str(refused)
        return

    assert all(0 < part.scale < math.inf for part in planned.parts)
    assert 0 < planned.part("subjects").delta <= dataset.delta


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (any_question(Kind.SUM), any_question(Kind.SUM, lower=0, upper=60, step=1)),
        (any_question(Kind.SUM), any_question(Kind.SUM, lower=-0.0, quantile=0.9, bins=7)),
        (any_question(Kind.COUNT), any_question(Kind.COUNT, upper=9.0, step=0.5, bins=3)),
        (any_question(Kind.HISTOGRAM), any_question(Kind.HISTOGRAM, step=3.0, quantile=0.1)),
        (
            any_question(Kind.COUNT, by=("country",), keys=(("DE",), ("FR",))),
            any_question(Kind.COUNT, by=("country",), keys=(("FR",), ("DE",))),
        ),
    ],
)
def test_a_question_asked_in_other_words_gets_the_stored_answer(one: Question, other: Question) -> None:
    said = [ledger.digest(plans(any_dataset(each), 1.0)[0], date(2026, 3, 1)) for each in (one, other)]

    assert said[0] == said[1]


@pytest.mark.parametrize(("each", "times"), [(0.1, 10), (0.1, 3), (0.3, 3), (0.19, 3), (0.7, 7)])
def test_small_charges_add_up_to_the_whole_and_to_no_more(each: float, times: int) -> None:
    whole = round(each * times, 9)
    dataset = any_dataset(*KINDS, epsilon=whole, accounting=Accounting.APPROXIMATE)
    spent = ledger.Units()
    for _ in range(times):
        spent += ledger.charge(plans(dataset, each))
        assert spent <= ledger.budget(dataset)

    assert not spent + ledger.charge(plans(dataset, each)) <= ledger.budget(dataset)


def test_releases_at_two_epsilons_have_two_places() -> None:
    dataset, day = any_dataset(any_question(Kind.COUNT)), date(2026, 3, 1)

    assert ledger.place(dataset, day, 0.1234567) != ledger.place(dataset, day, 0.1234568)
    assert ledger.place(dataset, day, 2.0).endswith("/2.json")


def test_no_more_questions_are_declared_than_one_transaction_charges_for() -> None:
    check([any_dataset(*(any_question(Kind.COUNT, name=str(number)) for number in range(99)))])
    with pytest.raises(RefusedRelease, match=r"any\.questions is 100"):
        check([any_dataset(*(any_question(Kind.COUNT, name=str(number)) for number in range(100)))])
