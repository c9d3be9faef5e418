"""Posts to the REST front: cut into records without touching a byte, or refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ingest.limits import LARGEST_RECORD
from domain.ingest.posts import LARGEST_POST, LONGEST_KEY, MOST_EVENTS, Record, one, several
from domain.serve.request import InvalidRequest

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
BLANKS = st.text(" \t\r\n", max_size=3)


@given(st.lists(st.tuples(VALUES, BLANKS, BLANKS, st.booleans()), min_size=1, max_size=20))
def test_the_items_of_a_list_are_cut_out_as_they_stand(items: list[tuple[Any, str, str, bool]]) -> None:
    texts = [json.dumps(value, ensure_ascii=ascii) for value, _, _, ascii in items]
    body = ",".join(f"{before}{text}{after}" for text, (_, before, after, _) in zip(texts, items, strict=True))

    assert [record.data.decode() for record in several(f" [{body}]\n", "spare")] == texts


@given(st.text() | VALUES.map(json.dumps) | st.lists(VALUES).map(json.dumps))
def test_whatever_is_posted_is_taken_or_refused_with_a_field_and_a_fix(body: str) -> None:
    for read in (one, several):
        try:
            records = read(body, "spare")
        except InvalidRequest as refusal:
            assert refusal.field == "body"
            assert refusal.fix
            json.dumps(refusal.body())
        else:
            assert all(1 <= len(record.key) <= LONGEST_KEY for record in records)
            assert all(json.loads(record.data) is not ... for record in records)


def test_one_event_keeps_its_blanks_and_its_digits() -> None:
    body = '\n{ "user_id":"u-1", "n": 1e400, "m": ' + "9" * 5_000 + " }\n"

    assert one(body, "spare") == [Record(body.encode(), "u-1")]


@pytest.mark.parametrize("user", [None, 7, "", "x" * (LONGEST_KEY + 1), "\ud800", ["u"]])
def test_an_event_without_a_usable_user_takes_the_spare_key(user: Any) -> None:
    [record] = one(json.dumps({"user_id": user}), "spare")

    assert record.key == "spare"


def test_a_key_is_a_partition_key_that_kinesis_takes() -> None:
    [record] = one(json.dumps({"user_id": "ü" * LONGEST_KEY}), "spare")

    assert record.key == "ü" * LONGEST_KEY


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (" " * (LARGEST_POST + 1), 413),
        ("[" + ",".join("{}" for _ in range(MOST_EVENTS + 1)) + "]", 413),
        ("[" * 200_000, 400),
        ('[{"a": 1}', 400),
        ("[{} {}]", 400),
        ("[{},]", 400),
        ('[{"a": NaN}]', 400),
        ("[-Infinity]", 400),
        ("[,]", 400),
        ("[]", 400),
        ("{}", 400),
        ("", 400),
    ],
)
def test_what_is_no_list_of_events_is_refused_with_its_status(body: str, status: int) -> None:
    with pytest.raises(InvalidRequest) as refused:
        several(body, "spare")

    assert refused.value.status == status


def test_a_record_counts_its_key_and_fits_up_to_the_limit() -> None:
    key = "u-1"

    assert Record(b"x" * (LARGEST_RECORD - len(key)), key).fits
    assert not Record(b"x" * (LARGEST_RECORD - len(key) + 1), key).fits
