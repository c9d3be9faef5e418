"""Gathered values are laid out as Arrow lays them out one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from domain.ingest.values import Flags, Numbers, Optional, Texts, Values, cut

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9)
LONG = st.integers(-(2**63), 2**63 - 1)


def laid_out(values: Values, batches: Sequence[Sequence[Any]]) -> pa.Array:
    for batch in batches:
        values.add(batch)
    column = values.column()
    column.validate(full=True)
    return column


def batches(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[list[Any]]]:
    return st.lists(st.lists(values, min_size=1, max_size=5), min_size=1, max_size=4)


@given(batches(TEXT))
def test_texts_are_cut_where_they_were_joined(some: list[list[str]]) -> None:
    assert laid_out(Texts(), some).to_pylist() == [text for batch in some for text in batch]


@given(st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=9))
def test_columns_that_are_cut_at_once_keep_apart(rows: list[tuple[str, str, str]]) -> None:
    columns = [Texts(), Texts(), Texts()]
    for some in (rows[:4], rows[4:]):
        for column, values in zip(columns, zip(*some, strict=True), strict=False):
            column.add(values)
    found = cut(columns)
    for column in found:
        column.validate(full=True)

    assert list(zip(*(column.to_pylist() for column in found), strict=True)) == rows


@given(batches(LONG))
def test_whole_numbers_keep_all_their_bits(some: list[list[int]]) -> None:
    assert laid_out(Numbers(pa.int64(), "q"), some).to_pylist() == [number for batch in some for number in batch]


@given(batches(st.floats(allow_nan=False)))
def test_fractions_keep_all_their_bits(some: list[list[float]]) -> None:
    found = laid_out(Numbers(pa.float64(), "d"), some).to_pylist()

    assert [number.hex() for number in found] == [number.hex() for batch in some for number in batch]


@given(batches(st.booleans()))
def test_truths_stay_what_they_are(some: list[list[bool]]) -> None:
    assert laid_out(Flags(), some).to_pylist() == [truth for batch in some for truth in batch]


@pytest.mark.parametrize("nothing", [None, UNSET])
def test_what_is_null_or_was_not_said_is_null(nothing: object) -> None:
    assert laid_out(Optional(pa.string()), [["a", nothing], ["b"]]).to_pylist() == ["a", None, "b"]
