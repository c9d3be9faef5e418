"""Give the topic more partitions while the alarm of its lag rings; runs each half hour, alone."""

from __future__ import annotations

from functools import cache
from typing import Any

import boto3

from domain.ingest.partitions import Decision, decide
from domain.metrics import PARTITIONS, STARVED
from lambdas.ingest.settings import WidenSettings

RINGS = "ALARM"

settings = cache(WidenSettings.read)
client = cache(boto3.client)


class MissingAlarm(RuntimeError):
    """An alarm that should decide is not there: no alarm and one that is quiet must not look alike."""


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Look at the alarms, and double the partitions if that is due."""
    where = {"ClusterArn": settings().cluster, "TopicName": settings().topic}
    partitions = client("kafka").describe_topic(**where)["PartitionCount"]
    lags, fails = ringing(settings().lag), ringing(settings().failure)
    decision = decide(partitions, int(settings().most), lags=lags, fails=fails)
    if decision.target is not None:
        client("kafka").update_topic(**where, PartitionCount=decision.target)
    report(partitions, decision)
    return {"partitions": partitions, "target": decision.target, "reason": decision.reason}


def ringing(alarm: str) -> bool:
    """Tell whether an alarm rings, now: an alarm's own action comes once, however long it rings."""
    found = client("cloudwatch").describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
    if not found:
        raise MissingAlarm(f"there is no alarm {alarm}: deploy Rivermill-Monitor")
    return bool(found[0]["StateValue"] == RINGS)


def report(partitions: int, decision: Decision) -> None:
    """Count what is there, and whether more is wanted than may be had."""
    PARTITIONS.emit(decision.target or partitions)
    STARVED.emit(decision.starved)
