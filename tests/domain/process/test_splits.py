from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.process.splits import SPLITS, Split, place, split
from domain.tables import PROPENSITY


def test_every_split_is_one_that_the_table_allows() -> None:
    column = next(column for column in PROPENSITY.columns if column.name == "split")

    assert {part.name for part in SPLITS} == set(column.field.choices)


@given(st.text(min_size=1))
def test_a_user_is_in_one_split_at_most_whenever_the_row_is_from(user_id: str) -> None:
    assert len({split(user_id, late) for late in (True, False)} - {None}) == 1


@pytest.mark.parametrize("part", SPLITS, ids=lambda part: part.name)
def test_users_are_spread_as_the_splits_are_wide(part: Split) -> None:
    placed = Counter(place(f"u-{number}") for number in range(20_000))

    share = sum(count for at, count in placed.items() if part.low <= at < part.high) / 20_000

    assert share == pytest.approx((part.high - part.low) / 100, abs=0.01)


def test_only_held_out_users_are_judged_and_only_after_the_cut() -> None:
    users = [f"u-{number}" for number in range(1_000)]
    judged = {user for user in users if split(user, late=True)}
    learnt = {user for user in users if split(user, late=False)}

    assert judged and learnt and not judged & learnt
