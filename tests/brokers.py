"""The same few verbs over both brokers, so that one promise can be tested of either: put, read, hand over, grow."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

from local import stream_batches
from local.cloud import Cloud
from local.kafka import batches

CLUSTER = "arn:aws:kafka:us-east-1:123456789012:cluster/rivermill/751d2973-a626-431c-9d4e-d7975eb44dd7-2"
SETTINGS = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str((1 << 20) + (1 << 16))}
SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Sent:
    """A record for a broker: the key that keeps its order, and its bytes."""

    key: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """A record in a broker: the shard as receipts spell it, its position there, and its JSON within an event."""

    shard: str
    sequence: int
    item: stream_batches.Item


class Broker(Protocol):
    """A stream that holds records; positions are those of receipts, above 0 and growing within a shard."""

    stream: str

    def put(self, records: Iterable[Sent]) -> None:
        """Write records, those of one key in order; return when the broker has them all."""

    def shards(self) -> list[str]:
        """Name the shards, as receipts spell them."""

    def read(self, shard: str, after: int = 0, most: int = 10_000) -> list[Kept]:
        """Read a shard's records after a position."""

    def event(self, records: Sequence[Kept]) -> dict[str, Any]:
        """Write what Lambda hands over for a batch: of one shard, or with Kafka of several."""

    def grow(self) -> None:
        """Add to the shards: Kinesis splits its first open one, Kafka adds a partition."""


class KinesisStream:
    """A stream of the laptop cloud."""

    mixes_shards = False

    def __init__(self, cloud: Cloud, name: str, shards: int = 2) -> None:
        self.stream = name
        self._cloud = cloud
        self._client = cloud.client("kinesis")
        self._client.create_stream(StreamName=name, ShardCount=shards)
        self._client.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})
        self._arn = self._client.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]["StreamARN"]

    def put(self, records: Iterable[Sent]) -> None:
        for record in records:  # one by one: PutRecords promises no order
            self._client.put_record(StreamName=self.stream, PartitionKey=record.key, Data=record.data)

    def shards(self) -> list[str]:
        return [shard["ShardId"] for shard in self._client.list_shards(StreamName=self.stream)["Shards"]]

    def read(self, shard: str, after: int = 0, most: int = 10_000) -> list[Kept]:
        found = [record for record in self._all(shard) if int(record["SequenceNumber"]) > after]
        return [self._kept(shard, record) for record in found[:most]]

    def event(self, records: Sequence[Kept]) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(stream_batches.payload([record.item for record in records]))
        return event

    def grow(self) -> None:
        shards = self._client.list_shards(StreamName=self.stream)["Shards"]
        first = next(shard for shard in shards if "EndingSequenceNumber" not in shard["SequenceNumberRange"])
        low, high = (int(first["HashKeyRange"][f"{end}HashKey"]) for end in ("Starting", "Ending"))
        self._client.split_shard(
            StreamName=self.stream, ShardToSplit=first["ShardId"], NewStartingHashKey=str((low + high) // 2 + 1)
        )

    def _all(self, shard: str) -> list[dict[str, Any]]:
        where = {"StreamName": self.stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"}
        iterator, found = self._client.get_shard_iterator(**where)["ShardIterator"], []
        while iterator:
            answer = self._patiently(iterator)
            found += answer["Records"]
            iterator = answer.get("NextShardIterator") if answer["Records"] or answer["MillisBehindLatest"] else None
        return found

    def _patiently(self, iterator: str) -> Any:
        """A shard gives five reads a second."""
        while True:
            try:
                return self._client.get_records(ShardIterator=iterator, Limit=10_000)
            except self._client.exceptions.ProvisionedThroughputExceededException:
                time.sleep(0.1)

    def _kept(self, shard: str, record: dict[str, Any]) -> Kept:
        encode = stream_batches.encoder(shard, self._arn, "role", self._cloud.region)
        arrived = int(record["ApproximateArrivalTimestamp"].timestamp() * 1000)
        encoded = encode(record["PartitionKey"], record["SequenceNumber"], arrived, record["Data"])
        item = stream_batches.Item(0, record["SequenceNumber"], arrived, encoded)
        return Kept(shard, int(record["SequenceNumber"]), item)


class KafkaTopic:
    """A topic of a real broker (`local.kafka.broker.start`), which any number of tests can share."""

    mixes_shards = True

    def __init__(self, bootstrap: str, name: str, partitions: int = 2) -> None:
        self.stream = name
        self._where: dict[str, str | int | float | bool] = {"bootstrap.servers": bootstrap, "log_level": 0}
        self._admin = AdminClient(self._where)
        self._envelope = batches.Envelope(CLUSTER, bootstrap)
        for made in self._admin.create_topics([NewTopic(name, partitions, 1, config=SETTINGS)]).values():
            made.result(SECONDS)

    def put(self, records: Iterable[Sent]) -> None:
        refused: list[KafkaError] = []
        for record in records:
            self._producer.produce(
                self.stream,
                record.data,
                record.key,
                on_delivery=lambda error, _: refused.append(error) if error else None,
            )
        assert self._producer.flush(SECONDS) == 0
        assert not refused, refused

    def shards(self) -> list[str]:
        return [f"partition-{number:03d}-751d2973" for number in range(self._partitions())]

    def read(self, shard: str, after: int = 0, most: int = 10_000) -> list[Kept]:
        partition = int(shard.split("-")[1])
        _, end = self._consumer.get_watermark_offsets(TopicPartition(self.stream, partition), timeout=SECONDS)
        self._consumer.assign([TopicPartition(self.stream, partition, after)])  # the position after offset n is n + 1
        found: list[Message] = []
        while len(found) < min(most, end - after):
            found += self._consumer.consume(min(most, end - after) - len(found), SECONDS)
        self._consumer.unassign()  # else it asks the broker for more, fifty times a second, as long as it lives
        return [Kept(shard, record.offset + 1, record.item) for record in map(batches.record, found)]

    def event(self, records: Sequence[Kept]) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self._envelope.event(record.item for record in records))
        return event

    def grow(self) -> None:
        wanted = self._partitions() + 1
        for grown in self._admin.create_partitions([NewPartitions(self.stream, wanted)]).values():
            grown.result(SECONDS)
        while self._partitions() < wanted:
            time.sleep(0.05)
        for stale in ("_producer", "_consumer"):  # a new one knows of the new partition at once
            self.__dict__.pop(stale, None)

    def _partitions(self) -> int:
        return len(self._admin.list_topics(self.stream, timeout=SECONDS).topics[self.stream].partitions)

    @functools.cached_property
    def _producer(self) -> Producer:
        return Producer({**self._where, "partitioner": "murmur2_random", "enable.idempotence": True, "linger.ms": 5})

    @functools.cached_property
    def _consumer(self) -> Consumer:
        own = {"group.id": f"reads {self.stream}", "enable.auto.commit": False, "fetch.wait.max.ms": 20}
        return Consumer({**self._where, **own})


def arrival(record: Kept) -> datetime:
    """Tell when a broker took a record."""
    return datetime.fromtimestamp(record.item.arrived / 1000, timezone.utc)
