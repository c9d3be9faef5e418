"""Remove data files that no receipt names: what a consumer wrote before it failed or was overtaken."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import Any

import boto3

from domain.ingest import landing
from domain.ingest.receipts import read_receipt, receipt_key
from lambdas.ingest.bucket import Bucket
from lambdas.ingest.settings import SweepSettings

GRACE = timedelta(days=2)
"""A file this old is no longer being landed: an invocation lasts 15 minutes at most, a record a day or so."""

SWEEPS = timedelta(days=7)
"""A file is judged by the sweeps of a week, then left: the cost of a sweep does not grow with the lake."""

settings = cache(SweepSettings.read)
client = cache(boto3.client)


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Name what would be removed; remove it only if the event says {"remove": true}."""
    bucket = Bucket(client("s3"), settings().bucket)
    found = list(orphans(bucket, datetime.now(timezone.utc)))
    removed = event.get("remove") is True
    if removed:
        bucket.delete(found)
    return {"orphans": len(found), "removed": removed, "first": found[:10]}


def orphans(bucket: Bucket, now: datetime) -> Iterator[str]:
    """Find the data files old enough to be judged that no receipt names.

    A table holds only files that a receipt names, so none of these is in a table.
    """
    named = cache(lambda receipt: names(bucket, receipt))
    for key, written in bucket.objects(landing.ROOT):
        if GRACE < now - written < GRACE + SWEEPS and key not in named(receipt_of(key)):
            yield key


def receipt_of(key: str) -> str:
    """Find the key of the only receipt that may name a data file.

    >>> key = landing.data_key("search", "clicks", "shard-0", 7, "2026-03-01-x")
    >>> receipt_of(key) == receipt_key("clicks", "shard-0", 7)
    True
    """
    _, _, stream, shard, name = key.split("/")
    return receipt_key(stream, shard, int(name.partition("-")[0]))


def names(bucket: Bucket, receipt: str) -> frozenset[str]:
    """List the files that a receipt names, if it exists."""
    body = bucket.find(receipt)
    return frozenset() if body is None else frozenset(file.key for file in read_receipt(body).files)
