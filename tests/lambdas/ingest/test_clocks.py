"""Clocks that are wrong: a producer's is found out, and a consumer's decides nothing that a row says."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from domain.ingest.receipts import HIGHEST, Receipt, read_receipt
from lambdas.ingest import consume, kafka
from tests.lambdas.ingest.conftest import SHARD, Lake, kinesis_event

pytestmark = pytest.mark.slow

PARTITION = "partition-000-751d2973"
DIGITS = len(str(HIGHEST))

NIGHT = datetime(2026, 3, 1, 23, 59, 59, 500_000, tzinfo=timezone.utc)
SKEWS = [timedelta(days=-400), timedelta(hours=-1), timedelta(seconds=1), timedelta(days=1), timedelta(days=400)]


def rating(number: int, when: datetime) -> bytes:
    said = {"event": "rating", "event_id": f"e-{number}", "event_time": when.isoformat(), "user_id": "u"}
    return json.dumps({**said, "product_id": "p", "stars": 3}).encode()


def from_kinesis(payloads: list[bytes], arrived: datetime) -> dict[str, Any]:
    event = kinesis_event(payloads)
    for record in event["Records"]:
        record["kinesis"]["approximateArrivalTimestamp"] = arrived.timestamp()
    return event


def from_kafka(payloads: list[bytes], arrived: datetime, clock: str = "LOG_APPEND_TIME") -> dict[str, Any]:
    records = [
        {
            "topic": "events",
            "partition": 0,
            "offset": number,
            "timestamp": int(arrived.timestamp() * 1000),
            "timestampType": clock,
            "key": "dQ==",
            "value": base64.b64encode(payload).decode(),
            "headers": [],
        }
        for number, payload in enumerate(payloads)
    ]
    cluster = "arn:aws:kafka:us-east-1:123456789012:cluster/any/751d2973-a626-431c-9d4e-d7975eb44dd7-2"
    return {"eventSource": "aws:kafka", "eventSourceArn": cluster, "records": {"events-0": records}}


@pytest.fixture
def skewed(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> datetime:
    """Set the consumer's clock wrong by the test's parameter; return what it shows."""
    shown: datetime = NIGHT + request.param

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return shown

    monkeypatch.setattr(consume, "datetime", Clock)
    monkeypatch.setattr(kafka, "datetime", Clock)
    return shown


def landed(lake: Lake, table: str, shard: str = SHARD) -> list[dict[str, Any]]:
    """Read the rows of a table's landed files, each with the day in its file's name."""
    files = [file.key for receipt in chain(lake, shard) for file in receipt.files if file.table == table]
    return [
        {**row, "day": key.rpartition("/")[2][DIGITS + 1 : DIGITS + 11]}
        for key in files
        for row in pq.read_table(pa.BufferReader(lake.bucket.get(key))).to_pylist()
    ]


def chain(lake: Lake, shard: str) -> list[Receipt]:
    keys = lake.bucket.keys("receipts/")
    return [receipt for key in keys if (receipt := read_receipt(lake.bucket.get(key))).shard == shard]


@pytest.mark.parametrize("skewed", SKEWS, indirect=True, ids=str)
@pytest.mark.parametrize(("event", "shard"), [(from_kinesis, SHARD), (from_kafka, PARTITION)])
def test_a_consumer_s_clock_decides_no_row_s_day(lake: Lake, skewed: datetime, event: Any, shard: str) -> None:
    """Half a second before midnight by the broker; and what is ahead of time is so by the broker's clock too."""
    ahead, right = rating(0, NIGHT + timedelta(hours=2)), rating(1, NIGHT)
    consume.handler(event([ahead, right], NIGHT), None)

    [row], [aside] = landed(lake, "raw.rating", shard), landed(lake, "raw.quarantine", shard)
    assert (row["arrived_at"], row["day"]) == (NIGHT, "2026-03-01")
    assert (aside["reason"], aside["payload"], aside["arrived_at"]) == ("ahead_of_time", ahead, NIGHT)
    assert [receipt.written_at for receipt in chain(lake, shard)] == [skewed]  # the only trace of it


@pytest.mark.parametrize("ahead", [timedelta(hours=1, seconds=1), timedelta(days=2), timedelta(days=36_500)], ids=str)
def test_an_event_from_the_future_is_set_aside_with_its_bytes(lake: Lake, ahead: timedelta) -> None:
    payload = rating(0, NIGHT + ahead)
    consume.handler(from_kinesis([payload, rating(1, NIGHT + timedelta(hours=1))], NIGHT), None)

    [aside] = landed(lake, "raw.quarantine")
    assert (aside["reason"], aside["field"], aside["payload"]) == ("ahead_of_time", "event_time", payload)
    assert [row["event_id"] for row in landed(lake, "raw.rating")] == ["e-1"]


def test_an_event_that_comes_days_late_lands_with_its_own_time(lake: Lake) -> None:
    late = NIGHT - timedelta(days=40)
    consume.handler(
        from_kinesis([rating(0, NIGHT), rating(1, late), rating(2, NIGHT - timedelta(days=1))], NIGHT), None
    )

    found = landed(lake, "raw.rating")
    assert [row["event_time"] for row in found] == [NIGHT, late, NIGHT - timedelta(days=1)]
    assert {row["day"] for row in found} == {"2026-03-01"}


def test_a_broker_s_clock_that_goes_back_costs_no_row(lake: Lake) -> None:
    """Positions alone decide what is covered; a leader elected anew may have another clock."""
    consume.handler(from_kafka([rating(0, NIGHT)], NIGHT), None)
    again = from_kafka([rating(0, NIGHT), rating(1, NIGHT - timedelta(days=1))], NIGHT - timedelta(hours=5))
    consume.handler(again, None)

    assert sorted(row["event_id"] for row in landed(lake, "raw.rating", PARTITION)) == ["e-0", "e-1"]


@pytest.mark.parametrize("skewed", [timedelta(days=1)], indirect=True, ids=str)
def test_a_topic_without_the_broker_s_time_is_dated_by_its_consumer(lake: Lake, skewed: datetime) -> None:
    """A producer's claim is not believed; with CreateTime only the consumer's clock is left (docs/exactly-once.md)."""
    consume.handler(from_kafka([rating(0, NIGHT)], NIGHT - timedelta(days=300), "CREATE_TIME"), None)

    [row] = landed(lake, "raw.rating", PARTITION)
    assert (row["arrived_at"], row["day"]) == (skewed, "2026-03-02")
