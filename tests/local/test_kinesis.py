"""Kinesis through boto3. Sources: Kinesis Data Streams "Quotas and limits", API reference of each call named."""

from __future__ import annotations

import base64
import itertools
import json
import subprocess
import sys
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.kinesis.models import kinesis_backends

from local import streams
from local.cloud import Cloud
from local.streams import LoggedStream
from tests.local.builders import Clock, make_stream, put

pytestmark = pytest.mark.slow


def read(
    cloud: Cloud, stream: str, shard: str = "shardId-000000000000", kind: str = "TRIM_HORIZON", **where: Any
) -> list[str]:
    kinesis = cloud.client("kinesis")
    iterator = kinesis.get_shard_iterator(StreamName=stream, ShardId=shard, ShardIteratorType=kind, **where)[
        "ShardIterator"
    ]
    return [record["Data"].decode() for record in kinesis.get_records(ShardIterator=iterator)["Records"]]


def shards(cloud: Cloud, stream: str) -> Any:
    return cloud.client("kinesis").list_shards(StreamName=stream)["Shards"]


def refusal(call: Any, **arguments: Any) -> Any:
    with pytest.raises(ClientError) as refused:
        call(**arguments)
    return refused.value.response["Error"]["Code"]


def test_a_shard_takes_a_thousand_records_a_second_and_refuses_the_rest_one_by_one(cloud: Cloud, clock: Clock) -> None:
    stream = make_stream(cloud)
    answers = [put(cloud, stream, *(f"{call}-{place}" for place in range(500))) for call in range(4)]
    clock.seconds += 0.25
    later = put(cloud, stream, *map(str, range(500)))

    outcomes = [outcome for answer in answers for outcome in answer["Records"]]
    refused = [outcome for outcome in outcomes if "ErrorCode" in outcome]
    assert ["ErrorCode" in outcome for outcome in outcomes] == [False] * 1000 + [True] * 1000
    assert [answer["FailedRecordCount"] for answer in answers] == [0, 0, 500, 500]
    assert later["FailedRecordCount"] == 250
    assert {outcome["ErrorCode"] for outcome in refused} == {"ProvisionedThroughputExceededException"}
    assert refused[0]["ErrorMessage"] == (
        f"Rate exceeded for shard shardId-000000000000 in stream {stream} under account 123456789012."
    )


def test_a_shard_takes_a_megabyte_a_second_with_the_partition_keys(cloud: Cloud, clock: Clock) -> None:
    stream = make_stream(cloud)
    records = [{"Data": bytes(3_900), "PartitionKey": "k" * 196} for _ in range(500)]
    put = cloud.client("kinesis").put_records
    first = put(StreamName=stream, Records=records)["FailedRecordCount"]
    clock.seconds += 0.5
    second = put(StreamName=stream, Records=records)["FailedRecordCount"]

    assert (500 - first, 500 - second) == ((1 << 20) / 4_096, (1 << 19) / 4_096)


def test_what_is_refused_is_not_written_and_what_is_taken_is(cloud: Cloud, clock: Clock) -> None:
    stream = make_stream(cloud)
    sent = [f"{place}" for place in range(500)]
    taken = []
    for _ in range(3):
        answer = put(cloud, stream, *sent)
        taken += [text for text, outcome in zip(sent, answer["Records"], strict=True) if "SequenceNumber" in outcome]
        clock.seconds += 0.1

    assert len(taken) == 1200
    assert read(cloud, stream) == taken


def test_a_single_put_over_the_limit_is_an_error(cloud: Cloud, clock: Clock) -> None:
    stream = make_stream(cloud)
    large = {"StreamName": stream, "Data": bytes(1 << 20), "PartitionKey": "k"}
    cloud.client("kinesis").put_record(**large)

    code = refusal(cloud.client("kinesis").put_record, **large)
    assert code == "ProvisionedThroughputExceededException"


def test_a_hurried_cloud_multiplies_a_shard_s_limits(hurried: Cloud) -> None:
    stream = make_stream(hurried)

    assert sum(put(hurried, stream, *(str(n) for n in range(500)))["FailedRecordCount"] for _ in range(6)) == 0


def test_a_put_of_more_than_500_records_or_a_record_over_its_stream_s_size_is_refused(hurried: Cloud) -> None:
    stream = make_stream(hurried)
    kinesis = hurried.client("kinesis")
    large = {"Data": bytes((1 << 20) + 1), "PartitionKey": "k"}

    with pytest.raises(ClientError, match="less than or equal to 500"):
        put(hurried, stream, *(str(n) for n in range(501)))
    with pytest.raises(ClientError, match=r"records.2.member.data.*1048576"):
        kinesis.put_records(StreamName=stream, Records=[{"Data": b"x", "PartitionKey": "k"}, large])
    arn = kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamARN"]
    kinesis.update_max_record_size(StreamARN=arn, MaxRecordSizeInKiB=2048)
    assert kinesis.put_record(StreamName=stream, **large)["SequenceNumber"]


def test_sequence_numbers_have_56_digits_and_grow_within_a_shard(cloud: Cloud) -> None:
    stream = make_stream(cloud)
    sequences = [outcome["SequenceNumber"] for _ in range(5) for outcome in put(cloud, stream, "a", "b")["Records"]]

    assert {len(sequence) for sequence in sequences} == {56}
    assert sorted(sequences, key=int) == sequences
    assert len(set(sequences)) == len(sequences)


def test_records_of_a_partition_key_stay_in_one_shard_in_order(cloud: Cloud) -> None:
    stream = make_stream(cloud, shards=4)
    answer = put(cloud, stream, *(str(place) for place in range(50)), key="one user")

    assert len({outcome["ShardId"] for outcome in answer["Records"]}) == 1
    assert read(cloud, stream, answer["Records"][0]["ShardId"]) == [str(place) for place in range(50)]


def test_an_explicit_hash_key_chooses_the_shard(cloud: Cloud) -> None:
    stream = make_stream(cloud, shards=2)
    kinesis = cloud.client("kinesis")
    last = kinesis.put_record(StreamName=stream, Data=b"x", PartitionKey="k", ExplicitHashKey=str(2**128 - 1))

    assert last["ShardId"] == "shardId-000000000001"
    code = refusal(kinesis.put_record, StreamName=stream, Data=b"x", PartitionKey="k", ExplicitHashKey=str(2**128))
    assert code == "InvalidArgumentException"


def test_each_kind_of_iterator_begins_where_it_says(cloud: Cloud) -> None:
    stream = make_stream(cloud)
    first, second = (outcome["SequenceNumber"] for outcome in put(cloud, stream, "a", "b")["Records"])
    time.sleep(0.01)
    moment = time.time()
    put(cloud, stream, "c")

    assert read(cloud, stream, kind="AT_SEQUENCE_NUMBER", StartingSequenceNumber=second) == ["b", "c"]
    assert read(cloud, stream, kind="AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=first) == ["b", "c"]
    assert read(cloud, stream, kind="AT_TIMESTAMP", Timestamp=moment) == ["c"]
    assert read(cloud, stream, kind="LATEST") == []


def test_get_records_is_allowed_five_times_a_second_a_shard(cloud: Cloud, clock: Clock) -> None:
    stream = make_stream(cloud)
    for _ in range(5):
        read(cloud, stream)

    assert refusal(read, cloud=cloud, stream=stream) == "ProvisionedThroughputExceededException"
    clock.seconds += 0.25
    assert read(cloud, stream) == []
    assert refusal(read, cloud=cloud, stream=stream) == "ProvisionedThroughputExceededException"


def test_get_records_says_how_far_behind_it_is(cloud: Cloud) -> None:
    stream = make_stream(cloud)
    put(cloud, stream, "a")
    time.sleep(0.05)
    put(cloud, stream, "b")
    kinesis = cloud.client("kinesis")
    place = {"StreamName": stream, "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"}
    first = kinesis.get_records(ShardIterator=kinesis.get_shard_iterator(**place)["ShardIterator"], Limit=1)
    second = kinesis.get_records(ShardIterator=first["NextShardIterator"])

    assert first["MillisBehindLatest"] >= 50
    assert [record["Data"] for record in second["Records"]] == [b"b"]
    assert second["MillisBehindLatest"] == 0


def test_an_iterator_expires_after_five_minutes_and_a_made_up_one_is_refused(cloud: Cloud) -> None:
    stream = make_stream(cloud)
    old = base64.b64encode(json.dumps([stream, "shardId-000000000000", 1, time.time() - 301]).encode()).decode()

    assert refusal(cloud.client("kinesis").get_records, ShardIterator=old) == "ExpiredIteratorException"
    assert refusal(cloud.client("kinesis").get_records, ShardIterator="made up") == "InvalidArgumentException"


def test_a_split_shard_is_closed_keeps_its_records_and_leads_to_its_children(cloud: Cloud) -> None:
    stream = make_stream(cloud)
    kinesis = cloud.client("kinesis")
    put(cloud, stream, "before")
    kinesis.split_shard(StreamName=stream, ShardToSplit="shardId-000000000000", NewStartingHashKey=str(2**127))
    after = put(cloud, stream, "after")["Records"][0]

    parent, left, right = shards(cloud, stream)
    assert "EndingSequenceNumber" in parent["SequenceNumberRange"]
    assert left["ParentShardId"] == right["ParentShardId"] == "shardId-000000000000"
    assert after["ShardId"] in (left["ShardId"], right["ShardId"])
    assert int(after["SequenceNumber"]) > int(parent["SequenceNumberRange"]["EndingSequenceNumber"])
    place = {"StreamName": stream, "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"}
    got = kinesis.get_records(ShardIterator=kinesis.get_shard_iterator(**place)["ShardIterator"])
    assert [record["Data"] for record in got["Records"]] == [b"before"]
    assert "NextShardIterator" not in got
    assert {child["ShardId"] for child in got["ChildShards"]} == {left["ShardId"], right["ShardId"]}
    again = refusal(kinesis.split_shard, StreamName=stream, ShardToSplit="shardId-000000000000", NewStartingHashKey="5")
    assert again == "InvalidArgumentException"


def test_only_neighbours_can_be_merged(cloud: Cloud) -> None:
    stream = make_stream(cloud, shards=3)
    kinesis = cloud.client("kinesis")
    far = {"ShardToMerge": "shardId-000000000000", "AdjacentShardToMerge": "shardId-000000000002"}

    assert refusal(kinesis.merge_shards, StreamName=stream, **far) == "InvalidArgumentException"
    kinesis.merge_shards(StreamName=stream, **{**far, "AdjacentShardToMerge": "shardId-000000000001"})
    child = shards(cloud, stream)[-1]
    assert (child["ParentShardId"], child["AdjacentParentShardId"]) == ("shardId-000000000000", "shardId-000000000001")


def test_the_shard_count_at_most_doubles_and_at_least_halves(cloud: Cloud) -> None:
    stream = make_stream(cloud, shards=2)
    resize = cloud.client("kinesis").update_shard_count
    uniform = {"StreamName": stream, "ScalingType": "UNIFORM_SCALING"}

    assert refusal(resize, TargetShardCount=5, **uniform) == "LimitExceededException"
    for count in (3, 4, 5, 7, 4, 2):
        resize(TargetShardCount=count, **uniform)
        is_open = [
            shard for shard in shards(cloud, stream) if "EndingSequenceNumber" not in shard["SequenceNumberRange"]
        ]
        assert len(is_open) == count
        ranges = sorted(
            (int(s["HashKeyRange"]["StartingHashKey"]), int(s["HashKeyRange"]["EndingHashKey"])) for s in is_open
        )
        assert ranges[0][0] == 0
        assert ranges[-1][1] == 2**128 - 1
        assert all(low[1] + 1 == high[0] for low, high in itertools.pairwise(ranges))
        assert len({(end - start) * count >> 127 for start, end in ranges}) == 1  # UNIFORM_SCALING: "of equal size"


def test_the_shard_count_changes_at_most_ten_times_a_day(cloud: Cloud) -> None:
    stream = make_stream(cloud, shards=1)
    resize = cloud.client("kinesis").update_shard_count
    for turn in range(10):
        resize(StreamName=stream, TargetShardCount=2 - turn % 2, ScalingType="UNIFORM_SCALING")

    assert (
        refusal(resize, StreamName=stream, TargetShardCount=2, ScalingType="UNIFORM_SCALING")
        == "LimitExceededException"
    )


def test_records_past_the_retention_are_not_read(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = make_stream(cloud)
    put(cloud, stream, "old")
    monkeypatch.setattr(LoggedStream.ground, "now", lambda: time.time() + 25 * 3600)
    put(cloud, stream, "new")

    assert read(cloud, stream) == ["new"]


def test_a_closed_shard_is_forgotten_with_its_last_record(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = make_stream(cloud)
    put(cloud, stream, "old")
    split = {"ShardToSplit": "shardId-000000000000", "NewStartingHashKey": str(2**127)}
    cloud.client("kinesis").split_shard(StreamName=stream, **split)
    held = kinesis_backends[cloud.account][cloud.region].streams[stream]
    held.trim()
    assert len(shards(cloud, stream)) == 3

    monkeypatch.setattr(LoggedStream.ground, "now", lambda: time.time() + 25 * 3600)
    held.trim()
    assert [shard["ShardId"][-1] for shard in shards(cloud, stream)] == ["1", "2"]
    assert not list((held.folder / "shardId-000000000000").iterdir())


def test_an_on_demand_stream_begins_with_four_shards_and_splits_a_hot_one(
    cloud: Cloud, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "WATCHED_SECONDS", 0.5)
    stream = make_stream(cloud, StreamModeDetails={"StreamMode": "ON_DEMAND"})
    seen = [len(shards(cloud, stream))]
    for count in (250, 251):  # of 500 records a second, and over it
        clock.seconds += 0.5
        put(cloud, stream, *(str(place) for place in range(count)), key="hot")
        seen.append(len(shards(cloud, stream)))

    assert seen == [4, 4, 6]


def test_a_hundred_thousand_records_take_little_memory(hurried: Cloud) -> None:
    stream = make_stream(hurried)
    shard = kinesis_backends[hurried.account][hurried.region].streams[stream].shards["shardId-000000000000"]
    for _ in range(200):
        shard.log.append([(b"key", bytes(1000))] * 500, 1)

    held = shard.log._offsets.buffer_info()[1] * 8 + shard.log._arrivals.buffer_info()[1] * 8
    assert held == 100_000 * 16


def test_unknown_streams_and_shards_are_named(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="Stream nowhere under account 123456789012 not found"):
        put(cloud, "nowhere", "x")
    stream = make_stream(cloud)
    with pytest.raises(ClientError, match="Shard shardId-000000000007 in stream"):
        read(cloud, stream, "shardId-000000000007")


def test_the_aws_command_line_puts_and_reads_a_record(cloud: Cloud) -> None:
    stream = make_stream(cloud)
    environment = cloud.environment() | {"PATH": "/usr/bin:/bin"}
    words = ["kinesis", "put-record", "--stream-name", stream, "--partition-key", "k", "--data", "aGVsbG8="]
    run = subprocess.run(
        [sys.executable, "-m", "awscli", *words], env=environment, capture_output=True, text=True, check=False
    )

    assert "SequenceNumber" in run.stdout, run.stderr
    assert read(cloud, stream) in (["hello"], ["aGVsbG8="])
