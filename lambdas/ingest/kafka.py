"""Read a batch of a Kafka topic as Lambda hands it over: each partition is a shard, each offset a position."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

import pybase64

from domain.ingest.batch import Arrived
from domain.ingest.shards import partition_name

SOURCE = "aws:kafka"
BROKERS_CLOCK = "LOG_APPEND_TIME"

Shard = tuple[str, str]


def shards(event: Mapping[str, Any]) -> Iterator[tuple[Shard, list[Arrived]]]:
    """Give each partition's stream and shard with its records (AWS Lambda guide, "Using Lambda with Amazon MSK")."""
    now = datetime.now(timezone.utc)
    for records in event["records"].values():
        if records:
            yield origin(event["eventSourceArn"], records[0]), [arrived(record, now) for record in records]


def origin(cluster: str, record: Mapping[str, Any]) -> Shard:
    """Name a topic and its partition, as they stand in receipts."""
    return record["topic"], partition_name(cluster, record["partition"])


def arrived(record: Mapping[str, Any], now: datetime) -> Arrived:
    """Read one record; its position is the offset that a group commits after it, so that 0 is before them all."""
    return Arrived(record["offset"] + 1, arrival(record, now), pybase64.b64decode(record.get("value") or b""))


def arrival(record: Mapping[str, Any], now: datetime) -> datetime:
    """Tell when a record came by the broker's clock; a time that the producer set is only its own claim."""
    if record["timestampType"] != BROKERS_CLOCK:
        return now
    return datetime.fromtimestamp(record["timestamp"] / 1000, timezone.utc)
