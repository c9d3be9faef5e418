"""Event source mappings from MSK. Source: AWS Lambda Developer Guide, "Using Lambda with Amazon MSK"."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from confluent_kafka import Consumer, TopicPartition

from local.cloud import Cloud
from local.kafka import reader
from tests.local.builders import Clock, control, lag, make_queue, messages, until
from tests.local.kafka.builders import (
    bootstrap,
    events,
    handled,
    make_cluster,
    make_topic,
    map_topic,
    noted,
    recording_function,
    send,
)

pytestmark = pytest.mark.slow

FULL = {"MaximumBatchingWindowInSeconds": 300}
"""A batch ends when it is full, however slowly the broker gives its records."""


@pytest.fixture(scope="module")
def cluster(cloud: Cloud) -> str:
    return make_cluster(cloud)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


def numbered(count: int, start: int = 0) -> list[str]:
    return [str(place) for place in range(start, start + count)]


def committed(cloud: Cloud, cluster: str, topic: str, group: str) -> int:
    client = Consumer({"bootstrap.servers": bootstrap(cloud, cluster), "group.id": group})
    return int(client.committed([TopicPartition(topic, 0)], timeout=120)[0].offset)


def test_an_event_is_as_documented(hurried: Cloud, cluster: str, notes: Path) -> None:
    address, topic = bootstrap(hurried, cluster), make_topic(hurried, cluster, message_timestamp_type="LogAppendTime")
    send(address, topic, ["{}"], key="user", headers=[("trace", b"ab")])
    handled(hurried, map_topic(hurried, cluster, topic, recording_function(hurried, notes)))

    [event] = [event["event"] for event in events(notes)]
    [record] = event["records"].pop(f"{topic}-0")
    assert event == {"eventSource": "aws:kafka", "eventSourceArn": cluster, "bootstrapServers": address, "records": {}}
    assert abs(record.pop("timestamp") / 1000 - time.time()) < 60
    assert record == {
        "topic": topic,
        "partition": 0,
        "offset": 0,
        "timestampType": "LOG_APPEND_TIME",
        "key": "dXNlcg==",
        "value": "e30=",
        "headers": [{"trace": [97, 98]}],
    }


def test_every_record_is_delivered_once_in_order_in_batches_of_at_most_the_batch_size(
    hurried: Cloud, cluster: str, notes: Path
) -> None:
    topic = make_topic(hurried, cluster)
    send(bootstrap(hurried, cluster), topic, numbered(90))
    handled(hurried, map_topic(hurried, cluster, topic, recording_function(hurried, notes), BatchSize=30, **FULL))

    assert noted(notes) == [numbered(30, start) for start in (0, 30, 60)]


def test_a_batch_holds_records_of_several_partitions_each_in_its_order(
    hurried: Cloud, cluster: str, notes: Path
) -> None:
    topic = make_topic(hurried, cluster, 3)
    for partition in range(3):
        send(bootstrap(hurried, cluster), topic, numbered(20, 100 * partition), partition=partition)
    handled(hurried, map_topic(hurried, cluster, topic, recording_function(hurried, notes), BatchSize=60, **FULL))

    [event] = events(notes)
    found = event["records"]
    assert {record["place"] for record in found} == {f"{topic}-{partition}" for partition in range(3)}
    for partition in range(3):
        here = [record["data"] for record in found if record["place"] == f"{topic}-{partition}"]
        assert here == numbered(20, 100 * partition)


def test_a_batch_ends_before_it_passes_six_megabytes(
    hurried: Cloud, cluster: str, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, topic = Clock(), make_topic(hurried, cluster)
    monkeypatch.setattr(reader, "monotonic", clock)
    send(bootstrap(hurried, cluster), topic, ["x" * 900_000] * 8)
    mapping = map_topic(hurried, cluster, topic, recording_function(hurried, notes), BatchSize=10_000)
    until(lambda: noted(notes))  # though no window ended
    assert [len(batch) for batch in noted(notes)] == [5]

    def rest() -> bool:
        clock.seconds += 0.1
        return lag(hurried, mapping) == 0

    until(rest)
    assert max(len(json.dumps(event["event"], separators=(",", ":"))) for event in events(notes)) <= 6 << 20
    assert sum(map(len, noted(notes))) == 8


def test_offsets_are_committed_only_after_success(hurried: Cloud, cluster: str, notes: Path) -> None:
    topic, flag = make_topic(hurried, cluster), notes.with_name("flag")
    send(bootstrap(hurried, cluster), topic, numbered(5))
    body = f"import pathlib\nif not pathlib.Path({str(flag)!r}).exists(): raise ValueError('not yet')"
    function = recording_function(hurried, notes, body)
    own = {"AmazonManagedKafkaEventSourceConfig": {"ConsumerGroupId": f"{topic}-group"}}
    mapping = map_topic(hurried, cluster, topic, function, **own)
    until(lambda: len(noted(notes)) >= 3)
    before = committed(hurried, cluster, topic, f"{topic}-group")
    flag.touch()
    handled(hurried, mapping)

    assert before < 0
    assert committed(hurried, cluster, topic, f"{topic}-group") == 5
    assert noted(notes)[-1] == numbered(5)


def test_a_new_mapping_of_the_same_group_goes_on_where_the_old_one_stood(
    hurried: Cloud, cluster: str, notes: Path
) -> None:
    topic = make_topic(hurried, cluster)
    own = {"AmazonManagedKafkaEventSourceConfig": {"ConsumerGroupId": f"{topic}-group"}}
    function = recording_function(hurried, notes)
    send(bootstrap(hurried, cluster), topic, numbered(5))
    first = map_topic(hurried, cluster, topic, function, **own)
    handled(hurried, first)
    hurried.client("lambda").delete_event_source_mapping(UUID=first)
    send(bootstrap(hurried, cluster), topic, numbered(5, 5))
    handled(hurried, map_topic(hurried, cluster, topic, function, **own))

    assert [text for batch in noted(notes) for text in batch] == numbered(10)


def test_a_failing_batch_is_halved_and_what_is_left_of_it_reported(hurried: Cloud, cluster: str, notes: Path) -> None:
    url, queue = make_queue(hurried)
    topic = make_topic(hurried, cluster)
    send(bootstrap(hurried, cluster), topic, ["a", "b", "poison", "d"])
    function = recording_function(
        hurried, notes, "if any(r['data'] == 'poison' for r in records): raise ValueError('bad')"
    )
    rules = {"BisectBatchOnFunctionError": True, "MaximumRetryAttempts": 1}
    report = {"OnFailure": {"Destination": queue}}
    mapping = map_topic(hurried, cluster, topic, function, BatchSize=4, DestinationConfig=report, **rules, **FULL)
    handled(hurried, mapping)

    [told] = [json.loads(body) for body in until(lambda: messages(hurried, url))]
    place = told["KafkaBatchInfo"]["recordsInfo"][f"{topic}-0"]
    assert noted(notes) == [["a", "b", "poison", "d"], ["a", "b"], ["poison", "d"], ["poison"], ["poison"], ["d"]]
    assert (place["firstRecordOffset"], place["lastRecordOffset"]) == ("2", "2")
    assert told["KafkaBatchInfo"]["batchSize"] == 1
    assert told["requestContext"]["condition"] == "RetryAttemptsExhausted"


def test_of_a_partly_failed_batch_only_what_failed_is_retried(hurried: Cloud, cluster: str, notes: Path) -> None:
    topic = make_topic(hurried, cluster)
    send(bootstrap(hurried, cluster), topic, numbered(4))
    body = f"""
        if len(records) == 1: return None
        return {{"batchItemFailures": [{{"itemIdentifier": {{"partition": "{topic}-0", "offset": 2}}}}]}}
    """
    function = recording_function(hurried, notes, body)
    asked = {"FunctionResponseTypes": ["ReportBatchItemFailures"]}
    handled(hurried, map_topic(hurried, cluster, topic, function, BatchSize=4, **asked, **FULL))

    assert noted(notes) == [numbered(4), ["2"]]


def test_with_a_destination_endless_retries_are_ten(hurried: Cloud, cluster: str, notes: Path) -> None:
    url, queue = make_queue(hurried)
    topic = make_topic(hurried, cluster)
    send(bootstrap(hurried, cluster), topic, ["poison"])
    function = recording_function(hurried, notes, "raise ValueError('bad')")
    handled(
        hurried, map_topic(hurried, cluster, topic, function, DestinationConfig={"OnFailure": {"Destination": queue}})
    )

    assert len(noted(notes)) == 11
    assert json.loads(until(lambda: messages(hurried, url))[0])["requestContext"]["approximateInvokeCount"] == 11


def test_records_past_their_age_are_given_up(hurried: Cloud, cluster: str, notes: Path) -> None:
    topic = make_topic(hurried, cluster)
    old = int((time.time() - 3600) * 1000)
    send(bootstrap(hurried, cluster), topic, ["old"], timestamp=old)
    send(bootstrap(hurried, cluster), topic, ["new"])
    handled(
        hurried, map_topic(hurried, cluster, topic, recording_function(hurried, notes), MaximumRecordAgeInSeconds=600)
    )

    assert noted(notes) == [["new"]]


@pytest.mark.parametrize("position", ["LATEST", "AT_TIMESTAMP"])
def test_a_mapping_begins_where_it_says(hurried: Cloud, cluster: str, notes: Path, position: str) -> None:
    topic = make_topic(hurried, cluster)
    send(bootstrap(hurried, cluster), topic, ["before"], timestamp=int((time.time() - 3600) * 1000))
    moment = {"StartingPositionTimestamp": time.time() - 60} if position == "AT_TIMESTAMP" else {}
    map_topic(hurried, cluster, topic, recording_function(hurried, notes), StartingPosition=position, **moment)

    def told() -> bool:
        """Send again what came too early: LATEST is where the group finds the end when it first looks."""
        send(bootstrap(hurried, cluster), topic, ["after"])
        time.sleep(0.5)
        return bool(noted(notes))

    until(told)
    assert {text for batch in noted(notes) for text in batch} == {"after"}


def test_partitions_added_later_are_read_too(hurried: Cloud, cluster: str, notes: Path) -> None:
    topic = make_topic(hurried, cluster)
    mapping = map_topic(hurried, cluster, topic, recording_function(hurried, notes))
    handled(hurried, mapping)
    hurried.client("kafka").update_topic(ClusterArn=cluster, TopicName=topic, PartitionCount=2)
    until(lambda: hurried.client("kafka").describe_topic(ClusterArn=cluster, TopicName=topic)["PartitionCount"] == 2)
    send(bootstrap(hurried, cluster), topic, ["there"], partition=1)
    until(lambda: noted(notes))

    assert noted(notes) == [["there"]]


def test_a_mapping_that_is_switched_off_delivers_nothing(hurried: Cloud, cluster: str, notes: Path) -> None:
    topic = make_topic(hurried, cluster)
    mapping = map_topic(hurried, cluster, topic, recording_function(hurried, notes), Enabled=False)
    send(bootstrap(hurried, cluster), topic, ["waits"])
    time.sleep(1)
    before = (noted(notes), lag(hurried, mapping))
    hurried.client("lambda").update_event_source_mapping(UUID=mapping, Enabled=True)
    handled(hurried, mapping)

    assert before == ([], 1)
    assert noted(notes) == [["waits"]]


def test_a_batch_can_be_delivered_twice_on_purpose(hurried: Cloud, cluster: str, notes: Path) -> None:
    topic, function = make_topic(hurried, cluster), recording_function(hurried, notes)
    control(hurried, "/_cloud/faults", [{"fault": "duplicate", "function": function, "nth": 1}])
    send(bootstrap(hurried, cluster), topic, ["twice"])
    handled(hurried, map_topic(hurried, cluster, topic, function))
    control(hurried, "/_cloud/faults", [])

    assert noted(notes) == [["twice"], ["twice"]]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ProvisionedPollerConfig": {}, "BisectBatchOnFunctionError": True}, "in provisioned mode only"),
        ({"ProvisionedPollerConfig": {"MinimumPollers": 9, "MaximumPollers": 3}}, "must be 1 to 200 to 2000"),
        ({"ParallelizationFactor": 2}, "add partitions"),
        ({"StartingPosition": "NOWHERE"}, "TRIM_HORIZON, LATEST, AT_TIMESTAMP"),
        ({"BatchSize": 10_001}, "BatchSize 10001: must be between 1 and 10000"),
    ],
)
def test_settings_that_aws_refuses_are_refused(
    hurried: Cloud, cluster: str, notes: Path, settings: dict[str, Any], said: str
) -> None:
    function = recording_function(hurried, notes)
    asked = {"StartingPosition": "LATEST", "Topics": ["any"], **settings}
    with pytest.raises(ClientError, match=said):
        hurried.client("lambda").create_event_source_mapping(EventSourceArn=cluster, FunctionName=function, **asked)
