"""Start the run of the day that is over."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import boto3

from lambdas.orchestrate.settings import StartSettings

settings = cache(StartSettings.read)
client = cache(boto3.client)


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Start the run of the day before the schedule's `time`, once however often it is asked."""
    # The schedule itself cannot do this: it knows neither yesterday nor how to name an execution.
    day = day_before(event["time"])
    execution = {"name": f"daily-{day}", "input": json.dumps({"day": day})}
    states = client("stepfunctions")
    try:
        states.start_execution(stateMachineArn=settings().state_machine, **execution)
    except states.exceptions.ExecutionAlreadyExists:
        return {"day": day, "started": False}
    return {"day": day, "started": True}


def day_before(time: str) -> str:
    """Name the day (UTC) before a moment.

    >>> day_before("2026-03-01T02:00:00Z")
    '2026-02-28'
    """
    return (datetime.fromisoformat(time.replace("Z", "+00:00")) - timedelta(days=1)).date().isoformat()
