"""Event source mappings end to end, rule by rule; each test names the page of AWS that says so.

Pages ending in .html are of the AWS Lambda Developer Guide (docs.aws.amazon.com/lambda/latest/dg/) if nothing else is
said.
"""

from __future__ import annotations

import itertools
import json
import textwrap
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.sqs import models

from local.cloud import Cloud
from local.streams import LoggedStream
from tests.local.builders import (
    Clock,
    any_name,
    control,
    lag,
    make_function,
    make_queue,
    make_stream,
    map_stream,
    meeting,
    messages,
    noted,
    put,
    recording_function,
    stream_arn,
    until,
    whole_lines,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


def flat(notes: Path) -> list[str]:
    return [text for batch in noted(notes) for text in batch]


def numbered(count: int, start: int = 0) -> list[str]:
    return [str(place) for place in range(start, start + count)]


def test_every_record_is_delivered_once_in_order_in_batches_of_at_most_the_batch_size(
    hurried: Cloud, notes: Path
) -> None:
    """with-kinesis.html, "Polling and batching streams"; services-kinesis-parameters.html: BatchSize."""
    stream, function = make_stream(hurried), recording_function(hurried, notes, "")
    put(hurried, stream, *numbered(100), key="user")
    mapping = map_stream(hurried, stream, function, BatchSize=30)
    until(lambda: lag(hurried, mapping) == 0)

    assert flat(notes) == numbered(100)
    assert max(len(batch) for batch in noted(notes)) == 30


def test_the_window_gathers_what_arrives_within_it(hurried: Cloud, clock: Clock, notes: Path) -> None:
    """with-kinesis.html, "Polling and batching streams": a full batch, the window, or 6 MB, whichever is first."""
    stream, function = make_stream(hurried), recording_function(hurried, notes, "")
    mapping = map_stream(hurried, stream, function, MaximumBatchingWindowInSeconds=2)
    for text in numbered(5):
        put(hurried, stream, text)
        time.sleep(0.05)
    early = noted(notes)

    def handled() -> bool:
        clock.seconds += 0.5
        return lag(hurried, mapping) == 0

    until(handled)
    assert early == []
    assert noted(notes) == [numbered(5)]


def test_a_batch_is_cut_so_that_its_payload_holds_in_6_mb(hurried: Cloud, notes: Path) -> None:
    """with-kinesis.html, "Polling and batching streams"; invocation-eventsourcemapping.html, "Batching behavior"."""
    stream = make_stream(hurried)
    source = f"def handle(event, context):\n    open({str(notes)!r}, 'a').write(str(len(event['Records'])) + ' ')"
    function = make_function(hurried, source, MemorySize=512)
    for _ in range(10):
        put(hurried, stream, *["x" * 1_000_000] * 1)
    mapping = map_stream(hurried, stream, function, BatchSize=1000)
    until(lambda: lag(hurried, mapping) == 0)

    sizes = [int(size) for size in notes.read_text().split()]
    assert sum(sizes) == 10
    assert max(sizes) == 4  # 4 x 1,333,336 bytes of base64 fit in 6,291,456; 5 do not


def test_a_failing_batch_is_retried_so_often_then_reported_and_passed(hurried: Cloud, notes: Path) -> None:
    """kinesis-on-failure-destination.html: MaximumRetryAttempts, and the record that SQS and SNS get."""
    stream = make_stream(hurried)
    url, arn = make_queue(hurried)
    function = recording_function(hurried, notes, "if records[0]['data'] == '0': raise ValueError('poison')")
    sent = put(hurried, stream, *numbered(3))["Records"]
    settings = {"MaximumRetryAttempts": 2, "DestinationConfig": {"OnFailure": {"Destination": arn}}}
    mapping = map_stream(hurried, stream, function, **settings)
    until(lambda: lag(hurried, mapping) == 0)
    put(hurried, stream, "next")

    [body] = until(lambda: messages(hurried, url))
    record = json.loads(body)
    until(lambda: "next" in flat(notes))
    assert [batch for batch in noted(notes) if "next" not in batch] == [numbered(3)] * 3
    assert record["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 3
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}
    information = record["KinesisBatchInfo"]
    assert information["startSequenceNumber"] == sent[0]["SequenceNumber"]
    assert information["endSequenceNumber"] == sent[2]["SequenceNumber"]
    assert information["batchSize"] == 3
    assert information["shardId"] == "shardId-000000000000"
    assert information["streamArn"] == stream_arn(stream)


def test_a_function_that_cannot_be_invoked_uses_up_no_retries(hurried: Cloud, notes: Path) -> None:
    """kinesis-on-failure-destination.html, "Error handling": before invocation."""
    stream, function = make_stream(hurried), recording_function(hurried, notes, "")
    limit = hurried.client("lambda").put_function_concurrency
    limit(FunctionName=function, ReservedConcurrentExecutions=0)
    put(hurried, stream, "a")
    mapping = map_stream(hurried, stream, function, MaximumRetryAttempts=0)
    read = hurried.client("lambda").get_event_source_mapping
    until(lambda: read(UUID=mapping)["LastProcessingResult"] == "PROBLEM: Rate Exceeded.")
    assert lag(hurried, mapping) == 1

    limit(FunctionName=function, ReservedConcurrentExecutions=1)
    until(lambda: lag(hurried, mapping) == 0)
    assert flat(notes) == ["a"]


def test_bisecting_isolates_a_poison_record(hurried: Cloud, notes: Path) -> None:
    """kinesis-on-failure-destination.html, "Error handling": BisectBatchOnFunctionError."""
    stream = make_stream(hurried)
    function = recording_function(
        hurried, notes, "if any(r['data'] == '5' for r in records): raise ValueError('poison')"
    )
    put(hurried, stream, *numbered(8), key="user")
    url, arn = make_queue(hurried)
    settings = {"DestinationConfig": {"OnFailure": {"Destination": arn}}}
    mapping = map_stream(hurried, stream, function, BisectBatchOnFunctionError=True, MaximumRetryAttempts=0, **settings)
    until(lambda: lag(hurried, mapping) == 0)

    handled = [text for batch in noted(notes) if "5" not in batch for text in batch]
    assert handled == [text for text in numbered(8) if text != "5"]
    [body] = until(lambda: messages(hurried, url))
    assert json.loads(body)["KinesisBatchInfo"]["batchSize"] == 1


def test_a_bucket_as_destination_gets_the_records_themselves(hurried: Cloud, notes: Path) -> None:
    """kinesis-on-failure-destination.html, "Example Amazon S3 invocation record": payload, and the form of the key."""
    stream, bucket = make_stream(hurried), any_name("bucket")
    hurried.client("s3").create_bucket(Bucket=bucket)
    function = recording_function(hurried, notes, "raise ValueError('poison')")
    put(hurried, stream, "lost")
    settings = {"DestinationConfig": {"OnFailure": {"Destination": f"arn:aws:s3:::{bucket}"}}}
    mapping = map_stream(hurried, stream, function, MaximumRetryAttempts=0, **settings)

    listed = until(lambda: hurried.client("s3").list_objects_v2(Bucket=bucket).get("Contents"))
    assert listed[0]["Key"].startswith(f"aws/lambda/{mapping}/shardId-000000000000/")
    body = json.load(hurried.client("s3").get_object(Bucket=bucket, Key=listed[0]["Key"])["Body"])
    assert json.loads(body["payload"])["Records"][0]["kinesis"]["data"] == "bG9zdA=="


def test_partial_failures_go_on_from_the_lowest_failed_record(hurried: Cloud, notes: Path, tmp_path: Path) -> None:
    """services-kinesis-batchfailurereporting.html: the lowest sequence number is the checkpoint."""
    stream = make_stream(hurried)
    body = f"""
    if not os.path.exists({str(tmp_path / "mended")!r}):
        open({str(tmp_path / "mended")!r}, "w").close()
        failed = [r["sequence"] for r in records if r["data"] in ("6", "4")]
        return {{"batchItemFailures": [{{"itemIdentifier": identifier}} for identifier in failed]}}
    """
    function = recording_function(hurried, notes, body)
    put(hurried, stream, *numbered(8), key="user")
    mapping = map_stream(hurried, stream, function, FunctionResponseTypes=["ReportBatchItemFailures"])
    until(lambda: lag(hurried, mapping) == 0)

    assert noted(notes) == [numbered(8), numbered(4, start=4)]


def test_a_crash_of_the_worker_redelivers_the_batch(hurried: Cloud, notes: Path) -> None:
    """with-kinesis.html, its warning: each event at least once."""
    stream = make_stream(hurried)
    body = "if os.environ['NOTES'] and len(open(os.environ['NOTES']).readlines()) == 1: os._exit(1)"
    function = recording_function(hurried, notes, body)
    put(hurried, stream, *numbered(3))
    mapping = map_stream(hurried, stream, function)
    until(lambda: lag(hurried, mapping) == 0)

    assert noted(notes) == [numbered(3)] * 2


def test_parallel_lanes_keep_the_order_of_each_partition_key(hurried: Cloud, notes: Path, tmp_path: Path) -> None:
    """with-kinesis.html, "Polling and batching streams": ParallelizationFactor; in order at the partition-key level."""
    stream = make_stream(hurried)
    function = recording_function(hurried, notes, meeting(tmp_path / "met", "records[0]['key']"))
    users = [f"user-{number}" for number in range(8)]
    for turn in range(5):
        hurried.client("kinesis").put_records(
            StreamName=stream, Records=[{"Data": f"{user}:{turn}".encode(), "PartitionKey": user} for user in users]
        )
    mapping = map_stream(hurried, stream, function, BatchSize=10, ParallelizationFactor=4)
    until(lambda: lag(hurried, mapping) == 0)

    seen = flat(notes)
    assert sorted(seen) == sorted(f"{user}:{turn}" for user in users for turn in range(5))
    for user in users:
        assert [text for text in seen if text.startswith(f"{user}:")] == [f"{user}:{turn}" for turn in range(5)]


def test_each_starting_position_begins_where_it_says(hurried: Cloud, tmp_path: Path) -> None:
    """services-kinesis-parameters.html: StartingPosition, StartingPositionTimestamp."""
    stream = make_stream(hurried)
    put(hurried, stream, "before")
    time.sleep(0.05)
    moment = time.time()
    put(hurried, stream, "between")
    mappings = {}
    for position in ("TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"):
        function = recording_function(hurried, tmp_path / position, "")
        settings = {"StartingPositionTimestamp": moment} if position == "AT_TIMESTAMP" else {}
        mappings[position] = map_stream(hurried, stream, function, StartingPosition=position, **settings)
    put(hurried, stream, "after")
    until(lambda: all(lag(hurried, mapping) == 0 for mapping in mappings.values()))

    assert flat(tmp_path / "TRIM_HORIZON") == ["before", "between", "after"]
    assert flat(tmp_path / "AT_TIMESTAMP") == ["between", "after"]
    assert flat(tmp_path / "LATEST") == ["after"]


def test_filtered_records_do_not_reach_the_function_and_do_not_hold_up(hurried: Cloud, notes: Path) -> None:
    """with-kinesis-filtering.html."""
    stream, function = make_stream(hurried), recording_function(hurried, notes, "")
    put(hurried, stream, '{"event": "purchase"}', '{"event": "page_view"}', "no json")
    criteria = {"Filters": [{"Pattern": '{"data": {"event": ["purchase"]}}'}]}
    mapping = map_stream(hurried, stream, function, FilterCriteria=criteria)
    until(lambda: lag(hurried, mapping) == 0)

    assert flat(notes) == ['{"event": "purchase"}']


def test_a_parent_shard_is_read_to_its_end_before_its_children(hurried: Cloud, notes: Path) -> None:
    """Kinesis Developer Guide, kinesis-using-sdk-java-after-resharding.html: parents first, for a key's order."""
    stream, function = make_stream(hurried), recording_function(hurried, notes, "time.sleep(0.05)")
    put(hurried, stream, *numbered(20), key="user")
    hurried.client("kinesis").update_shard_count(StreamName=stream, TargetShardCount=2, ScalingType="UNIFORM_SCALING")
    put(hurried, stream, *numbered(20, start=20), key="user")
    mapping = map_stream(hurried, stream, function, BatchSize=3)
    until(lambda: lag(hurried, mapping) == 0)
    hurried.client("kinesis").update_shard_count(StreamName=stream, TargetShardCount=1, ScalingType="UNIFORM_SCALING")
    put(hurried, stream, *numbered(5, start=40), key="user")
    until(lambda: lag(hurried, mapping) == 0)

    assert flat(notes) == numbered(45)


def test_a_disabled_mapping_delivers_nothing_and_resumes_where_it_was(hurried: Cloud, notes: Path) -> None:
    """services-kinesis-parameters.html: Enabled."""
    stream, function = make_stream(hurried), recording_function(hurried, notes, "")
    mapping = map_stream(hurried, stream, function)
    change = hurried.client("lambda").update_event_source_mapping
    put(hurried, stream, "a")
    until(lambda: lag(hurried, mapping) == 0)
    change(UUID=mapping, Enabled=False)
    until(lambda: not any(thread.name.startswith(stream) for thread in threading.enumerate()))  # its lanes have ended
    put(hurried, stream, "b")
    time.sleep(0.5)
    assert flat(notes) == ["a"]
    assert lag(hurried, mapping) == 1
    assert hurried.client("lambda").get_event_source_mapping(UUID=mapping)["State"] == "Disabled"

    change(UUID=mapping, Enabled=True)
    until(lambda: lag(hurried, mapping) == 0)
    assert flat(notes) == ["a", "b"]


def test_a_deleted_mapping_delivers_nothing_more(hurried: Cloud, notes: Path) -> None:
    """Lambda API Reference, DeleteEventSourceMapping."""
    stream, function = make_stream(hurried), recording_function(hurried, notes, "")
    mapping = map_stream(hurried, stream, function)
    hurried.client("lambda").delete_event_source_mapping(UUID=mapping)
    until(lambda: mapping not in {source["uuid"] for source in control(hurried, "/_cloud/event-sources")})
    put(hurried, stream, "a")
    time.sleep(0.4)

    assert flat(notes) == []


def test_a_mapping_says_how_its_last_delivery_went_and_how_old_its_records_are(hurried: Cloud, notes: Path) -> None:
    """Lambda API Reference, EventSourceMappingConfiguration; monitoring-metrics-types.html: IteratorAge."""
    stream, function = make_stream(hurried), recording_function(hurried, notes, "raise ValueError(1)")
    mapping = map_stream(hurried, stream, function, MaximumRetryAttempts=0)
    read = hurried.client("lambda").get_event_source_mapping
    assert read(UUID=mapping)["LastProcessingResult"] == "No records processed"
    put(hurried, stream, "a")
    until(lambda: lag(hurried, mapping) == 0)

    assert read(UUID=mapping)["LastProcessingResult"] == "PROBLEM: Function call failed"

    def ages() -> Any:
        return hurried.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName="IteratorAge",
            Dimensions=[{"Name": "FunctionName", "Value": function}],
            StartTime=time.time() - 300,
            EndTime=time.time() + 300,
            Period=600,
            Statistics=["Maximum"],
        )["Datapoints"]

    assert until(ages)[0]["Maximum"] >= 0


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("BatchSize", 10_001),
        ("ParallelizationFactor", 11),
        ("MaximumRecordAgeInSeconds", 59),
        ("MaximumRetryAttempts", 10_001),
    ],
)
def test_a_setting_out_of_bounds_is_refused(cloud: Cloud, setting: str, value: int) -> None:
    """Lambda API Reference, CreateEventSourceMapping; services-kinesis-parameters.html."""
    stream, function = make_stream(cloud), make_function(cloud, "def handle(event, context): ...")

    with pytest.raises(Exception, match=setting[0].lower() + setting[1:] + "|" + setting):
        map_stream(cloud, stream, function, **{setting: value})


def test_what_the_cloud_does_not_do_is_refused_by_name(cloud: Cloud) -> None:
    """services-kinesis-windows.html: tumbling windows, of which there are none here."""
    stream, function = make_stream(cloud), make_function(cloud, "def handle(event, context): ...")

    with pytest.raises(ClientError) as refused:
        map_stream(cloud, stream, function, TumblingWindowInSeconds=30)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501


def test_a_second_mapping_of_the_same_two_is_refused(cloud: Cloud) -> None:
    """Lambda API Reference, CreateEventSourceMapping: ResourceConflictException."""
    stream, function = make_stream(cloud), make_function(cloud, "def handle(event, context): ...")
    map_stream(cloud, stream, function)

    with pytest.raises(ClientError, match="already exists"):
        map_stream(cloud, stream, function)


def test_without_a_window_a_function_is_invoked_as_soon_as_there_is_a_record(hurried: Cloud, notes: Path) -> None:
    """with-kinesis.html, "Polling and batching streams": as soon as records are available."""
    stream, function = make_stream(hurried), recording_function(hurried, notes, "")
    mapping = map_stream(hurried, stream, function)
    for text in numbered(3):
        put(hurried, stream, text)
        until(lambda: lag(hurried, mapping) == 0)

    assert noted(notes) == [["0"], ["1"], ["2"]]


def test_a_batch_holds_records_of_one_shard_and_a_shard_has_one_batch_at_a_time(hurried: Cloud, tmp_path: Path) -> None:
    """with-kinesis.html, "Polling and batching streams": one batch of records at a time from each shard."""
    stream, log = make_stream(hurried, shards=3), tmp_path / "log"
    source = """
import os, time
def handle(event, context):
    shards = sorted({record["eventID"].split(":")[0] for record in event["Records"]})
    begun = time.monotonic()
"""
    source += textwrap.indent(meeting(tmp_path / "met", "shards[0]"), "    ")
    source += f"""
    time.sleep(0.05)
    print(*shards, begun, time.monotonic(), file=open({str(log)!r}, "a"))
"""
    function = make_function(hurried, source)  # shards that waited for each other would never meet
    for turn in range(4):
        put(hurried, stream, *[f"{turn}-{number}" for number in range(30)])
    mapping = map_stream(hurried, stream, function, BatchSize=10)
    until(lambda: lag(hurried, mapping) == 0)

    lines = [line.split() for line in log.read_text().splitlines()]
    assert {len(line) for line in lines} == {3}
    spans = {shard: sorted((float(a), float(b)) for name, a, b in lines if name == shard) for shard, _, _ in lines}
    assert len(spans) == 3
    assert all(one[1] <= other[0] for some in spans.values() for one, other in itertools.pairwise(some))


def test_a_record_is_written_as_the_guide_shows(hurried: Cloud, tmp_path: Path) -> None:
    """with-kinesis.html, "Example event": the fields of a record, and how an eventID is made."""
    stream, seen = make_stream(hurried), tmp_path / "seen"
    source = f"import json\ndef handle(event, context):\n    open({str(seen)!r}, 'w').write(json.dumps(event))"
    function = make_function(hurried, source)
    [sent] = put(hurried, stream, "Hello, this is a test.", key="1")["Records"]
    mapping = map_stream(hurried, stream, function)
    until(lambda: lag(hurried, mapping) == 0)

    [record] = json.loads(seen.read_text())["Records"]
    arrived = record["kinesis"].pop("approximateArrivalTimestamp")
    assert abs(arrived - time.time()) < 60
    assert record.pop("invokeIdentityArn").startswith("arn:aws:iam::")
    assert record == {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": "1",
            "sequenceNumber": sent["SequenceNumber"],
            "data": "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==",
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"shardId-000000000000:{sent['SequenceNumber']}",
        "eventName": "aws:kinesis:record",
        "awsRegion": "us-east-1",
        "eventSourceARN": stream_arn(stream),
    }


def test_records_past_the_greatest_age_are_discarded_and_reported(
    hurried: Cloud, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kinesis-on-failure-destination.html, "Error handling"; services-kinesis-parameters.html: record age."""
    stream, function = make_stream(hurried), recording_function(hurried, notes, "")
    url, arn = make_queue(hurried)
    monkeypatch.setattr(LoggedStream.ground, "now", lambda: time.time() - 100)
    old = put(hurried, stream, *numbered(2))["Records"]
    monkeypatch.undo()
    put(hurried, stream, "fresh")
    settings = {"MaximumRecordAgeInSeconds": 60, "DestinationConfig": {"OnFailure": {"Destination": arn}}}
    mapping = map_stream(hurried, stream, function, **settings)
    until(lambda: lag(hurried, mapping) == 0)

    record = json.loads(until(lambda: messages(hurried, url))[0])
    assert flat(notes) == ["fresh"]
    assert record["requestContext"]["condition"] == "RecordAgeExceeded"
    assert record["KinesisBatchInfo"]["batchSize"] == 2
    assert record["KinesisBatchInfo"]["endSequenceNumber"] == old[1]["SequenceNumber"]


def test_an_answer_that_names_failures_counts_only_where_it_was_asked_for(hurried: Cloud, notes: Path) -> None:
    """services-kinesis-batchfailurereporting.html, its note: without FunctionResponseTypes it is not looked at."""
    stream = make_stream(hurried)
    body = 'return {"batchItemFailures": [{"itemIdentifier": records[0]["sequence"]}]}'
    function = recording_function(hurried, notes, body)
    put(hurried, stream, *numbered(3))
    mapping = map_stream(hurried, stream, function)
    until(lambda: lag(hurried, mapping) == 0)

    assert noted(notes) == [numbered(3)]


def test_an_error_bisects_also_where_partial_answers_are_on(hurried: Cloud, notes: Path) -> None:
    """services-kinesis-batchfailurereporting.html, "Bisecting a batch": whatever ReportBatchItemFailures is."""
    stream = make_stream(hurried)
    function = recording_function(hurried, notes, "if len(records) > 1: raise ValueError('halve it')")
    put(hurried, stream, *numbered(4), key="user")
    settings = {"FunctionResponseTypes": ["ReportBatchItemFailures"], "BisectBatchOnFunctionError": True}
    mapping = map_stream(hurried, stream, function, **settings)
    until(lambda: lag(hurried, mapping) == 0)

    assert noted(notes) == [numbered(4), ["0", "1"], ["0"], ["1"], ["2", "3"], ["2"], ["3"]]


def test_a_mapping_from_the_latest_reads_the_children_of_a_later_reshard_whole(hurried: Cloud, notes: Path) -> None:
    """services-kinesis-create.html: only a child read from its TRIM_HORIZON misses no record."""
    stream, function = make_stream(hurried), recording_function(hurried, notes, "")
    put(hurried, stream, "before", key="user")
    mapping = map_stream(hurried, stream, function, StartingPosition="LATEST")
    hurried.client("kinesis").update_shard_count(StreamName=stream, TargetShardCount=2, ScalingType="UNIFORM_SCALING")
    put(hurried, stream, *numbered(3), key="user")
    until(lambda: lag(hurried, mapping) == 0)

    assert flat(notes) == numbered(3)


def test_both_parents_of_a_merged_shard_are_read_to_their_end_before_it(hurried: Cloud, notes: Path) -> None:
    """Kinesis Developer Guide, kinesis-using-sdk-java-after-resharding.html: all data of the parents first."""
    stream = make_stream(hurried, shards=2)
    function = recording_function(hurried, notes, "time.sleep(0.05)")
    users = [f"user-{number}" for number in range(8)]
    for user in users:
        put(hurried, stream, *numbered(5), key=user)
    first, second = (f"shardId-{number:012d}" for number in (0, 1))
    hurried.client("kinesis").merge_shards(StreamName=stream, ShardToMerge=first, AdjacentShardToMerge=second)
    put(hurried, stream, *(f"{user} after" for user in users))
    mapping = map_stream(hurried, stream, function, BatchSize=4)
    until(lambda: lag(hurried, mapping) == 0)

    seen = flat(notes)
    assert len(seen) == 48
    assert all("after" in text for text in seen[-8:])


QUEUE_SOURCE = """
import json, os
def handle(event, context):
    bodies = [r["body"] for r in event["Records"]]
    with open({notes!r}, "a") as notes:
        notes.write(json.dumps(bodies) + "\\n")
    bad = [r["messageId"] for r in event["Records"] if r["body"] == "bad"]
    return {{"batchItemFailures": [{{"itemIdentifier": identifier}} for identifier in bad]}}
"""


def map_queue(cloud: Cloud, arn: str, function: str, **settings: Any) -> str:
    make = cloud.client("lambda").create_event_source_mapping
    return str(make(EventSourceArn=arn, FunctionName=function, **settings)["UUID"])


def test_a_queue_s_messages_are_delivered_in_batches_and_deleted(hurried: Cloud, notes: Path) -> None:
    """with-sqs.html, "Understanding polling and batching behavior"."""
    url, arn = make_queue(hurried, VisibilityTimeout="600")
    function = make_function(hurried, QUEUE_SOURCE.format(notes=str(notes)))
    for text in numbered(8):
        hurried.client("sqs").send_message(QueueUrl=url, MessageBody=text)
    mapping = map_queue(hurried, arn, function, BatchSize=5)
    until(lambda: lag(hurried, mapping) == 0)

    batches = [json.loads(line) for line in notes.read_text().splitlines()]
    assert sorted(text for batch in batches for text in batch) == numbered(8)
    assert max(len(batch) for batch in batches) <= 5


def test_a_failed_message_comes_back_until_it_goes_to_the_dead_letter_queue(
    hurried: Cloud, clock: Clock, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """services-sqs-errorhandling.html: partial batch responses, maxReceiveCount."""
    monkeypatch.setattr(models, "unix_time_millis", lambda: (time.time() + clock.seconds) * 1000)
    dead_url, dead_arn = make_queue(hurried)
    redrive = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 2})
    url, arn = make_queue(hurried, VisibilityTimeout="600", RedrivePolicy=redrive)
    function = make_function(hurried, QUEUE_SOURCE.format(notes=str(notes)))
    for text in ("good", "bad"):
        hurried.client("sqs").send_message(QueueUrl=url, MessageBody=text)
    mapping = map_queue(hurried, arn, function, FunctionResponseTypes=["ReportBatchItemFailures"])

    def delivered() -> list[str]:
        return [text for line in whole_lines(notes) for text in json.loads(line)]

    def failed(times: int) -> bool:
        return delivered().count("bad") == times and lag(hurried, mapping) == 1  # "good" is deleted

    for times in (1, 2):
        until(partial(failed, times))
        assert sorted(delivered()) == ["bad"] * times + ["good"]
        clock.seconds += 601
    assert until(lambda: messages(hurried, dead_url)) == ["bad"]
    assert sorted(delivered()) == ["bad", "bad", "good"]
