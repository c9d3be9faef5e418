"""The batches that Lambda gave up: the queue holds their places, the stream their records as long as it keeps them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from domain.ingest.batch import SEQUENCE_DIGITS
from domain.ingest.receipts import followed, read_receipt, shard_prefix
from domain.ingest.redrive import FAILED_BATCH, Aside
from domain.ingest.shards import partition_name, stream_name
from lambdas.ingest.bucket import Bucket
from lambdas.ingest.stream import Broker, Kept

MESSAGES_A_CALL = 10
HIDDEN_SECONDS = 900  # longer than the function may run


@dataclass(frozen=True, slots=True)
class Place:
    """A range of a shard."""

    stream: str
    shard: str
    first: int
    last: int

    def report(self, lost: int) -> dict[str, Any]:
        """Name the place of records that the stream no longer holds."""
        return {"shard": self.shard, "first": str(self.first), "last": str(self.last), "lost": lost}


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A batch that was given up: its place, with Kafka one for each partition, and its message's handle."""

    places: tuple[Place, ...]
    records: int
    handle: str

    @classmethod
    def read(cls, message: dict[str, Any]) -> GivenUp:
        """Read a message."""
        said = json.loads(message["Body"])
        if "KafkaBatchInfo" in said:
            info = said["KafkaBatchInfo"]
            return cls(tuple(of_topic(info)), int(info["batchSize"]), message["ReceiptHandle"])
        info = said["KinesisBatchInfo"]
        return cls((of_stream(info),), int(info["batchSize"]), message["ReceiptHandle"])

    def lost(self, place_to_kept: Mapping[Place, int]) -> list[dict[str, Any]]:
        """Report what the stream no longer holds, from how many records of each place it does."""
        missing = self.records - sum(place_to_kept.values())
        if missing <= 0:
            return []
        if len(self.places) == 1:
            return [self.places[0].report(missing)]
        short = {place: place.last - place.first + 1 - kept for place, kept in place_to_kept.items()}
        return [place.report(records) for place, records in short.items() if records > 0]


def of_stream(info: Mapping[str, Any]) -> Place:
    """Read the place of a batch (Lambda guide, "Capturing discarded batches for a Kinesis event source")."""
    first, last = int(info["startSequenceNumber"]), int(info["endSequenceNumber"])
    return Place(stream_name(info["streamArn"]), info["shardId"], first, last)


def of_topic(info: Mapping[str, Any]) -> Iterator[Place]:
    """Read the places of a batch (Lambda guide, "Capturing discarded batches for an Amazon MSK event source")."""
    for partition, span in info["recordsInfo"].items():
        topic, _, number = partition.rpartition("-")
        first, last = (int(span[f"{end}RecordOffset"]) + 1 for end in ("first", "last"))  # positions follow offsets
        yield Place(topic, partition_name(info["eventSourceArn"], int(number)), first, last)


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue of batches given up; `client` is boto3's SQS client."""

    client: Any
    url: str

    def batches(self) -> Iterator[GivenUp]:
        """Read what waits, each once: a message that was read stays hidden until it is shown again."""
        while messages := self.client.receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=MESSAGES_A_CALL, VisibilityTimeout=HIDDEN_SECONDS
        ).get("Messages"):
            yield from map(GivenUp.read, messages)

    def done(self, batch: GivenUp) -> None:
        """Forget a batch."""
        self.client.delete_message(QueueUrl=self.url, ReceiptHandle=batch.handle)

    def show_again(self, batch: GivenUp) -> None:
        """Leave a batch to the next reader at once."""
        self.client.change_message_visibility(QueueUrl=self.url, ReceiptHandle=batch.handle, VisibilityTimeout=0)


def rescue(bucket: Bucket, broker: Broker, batch: GivenUp) -> tuple[list[Aside], list[dict[str, Any]]]:
    """Read a batch's records that no receipt covers; report those that neither stream nor lake holds.

    A batch is cut in halves before it is given up, and another half may have landed: receipts know.
    """
    place_to_kept = {place: broker.read(place.shard, place.first, place.last) for place in batch.places}
    asides = [aside for place, kept in place_to_kept.items() for aside in uncovered(bucket, place, kept)]
    return asides, batch.lost({place: len(kept) for place, kept in place_to_kept.items()})


def uncovered(bucket: Bucket, place: Place, kept: Sequence[Kept]) -> Iterator[Aside]:
    """Leave out the records that receipts cover."""
    covered = spans(bucket, place)
    for record in kept:
        if not any(first <= record.sequence <= last for first, last in covered):
            sequence = str(record.sequence).zfill(SEQUENCE_DIGITS)
            yield Aside(place.shard, sequence, record.payload, FAILED_BATCH, record.arrived_at)


def spans(bucket: Bucket, place: Place) -> list[tuple[int, int]]:
    """List the ranges that receipts cover around a place: those that follow its positions, and the one before."""
    keys = bucket.keys(shard_prefix(place.stream, place.shard))
    later: list[str] = []
    for key in keys:
        later.append(key)
        if followed(key) < place.first:
            break
    near = [key for key in later if followed(key) <= place.last]
    receipts = [read_receipt(bucket.get(key)) for key in near]
    return [(receipt.first, receipt.last) for receipt in receipts]
