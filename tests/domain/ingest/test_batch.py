"""Batches: columns as the table declares them, files that Iceberg can register."""

from __future__ import annotations

import json
import random
from datetime import datetime, timezone

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.contract.fakes import fake_record
from domain.events import EVENTS
from domain.ingest.batch import SCHEMAS, SOUGHT, Arrived, encode, sort, sought
from domain.tables import QUARANTINE, RAW, TABLES, Table
from tests.domain.contract.strategies import NOW
from tests.domain.ingest.reference import keeps_contract


def read(body: bytes) -> pa.Table:
    return pq.read_table(pa.BufferReader(body))


@pytest.mark.parametrize("name", EVENTS)
def test_rows_are_the_values_that_were_sent(name: str) -> None:
    """Seed 5."""
    chance = random.Random(5)
    records = [Arrived(number + 1, NOW, fake_record(EVENTS[name], chance, NOW)) for number in range(50)]

    [part] = sort(records, "shard-0").parts

    rows = read(encode(part.rows)).to_pylist()
    for number, (record, row) in enumerate(zip(records, rows, strict=True), start=1):
        came = {"version": 1, "arrived_at": NOW, "shard": "shard-0", "sequence": f"{number:056d}"}
        assert {"event": name, **row} == {**(keeps_contract(record.payload, NOW) or {}), **came}


def test_an_old_style_optional_field_left_out_is_null() -> None:
    payload = (
        b'{"event":"page_view","event_id":"e","event_time":"2026-03-01T12:00:00Z","user_id":"u","page":"/","device":'
        b'"mobile","country":"DE","campaign":"x"}'
    )

    batch = sort([Arrived(1, NOW, payload)], "shard-0")

    assert batch.parts[0].rows["referrer"].to_pylist() == [None]
    assert batch.ignored == {"page_view": 1}


@pytest.mark.parametrize("referrer", [{}, {"referrer": None}], ids=["left out", "null"])
@pytest.mark.parametrize("other", ["x", 1, {"a": 1}, {"a": "x"}], ids=str)
def test_an_undeclared_field_is_told_from_an_optional_one_that_takes_as_many_marks(
    referrer: dict[str, None], other: object
) -> None:
    plain = {"event": "page_view", "event_id": "e", "event_time": "2026-03-01T12:00:00Z", "user_id": "u", "page": "/"}
    plain |= {"device": "mobile", "country": "DE", "referrer": "r"}
    richer = {name: value for name, value in plain.items() if name != "referrer"} | {"other": other, **referrer}
    records = [Arrived(place, NOW, json.dumps(event).encode()) for place, event in enumerate((plain, richer))]

    batch = sort(records, "s")

    assert batch.ignored == {"page_view": 1}
    assert batch.parts[0].rows["referrer"].to_pylist() == ["r", None]


def test_columns_whose_values_repeat_have_a_dictionary_and_others_have_none() -> None:
    """Seed 6."""
    chance = random.Random(6)
    some = {"few": chance.choices(range(40), k=1_000), "many": chance.choices(range(1_000_000), k=1_000)}

    group = pq.read_metadata(pa.BufferReader(encode(pa.table(some)))).row_group(0)

    assert [group.column(place).has_dictionary_page for place in range(2)] == [True, False]


@pytest.mark.parametrize("table", [*RAW.values(), QUARANTINE], ids=lambda table: table.full_name)
def test_files_carry_the_field_ids_of_their_table(table: Table) -> None:
    name = table.full_name
    schema = pq.read_schema(pa.BufferReader(encode(SCHEMAS[name].empty_table())))

    ids = [int(field.metadata[b"PARQUET:field_id"]) for field in schema]
    assert ids == list(range(1, len(schema) + 1))
    assert schema.names == [column.name for column in table.columns]
    assert [field.nullable for field in schema] == [not column.required for column in table.columns]


def test_the_footer_bounds_the_columns_by_which_rows_are_looked_for() -> None:
    payloads = [fake_record(EVENTS["search"], random.Random(seed), NOW) for seed in range(3)]
    [part] = sort([Arrived(number, NOW, payload) for number, payload in enumerate(payloads, start=1)], "s").parts

    group = pq.read_metadata(pa.BufferReader(encode(part.rows))).row_group(0)
    bounded = {
        group.column(place).path_in_schema for place in range(group.num_columns) if group.column(place).is_stats_set
    }
    assert bounded == {"event_id", "event_time", "user_id", "arrived_at", "shard", "sequence"}


def test_files_are_compressed_with_zstd() -> None:
    metadata = pq.read_metadata(pa.BufferReader(encode(sort([Arrived(1, NOW, b"x")], "s").parts[0].rows)))

    assert {metadata.row_group(0).column(number).compression for number in range(metadata.num_columns)} == {"ZSTD"}


@given(st.lists(st.binary(max_size=30) | st.integers(0, 7), max_size=20))
def test_every_record_is_landed_or_set_aside(picks: list[bytes | int]) -> None:
    chance = random.Random(0)
    events = list(EVENTS.values())
    payloads = [fake_record(events[pick], chance, NOW) if isinstance(pick, int) else pick for pick in picks]

    batch = sort([Arrived(number, NOW, payload) for number, payload in enumerate(payloads, start=1)], "s")

    assert sum(batch.landed.values()) == sum(isinstance(pick, int) for pick in picks)
    assert sum(batch.landed.values()) + sum(batch.quarantined.values()) == len(picks)
    assert sum(part.rows.num_rows for part in batch.parts) == len(picks)


def test_a_poisoned_batch_keeps_its_neighbours() -> None:
    good = fake_record(EVENTS["rating"], random.Random(1), NOW)
    poison = [b"", b"null", b"\xff", b"[" * 100_000, b'{"event":"rating"}', b"x" * 2_000_000]
    payloads = [payload for bad in poison for payload in (good, bad)]

    batch = sort([Arrived(number, NOW, payload) for number, payload in enumerate(payloads, start=1)], "s")

    assert batch.landed == {"rating": len(poison)}
    aside = next(part.rows for part in batch.parts if part.table is QUARANTINE)
    assert aside["payload"].to_pylist() == poison


def test_days_are_cut_in_utc() -> None:
    moments = [datetime(2026, 3, 1, 23, 59, 59, 999_999, timezone.utc), datetime(2026, 3, 2, tzinfo=timezone.utc)]

    parts = sort([Arrived(number, moment, b"x") for number, moment in enumerate(moments, start=1)], "s").parts

    assert [str(part.day) for part in parts] == ["2026-03-01", "2026-03-02"]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.full_name)
def test_the_footer_bounds_the_column_by_which_any_table_is_cut(table: Table) -> None:
    assert table.partition.column in (SOUGHT if table.full_name in SCHEMAS else sought(table))


def test_a_row_keeps_the_moment_and_the_position_of_its_record_to_the_last_digit() -> None:
    moments = [NOW.replace(year=2255, microsecond=999_999), NOW.replace(microsecond=1), NOW.replace(year=1970)]
    positions = ["7", "0" * 55 + "8", "49590338271490256608559692538361571095921575989136588898"]
    records = [Arrived(int(written), moment, b"x", written) for written, moment in zip(positions, moments, strict=True)]

    rows = [row for part in sort(records, "s").parts for row in part.rows.to_pylist()]

    assert sorted((row["arrived_at"], row["sequence"]) for row in rows) == sorted(
        (moment, written.zfill(56)) for moment, written in zip(moments, positions, strict=True)
    )
