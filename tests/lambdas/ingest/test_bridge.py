"""The bridge to a Kafka topic, over a real broker: what is sent, what is refused, what is read again."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from confluent_kafka import Producer

from domain.ingest import bridge as messages
from domain.ingest.bridge import PLAIN, SIGNED, Bridge, Brokers, NotTaken
from lambdas.ingest import bridge
from tests.brokers import CLUSTER, KafkaTopic, Sent
from tests.local.builders import any_name, until

pytestmark = pytest.mark.slow


@dataclass
class Functions:
    """Stands where boto3's Lambda client is: runs the handler here, through JSON, or fails as Lambda says it."""

    fails: bool = False
    calls: list[int] = field(default_factory=list)

    def invoke(self, *, FunctionName: str, Payload: str) -> dict[str, Any]:
        self.calls.append(len(Payload))
        if self.fails:
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(b'{"errorMessage": "it died"}')}
        answer = bridge.handler(json.loads(Payload), None)
        return {"Payload": io.BytesIO(json.dumps(answer).encode())}


@dataclass
class Clusters:
    """Stands where boto3's MSK client is."""

    address: str

    def get_bootstrap_brokers(self, *, ClusterArn: str) -> dict[str, str]:
        return {PLAIN: self.address}


@pytest.fixture
def topic(kafka: str) -> KafkaTopic:
    return KafkaTopic(kafka, any_name("topic"), partitions=2)


@pytest.fixture(scope="module")
def connected(kafka: str) -> Iterator[str]:
    """The broker's address; what the function remembers of it goes before the broker does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GROUP", "bridge")
        patch.setattr(bridge, "SECONDS", 60.0)  # nothing here depends on a machine's speed
        patch.setattr(bridge, "READ_SECONDS", 60.0)
        patch.setitem(bridge.SENDING, "delivery.timeout.ms", 60_000)
        yield kafka
    bridge.settings.cache_clear()
    bridge.producer.cache_clear()
    bridge.consumer.cache_clear()


@pytest.fixture
def beyond(connected: str) -> Bridge:
    return Bridge(Functions(), Clusters(connected), CLUSTER, "rivermill-bridge")


def put(beyond: Bridge, topic: str, records: Sequence[tuple[str, bytes]]) -> list[dict[str, Any]]:
    entries = [{"PartitionKey": key, "Data": data} for key, data in records]
    outcomes: list[dict[str, Any]] = beyond.put_records(StreamName=topic, Records=entries)["Records"]
    return outcomes


def contents(topic: KafkaTopic) -> dict[tuple[str, int], bytes]:
    """Read the topic with the tests' own client."""
    return {
        (shard, kept.sequence): base64.b64decode(json.loads(kept.item.encoded)["value"])
        for shard in topic.shards()
        for kept in topic.read(shard)
    }


def test_records_are_on_the_topic_where_the_answer_says(beyond: Bridge, topic: KafkaTopic) -> None:
    sent = [(f"u-{n % 5}", f"event {n} \u00e9".encode()) for n in range(40)]

    outcomes = put(beyond, topic.stream, sent)

    places = [(outcome["ShardId"], int(outcome["SequenceNumber"])) for outcome in outcomes]
    assert contents(topic) == {place: data for place, (_, data) in zip(places, sent, strict=True)}


def test_records_of_one_key_stand_in_the_order_in_which_they_were_sent(beyond: Bridge, topic: KafkaTopic) -> None:
    outcomes = put(beyond, topic.stream, [("u-1", str(n).encode()) for n in range(200)])

    assert len({outcome["ShardId"] for outcome in outcomes}) == 1
    positions = [int(outcome["SequenceNumber"]) for outcome in outcomes]
    assert positions == sorted(positions)


def test_a_key_goes_where_other_clients_send_it(beyond: Bridge, topic: KafkaTopic) -> None:
    keys = [f"u-{n}" for n in range(20)]
    topic.put([Sent(key, b"theirs") for key in keys])
    theirs = {
        base64.b64decode(json.loads(kept.item.encoded)["key"]).decode(): shard
        for shard in topic.shards()
        for kept in topic.read(shard)
    }

    outcomes = put(beyond, topic.stream, [(key, b"ours") for key in keys])

    assert {key: outcome["ShardId"] for key, outcome in zip(keys, outcomes, strict=True)} == theirs


def test_a_record_that_is_too_large_is_refused_and_its_neighbours_are_not(beyond: Bridge, topic: KafkaTopic) -> None:
    outcomes = put(beyond, topic.stream, [("a", b"1"), ("b", b"x" * 1_200_000), ("c", b"3")])

    assert [outcome.get("ErrorCode") for outcome in outcomes] == [None, "MSG_SIZE_TOO_LARGE", None]
    assert sorted(contents(topic).values()) == [b"1", b"3"]


def test_a_record_of_the_largest_size_passes(beyond: Bridge, topic: KafkaTopic) -> None:
    data = b"x" * ((1 << 20) - 3)

    assert "ErrorCode" not in put(beyond, topic.stream, [("u-1", data)])[0]
    assert list(contents(topic).values()) == [data]


def test_more_than_a_call_takes_goes_in_several(beyond: Bridge, topic: KafkaTopic) -> None:
    put(beyond, topic.stream, [(f"u-{n}", bytes(1_000_000)) for n in range(6)])

    assert len(contents(topic)) == 6
    assert len(beyond.functions.calls) > 1
    assert max(beyond.functions.calls) < 6_000_000


def test_a_topic_that_is_not_there_takes_nothing_and_says_so(beyond: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "SECONDS", 0.5)

    with pytest.raises(NotTaken):
        beyond.put_record(StreamName=any_name("none"), Data=b"1", PartitionKey="a")
    bridge.producer.cache_clear()  # it still waits for that topic


def test_a_function_that_fails_fails_each_record(kafka: str) -> None:
    beyond = Bridge(Functions(fails=True), Clusters(kafka), CLUSTER, "rivermill-bridge")

    assert put(beyond, "any", [("a", b"1"), ("b", b"2")]) == [{"ErrorCode": "InternalFailure"}] * 2


def test_a_stretch_of_a_partition_is_read_as_it_stands_with_the_brokers_time(beyond: Bridge, topic: KafkaTopic) -> None:
    outcomes = put(beyond, topic.stream, [("u-1", str(n).encode()) for n in range(30)])
    shard = outcomes[0]["ShardId"]

    found = list(beyond.records(topic.stream, shard, 5, 9))

    assert [(record.position, record.data) for record in found] == [(n, str(n - 1).encode()) for n in range(5, 10)]
    assert all(abs(record.arrived_at - datetime.now(timezone.utc)) < timedelta(hours=1) for record in found)


def test_a_stretch_beyond_what_an_answer_holds_is_read_in_pieces(
    beyond: Bridge, topic: KafkaTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = put(beyond, topic.stream, [("u-1", b"x" * 900 + str(n).encode()) for n in range(30)])
    monkeypatch.setattr(bridge, "LARGEST_LOAD", 5_000)
    before = len(beyond.functions.calls)

    found = list(beyond.records(topic.stream, outcomes[0]["ShardId"], 1, 10**9))

    assert [record.position for record in found] == list(range(1, 31))
    assert len(beyond.functions.calls) - before == 8  # four records of 1,204 characters each


def test_of_another_clusters_partition_and_of_an_empty_one_nothing_is_read(beyond: Bridge, topic: KafkaTopic) -> None:
    assert list(beyond.records(topic.stream, "partition-000-aaaaaaaa", 1, 9)) == []
    assert list(beyond.records(topic.stream, topic.shards()[0], 1, 9)) == []


def test_a_message_without_a_value_is_read_as_no_bytes(beyond: Bridge, topic: KafkaTopic, kafka: str) -> None:
    client = Producer({"bootstrap.servers": kafka})
    client.produce(topic.stream, None, "u-1", partition=0)
    client.flush(30)

    assert [record.data for record in beyond.records(topic.stream, topic.shards()[0], 1, 1)] == [b""]


def test_where_a_cluster_is_reached_only_with_iam_the_client_signs_for_its_region() -> None:
    brokers = Brokers.of(CLUSTER, {SIGNED: "b-1.rivermill.kafka.us-east-1.amazonaws.com:9098"})

    found = bridge.way(brokers)

    assert found["security.protocol"] == "SASL_SSL"
    assert (found["sasl.mechanism"], found["sasl.oauthbearer.config"]) == ("OAUTHBEARER", "us-east-1")
    assert Brokers.read(json.loads(json.dumps(brokers.write()))) == brokers


def test_the_real_client_takes_these_settings_and_asks_for_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "ASIAEXAMPLE")
    signed: list[tuple[str, float]] = []
    token = bridge.token

    def noted(region: str) -> tuple[str, float]:
        signed.append(token(region))
        return signed[-1]

    monkeypatch.setattr(bridge, "token", noted)
    client = Producer({**bridge.SENDING, **bridge.way(Brokers("127.0.0.1:1", "eu-central-1"))})
    until(lambda: client.poll(0.1) or signed)
    [(text, expires)] = signed[:1]
    asked = urlsplit(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode())
    parts = parse_qs(asked.query)

    assert (asked.hostname, parts["Action"]) == ("kafka.eu-central-1.amazonaws.com", ["kafka-cluster:Connect"])
    assert "/eu-central-1/kafka-cluster/" in parts["X-Amz-Credential"][0]
    assert parts["X-Amz-Expires"] == ["900"]
    assert 0 < expires - datetime.now(timezone.utc).timestamp() <= 900


def test_without_a_bridge_the_stream_is_kinesis() -> None:
    assert messages.connect(lambda service: service, "", "") == "kinesis"
