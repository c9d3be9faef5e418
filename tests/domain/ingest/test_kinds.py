"""Records that hold several events: each is judged alone, and every one is accounted for."""

from __future__ import annotations

import base64
import random
import struct
from datetime import datetime, timezone
from hashlib import md5
from typing import Any

import pyarrow as pa
import pytest
from aws_kinesis_agg import deaggregator  # type: ignore[import-untyped]  # it has no types

from domain.contract.arrow import arrow_schema
from domain.events import EVENTS
from domain.ingest import frames, kpl
from domain.ingest.batch import Arrived, Sorted, sort
from domain.ingest.kinds import count
from tests.domain.contract.strategies import NOW
from tests.domain.ingest.test_contract import GOOD, write

STARS = (1, 2, 3)


def sorted_(*payloads: bytes) -> tuple[Sorted, dict[str, list[dict[str, Any]]]]:
    batch = sort([Arrived(number, NOW, payload) for number, payload in enumerate(payloads, start=1)], "s")
    assert batch.events == sum(batch.landed.values()) + sum(batch.quarantined.values())
    return batch, {part.table.name: part.rows.to_pylist() for part in batch.parts}


def varint(number: int) -> bytes:
    body = b""
    while number > 0x7F:
        body += bytes([number & 0x7F | 0x80])
        number >>= 7
    return body + bytes([number])


def blob(number: int, body: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(body)) + body


def aggregate(payloads: list[bytes], keys: int = 1, key: int = 0) -> bytes:
    records = b"".join(blob(3, b"\x08" + varint(key) + blob(3, payload)) for payload in payloads)
    message = b"".join(blob(1, f"k{number}".encode()) for number in range(keys)) + records
    return kpl.MAGIC + message + md5(message).digest()


def table(**changes: list[Any]) -> pa.Table:
    rows: dict[str, list[Any]] = {name: [value] * 3 for name, value in GOOD.items() if name != "event"}
    rows |= {"stars": list(STARS), "event_time": [datetime(2026, 3, 1, 11, tzinfo=timezone.utc)] * 3, **changes}
    schema = arrow_schema(EVENTS["rating"].columns())
    return pa.table({field.name: pa.array(rows[field.name], field.type) for field in schema})


def columns(rows: pa.Table, event: str = "rating", declared: int | None = None) -> bytes:
    rows = rows.replace_schema_metadata({"event": event, "version": "1"})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows)
    return frames.pack("arrow", sink.getvalue().to_pybytes(), declared or len(rows))


def of(kind: str, payloads: list[bytes]) -> bytes:
    lines = b"\n".join(payloads)
    return {"lines": lines, "frame": frames.pack("ndjson", lines, len(payloads)), "kpl": aggregate(payloads)}[kind]


@pytest.mark.parametrize("kind", ["lines", "frame", "kpl"])
def test_a_broken_event_is_set_aside_alone_with_its_place(kind: str) -> None:
    record = of(kind, [write(stars=1), write(stars=9), b"garbage", write(stars=2)])

    batch, rows = sorted_(write(stars=4), record, write(stars=5))

    assert [row["stars"] for row in rows["rating"]] == [4, 1, 2, 5]
    assert [int(row["sequence"]) for row in rows["rating"]] == [1, 2, 2, 3]
    assert [row["payload"] for row in rows["quarantine"]] == [write(stars=9), b"garbage"]
    assert [row["detail"][:20] for row in rows["quarantine"]] == ["event 2 of the recor", "event 3 of the recor"]
    assert batch.events == 6
    assert count([Arrived(1, NOW, record)]) == 4


def test_a_columnar_frame_lands_among_plain_records_in_order() -> None:
    _, rows = sorted_(write(stars=4), columns(table()), write(stars=5, more="unknown field"), columns(table()))

    assert [row["stars"] for row in rows["rating"]] == [4, 1, 2, 3, 5, 1, 2, 3]
    assert rows["rating"][1] == {**rows["rating"][0], **rows["rating"][1]}


LATE = datetime(2026, 3, 2, tzinfo=timezone.utc)
BROKEN_ROWS = [
    ("stars", 6, "out_of_bounds"),
    ("stars", None, "missing_field"),
    ("user_id", "", "out_of_bounds"),
    ("user_id", "x" * 129, "out_of_bounds"),
    ("user_id", "a\0b", "unsafe_text"),
    ("user_id", None, "missing_field"),
    ("event_time", LATE, "ahead_of_time"),
    ("event_time", datetime(1969, 1, 1, tzinfo=timezone.utc), "before_time"),
]


@pytest.mark.parametrize(("name", "value", "reason"), BROKEN_ROWS)
def test_a_broken_row_of_a_columnar_frame_is_set_aside_alone(name: str, value: Any, reason: str) -> None:
    good = table()[name].to_pylist()
    batch, rows = sorted_(columns(table(**{name: [good[0], value, good[2]]})))

    assert [row["stars"] for row in rows["rating"]] == [1, 3]
    assert batch.quarantined == {reason: 1}
    assert rows["quarantine"][0]["detail"].startswith("event 2 of the record: ")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_fraction_of_a_frame_that_is_not_finite_is_named(value: float) -> None:
    rows = table().rename_columns({"stars": "price"}).append_column("category", pa.array(["c"] * 3))
    rows = rows.set_column(rows.schema.get_field_index("price"), "price", pa.array([1.0, value, 1.0]))

    batch, found = sorted_(columns(rows, event="product_view"))

    assert batch.landed == {"product_view": 2}
    assert [(row["reason"], row["field"]) for row in found["quarantine"]] == [("out_of_bounds", "price")]


def test_text_of_many_bytes_and_few_characters_is_not_too_long() -> None:
    batch, _ = sorted_(columns(table(user_id=["é" * 128, "\U0001f600" * 128, "x"])))

    assert batch.landed == {"rating": 3}


def corrupt_offsets() -> bytes:
    """Make a frame whose text begins beyond its buffer."""
    packed = columns(table())
    payload = bytearray(frames.unpack(packed).payload)
    offsets = struct.pack("<4i", 0, 3, 6, 9)
    place = payload.find(offsets)
    payload[place : place + 16] = struct.pack("<4i", 0, 3, 2**30, 2**30)
    return frames.pack("arrow", bytes(payload), 3)


def without_schema() -> bytes:
    """Make a frame whose stream begins with its rows."""
    _, rows = pa.ipc.MessageReader.open_stream(frames.unpack(columns(table())).payload)
    return frames.pack("arrow", rows.serialize().to_pybytes(), 3)


DIGITS = "9" * 5_000  # more than Python reads


def test_lines_with_more_digits_than_python_reads_are_events_each() -> None:
    lines = [write(stars=stars)[:-1] + f', "more": {DIGITS}}}'.encode() for stars in (1, 2)]

    _, rows = sorted_(b"\n".join(lines))

    assert [row["stars"] for row in rows["rating"]] == [1, 2]


def test_one_event_on_several_lines_is_one_whatever_digits_are_in_it() -> None:
    payload = write(stars=4)[:-1] + f', "more": [\n{{"event": 1}}\n], "n": {DIGITS}}}'.encode()

    batch, rows = sorted_(payload)

    assert [row["stars"] for row in rows["rating"]] == [4]
    assert batch.events == 1


WHOLE = [
    ("a byte changed", columns(table())[:-1] + b"\0", "bad_frame"),
    ("cut short", columns(table())[:60], "bad_frame"),
    ("only a magic", frames.MAGIC, "bad_frame"),
    ("rows miscounted", columns(table(), declared=4), "bad_frame"),
    ("no schema", without_schema(), "bad_frame"),
    ("no Arrow", frames.pack("arrow", b"no stream", 1), "bad_frame"),
    ("offsets beyond the text", corrupt_offsets(), "bad_frame"),
    ("unknown event", columns(table(), event="ratng"), "unknown_event"),
    ("column of another type", columns(table().set_column(0, "event_id", pa.array([1, 2, 3]))), "wrong_type"),
    ("column missing", columns(table().drop_columns(["stars"])), "missing_field"),
    ("column twice", columns(table().append_column("stars", pa.array([1, 2, 3]))), "bad_frame"),
    ("KPL digest", aggregate([write()])[:-1] + b"x", "bad_aggregate"),
    ("KPL key beyond the table", aggregate([write()], key=1), "bad_aggregate"),
    ("only KPL's magic", kpl.MAGIC, "bad_aggregate"),
    ("KPL without a record", aggregate([]), "bad_aggregate"),
]


@pytest.mark.parametrize(("name", "payload", "reason"), WHOLE)
def test_what_cannot_be_taken_apart_is_set_aside_whole(name: str, payload: bytes, reason: str) -> None:
    batch, rows = sorted_(write(stars=4), payload, write(stars=5))

    assert [row["stars"] for row in rows["rating"]] == [4, 5]
    assert [(row["reason"], row["payload"]) for row in rows["quarantine"]] == [(reason, payload)]
    assert batch.events == 3


@pytest.mark.slow
def test_ten_thousand_aggregates_are_taken_apart_as_aws_does() -> None:
    """Seed 11.  AWS's own module passes on as plain what it finds corrupt; ours refuses that."""
    chance = random.Random(11)
    for _ in range(10_000):
        payloads = [
            chance.randbytes(chance.choice([0, 1, 30, 127, 128, 300, 900, 17_000]))
            for _ in range(chance.randrange(1, 6))
        ]
        data = aggregate(payloads, keys=chance.randrange(1, 4))
        if chance.random() < 0.3:
            place = chance.randrange(4, len(data))
            data = data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]
        theirs = list(deaggregator.iter_deaggregate_records([lambda_record(data)]))
        try:
            ours = kpl.deaggregate(data)
        except kpl.BadAggregate:
            ours = [data]
        assert [plain(record) for record in theirs] == ours


def lambda_record(data: bytes) -> dict[str, Any]:
    said = {
        "kinesisSchemaVersion": "1.0",
        "partitionKey": "k",
        "sequenceNumber": "1",
        "approximateArrivalTimestamp": 1.0,
    }
    record = {"eventSource": "", "eventVersion": "", "eventID": "", "eventName": "", "invokeIdentityArn": ""}
    record |= {"awsRegion": "", "eventSourceARN": ""}
    return {**record, "kinesis": {**said, "data": base64.b64encode(data).decode()}}


def plain(record: dict[str, Any]) -> bytes:
    return base64.b64decode(record["kinesis"]["data"])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_no_message_however_wrong_raises_anything_else(seed: int) -> None:
    """2,000 messages with a true digest and false insides."""
    chance = random.Random(seed)
    for _ in range(2_000):
        message = bytearray(aggregate([write(), b"x"])[4:-16])
        for _ in range(chance.randrange(1, 4)):
            message[chance.randrange(len(message))] = chance.randrange(256)
        data = kpl.MAGIC + bytes(message) + md5(message).digest()
        batch, _ = sorted_(write(stars=4), data)
        assert batch.landed["rating"] >= 1
