"""Carry records between functions outside a Kafka cluster's network and the topic within it."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from functools import cache, partial
from typing import Any

from aws_msk_iam_sasl_signer import MSKAuthTokenProvider
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from domain.ingest.bridge import FAILED, LARGEST_LOAD, Brokers, Record
from lambdas.ingest.settings import BridgeSettings

SECONDS = 4.0
"""How long a record may wait for its brokers: who sent it waits five."""

READ_SECONDS = 10.0
WAIT_SECONDS, PAUSE_SECONDS = 1.0, 0.1
FETCH = 500
BUSY = "ProvisionedThroughputExceededException"  # in Kinesis's words, which senders know
MOVING = {"NOT_LEADER_FOR_PARTITION", "LEADER_NOT_AVAILABLE", "REPLICA_NOT_AVAILABLE", "_TRANSPORT"}
CODES = {"_QUEUE_FULL": BUSY, "POLICY_VIOLATION": BUSY, "THROTTLING_QUOTA_EXCEEDED": BUSY}

SENDING: dict[str, Any] = {
    "acks": "all",
    "enable.idempotence": True,  # a repeated request is one record, and a key's order is kept
    "linger.ms": 0,  # a call is a batch already
    "message.max.bytes": (1 << 20) + (1 << 16),  # as the topic has it
    "delivery.timeout.ms": int(SECONDS * 1000),
    "partitioner": "murmur2_random",  # as Java's clients: a key's partition is the same whoever sends
}


settings = cache(BridgeSettings.read)


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Send records to a topic, or read a stretch of one of its partitions (messages of domain.ingest.bridge)."""
    brokers = Brokers.read(event)
    if "records" in event:
        return {"taken": send(producer(brokers), event["topic"], event["records"])}
    where = TopicPartition(event["topic"], event["partition"], event["after"])
    return read(consumer(brokers), where, event["last"])


def send(client: Producer, topic: str, records: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Send records in their order, and wait for the brokers' answer to each."""
    outcomes: list[dict[str, Any]] = [{"error": "TimedOut"} for _ in records]
    for record, outcome in zip(records, outcomes, strict=True):
        settle = partial(note, outcome)
        try:
            client.produce(topic, base64.b64decode(record["data"]), record["key"], on_delivery=settle)
        except BufferError:
            outcome["error"] = BUSY
        except KafkaException as refused:  # too large, before it is sent
            outcome["error"] = code(refused.args[0])
    client.flush(SECONDS)
    return outcomes


def note(outcome: dict[str, Any], error: Any, message: Message) -> None:
    """Note what became of a record."""
    outcome.clear()
    if error is None:
        outcome.update(partition=message.partition(), position=int(message.offset() or 0) + 1)
    else:
        outcome["error"] = code(error)


def code(error: Any) -> str:
    """Name an error of the client's."""
    name = str(error.name())
    return CODES.get(name, name or FAILED)


def read(client: Consumer, where: TopicPartition, last: int) -> dict[str, Any]:
    """Read a partition after a position, up to another or as much as an answer holds; say where to go on, if at all.

    An offset is the position before its record, so that what follows position n begins at offset n.
    """
    low, high = watermarks(client, where)
    where.offset, end = max(where.offset, low), min(last, high)
    found: list[dict[str, Any]] = []
    size = 0
    for record in stretch(client, where, end):
        written = record.write()
        size += len(written["data"])
        if found and size > LARGEST_LOAD:
            break
        found.append(written)
    after = found[-1]["position"] if found else end
    return {"found": found, "after": after if after < end else None}


def watermarks(client: Consumer, where: TopicPartition) -> tuple[int, int]:
    """Tell where a partition begins and ends; asked again for a while, since its leader may be about to change."""
    until = time.monotonic() + READ_SECONDS
    while True:
        try:
            low, high = client.get_watermark_offsets(where, timeout=READ_SECONDS)
        except KafkaException as fault:
            if fault.args[0].name() not in MOVING or time.monotonic() > until:
                raise
            time.sleep(PAUSE_SECONDS)
        else:
            return low, high


def stretch(client: Consumer, where: TopicPartition, end: int) -> Iterator[Record]:
    """Read a partition from an offset to a position, as far as its broker answers in time."""
    client.assign([where])
    after, until = where.offset, time.monotonic() + READ_SECONDS
    try:
        while after < end and time.monotonic() < until:
            for message in client.consume(min(FETCH, end - after), WAIT_SECONDS):
                record = received(message)
                after = record.position
                if after <= end:
                    yield record
    finally:
        client.unassign()  # else it would go on fetching


def received(message: Message) -> Record:
    """Read a message; raise what the broker says instead."""
    if error := message.error():
        raise KafkaException(error)
    _, milliseconds = message.timestamp()
    arrived = datetime.fromtimestamp(milliseconds / 1000, timezone.utc)
    value: Any = message.value()
    return Record(int(message.offset() or 0) + 1, arrived, value or b"")


@cache
def producer(brokers: Brokers) -> Producer:
    """Connect to send; a warm process stays connected."""
    return Producer({**SENDING, **way(brokers)})


@cache
def consumer(brokers: Brokers) -> Consumer:
    """Connect to read."""
    own = {
        "group.id": settings().group,
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": 50,
    }
    return Consumer({**own, **way(brokers)})


def way(brokers: Brokers) -> dict[str, Any]:
    """Say how brokers are reached: signed with the function's role over TLS, unless the cluster is open."""
    where: dict[str, Any] = {"bootstrap.servers": brokers.addresses}
    if not brokers.region:
        return where
    signed = {"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER", "oauth_cb": token}
    return {**where, **signed, "sasl.oauthbearer.config": brokers.region}


def token(region: str) -> tuple[str, float]:
    """Sign a token for a region's clusters with the function's own role, without a call; good for 15 minutes."""
    signed, milliseconds = MSKAuthTokenProvider.generate_auth_token(region)
    return signed, milliseconds / 1000
