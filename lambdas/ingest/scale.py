"""Give the stream as many shards as its load asks for; runs each minute, alone, on a provisioned stream."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import cache
from itertools import islice
from typing import Any

import boto3
from botocore.exceptions import ClientError

from domain import metrics
from domain.ingest.scaling import MOST_CHANGES, Change, Decision, Minute, Policy, bounded, decide, load
from lambdas.ingest.bucket import Bucket
from lambdas.ingest.settings import ScaleSettings

ROOT = "scaling/"
DIGITS = 12
LAST = 10**12 - 1
SERIES = {"bytes": "IncomingBytes", "records": "IncomingRecords", "refused": "WriteProvisionedThroughputExceeded"}
REFUSALS = {"LimitExceededException", "ResourceInUseException"}
"""Somebody else has changed the stream too, or is changing it: the next minute sees further."""

settings = cache(ScaleSettings.read)
client = cache(boto3.client)


class MetricsUnavailable(RuntimeError):
    """CloudWatch could not tell the load: no load and no answer must not look alike."""


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Look at the stream's load, and change its shards if that is due."""
    now = datetime.now(timezone.utc)
    described = client("kinesis").describe_stream_summary(StreamName=settings().stream)["StreamDescriptionSummary"]
    shards = described["OpenShardCount"]
    metrics.SHARDS.emit(shards)
    if described["StreamStatus"] != "ACTIVE":
        return {"shards": shards, "target": None, "reason": f"the stream is {described['StreamStatus']}"}
    policy = Policy(floor=int(settings().floor), ceiling=int(settings().ceiling))
    history = loads(now, policy.calm)
    changes = log(bucket())
    decision = decide(now, shards, history, [change for _, change in changes], bounded(policy, shards, room()))
    if decision.target is not None:
        number = changes[-1][0] + 1 if changes else 0
        decision = change(now, shards, decision, number)
    report(now, shards, history, decision)
    return {"shards": shards, "target": decision.target, "reason": decision.reason}


def change(now: datetime, shards: int, decision: Decision, number: int) -> Decision:
    """Write the change down, then ask for it: one that fails after that counts too, so that ten is never passed."""
    target = decision.target
    written = {"at": now.isoformat(), "before": shards, "after": target, "skewed": decision.skewed}
    body = json.dumps({**written, "reason": decision.reason}).encode()
    if not bucket().put_if_absent(key_of(number), body):
        return replace(decision, target=None, reason="another scaler was faster")
    try:
        client("kinesis").update_shard_count(
            StreamName=settings().stream, TargetShardCount=target, ScalingType="UNIFORM_SCALING"
        )
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code not in REFUSALS:
            raise
        return replace(decision, target=None, reason=f"{code}: {error}", starved=True)
    return decision


def report(now: datetime, shards: int, history: list[Minute], decision: Decision) -> None:
    """Count what was decided."""
    latest = max((load(minute) for minute in history if now - minute.at <= timedelta(minutes=5)), default=0.0)
    metrics.SHARD_LOAD.emit(100 * latest / shards)
    metrics.SHARD_CHANGES.emit(decision.target is not None)
    metrics.STARVED.emit(decision.starved)


def loads(now: datetime, span: timedelta) -> list[Minute]:
    """Read the stream's load, minute by minute; the present one as far as it goes."""
    end = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    answer = client("cloudwatch").get_metric_data(
        MetricDataQueries=[query(name, metric) for name, metric in SERIES.items()],
        StartTime=end - span - timedelta(minutes=1),
        EndTime=end,
    )
    unclear = [found["Label"] for found in answer["MetricDataResults"] if found["StatusCode"] != "Complete"]
    if unclear:
        raise MetricsUnavailable(f"CloudWatch gives {', '.join(unclear)} only in part; the next minute asks again")
    series = {
        found["Id"]: dict(zip(found["Timestamps"], found["Values"], strict=True))
        for found in answer["MetricDataResults"]
    }
    return [
        Minute(at, **{name: series[name].get(at, 0.0) for name in SERIES})
        for at in sorted({at for values in series.values() for at in values})
    ]


def query(name: str, metric: str) -> dict[str, Any]:
    """Ask for a metric's sums by minute."""
    dimensions = [{"Name": "StreamName", "Value": settings().stream}]
    named = {"Namespace": "AWS/Kinesis", "MetricName": metric, "Dimensions": dimensions}
    return {"Id": name, "MetricStat": {"Metric": named, "Period": 60, "Stat": "Sum"}}


def room() -> int:
    """Count the shards that the account may still have."""
    limits: dict[str, int] = client("kinesis").describe_limits()
    return limits["ShardLimit"] - limits["OpenShardCount"]


def log(bucket: Bucket) -> list[tuple[int, Change]]:
    """Read the last changes, oldest first, each with its number."""
    keys = islice(bucket.keys(f"{ROOT}{settings().stream}/"), MOST_CHANGES)
    return [(number_of(key), read(bucket.get(key))) for key in reversed(list(keys))]


def read(body: bytes) -> Change:
    """Read a change that was written down."""
    said = json.loads(body)
    return Change(datetime.fromisoformat(said["at"]), said["before"], said["after"], said["skewed"])


def key_of(number: int) -> str:
    """Name the place of a change: two scalers cannot take the same, and the newest is listed first."""
    return f"{ROOT}{settings().stream}/{LAST - number:0{DIGITS}d}.json"


def number_of(key: str) -> int:
    """Read a change's number from its place."""
    return LAST - int(key.rpartition("/")[2].removesuffix(".json"))


def bucket() -> Bucket:
    """Open the lake's bucket."""
    return Bucket(client("s3"), settings().bucket)
