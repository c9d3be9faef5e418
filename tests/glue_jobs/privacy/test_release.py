"""What a release counts of each person, and what it does with its budget: Spark's sums against sums made by hand."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from pyspark.sql import SparkSession

from demo.bounded import drawn
from domain.privacy.release.answers import Key, answer, exact
from domain.privacy.release.declaration import Kind, Question
from domain.privacy.release.plan import Part, plans
from domain.tables import SESSIONS
from glue_jobs.privacy import release
from tests.domain.privacy.release.any import any_dataset, any_question
from tests.glue_jobs.builders import MORNING, Row
from tests.glue_jobs.frames import framed

pytestmark = pytest.mark.slow

ROWS: list[tuple[str, str, float]] = [
    ("a", "DE", 5.0),
    ("a", "DE", 7.0),
    ("a", "DE", 9.0),
    ("a", "FR", 11.0),
    ("a", "IT", 12.0),
    ("b", "DE", -8.0),
    ("b", "DE", 1000.0),
    ("c", "FR", math.inf),
    ("c", "FR", math.nan),
    ("d", "XX", 30.0),
]


def session(number: int, user: str, country: str, revenue: float | None) -> Row:
    known: dict[str, Any] = dict.fromkeys([column.name for column in SESSIONS.columns if column.kind is int], 1)
    times = {"started_at": MORNING, "ended_at": MORNING}
    more = {"device": "mobile", "country": country, "revenue": revenue, "is_bot": False}
    return {**known, **times, **more, "session_id": f"s-{number}", "user_id": user}


class Exact:
    """No noise at all: what is left are the exact sums."""

    def added(self, values: Sequence[int], part: Part) -> list[int]:
        return list(values)

    def chosen(self, scores: Sequence[int], part: Part) -> int:
        return max(range(len(scores)), key=scores.__getitem__)

    def kept(self, counts: Mapping[str, int], part: Part) -> Mapping[str, int]:
        return {key: count for key, count in counts.items() if count > 1}


def asked(kind: Kind, **fields: Any) -> Question:
    known: dict[str, Any] = {} if kind is Kind.COUNT else {"column": "revenue", "upper": 40.0, "bins": 4}
    return any_question(kind, **{**known, **fields})


EVERYTHING = (
    asked(Kind.COUNT),
    asked(Kind.SUM),
    asked(Kind.MEAN),
    asked(Kind.VARIANCE),
    asked(Kind.HISTOGRAM),
    asked(Kind.QUANTILE, quantile=0.5),
    asked(Kind.COUNT, name="known", by=("country",), keys=(("DE",), ("IT",), ("ES",))),
    asked(Kind.SUM, name="found", by=("country",)),
)


@pytest.fixture(scope="module")
def sums(spark: SparkSession) -> dict[str, Any]:
    """What the job counts of the ten rows, with room for all of them."""
    frame = framed(spark, SESSIONS.columns, [session(place, *row) for place, row in enumerate(ROWS)])
    dataset = any_dataset(*EVERYTHING, rows_per_subject=9, groups_per_subject=9)
    return release.counted(frame, dataset, plans(dataset, 1.0))


def values(sums: dict[str, Any], name: str, key: Key = ()) -> float | None:
    return exact(next(question for question in EVERYTHING if question.name == name), sums[name], key)


def test_values_beyond_the_bounds_count_as_these_and_what_is_no_number_counts_nowhere(sums: dict[str, Any]) -> None:
    clamped = [5, 7, 9, 11, 12, 0, 40, 40, 30]
    mean = sum(clamped) / len(clamped)

    assert values(sums, "count") == len(ROWS)
    assert values(sums, "sum") == sum(clamped)
    assert values(sums, "mean") == pytest.approx(mean)
    assert values(sums, "variance") == pytest.approx(sum((value - mean) ** 2 for value in clamped) / len(clamped))


def test_bins_hold_what_lies_between_their_edges_and_beyond(sums: dict[str, Any]) -> None:
    assert list(sums["histogram"][()]["bins"]) == [1, 3, 2, 0, 1, 2]  # below 0, 0 to 10, …, from 40 on


def test_the_groups_that_are_asked_for_are_answered_also_empty_ones(sums: dict[str, Any]) -> None:
    dataset = any_dataset(*EVERYTHING, rows_per_subject=9, groups_per_subject=9)
    known = next(plan for plan in plans(dataset, 1.0) if plan.question.name == "known")

    assert [(row["key"], row["value"]) for row in answer(known, sums["known"], Exact())] == [
        ({"country": "DE"}, 5),
        ({"country": "IT"}, 1),
        ({"country": "ES"}, 0),
    ]


def test_groups_that_are_not_public_are_told_only_of_several_subjects(sums: dict[str, Any]) -> None:
    dataset = any_dataset(*EVERYTHING, rows_per_subject=9, groups_per_subject=9)
    found = next(plan for plan in plans(dataset, 1.0) if plan.question.name == "found")

    assert {key[0]: part["subjects"][0] for key, part in sums["found"].items()} == {"DE": 2, "FR": 2, "IT": 1, "XX": 1}
    assert [row["key"]["country"] for row in answer(found, sums["found"], Exact())] == ["DE", "FR"]


@pytest.mark.parametrize(("rows", "groups"), [(1, 1), (2, 1), (1, 2), (3, 2)])
def test_a_subject_counts_with_so_many_rows_in_so_many_groups(spark: SparkSession, rows: int, groups: int) -> None:
    frame = framed(spark, SESSIONS.columns, [session(place, *row) for place, row in enumerate(ROWS)])
    question = asked(Kind.COUNT, by=("country",))
    dataset = any_dataset(question, rows_per_subject=rows, groups_per_subject=groups)
    kept = release.bounded(release.grouped(frame, question), dataset, question).collect()
    seen = Counter((row["user_id"], row["country"]) for row in kept)

    assert max(seen.values()) <= rows
    assert Counter(user for user, _ in seen)["a"] == groups
    assert {user for user, _ in seen} == {"a", "b", "c", "d"}


@pytest.mark.parametrize("by", [(), ("country",)])
def test_the_rows_that_count_can_be_drawn_again_without_spark(spark: SparkSession, by: tuple[str, ...]) -> None:
    rows = [session(place, *row) for place, row in enumerate(ROWS)]
    question = asked(Kind.COUNT, by=by)
    dataset = any_dataset(question, rows_per_subject=1, groups_per_subject=1)
    kept = release.bounded(release.grouped(framed(spark, SESSIONS.columns, rows), question), dataset, question)

    assert {row["session_id"] for row in kept.collect()} == {
        row["session_id"] for row in drawn(dataset, question, rows)
    }


def test_to_remove_a_person_changes_no_row_of_another(spark: SparkSession) -> None:
    question = asked(Kind.COUNT, by=("country",))
    dataset = any_dataset(question, rows_per_subject=1, groups_per_subject=1)
    kept = []
    for gone in ("", "a"):
        rows = [session(place, *row) for place, row in enumerate(ROWS) if row[0] != gone]
        frame = release.grouped(framed(spark, SESSIONS.columns, rows), question)
        kept.append({row["session_id"] for row in release.bounded(frame, dataset, question).collect()})

    assert kept[1] < kept[0]
    assert len(kept[0] - kept[1]) == 1
