"""Tell what a job did: a line on its output, and an object in the lake."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import boto3

from glue_jobs.arguments import Arguments


@cache
def s3() -> Any:
    """Connect to S3."""
    return boto3.client("s3")


def put(bucket: str, key: str, value: Any) -> None:
    """Write a value as JSON."""
    s3().put_object(Bucket=bucket, Key=key, Body=json.dumps(value).encode(), ContentType="application/json")


def tell(arguments: Arguments, job: str, account: Mapping[str, Any]) -> None:
    """Print the account on one line and keep it as `runs/<run>/<job>.json`."""
    told = {"job": job, "day": arguments.day.isoformat(), "run": arguments.run, **account}
    put(arguments.bucket, f"runs/{arguments.run}/{job}.json", told)
    print(json.dumps(told))
