"""The consumer on Kafka: a batch of several partitions lands partition by partition, each once."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from domain.ingest.receipts import START
from lambdas.ingest import consume, kafka
from lambdas.ingest.bucket import Bucket
from tests.lambdas.ingest.conftest import Lake

CLUSTER = "arn:aws:kafka:us-east-1:123456789012:cluster/rivermill/751d2973-a626-431c-9d4e-d7975eb44dd7-2"
OTHER = CLUSTER.replace("751d2973", "0a1b2c3d")
MOMENT = 1772366400250
TOPIC = "rivermill-events"


def event(partitions: dict[int, range], cluster: str = CLUSTER, **changed: Any) -> dict[str, Any]:
    """Write records as Lambda hands them over."""
    return {
        "eventSource": "aws:kafka",
        "eventSourceArn": cluster,
        "bootstrapServers": "b-1:9098,b-2:9098",
        "records": {
            f"{TOPIC}-{partition}": [record(partition, offset, **changed) for offset in offsets]
            for partition, offsets in partitions.items()
        },
    }


def record(partition: int, offset: int, **changed: Any) -> dict[str, Any]:
    said = {"event": "search", "event_id": f"e-{partition}-{offset}", "user_id": "u", "query": "q", "results": 1}
    data = json.dumps({**said, "event_time": "2026-03-01T12:00:00Z"}).encode()
    where = {"topic": TOPIC, "partition": partition, "offset": offset}
    clock = {"timestamp": MOMENT, "timestampType": "LOG_APPEND_TIME"}
    return {**where, **clock, "key": "dQ==", "value": base64.b64encode(data).decode(), "headers": [], **changed}


def landed(lake: Lake, partition: int, identity: str = "751d2973") -> list[tuple[int, int, int]]:
    chain = lake.chain(f"partition-{partition:03d}-{identity}")
    return [(receipt.follows, receipt.first, receipt.last) for receipt in chain]


def test_each_partition_has_a_chain_of_its_own_from_its_first_offset_on(lake: Lake) -> None:
    consume.handler(event({0: range(3), 7: range(2)}), None)
    consume.handler(event({0: range(3, 5)}), None)

    assert landed(lake, 0) == [(START, 1, 3), (3, 4, 5)]
    assert landed(lake, 7) == [(START, 1, 2)]


def test_a_batch_that_failed_between_two_partitions_lands_the_rest_when_it_comes_again(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Bucket.put

    def failing(self: Bucket, key: str, body: bytes) -> None:
        if "partition-001" in key:
            raise TimeoutError
        put(self, key, body)

    monkeypatch.setattr(Bucket, "put", failing)
    with pytest.raises(TimeoutError):
        consume.handler(event({0: range(3), 1: range(3)}), None)
    monkeypatch.undo()
    consume.handler(event({0: range(3), 1: range(4)}), None)

    assert landed(lake, 0) == [(START, 1, 3)]
    assert landed(lake, 1) == [(START, 1, 4)]


def test_another_cluster_begins_at_its_own_first_offset(lake: Lake) -> None:
    """Its offsets are those of the old one's again; in one chain they would all seem covered, and be lost."""
    consume.handler(event({0: range(100)}), None)
    consume.handler(event({0: range(5)}, OTHER), None)

    assert landed(lake, 0) == [(START, 1, 100)]
    assert landed(lake, 0, "0a1b2c3d") == [(START, 1, 5)]


def test_offsets_that_transactions_leave_out_are_no_gap(lake: Lake) -> None:
    consume.handler(event({0: range(0, 10, 3)}), None)
    consume.handler(event({0: range(20, 22)}), None)

    assert landed(lake, 0) == [(START, 1, 10), (10, 21, 22)]


@pytest.mark.parametrize("value", [None, ""], ids=["tombstone", "empty"])
def test_a_record_without_a_value_is_set_aside(lake: Lake, value: str | None) -> None:
    consume.handler(event({0: range(1)}, value=value), None)

    [receipt] = lake.chain("partition-000-751d2973")
    assert receipt.account.quarantined == {"not_json": 1}


def test_a_time_that_a_producer_set_is_not_when_its_record_came() -> None:
    now = datetime(2026, 11, 22, tzinfo=timezone.utc)
    brokers = kafka.arrived(record(0, 0), now)
    producers = kafka.arrived(record(0, 0, timestampType="CREATE_TIME"), now)

    assert brokers.arrived_at == datetime(2026, 3, 1, 12, tzinfo=timezone.utc) + timedelta(milliseconds=250)
    assert producers.arrived_at == now
