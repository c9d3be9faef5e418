"""The batches that Lambda gave up: the queue holds their places, the stream their records as long as it keeps them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from domain.ingest.batch import SEQUENCE_DIGITS
from domain.ingest.receipts import followed, read_receipt, shard_prefix
from domain.ingest.redrive import FAILED_BATCH, Aside
from lambdas.ingest.bucket import Bucket
from lambdas.ingest.stream import Broker

MESSAGES_A_CALL = 10
HIDDEN_SECONDS = 900  # longer than the function may run


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A range of a shard that was given up, and the handle by which its message is deleted."""

    stream: str
    shard: str
    first: int
    last: int
    records: int
    handle: str

    @classmethod
    def read(cls, message: dict[str, Any]) -> GivenUp:
        """Read a message (Lambda guide, "Capturing discarded batches for a Kinesis event source")."""
        said = json.loads(message["Body"])["KinesisBatchInfo"]
        return cls(
            stream=said["streamArn"].partition(":stream/")[2].partition("/")[0],  # a consumer's ARN says more
            shard=said["shardId"],
            first=int(said["startSequenceNumber"]),
            last=int(said["endSequenceNumber"]),
            records=int(said["batchSize"]),
            handle=message["ReceiptHandle"],
        )

    def report(self, lost: int) -> dict[str, Any]:
        """Name the place of records that the stream no longer holds."""
        return {"shard": self.shard, "first": str(self.first), "last": str(self.last), "lost": lost}


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


def rescue(bucket: Bucket, broker: Broker, batch: GivenUp) -> tuple[list[Aside], int]:
    """Read a batch's records that no receipt covers; tell how many of the batch neither stream nor lake holds.

    A batch is cut in halves before it is given up, and another half may have landed: receipts know.
    """
    covered = spans(bucket, batch)
    kept = broker.read(batch.shard, batch.first, batch.last)
    asides = [
        Aside(batch.shard, str(record.sequence).zfill(SEQUENCE_DIGITS), record.payload, FAILED_BATCH, record.arrived_at)
        for record in kept
        if not any(first <= record.sequence <= last for first, last in covered)
    ]
    return asides, max(0, batch.records - len(kept))


def spans(bucket: Bucket, batch: GivenUp) -> list[tuple[int, int]]:
    """List the ranges that receipts cover around a batch: those that follow its positions, and the one before."""
    keys = bucket.keys(shard_prefix(batch.stream, batch.shard))
    later: list[str] = []
    for key in keys:
        later.append(key)
        if followed(key) < batch.first:
            break
    near = [key for key in later if followed(key) <= batch.last]
    receipts = [read_receipt(bucket.get(key)) for key in near]
    return [(receipt.first, receipt.last) for receipt in receipts]
