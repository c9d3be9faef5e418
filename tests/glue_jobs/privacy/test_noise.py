"""OpenDP reckons every planned loss as we do, and its noise is as wide as the plan says."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from domain.privacy.release.answers import Sums, answer
from domain.privacy.release.declaration import Accounting, Kind
from domain.privacy.release.plan import Part, plans
from glue_jobs.privacy.noise import LossDisputed, OpenDP
from tests.domain.privacy.release.any import any_dataset, any_question

pytestmark = pytest.mark.slow

KEYS = (("DE",), ("FR",), ("IT",))
GROUPS = [any_question(kind, name=f"by {kind.value}", by=("country",), keys=KEYS) for kind in Kind]
FOUND = any_question(Kind.SUM, name="found", by=("country",))
EVERYTHING = (*map(any_question, Kind), *GROUPS, FOUND)
SUMS: Sums = {
    key: {"count": [5000], "sum": [100], "squares": [-9], "bins": [0, *[400] * 12, 0], "subjects": [4000]}
    for key in [(), *KEYS]
}


@pytest.mark.parametrize("accounting", Accounting)
@pytest.mark.parametrize("epsilon", [0.05, 1.0, 4.0])
@pytest.mark.parametrize("groups", [1, 2, 3])
def test_opendp_finds_no_loss_beyond_what_is_charged(accounting: Accounting, epsilon: float, groups: int) -> None:
    dataset = any_dataset(*EVERYTHING, rows_per_subject=7, groups_per_subject=groups, accounting=accounting)
    for planned in plans(dataset, epsilon):
        sums = {key: parts for key, parts in SUMS.items() if len(key) == len(planned.question.by)}

        rows = answer(planned, sums, OpenDP(accounting))  # it would raise LossDisputed

        assert rows or planned.question.selects


@pytest.mark.parametrize("accounting", Accounting)
@pytest.mark.parametrize("question", [any_question(Kind.SUM), any_question(Kind.QUANTILE), FOUND], ids=lambda q: q.name)
def test_noise_for_which_too_little_was_charged_is_refused(accounting: Accounting, question: object) -> None:
    dataset = any_dataset(question, accounting=accounting)  # type: ignore[arg-type]
    planned = plans(dataset, 1.0)[0]
    cheap = replace(planned, parts=tuple(replace(part, loss=part.loss * 0.999) for part in planned.parts))
    sums = {key: parts for key, parts in SUMS.items() if len(key) == len(planned.question.by)}

    with pytest.raises(LossDisputed, match="OpenDP reckons"):
        answer(cheap, sums, OpenDP(accounting))


@pytest.mark.parametrize("accounting", Accounting)
def test_a_group_of_one_person_is_not_told(accounting: Accounting) -> None:
    planned = plans(any_dataset(FOUND, accounting=accounting), 2.0)[0]
    lonely: Sums = {("XX",): {"count": [1], "sum": [60], "subjects": [1]}, **{("DE",): SUMS[("DE",)]}}

    assert [row["key"]["country"] for row in answer(planned, lonely, OpenDP(accounting))] == ["DE"]


@pytest.mark.parametrize("accounting", Accounting)
def test_noise_is_as_wide_as_its_scale(accounting: Accounting) -> None:
    scale, draws = 30.0, 20_000
    loss = 1 / (2 * scale**2) if accounting is Accounting.ZCDP else 1 / scale
    noise = OpenDP(accounting).added([0] * draws, Part("count", 1, 1, loss * 1.01, scale))
    spread = scale if accounting is Accounting.ZCDP else scale * math.sqrt(2)
    heavy = 2 if accounting is Accounting.ZCDP else 5  # the fourth moment less one, of either
    seven = 7  # standard errors: once in 10**11 runs

    assert abs(sum(noise) / draws) < seven * spread / math.sqrt(draws)
    squares = sum(value**2 for value in noise) / draws
    assert squares == pytest.approx(spread**2, rel=seven * math.sqrt(heavy / draws))
