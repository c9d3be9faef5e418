"""Answers are what their sums say, and as near to it as they promise, under noise with a seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import pytest

from domain.privacy.release.answers import Noise, Sums, answer, exact, scores
from domain.privacy.release.declaration import Accounting, Kind, Question
from domain.privacy.release.plan import Part, Plan, half_square, level, plans
from tests.domain.privacy.release.any import any_dataset, any_question

DRAWS = 400


class Seeded:
    """Noise of the planned width from a generator with a seed: good for a test, and for nothing else."""

    def __init__(self, seed: int, accounting: Accounting) -> None:
        self.random, self.gaussian = Random(seed), accounting is Accounting.ZCDP

    def added(self, values: Sequence[int], part: Part) -> list[int]:
        return [value + round(self._draw(part.scale)) for value in values]

    def chosen(self, scores: Sequence[int], part: Part) -> int:
        noisy = [score - part.scale * math.log(self.random.expovariate(1)) for score in scores]  # Gumbel
        return noisy.index(max(noisy))

    def kept(self, counts: Mapping[str, int], part: Part) -> Mapping[str, int]:
        return {key: count for key, count in counts.items() if count + self._draw(part.scale) > part.threshold}

    def _draw(self, scale: float) -> float:
        if self.gaussian:
            return self.random.gauss(0, scale)
        return self.random.expovariate(1 / scale) - self.random.expovariate(1 / scale)


def sums_of(question: Question, values: Sequence[float], keys: Sequence[tuple[str, ...]] = ((),)) -> Sums:
    """Count values by hand, the same in each group."""
    start = 0.0 if question.kind is Kind.SUM else question.middle
    steps = [round((value - start) / question.step) for value in values]
    bins = [0] * (question.bins + 2)
    for value in values:
        bins[min(max(math.floor((value - question.lower) / question.width), -1), question.bins) + 1] += 1
    squares = sum(step**2 - half_square(question) for step in steps)
    return {
        key: {
            "count": [len(values)],
            "sum": [sum(steps)],
            "squares": [squares],
            "bins": bins,
            "subjects": [len(values)],
        }
        for key in keys
    }


VALUES = [float(place % 60) for place in range(3000)]


def off(planned: Plan, row: Mapping[str, Any], sums: Sums, place: int) -> float:
    """Measure by how much a row is off: of a quantile in rows, between it and the best edge."""
    question = planned.question
    if question.kind is Kind.QUANTILE:
        reached = scores(question, sums[()]["bins"])
        return (max(reached) - reached[question.edges.index(float(row["value"]))]) / level(question).denominator
    if question.kind is Kind.HISTOGRAM:
        return float(abs(row["value"] - sums[()]["bins"][place]))
    truth = exact(question, sums, ())
    assert truth is not None
    return abs(float(row["value"]) - truth)


@pytest.mark.parametrize("accounting", Accounting)
@pytest.mark.parametrize("kind", Kind)
def test_answers_are_as_near_as_they_promise(kind: Kind, accounting: Accounting) -> None:
    question = any_question(kind, quantile=0.9)
    planned = plans(any_dataset(question, about=3000, accounting=accounting), 1.0)[0]
    sums, noise = sums_of(question, VALUES), Seeded(7, accounting)
    kept = [
        off(planned, row, sums, place) <= row["error"]
        for _ in range(DRAWS)
        for place, row in enumerate(answer(planned, sums, noise))
    ]

    assert sum(kept) / len(kept) >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / DRAWS)


def test_a_mean_and_a_variance_never_leave_what_is_possible() -> None:
    for kind in (Kind.MEAN, Kind.VARIANCE):
        question = any_question(kind)
        planned = plans(any_dataset(question), 0.02)[0]
        noise, sums = Seeded(8, Accounting.ZCDP), sums_of(question, [60.0] * 40)
        found = [row["value"] for _ in range(DRAWS) for row in answer(planned, sums, noise) if row["value"] is not None]

        assert min(found) >= 0
        assert max(found) <= (60 if kind is Kind.MEAN else 900)


def test_nothing_is_said_of_a_mean_over_too_few() -> None:
    question = any_question(Kind.MEAN)
    planned = plans(any_dataset(question), 0.02)[0]
    found = [row for seed in range(50) for row in answer(planned, {}, Seeded(seed, Accounting.ZCDP))]

    assert {row["value"] for row in found if row["error"] is None} == {None}


def test_groups_are_told_in_an_order_that_says_nothing_of_the_data() -> None:
    question = any_question(Kind.COUNT, by=("country",))
    planned = plans(any_dataset(question), 4.0)[0]
    keys = [("US",), ("DE",), ("FR",)]
    noise: Noise = Seeded(9, Accounting.ZCDP)

    assert [row["key"]["country"] for row in answer(planned, sums_of(question, VALUES, keys), noise)] == [
        "DE",
        "FR",
        "US",
    ]


def test_the_score_of_an_edge_is_its_distance_in_rank() -> None:
    question = any_question(Kind.QUANTILE, quantile=0.9, upper=10.0, bins=10)
    found = scores(question, [0, *[10] * 10, 0])

    assert found.index(max(found)) == 9
    assert max(found) == 0
