"""The messages of batches that were given up: the places that they name, and what is missing there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lambdas.ingest.given_up import GivenUp, Place
from tests.brokers import CLUSTER

TOPIC = "rivermill-events"
KINESIS = {
    "shardId": "shardId-000000000002",
    "startSequenceNumber": "100",
    "endSequenceNumber": "900",
    "batchSize": 5,
    "streamArn": f"arn:aws:kinesis:us-east-1:123456789012:stream/{TOPIC}/consumer/mine:1772366400",
}
KAFKA = {
    "batchSize": 5,
    "eventSourceArn": CLUSTER,
    "recordsInfo": {
        f"{TOPIC}-0": {"firstRecordOffset": "10", "lastRecordOffset": "12"},
        f"{TOPIC}-11": {"firstRecordOffset": "0", "lastRecordOffset": "1"},
    },
}
FIRST, SECOND = Place(TOPIC, "partition-000-751d2973", 11, 13), Place(TOPIC, "partition-011-751d2973", 1, 2)


def read(**info: Any) -> GivenUp:
    return GivenUp.read({"Body": json.dumps(info), "ReceiptHandle": "h"})


def test_a_batch_of_kinesis_has_one_place_under_its_streams_name() -> None:
    found = read(KinesisBatchInfo=KINESIS)

    assert found.places == (Place(TOPIC, "shardId-000000000002", 100, 900),)
    assert (found.records, found.handle) == (5, "h")


def test_a_batch_of_kafka_has_a_place_in_each_partition_by_positions_as_receipts_have_them() -> None:
    assert read(KafkaBatchInfo=KAFKA).places == (FIRST, SECOND)


@pytest.mark.parametrize(
    ("kept", "lost"),
    [
        ((3, 2), []),
        ((3, 0), [SECOND.report(2)]),
        ((1, 1), [FIRST.report(2), SECOND.report(1)]),
    ],
)
def test_what_a_topic_has_forgotten_is_named_by_partition(kept: tuple[int, int], lost: list[dict[str, Any]]) -> None:
    assert read(KafkaBatchInfo=KAFKA).lost(dict(zip((FIRST, SECOND), kept, strict=True))) == lost


def test_a_gap_between_offsets_is_no_loss() -> None:
    """A transaction of another client leaves an offset without a record."""
    gap = {**KAFKA, "batchSize": 4}

    assert read(KafkaBatchInfo=gap).lost({FIRST: 2, SECOND: 2}) == []


def test_of_a_stream_it_is_the_count_that_tells_since_its_positions_are_far_apart() -> None:
    found = read(KinesisBatchInfo=KINESIS)

    assert found.lost({found.places[0]: 5}) == []
    assert found.lost({found.places[0]: 3}) == [found.places[0].report(2)]
