"""Start a replay for a span of arrivals, and tell how it is doing and what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import cache
from typing import Any

import boto3
from botocore.exceptions import ParamValidationError

from domain.ingest import asked
from domain.ingest.asked import Refused, Window
from lambdas.ingest.settings import ReplaySettings

START = ("from", "to", "swap", "accept", "dry_run")
FOLLOW = ("run", "job_run")

settings = cache(ReplaySettings.read)
client = cache(boto3.client)


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Start a replay, which swaps nothing without {"swap": true}; or follow the one that `run` and `job_run` name."""
    try:
        if "job_run" in event:
            asked.only(event, FOLLOW)
            return follow(str(event.get("run")), str(event["job_run"]))
        asked.only(event, START)
        return start(event, datetime.now(timezone.utc))
    except Refused as refused:
        return refused.report()


def start(event: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Start the job; one runs at a time."""
    window, arguments = spell(event, now)
    glue = client("glue")
    try:
        job_run = glue.start_job_run(JobName=settings().job, Arguments=arguments)["JobRunId"]
    except glue.exceptions.ConcurrentRunsExceededException:
        raise Refused("from", event["from"], "a replay is running; wait for its end") from None
    return {**window.report(), "run": arguments["--run"], "job_run": job_run, "state": "STARTING"}


def spell(event: Mapping[str, Any], now: datetime) -> tuple[Window, dict[str, str]]:
    """Spell the job's arguments; the same span has the same name, so that its account is found again."""
    window = Window.read(event)
    if window.start is None or window.end is None:
        raise Refused("from" if window.start is None else "to", None, asked.MOMENT)
    if window.start >= now:
        raise Refused("from", event["from"], f"nothing has arrived from then on; it is {now:%Y-%m-%dT%H:%MZ}")
    flags = {"swap": asked.switch(event, "swap"), "accept": asked.switch(event, "accept")}
    dry = asked.switch(event, "dry_run")
    if flags["accept"] and not flags["swap"]:
        raise Refused("accept", True, "it says what a swap may change; write swap too, or leave it out")
    spelled = {f"--{name}": str(value).lower() for name, value in {**flags, "dry": dry}.items()}
    run = f"replay-{window.start:%Y%m%dT%H%M%S}-{window.end:%Y%m%dT%H%M%S}"
    return window, {"--from": window.start.isoformat(), "--to": window.end.isoformat(), "--run": run, **spelled}


def follow(run: str, job_run: str) -> dict[str, Any]:
    """Tell how a replay is doing, and its account once it has succeeded."""
    glue = client("glue")
    try:
        found = glue.get_job_run(JobName=settings().job, RunId=job_run)["JobRun"]
    except (glue.exceptions.EntityNotFoundException, ParamValidationError):
        raise Refused("job_run", job_run, "there is no such run; take it from the answer that started it") from None
    told = {"run": run, "job_run": job_run, "state": found["JobRunState"]}
    if found["JobRunState"] != "SUCCEEDED":
        return {**told, "error": found.get("ErrorMessage")}
    s3 = client("s3")
    try:
        body = s3.get_object(Bucket=settings().bucket, Key=f"runs/{run}/replay.json")["Body"].read()
    except s3.exceptions.NoSuchKey:
        raise Refused("run", run, "it has no account; take it from the answer that started it") from None
    return {**told, "account": json.loads(body)}
