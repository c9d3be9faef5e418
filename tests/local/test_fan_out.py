"""Enhanced fan-out: a mapping over a registered consumer has each shard's 2 MB/s to itself."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from moto.kinesis.models import kinesis_backends

from local.cloud import Cloud
from local.streams import Entry
from tests.local.builders import make_stream, noted, put, recording_function, stream_arn, until


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


@pytest.mark.parametrize("own", [False, True])
def test_a_consumer_reads_its_own_bytes_and_leaves_the_stream_s_to_others(cloud: Cloud, notes: Path, own: bool) -> None:
    """Kinesis guide, "Enhanced fan-out": 2 MB/s for each consumer, where all other readers share 2 MB/s."""
    stream = make_stream(cloud)
    shard = kinesis_backends[cloud.account][cloud.region].streams[stream].shards["shardId-000000000000"]
    shard.append([Entry("user", bytes(1_000_000)) for _ in range(8)])
    cloud.client("lambda").create_event_source_mapping(
        EventSourceArn=register(cloud, stream) if own else stream_arn(stream),
        FunctionName=recording_function(cloud, notes, ""),
        StartingPosition="TRIM_HORIZON",
    )
    until(lambda: len(noted(notes)) == 1)

    assert read_allowed(cloud, stream) is own  # 4 MB in a batch: who shares them waits a second


def read_allowed(cloud: Cloud, stream: str) -> bool:
    kinesis = cloud.client("kinesis")
    place = {"StreamName": stream, "ShardId": "shardId-000000000000", "ShardIteratorType": "LATEST"}
    try:
        kinesis.get_records(ShardIterator=kinesis.get_shard_iterator(**place)["ShardIterator"])
    except kinesis.exceptions.ProvisionedThroughputExceededException:
        return False
    return True


def test_a_consumer_s_mapping_keeps_to_two_megabytes_a_second(cloud: Cloud, notes: Path) -> None:
    stream = make_stream(cloud)
    shard = kinesis_backends[cloud.account][cloud.region].streams[stream].shards["shardId-000000000000"]
    shard.append([Entry("user", bytes(1_000_000)) for _ in range(7)])
    began = time.monotonic()
    cloud.client("lambda").create_event_source_mapping(
        EventSourceArn=register(cloud, stream),
        FunctionName=recording_function(cloud, notes, ""),
        StartingPosition="TRIM_HORIZON",
        BatchSize=1,
    )
    until(lambda: sum(map(len, noted(notes))) == 7)

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
