"""Faults strike where, when and as often as they are told to."""

from __future__ import annotations

import json
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, HTTPClientError

from local.cloud import Cloud
from tests.local.builders import (
    any_name,
    control,
    lag,
    make_function,
    make_stream,
    map_stream,
    meeting,
    noted,
    put,
    recording_function,
    until,
)

pytestmark = pytest.mark.slow

FAULTS = "/_cloud/faults"


@pytest.fixture
def faulty(hurried: Cloud) -> Iterator[Cloud]:
    yield hurried
    control(hurried, FAULTS, [])


def struck(cloud: Cloud) -> list[int]:
    return [fault["struck"] for fault in control(cloud, FAULTS)]


def test_a_throttled_put_fails_in_part_and_what_failed_is_not_written(faulty: Cloud) -> None:
    stream = make_stream(faulty)
    control(faulty, FAULTS, [{"fault": "throttle", "stream": stream, "share": 0.3, "times": 1, "seed": 7}])
    first, second = put(faulty, stream, *(str(n) for n in range(200))), put(faulty, stream, "x")

    refused = [outcome for outcome in first["Records"] if outcome.get("ErrorCode")]
    assert first["FailedRecordCount"] == len(refused)
    assert 30 <= len(refused) <= 90
    assert {outcome["ErrorCode"] for outcome in refused} == {"ProvisionedThroughputExceededException"}
    assert second["FailedRecordCount"] == 0
    assert struck(faulty) == [1]
    kinesis = faulty.client("kinesis")
    place = {"StreamName": stream, "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"}
    held = kinesis.get_records(ShardIterator=kinesis.get_shard_iterator(**place)["ShardIterator"])["Records"]
    assert len(held) == 200 - len(refused) + 1


def test_the_same_seed_breaks_the_same_records(faulty: Cloud) -> None:
    stream = make_stream(faulty)
    broken = []
    for _ in range(2):
        control(faulty, FAULTS, [{"fault": "throttle", "stream": stream, "seed": 11}])
        answer = put(faulty, stream, *(str(n) for n in range(100)))
        broken.append([place for place, outcome in enumerate(answer["Records"]) if outcome.get("ErrorCode")])

    assert broken[0] == broken[1]
    assert broken[0]


def test_a_whole_put_can_be_refused_and_a_record_can_meet_an_internal_failure(faulty: Cloud) -> None:
    stream = make_stream(faulty)
    control(faulty, FAULTS, [{"fault": "throttle", "stream": stream, "whole": True}])
    with pytest.raises(ClientError, match="ProvisionedThroughputExceededException"):
        put(faulty, stream, "a")
    control(faulty, FAULTS, [{"fault": "throttle", "stream": stream, "share": 1, "code": "InternalFailure"}])

    assert put(faulty, stream, "a", "b")["Records"][1]["ErrorCode"] == "InternalFailure"


@pytest.mark.parametrize(("when", "written"), [("before", ["second"]), ("after", ["first", "second"])])
def test_a_worker_is_killed_before_or_after_its_write_and_the_batch_comes_again(
    faulty: Cloud, tmp_path: Path, when: str, written: list[str]
) -> None:
    bucket, stream, notes = any_name("bucket"), make_stream(faulty), tmp_path / "notes"
    faulty.client("s3").create_bucket(Bucket=bucket)
    body = f"""
    import boto3
    turn = "first" if len(open(os.environ["NOTES"]).readlines()) == 1 else "second"
    boto3.client("s3").put_object(Bucket={bucket!r}, Key=turn, Body=b"x")
    """
    function = recording_function(faulty, notes, body)
    kill = {"fault": "kill", "function": function, "service": "s3", "operation": "PutObject", "nth": 1, "when": when}
    control(faulty, FAULTS, [kill])
    put(faulty, stream, "a")
    mapping = map_stream(faulty, stream, function)
    until(lambda: lag(faulty, mapping) == 0)

    assert noted(notes) == [["a"], ["a"]]
    assert [held["Key"] for held in faulty.client("s3").list_objects_v2(Bucket=bucket)["Contents"]] == written
    assert struck(faulty) == [1]


def test_a_dropped_call_is_executed_although_its_caller_hears_nothing(faulty: Cloud) -> None:
    bucket = any_name("bucket")
    faulty.client("s3").create_bucket(Bucket=bucket)
    control(faulty, FAULTS, [{"fault": "drop", "service": "s3", "operation": "PutObject", "times": 1}])

    with pytest.raises(HTTPClientError):
        faulty.client("s3").put_object(Bucket=bucket, Key="k", Body=b"held")
    assert faulty.client("s3").get_object(Bucket=bucket, Key="k")["Body"].read() == b"held"


@pytest.mark.parametrize(
    ("service", "operation"),
    [("kinesis", "PutRecords"), ("glue", "CreateDatabase"), ("sns", "CreateTopic"), ("lambda", "ListFunctions")],
)
def test_calls_of_every_protocol_are_told_apart(faulty: Cloud, service: str, operation: str) -> None:
    stream = make_stream(faulty)
    calls: dict[str, Callable[[], Any]] = {
        "PutRecords": lambda: put(faulty, stream, "a"),
        "CreateDatabase": lambda: faulty.client("glue").create_database(DatabaseInput={"Name": any_name("database")}),
        "CreateTopic": lambda: faulty.client("sns").create_topic(Name=any_name("topic")),
        "ListFunctions": lambda: faulty.client("lambda").list_functions(),
    }
    control(faulty, FAULTS, [{"fault": "drop", "service": service, "operation": operation}])
    dropped = []
    for name, call in calls.items():
        try:
            call()
        except HTTPClientError:
            dropped.append(name)

    assert dropped == [operation]


@pytest.mark.parametrize("at_once", [False, True])
def test_a_batch_is_delivered_twice_cut_elsewhere(faulty: Cloud, tmp_path: Path, at_once: bool) -> None:
    stream, notes = make_stream(faulty), tmp_path / "notes"
    # At once, each delivery ends only when the other has begun; else the second begins only when the first has ended.
    body = meeting(tmp_path / "met", "str(len(records))") if at_once else "time.sleep(0.3)"
    function = recording_function(faulty, notes, body)
    duplicate = {"fault": "duplicate", "function": function, "times": 1, "recut": True, "at_once": at_once, "seed": 3}
    control(faulty, FAULTS, [duplicate])
    put(faulty, stream, *(str(n) for n in range(10)), key="user")
    mapping = map_stream(faulty, stream, function)
    until(lambda: lag(faulty, mapping) == 0)

    whole = [str(n) for n in range(10)]
    batches = noted(notes)
    assert len(batches) == 2
    assert whole in batches
    [part] = [batch for batch in batches if batch != whole] or [whole]
    assert part == whole[: len(part)]  # no record comes before those ahead of it
    starts = [json.loads(line)["at"] for line in notes.read_text().splitlines()]
    assert at_once or starts[1] - starts[0] > 0.29


def test_a_fault_that_is_misspelt_is_refused_with_its_field(cloud: Cloud) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        control(cloud, FAULTS, [{"fault": "drop", "service": "s3", "operation": "PutObject", "probabilty": 1}])

    assert "probabilty" in refused.value.read().decode()


def test_without_faults_nothing_is_considered(cloud: Cloud) -> None:
    make_function(cloud, "def handle(event, context): ...")

    assert control(cloud, FAULTS) == []
