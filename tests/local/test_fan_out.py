"""Enhanced fan-out: a mapping over a registered consumer has each shard's 2 MB/s to itself."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from moto.kinesis.models import kinesis_backends

from local.buckets import Bucket
from local.cloud import Cloud
from local.streams import Entry
from tests.local.builders import any_name, make_function, make_stream, noted, put, recording_function, stream_arn, until

# Notes how many records came, and not what they hold: a megabyte of each.
COUNTING = """
import os

def handle(event, context):
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(f"{len(event['Records'])}\\n")
"""


def counting_function(cloud: Cloud, notes: Path) -> str:
    return make_function(cloud, COUNTING, Environment={"Variables": {"NOTES": str(notes)}})


def counted(notes: Path) -> int:
    return sum(map(int, notes.read_text().split())) if notes.exists() else 0


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


def register(cloud: Cloud, stream: str, name: str = "mine") -> str:
    """Register a consumer; return its ARN."""
    made = cloud.client("kinesis").register_stream_consumer(StreamARN=stream_arn(stream), ConsumerName=name)
    return str(made["Consumer"]["ConsumerARN"])


def test_a_registered_consumer_is_read_as_its_stream_is(hurried: Cloud, notes: Path) -> None:
    """Lambda guide, "Using AWS Lambda with Kinesis": a consumer's ARN in the place of the stream's."""
    stream, function = make_stream(hurried), recording_function(hurried, notes, "")
    consumer = register(hurried, stream)
    made = hurried.client("lambda").create_event_source_mapping(
        EventSourceArn=consumer, FunctionName=function, StartingPosition="TRIM_HORIZON"
    )
    put(hurried, stream, *map(str, range(30)), key="user")
    until(lambda: sum(map(len, noted(notes))) == 30)

    assert made["EventSourceArn"] == consumer
    assert [data for batch in noted(notes) for data in batch] == list(map(str, range(30)))
    assert re.fullmatch(rf"{re.escape(stream_arn(stream))}/consumer/mine:\d+", consumer)


class Counting(Bucket):
    """A bucket that is never empty, and knows what was taken from it."""

    __slots__ = ("taken",)

    def __init__(self) -> None:
        super().__init__(1e12)
        self.taken = 0.0

    def take(self, amount: float) -> None:
        self.taken += amount


@pytest.mark.parametrize(("own", "shared"), [(False, 8_000_032), (True, 0)])
def test_a_consumer_reads_its_own_bytes_and_leaves_the_stream_s_to_others(
    cloud: Cloud, notes: Path, own: bool, shared: int
) -> None:
    """Kinesis guide, "Enhanced fan-out": 2 MB/s for each consumer, where all other readers share 2 MB/s."""
    stream = make_stream(cloud)
    shard = kinesis_backends[cloud.account][cloud.region].streams[stream].shards["shardId-000000000000"]
    shard._read_bytes = Counting()
    shard.append([Entry("user", bytes(1_000_000)) for _ in range(8)])
    cloud.client("lambda").create_event_source_mapping(
        EventSourceArn=register(cloud, stream) if own else stream_arn(stream),
        FunctionName=counting_function(cloud, notes),
        StartingPosition="TRIM_HORIZON",
    )
    until(lambda: counted(notes) == 8)

    assert shard._read_bytes.taken == shared


@pytest.mark.slow
def test_a_consumer_s_mapping_keeps_to_two_megabytes_a_second(cloud: Cloud, notes: Path) -> None:
    stream = make_stream(cloud)
    shard = kinesis_backends[cloud.account][cloud.region].streams[stream].shards["shardId-000000000000"]
    shard.append([Entry("user", bytes(1_000_000)) for _ in range(7)])
    began = time.monotonic()
    cloud.client("lambda").create_event_source_mapping(
        EventSourceArn=register(cloud, stream),
        FunctionName=counting_function(cloud, notes),
        StartingPosition="TRIM_HORIZON",
        BatchSize=1,
    )
    until(lambda: counted(notes) == 7)

    assert time.monotonic() - began >= 1.8  # 7 MB: one second's worth is saved up, one record may be owed


def test_a_consumer_that_nobody_registered_is_refused(cloud: Cloud, notes: Path) -> None:
    stream, function = make_stream(cloud), recording_function(cloud, notes, "")

    with pytest.raises(ClientError, match="is not registered"):
        cloud.client("lambda").create_event_source_mapping(
            EventSourceArn=f"{stream_arn(stream)}/consumer/nobody:1", FunctionName=function, StartingPosition="LATEST"
        )


def test_a_second_consumer_of_a_name_is_refused(cloud: Cloud) -> None:
    stream = make_stream(cloud)
    register(cloud, stream)

    with pytest.raises(ClientError, match="ResourceInUseException"):
        register(cloud, stream)


def test_a_template_can_register_a_consumer_and_map_it(hurried: Cloud, notes: Path) -> None:
    stream, function = make_stream(hurried), recording_function(hurried, notes, "")
    resources = {
        "Lane": {
            "Type": "AWS::Kinesis::StreamConsumer",
            "Properties": {"ConsumerName": "mine", "StreamARN": stream_arn(stream)},
        },
        "Mapping": {
            "Type": "AWS::Lambda::EventSourceMapping",
            "Properties": {
                "EventSourceArn": {"Fn::GetAtt": ["Lane", "ConsumerARN"]},
                "FunctionName": function,
                "StartingPosition": "TRIM_HORIZON",
                "BatchSize": 10,
            },
        },
    }
    cloudformation, name = hurried.client("cloudformation"), any_name("fan-out")
    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources}))
    put(hurried, stream, *map(str, range(30)), key="user")
    until(lambda: sum(map(len, noted(notes))) == 30)

    [mapping] = hurried.client("lambda").list_event_source_mappings(FunctionName=function)["EventSourceMappings"]
    assert f"{stream_arn(stream)}/consumer/mine:" in mapping["EventSourceArn"]
    cloudformation.delete_stack(StackName=name)
    until(lambda: not hurried.client("kinesis").list_stream_consumers(StreamARN=stream_arn(stream))["Consumers"])
