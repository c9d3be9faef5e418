"""What an event says beyond its contract is kept until the contract declares it."""

from __future__ import annotations

import json
import struct
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ingest import frames
from domain.ingest.batch import Arrived, Sorted
from domain.ingest.conservation import Entry
from domain.ingest.landing import Lander
from domain.ingest.receipts import shard_prefix
from domain.ingest.undeclared import MOST_FIELDS
from tests.domain.contract.strategies import NOW
from tests.domain.ingest.faulty import MemoryBucket
from tests.domain.ingest.test_contract import write
from tests.domain.ingest.test_kinds import columns, sorted_, table

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=9)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.booleans() | NUMBERS | TEXT, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
)


def said(*payloads: bytes) -> tuple[Sorted, list[tuple[str, str, str]]]:
    """Sort payloads; give what the undeclared fields of each event say."""
    batch, rows = sorted_(*payloads)
    return batch, [(row["event_id"], row["field"], row["value"]) for row in rows.get("undeclared", [])]


def test_an_event_lands_and_its_undeclared_fields_beside_it() -> None:
    batch, rows = sorted_(write(), write(more="x", mood=7))

    assert (batch.landed, batch.ignored) == ({"rating": 2}, {"rating": 2})
    came = {"arrived_at": NOW, "shard": "s", "sequence": f"{2:056d}"}
    of = {"event": "rating", "event_id": "e-1", "user_id": "u-1"}
    assert rows["undeclared"] == [
        {**of, "field": "more", "value": '"x"', **came},
        {**of, "field": "mood", "value": "7", **came},
    ]


def test_without_undeclared_fields_there_is_no_file_of_them() -> None:
    _, rows = sorted_(write(), columns(table()))

    assert set(rows) == {"rating"}


def test_a_value_stays_as_its_sender_spelled_it() -> None:
    payload = (
        write()[:-1] + b', "price": 1.50, "big": 123456789012345678901234567890, "note": "\\u00e9\\n", "no": null}'
    )

    assert said(payload)[1] == [
        ("e-1", "price", "1.50"),
        ("e-1", "big", "123456789012345678901234567890"),
        ("e-1", "note", '"\\u00e9\\n"'),
    ]


@given(st.dictionaries(TEXT.map("x-{}".format), VALUES, min_size=1, max_size=5))
def test_whatever_is_said_beyond_a_contract_can_be_read_again(more: dict[str, Any]) -> None:
    _, found = said(write(**more))

    assert {field: json.loads(value) for _, field, value in found} == more


def test_an_event_that_is_set_aside_keeps_its_fields_in_its_bytes_alone() -> None:
    batch, found = said(write(stars=9, more=1))

    assert (found, batch.ignored) == ([], {})


def test_of_an_event_with_very_many_fields_the_first_are_kept_and_all_counted() -> None:
    batch, found = said(write(**{f"x{number}": number for number in range(MOST_FIELDS + 9)}))

    assert [value for _, _, value in found] == [str(number) for number in range(MOST_FIELDS)]
    assert batch.ignored == {"rating": MOST_FIELDS + 9}


COLUMNS = [
    ("text", pa.array(["a", None, "é"]), ['"a"', '"é"']),
    ("numbers", pa.array([1, 2, None]), ["1", "2"]),
    ("fractions", pa.array([0.5, float("nan"), float("inf")]), ["0.5", '"nan"', '"inf"']),
    ("truths", pa.array([True, None, False]), ["true", "false"]),
    ("times", pa.array([0, None, None], pa.timestamp("us", "UTC")), ['"1970-01-01 00:00:00+00:00"']),
    ("bytes", pa.array([b"x", None, None]), ["\"b'x'\""]),
    ("nothing", pa.nulls(3, pa.string()), []),
]


@pytest.mark.parametrize(("column", "values"), [case[1:] for case in COLUMNS], ids=[case[0] for case in COLUMNS])
def test_undeclared_columns_of_a_frame_are_kept_value_by_value(column: pa.Array, values: list[str]) -> None:
    batch, found = said(columns(table().append_column("more", column)))

    assert [(field, value) for _, field, value in found] == [("more", value) for value in values]
    assert batch.landed == {"rating": 3}
    assert batch.ignored == ({"rating": len(values)} if values else {})


def test_a_column_of_a_type_that_no_contract_has_is_counted_and_not_read() -> None:
    batch, found = said(columns(table().append_column("more", pa.array([[1], [], None]))))

    assert (batch.landed, batch.ignored, found) == ({"rating": 3}, {"rating": 3}, [])


def test_only_rows_that_landed_keep_what_their_frame_says_beyond_the_contract() -> None:
    rows = table(event_id=["e-1", "e-2", "e-3"], stars=[1, 9, 3]).append_column("more", pa.array([1, 2, 3]))

    batch, found = said(write(event_id="e-0"), columns(rows))

    assert found == [("e-1", "more", "1"), ("e-3", "more", "3")]
    assert (batch.landed, batch.quarantined) == ({"rating": 3}, {"out_of_bounds": 1})


def test_an_undeclared_column_of_bad_bytes_harms_no_event() -> None:
    packed = columns(table().append_column("more", pa.array(["abc", "def", "ghi"])))
    payload = bytearray(frames.unpack(packed).payload)
    place = payload.rfind(b"abcdefghi")
    payload[place : place + 3] = b"\xff\xfe\xfd"

    batch, found = said(frames.pack("arrow", bytes(payload), 3))

    assert (batch.landed, batch.ignored, found) == ({"rating": 3}, {"rating": 3}, [])


def test_offsets_beyond_an_undeclared_column_harm_no_event() -> None:
    packed = columns(table().append_column("more", pa.array(["abcdefg", "h", "i"])))
    payload = frames.unpack(packed).payload.replace(struct.pack("<4i", 0, 7, 8, 9), struct.pack("<4i", 0, 7, 2**30, 9))

    batch, found = said(frames.pack("arrow", payload, 3))

    assert (batch.landed, found) == ({"rating": 3}, [])


def test_undeclared_values_land_once_with_the_receipt_of_their_events() -> None:
    bucket = MemoryBucket()
    lander = Lander(bucket, "clicks", "shard-0", attempt=lambda: "a", now=lambda: NOW)
    records = [Arrived(number, NOW, write(event_id=f"e-{number}", mood=number)) for number in (1, 2)]

    for batch in (records[:1], records, records):
        lander.land(batch)

    entries = [Entry.read(key, bucket.get(key)) for key in bucket.keys(shard_prefix("clicks", "shard-0"))]
    files = [file for entry in entries for file in entry.files if file.table == "raw.undeclared"]
    values = [pq.read_table(pa.BufferReader(bucket.get(file.key)))["value"].to_pylist() for file in files]
    assert sorted(values) == [["1"], ["2"]]
    assert [entry.rows["raw.undeclared"] for entry in entries] == [1, 1]


@pytest.mark.parametrize("depth", [10, 900, 100_000])
def test_however_deep_an_undeclared_value_is_nested_it_is_kept_or_set_aside(depth: int) -> None:
    nested = b"[" * depth + b"]" * depth

    batch, found = said(write()[:-1] + b', "more": ' + nested + b"}")

    kept = batch.landed == {"rating": 1} and found == [("e-1", "more", nested.decode())]
    assert kept or batch.quarantined == {"not_json": 1}
