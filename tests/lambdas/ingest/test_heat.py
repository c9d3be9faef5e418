"""The consumer's look at partition keys: a hot one is reported by its place, never by its name."""

from __future__ import annotations

import base64
import json
from random import Random
from typing import Any

import pytest

from domain.ingest.heat import SAMPLE
from lambdas.ingest import consume, heat
from tests.lambdas.ingest.conftest import FIRST, SHARD, STREAM

PERSON = "maria.santos@example.org"


@pytest.fixture(autouse=True)
def anew() -> None:
    heat.watches.cache_clear()
    heat.chance.cache_clear()
    heat.chance().seed(20261122)


def batch(share: float, records: int, start: float, seconds: float, seed: int = 1) -> list[dict[str, Any]]:
    """Records of which a share is one person's, arriving evenly."""
    chance = Random(seed)
    return [
        {
            "eventSourceARN": f"arn:aws:kinesis:us-east-1:123456789012:stream/{STREAM}",
            "eventID": f"{SHARD}:{FIRST + number}",
            "kinesis": {
                "partitionKey": PERSON if chance.random() < share else f"user-{chance.randrange(10_000)}",
                "sequenceNumber": str(FIRST + number),
                "data": base64.b64encode(bytes(500)).decode(),
                "approximateArrivalTimestamp": start + seconds * number / (records - 1),
            },
        }
        for number in range(records)
    ]


def said(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_hot_key_is_counted_and_named_by_where_one_of_its_records_is(capsys: pytest.CaptureFixture[str]) -> None:
    records = batch(0.7, 61_000, start=180.0, seconds=61.0)

    heat.notice(STREAM, SHARD, records)

    lines = said(capsys)
    counted = [line["HotKeys"] for line in lines if "HotKeys" in line]
    [found] = [line for line in lines if "hot_key" in line]
    record = records[int(found["hot_key"]["sequence"]) - FIRST]
    assert counted == [1]
    assert record["kinesis"]["partitionKey"] == PERSON
    assert (found["hot_key"]["stream"], found["hot_key"]["shard"]) == (STREAM, SHARD)
    assert abs(found["share_of_shard"] - 0.7) < 0.06
    assert "salt with 3 suffixes" in found["proposal"]


def test_no_line_says_the_key_itself(capsys: pytest.CaptureFixture[str]) -> None:
    heat.notice(STREAM, SHARD, batch(0.9, 61_000, start=0.0, seconds=61.0))

    out = capsys.readouterr().out
    assert "hot_key" in out
    assert PERSON not in out
    assert "maria" not in out


def test_a_shard_without_a_hot_key_says_nought_once_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    for second in range(0, 130, 5):
        heat.notice(STREAM, SHARD, batch(0.3, 5_000, start=float(second), seconds=4.9, seed=second))

    assert [line["HotKeys"] for line in said(capsys)] == [0, 0]


@pytest.mark.slow
def test_a_large_batch_is_judged_by_a_sample(capsys: pytest.CaptureFixture[str]) -> None:
    """Round and round in the sample's own rhythm, forty keys look as they are: none is hot."""
    records = batch(0.0, 10 * SAMPLE, start=0.0, seconds=61.0)
    for number, record in enumerate(records):
        record["kinesis"] |= {"partitionKey": str(number % 40), "data": base64.b64encode(bytes(50_000)).decode()}

    heat.notice(STREAM, SHARD, records)

    assert [line["HotKeys"] for line in said(capsys)] == [0]


def test_the_name_of_the_stream_is_read_from_a_consumer_s_arn_too() -> None:
    records = batch(0.0, 2, start=0.0, seconds=1.0)
    for record in records:
        record["eventSourceARN"] += "/consumer/rivermill-consume:1772366400"

    assert consume.origin(records) == (STREAM, SHARD)
