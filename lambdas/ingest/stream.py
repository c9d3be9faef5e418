"""The stream as redrive sees it: records are sent again, and read again by their place."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from botocore.exceptions import ClientError

from domain.ingest.bridge import Bridge

RECORDS_A_REQUEST = 500  # Kinesis PutRecords
BYTES_A_REQUEST = 5 * 1024 * 1024
TRIES = 8
PAUSE_SECONDS = 0.1
OUT_OF_REACH = ("InvalidArgumentException", "ResourceNotFoundException")  # trimmed, or a shard that is gone


@dataclass(frozen=True, slots=True)
class Taken:
    """Where the stream took a record."""

    shard: str
    sequence: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A record that the stream still holds."""

    sequence: int
    arrived_at: datetime
    payload: bytes


Outgoing = tuple[str, bytes]
"""A partition key and the bytes to send."""


class Broker(Protocol):
    """What redrive asks of a broker; Kafka's topic and partition are its stream and shard."""

    def send(self, records: Sequence[Outgoing]) -> list[Taken | None]:
        """Send records; tell where each was taken, None for one that was not."""

    def read(self, shard: str, first: int, last: int) -> list[Kept]:
        """Read a shard's records from one position to another, both included, as far as they are still held."""


@dataclass(frozen=True, slots=True)
class Kinesis:
    """One stream of Kinesis; `client` is boto3's."""

    client: Any
    stream: str

    def send(self, records: Sequence[Outgoing]) -> list[Taken | None]:
        """Send records; only those that failed are sent again, and only so often."""
        taken: list[Taken | None] = [None] * len(records)
        waiting = list(range(len(records)))
        for number in range(TRIES):
            for request in requests(records, waiting):
                self.put(records, request, taken)
            waiting = [place for place in waiting if taken[place] is None]
            if not waiting:
                break
            time.sleep(PAUSE_SECONDS * 2**number)
        return taken

    def put(self, records: Sequence[Outgoing], request: Sequence[int], taken: list[Taken | None]) -> None:
        """Send one request and note what was taken."""
        entries = [{"PartitionKey": records[place][0], "Data": records[place][1]} for place in request]
        answer = self.client.put_records(StreamName=self.stream, Records=entries)
        for place, said in zip(request, answer["Records"], strict=True):
            if "ErrorCode" not in said:
                taken[place] = Taken(said["ShardId"], said["SequenceNumber"])

    def read(self, shard: str, first: int, last: int) -> list[Kept]:
        """Read a shard's records from one position to another; none if they are trimmed."""
        return [kept for kept in self.from_position(shard, first) if first <= kept.sequence <= last]

    def from_position(self, shard: str, first: int) -> Iterator[Kept]:
        """Read a shard from a position on, or from its oldest record if that is gone."""
        iterator = self.iterator(shard, first)
        while iterator:
            answer = self.client.get_records(ShardIterator=iterator)
            for said in answer["Records"]:
                yield Kept(int(said["SequenceNumber"]), said["ApproximateArrivalTimestamp"], said["Data"])
            if not answer["Records"] and not answer["MillisBehindLatest"]:
                return
            iterator = answer.get("NextShardIterator")

    def iterator(self, shard: str, first: int) -> str | None:
        """Begin at a position; at the oldest record if the position is trimmed; nowhere if the shard is gone."""
        for where in (
            {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": str(first)},
            {"ShardIteratorType": "TRIM_HORIZON"},
        ):
            try:
                found = self.client.get_shard_iterator(StreamName=self.stream, ShardId=shard, **where)
            except ClientError as error:
                if error.response["Error"]["Code"] not in OUT_OF_REACH:
                    raise
            else:
                return str(found["ShardIterator"])
        return None


@dataclass(frozen=True, slots=True)
class Kafka:
    """One topic, beyond a bridge."""

    bridge: Bridge
    topic: str

    def send(self, records: Sequence[Outgoing]) -> list[Taken | None]:
        """Send records, as to a stream."""
        return Kinesis(self.bridge, self.topic).send(records)

    def read(self, shard: str, first: int, last: int) -> list[Kept]:
        """Read a partition's records from one position to another; none if the partition is another cluster's."""
        found = self.bridge.records(self.topic, shard, first, last)
        return [Kept(record.position, record.arrived_at, record.data) for record in found]


def requests(records: Sequence[Outgoing], waiting: Sequence[int]) -> Iterator[list[int]]:
    """Cut what waits into requests that Kinesis takes."""
    request: list[int] = []
    size = 0
    for place in waiting:
        key, payload = records[place]
        cost = len(key.encode()) + len(payload)
        if request and (len(request) == RECORDS_A_REQUEST or size + cost > BYTES_A_REQUEST):
            yield request
            request, size = [], 0
        request.append(place)
        size += cost
    if request:
        yield request
