"""The producer over Kafka: the same report, exact, whatever the brokers answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Producer as KafkaProducer

from clients.decide import rewarded
from clients.producer import Producer
from clients.producer.kafka import CONFIG, KafkaTopics, NotTaken
from domain.experiment.decision import Decision
from domain.ingest.batch import sort
from lambdas.ingest import kafka as adapter
from tests.brokers import KafkaTopic
from tests.ingest_contract.conftest import search


class Failure:
    """An error as confluent_kafka reports it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def name(self) -> str:
        return self._name

    def str(self) -> str:
        return f"because of {self._name}"


class Answer:
    """Where a message stands."""

    def partition(self) -> int:
        return 3

    def offset(self) -> int:
        return 41


class Client:
    """A client whose brokers answer each message as told, and then well."""

    def __init__(self, *answers: str | None) -> None:
        self._answers = iter(answers)
        self._waiting: list[tuple[Callable[[Any, Any], None], str | None]] = []

    def produce(self, topic: str, *, value: bytes, key: str, on_delivery: Callable[[Any, Any], None]) -> None:
        answer = next(self._answers, None)
        if answer == "_QUEUE_FULL":
            raise BufferError("Local: Queue full")
        if answer != "silence":
            self._waiting.append((on_delivery, answer))

    def flush(self, timeout: float) -> int:
        for settle, answer in self._waiting:
            settle(Failure(answer) if answer else None, Answer())
        self._waiting = []
        return 0


def test_a_delivered_record_says_where_it_stands() -> None:
    answer = KafkaTopics(Client()).put_records(StreamName="t", Records=[{"Data": b"x", "PartitionKey": "k"}])

    assert answer == {
        "FailedRecordCount": 0,
        "Records": [{"ShardId": "partition-003", "SequenceNumber": "42"}],
    }


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        ("_QUEUE_FULL", "ProvisionedThroughputExceededException"),
        ("_MSG_TIMED_OUT", "_MSG_TIMED_OUT"),
        ("silence", "TimedOut"),
    ],
)
def test_a_record_that_failed_alone_is_reported_alone(trouble: str, code: str) -> None:
    records = [{"Data": b"x", "PartitionKey": "k"}] * 3
    answer = KafkaTopics(Client(None, trouble)).put_records(StreamName="t", Records=records)

    assert answer["FailedRecordCount"] == 1
    assert [found.get("ErrorCode") for found in answer["Records"]] == [None, code, None]


@pytest.mark.parametrize("trouble", ["_QUEUE_FULL", "_MSG_TIMED_OUT", "silence"])
def test_the_producer_sends_again_what_failed(trouble: str) -> None:
    with Producer("t", client=KafkaTopics(Client(trouble)), linger=0.01) as producer:
        for number in range(10):
            producer.send(search("u", number).data)

    assert producer.report.accepted == producer.report.sent == 10


@pytest.mark.slow
@pytest.mark.parametrize("ordered", [True, False])
def test_a_real_broker_has_every_event_that_the_report_says(kafka: str, ordered: bool) -> None:
    topic = KafkaTopic(kafka, f"client-{ordered}", 4)
    client = KafkaTopics(KafkaProducer({**CONFIG, "bootstrap.servers": kafka, "log_level": 0}))
    with Producer(topic.stream, client=client, ordered=ordered) as producer:
        for number in range(5_000):
            producer.send(search(f"u-{number % 50}", number).data, key=f"u-{number % 50}")
    found = _landed(topic)

    assert producer.report.accepted == 5_000
    assert sum(found) == 5_000


def _landed(topic: KafkaTopic) -> list[int]:
    counts = []
    for shard in topic.shards():
        for (_, name), records in adapter.shards(topic.event(topic.read(shard))):
            counts.append(sort(records, name).landed.get("search", 0))
    return counts


def test_a_reward_is_told_over_kafka_or_the_caller_hears_that_it_was_not() -> None:
    client = Client(None, "TOPIC_AUTHORIZATION_FAILED")
    decision = Decision(
        experiment="ranking", unit="u-1", arm="popular", propensity=0.5, decision_id="x-1", reason="assigned"
    )

    rewarded(decision, 1.0, to=KafkaTopics(client))

    with pytest.raises(NotTaken, match="TOPIC_AUTHORIZATION_FAILED: because of"):
        rewarded(decision, 1.0, to=KafkaTopics(client))
