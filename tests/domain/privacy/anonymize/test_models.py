"""k, l and t of the papers' own tables are what the papers say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.privacy.anonymize import models, risk
from tests.domain.privacy.anonymize.papers import (
    CLOSE_SALARIES,
    FOUR_ANONYMOUS,
    INPATIENTS,
    SALARIES,
    SWEENEY,
    THREE_DIVERSE,
    THREE_DIVERSE_SALARIES,
    coded,
    grouped,
)

CONDITIONS = coded([row[-1] for row in INPATIENTS])


def test_sweeneys_table_is_2_anonymous_and_two_of_its_groups_give_the_problem_away() -> None:
    groups = grouped([quasi for quasi, _ in SWEENEY])
    table = models.contingency(groups, coded([problem for _, problem in SWEENEY]))

    assert models.k_anonymity(groups) == 2
    assert sorted(models.distinct_diversity(table).tolist()) == [1, 1, 2, 2, 3]


def test_the_4_anonymous_inpatients_have_a_group_that_all_have_cancer() -> None:
    table = models.contingency(np.array(FOUR_ANONYMOUS), CONDITIONS)

    assert models.k_anonymity(np.array(FOUR_ANONYMOUS)) == 4
    assert models.distinct_diversity(table).tolist() == [2, 3, 1]


def test_the_3_diverse_inpatients_are_so_and_by_entropy_2_8_diverse() -> None:
    table = models.contingency(np.array(THREE_DIVERSE), CONDITIONS)

    assert models.k_anonymity(np.array(THREE_DIVERSE)) == 4
    assert models.distinct_diversity(table).tolist() == [3, 3, 3]
    assert models.entropy_diversity(table) == pytest.approx([2 * math.sqrt(2)] * 3)
    assert models.recursive_diversity(table, 3) == pytest.approx([2.0] * 3)


def test_salaries_are_as_close_as_in_the_paper_on_t_closeness() -> None:
    salaries = coded(SALARIES)
    diverse = models.closeness(models.contingency(np.array(THREE_DIVERSE_SALARIES), salaries), ordered=True)
    close = models.closeness(models.contingency(np.array(CLOSE_SALARIES), salaries), ordered=True)

    assert diverse[0] == pytest.approx(0.375)  # D[P1, Q] of section 4.2
    assert diverse[1] == pytest.approx(1 / 6, abs=1e-9)  # D[P2, Q], 0.167
    assert close.max() == pytest.approx(1 / 6, abs=1e-9)  # "0.167-closeness w.r.t. Salary"


def test_values_without_an_order_are_moved_as_far_as_they_differ() -> None:
    table = np.array([[2, 0], [0, 2]])

    assert models.closeness(table, ordered=False).tolist() == [0.5, 0.5]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), min_size=1, max_size=60))
def test_entropy_is_never_more_diverse_than_the_values_that_there_are(rows: list[tuple[int, int]]) -> None:
    table = models.contingency(grouped([one for one, _ in rows]), np.array([two for _, two in rows]))

    assert (models.entropy_diversity(table) <= models.distinct_diversity(table) + 1e-9).all()
    assert (models.closeness(table, ordered=True) <= 1).all()
    assert (models.closeness(table, ordered=True) <= models.closeness(table, ordered=False) + 1e-9).all()


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 5)), min_size=1, max_size=20))
def test_weights_count_as_that_many_rows(rows: list[tuple[int, int, int]]) -> None:
    repeated = [(one, two) for one, two, times in rows for _ in range(times)]
    groups, weights = grouped([row[0] for row in rows]), np.array([row[2] for row in rows])
    table = models.contingency(groups, np.array([row[1] for row in rows]), weights)

    assert models.k_anonymity(groups, weights) == models.k_anonymity(grouped([one for one, _ in repeated]))
    assert (
        table == models.contingency(grouped([one for one, _ in repeated]), np.array([two for _, two in repeated]))
    ).all()
    assert risk.prosecutor(groups, weights) == risk.prosecutor(grouped([one for one, _ in repeated]))


def test_who_is_sought_in_a_sample_is_harder_to_find_the_larger_the_population() -> None:
    groups = np.array([0, 0, 1, 1, 1])
    sample, among = risk.prosecutor(groups), risk.journalist(groups, np.array([20, 3]))

    assert sample.highest == 0.5
    assert among.highest == pytest.approx(1 / 3)
    assert among.average == pytest.approx((2 / 20 + 3 / 3) / 5)
    assert among.at_risk == pytest.approx(3 / 5)
    assert risk.marketer(groups) == pytest.approx(2 / 5)
