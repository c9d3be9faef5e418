"""EventBridge rules: events and schedules reach their targets."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from local.cloud import Cloud
from local.event_rules import Clock, transformed
from tests.local.builders import any_name, make_function, make_queue, messages, until, whole_lines


@dataclass
class AnyRule:
    scheduled_expression: str
    arn: str = "arn:rule"
    state: str = "ENABLED"


START = datetime(2026, 3, 1, 2, 59, 30, tzinfo=UTC)


def fired(rule: AnyRule, seconds: list[float]) -> list[float]:
    clock = Clock(START)
    return [second for second in seconds if clock.due([rule], START + timedelta(seconds=second))]


def test_a_cron_rule_fires_once_in_its_minute_however_often_it_is_asked() -> None:
    assert fired(AnyRule("cron(0 3 * * ? *)"), [1, 29, 30, 31, 45, 89, 91]) == [30]


def test_a_cron_rule_that_was_due_while_nobody_asked_still_fires() -> None:
    assert fired(AnyRule("cron(0 3 * * ? *)"), [1, 200]) == [200]


def test_a_rate_rule_fires_after_each_period() -> None:
    assert fired(AnyRule("rate(1 minute)"), [0, 30, 59, 60, 61, 119, 121, 400, 401]) == [60, 121, 400]


def test_a_disabled_rule_never_fires() -> None:
    assert fired(AnyRule("rate(1 minute)", state="DISABLED"), [0, 60, 120]) == []


def test_a_target_may_ask_for_another_input() -> None:
    event = {"time": "2026-03-01T03:00:00Z", "detail": {"key": "a", "size": 3}}

    assert transformed({"Input": '{"day": 1}'}, event) == {"day": 1}
    assert transformed({"InputPath": "$.detail"}, event) == {"key": "a", "size": 3}
    template = {"InputPathsMap": {"when": "$.time"}, "InputTemplate": '{"at": "<when>"}'}
    assert transformed({"InputTransformer": template}, event) == {"at": "2026-03-01T03:00:00Z"}
    assert transformed({}, event) == event


@pytest.mark.slow
def test_an_event_that_matches_reaches_a_function_and_one_that_does_not_stays_away(
    cloud: Cloud, tmp_path: Path
) -> None:
    seen_by = str(tmp_path / "seen")
    source = f"""
import json
def handle(event, context):
    open({seen_by!r}, "a").write(json.dumps(event) + chr(10))
"""
    arn = f"arn:aws:lambda:us-east-1:123456789012:function:{make_function(cloud, source)}"
    events, rule, shop = cloud.client("events"), any_name("rule"), any_name("shop")
    events.put_rule(Name=rule, EventPattern=json.dumps({"source": [shop], "detail-type": ["Sold"]}))
    events.put_targets(Rule=rule, Targets=[{"Id": "f", "Arn": arn}])
    for kind in ("Sold", "Seen", "Sold"):
        events.put_events(Entries=[{"Source": shop, "DetailType": kind, "Detail": '{"n": 1}'}])

    seen = until(lambda: len(lines := whole_lines(tmp_path / "seen")) == 2 and lines)
    assert {json.loads(line)["detail-type"] for line in seen} == {"Sold"}
    assert json.loads(seen[0])["detail"] == {"n": 1}


@pytest.mark.slow
def test_an_object_put_into_a_bucket_reaches_a_queue_with_its_key(cloud: Cloud) -> None:
    bucket, rule = any_name("bucket"), any_name("rule")
    url, arn = make_queue(cloud)
    s3, events = cloud.client("s3"), cloud.client("events")
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}})
    pattern = {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {"bucket": {"name": [bucket]}, "object": {"key": [{"prefix": "receipts/"}]}},
    }
    events.put_rule(Name=rule, EventPattern=json.dumps(pattern))
    events.put_targets(Rule=rule, Targets=[{"Id": "q", "Arn": arn, "InputPath": "$.detail.object.key"}])
    s3.put_object(Bucket=bucket, Key="landing/a", Body=b"x")
    s3.put_object(Bucket=bucket, Key="receipts/b", Body=b"x")

    assert until(lambda: messages(cloud, url)) == ['"receipts/b"']


@pytest.mark.slow
def test_a_target_that_is_never_served_is_refused_when_it_is_made(cloud: Cloud) -> None:
    events, rule = cloud.client("events"), any_name("rule")
    events.put_rule(Name=rule, ScheduleExpression="rate(1 day)")

    with pytest.raises(ClientError) as refused:
        events.put_targets(Rule=rule, Targets=[{"Id": "b", "Arn": "arn:aws:batch:us-east-1:123456789012:job-queue/x"}])
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
