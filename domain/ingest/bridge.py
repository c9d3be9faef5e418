"""Reach a Kafka topic from outside its network: a function inside it carries records there and back.

What both ends say to each other is written here, each message by one side and read by the other.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, NamedTuple

from domain.ingest.shards import partition_name, partition_number

LARGEST_LOAD = 5_000_000
"""Characters of records in one call, encoded; a call takes 6 MB and an answer holds as many (Lambda quotas)."""

FAILED = "InternalFailure"

PLAIN, SIGNED = "BootstrapBrokerString", "BootstrapBrokerStringSaslIam"
"""How MSK names the ways in: without TLS, which a cluster must be told to have, and signed with IAM over TLS."""


class NotTaken(RuntimeError):
    """A record that the topic did not take; the message is the code."""


class BridgeFailed(RuntimeError):
    """The function in the network failed; the message is its own."""


class Brokers(NamedTuple):
    """Where a cluster's brokers are, and the region that requests are signed for; none where nothing is signed."""

    addresses: str
    region: str

    @classmethod
    def of(cls, cluster: str, answer: Mapping[str, Any]) -> Brokers:
        """Read MSK's answer to GetBootstrapBrokers."""
        if PLAIN in answer:
            return cls(answer[PLAIN], "")
        return cls(answer[SIGNED], cluster.split(":")[3])

    def write(self) -> dict[str, str]:
        """Write it for the function in the network, which cannot ask MSK."""
        return {"brokers": self.addresses, "region": self.region}

    @classmethod
    def read(cls, event: Mapping[str, Any]) -> Brokers:
        """Read it there."""
        return cls(event["brokers"], event["region"])


class Record(NamedTuple):
    """A record of a topic: the position that a group would commit after it, when it came, its bytes."""

    position: int
    arrived_at: datetime
    data: bytes

    def write(self) -> dict[str, Any]:
        """Write it for the caller."""
        milliseconds = round(self.arrived_at.timestamp() * 1000)
        return {"position": self.position, "at": milliseconds, "data": base64.b64encode(self.data).decode()}

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> Record:
        """Read it there."""
        arrived = datetime.fromtimestamp(said["at"] / 1000, timezone.utc)
        return cls(said["position"], arrived, base64.b64decode(said["data"]))


@dataclass(slots=True)
class Bridge:
    """Stands where boto3's Kinesis client is expected: a stream is a topic, a partition key is a message's key.

    `functions` and `clusters` are boto3's clients of Lambda and of MSK (`kafka`).  What they raise passes.
    """

    functions: Any
    clusters: Any
    cluster: str
    function: str
    _brokers: Brokers | None = field(default=None, init=False)

    def put_record(self, *, StreamName: str, Data: bytes, PartitionKey: str) -> dict[str, Any]:
        """Send one record; raises NotTaken."""
        answer = self.put_records(StreamName=StreamName, Records=[{"Data": Data, "PartitionKey": PartitionKey}])
        outcome: dict[str, Any] = answer["Records"][0]
        if "ErrorCode" in outcome:
            raise NotTaken(outcome["ErrorCode"])
        return outcome

    def put_records(self, *, StreamName: str, Records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Send records, those of one key in their order; say of each where it is, or why it is not."""
        outcomes = [outcome for load in loads(Records) for outcome in self._put(StreamName, load)]
        failed = sum("ErrorCode" in outcome for outcome in outcomes)
        if failed == len(outcomes):
            self._brokers = None  # they may have other addresses now
        return {"FailedRecordCount": failed, "Records": outcomes}

    def records(self, topic: str, shard: str, first: int, last: int) -> Iterator[Record]:
        """Read a partition's records from one position to another, both included, as far as they are still held."""
        partition = partition_number(self.cluster, shard)
        after: int | None = None if partition is None else first - 1
        while after is not None and after < last:
            asked = {"topic": topic, "partition": partition, "after": after, "last": last}
            answer = self._ask(asked)
            yield from map(Record.read, answer["found"])
            after = answer["after"] if answer["found"] else None  # what is left are places without a record

    def _put(self, topic: str, load: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
        try:
            told = self._ask({"topic": topic, "records": load})["taken"]
        except BridgeFailed:  # its own log has the reason; as with any failure, records may be there
            return [{"ErrorCode": FAILED} for _ in load]
        return [self._outcome(each) for each in told]

    def _outcome(self, taken: Mapping[str, Any]) -> dict[str, Any]:
        if "error" in taken:
            return {"ErrorCode": taken["error"]}
        return {
            "ShardId": partition_name(self.cluster, taken["partition"]),
            "SequenceNumber": str(taken["position"]),
        }

    def _ask(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        if self._brokers is None:
            self._brokers = Brokers.of(self.cluster, self.clusters.get_bootstrap_brokers(ClusterArn=self.cluster))
        payload = json.dumps({**self._brokers.write(), **asked})
        answer = self.functions.invoke(FunctionName=self.function, Payload=payload)
        told: dict[str, Any] = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise BridgeFailed(f"{self.function}: {told.get('errorMessage', told)}")
        return told


def loads(records: Sequence[Mapping[str, Any]]) -> Iterator[list[dict[str, str]]]:
    """Write records for the function, as many to a call as it takes.

    >>> [len(load) for load in loads([{"Data": b"x" * 2_000_000, "PartitionKey": "u-1"}] * 3)]
    [1, 1, 1]
    """
    load: list[dict[str, str]] = []
    size = 0
    for record in records:
        written = {"key": record["PartitionKey"], "data": base64.b64encode(record["Data"]).decode()}
        cost = len(json.dumps(written))
        if load and size + cost > LARGEST_LOAD:
            yield load
            load, size = [], 0
        load.append(written)
        size += cost
    if load:
        yield load


def connect(client: Callable[[str], Any], cluster: str, function: str) -> Any:
    """Connect to the stream: to Kinesis, or where a function bridges to a cluster, to its topic."""
    return Bridge(client("lambda"), client("kafka"), cluster, function) if function else client("kinesis")
