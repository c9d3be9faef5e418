"""Let the producer send to a Kafka topic: the same frames, the same report, another way to the broker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

SECONDS = 20.0
CONFIG: dict[str, Any] = {
    "acks": "all",
    "enable.idempotence": True,
    "linger.ms": 0,  # frames are batches already
    "message.max.bytes": (1 << 20) + (1 << 16),  # a frame of 1 MiB with its key and what a batch says of it
    "delivery.timeout.ms": int(SECONDS * 1000),
    "partitioner": "murmur2_random",  # as Java's clients: a key's partition is the same whoever sends
}
"""What confluent_kafka.Producer should be told beside the brokers' addresses."""

FULL = "_QUEUE_FULL"
PASSING = {FULL: "ProvisionedThroughputExceededException", "POLICY_VIOLATION": "ProvisionedThroughputExceededException"}


class NotTaken(RuntimeError):
    """A record that the topic has not taken for certain; the message says why."""


class Client(Protocol):
    """What is used of confluent_kafka.Producer."""

    def produce(self, topic: str, *, value: bytes, key: str, on_delivery: Callable[[Any, Any], None]) -> None:
        """Take a message."""

    def flush(self, timeout: float) -> int:
        """Wait until all is delivered or has failed; return how many messages wait still."""


class KafkaTopics:
    """Stands where the producer expects boto3's Kinesis client: streams are topics, a partition key is a message's key.

    Producer("rivermill-events", client=KafkaTopics(confluent_kafka.Producer({**CONFIG, "bootstrap.servers": …})))
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def put_records(self, *, StreamName: str, Records: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Send records and wait for the brokers' answer to each; those without one are reported as failed."""
        outcomes: list[dict[str, Any]] = [{"ErrorCode": "TimedOut"} for _ in Records]
        for record, outcome in zip(Records, outcomes, strict=True):
            self._produce(StreamName, record, outcome)
        self._client.flush(SECONDS)
        return {"FailedRecordCount": sum("ErrorCode" in each for each in outcomes), "Records": outcomes}

    def put_record(self, *, StreamName: str, Data: bytes, PartitionKey: str) -> dict[str, Any]:
        """Send one record; raises NotTaken, with the reason, for one that the brokers have not confirmed."""
        answer = self.put_records(StreamName=StreamName, Records=[{"Data": Data, "PartitionKey": PartitionKey}])
        outcome: dict[str, Any] = answer["Records"][0]
        if "ErrorCode" in outcome:
            raise NotTaken(f"{outcome['ErrorCode']}: {outcome.get('ErrorMessage', 'no answer')}; send it again")
        return outcome

    def _produce(self, topic: str, record: dict[str, Any], outcome: dict[str, Any]) -> None:
        def settle(error: Any, message: Any) -> None:
            outcome.clear()
            if error is None:
                outcome.update(ShardId=f"partition-{message.partition():03d}", SequenceNumber=str(message.offset() + 1))
            else:
                outcome.update(ErrorCode=PASSING.get(error.name(), error.name()), ErrorMessage=error.str())

        try:
            self._client.produce(topic, value=record["Data"], key=record["PartitionKey"], on_delivery=settle)
        except BufferError as full:  # librdkafka's queue; the producer waits and sends it again
            outcome.update(ErrorCode=PASSING[FULL], ErrorMessage=str(full))
