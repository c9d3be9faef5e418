"""Register the data files of new receipts in the raw tables; one invocation runs at a time."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from itertools import takewhile
from typing import Any, Protocol

import boto3
from pyiceberg.catalog import Catalog

from domain import metrics
from domain.ingest.commits import COMMIT_ORDER, WITNESS, Step, position
from domain.ingest.receipts import ROOT, Receipt, followed, linked, read_receipt
from lambdas.catalogue import open_catalogue
from lambdas.ingest.bucket import Bucket
from lambdas.ingest.registration import register
from lambdas.ingest.settings import CommitSettings

RECEIPTS_AT_ONCE = 300
"""Receipts of one round at most, so that a round ends well within the margin."""

MARGIN_MS = 120_000
"""A round begins only with more time than this left."""

READERS = 16

settings = cache(CommitSettings.read)
client = cache(boto3.client)
catalog = cache(open_catalogue)


class Context(Protocol):
    """What Lambda tells a function about its invocation."""

    def get_remaining_time_in_millis(self) -> int:
        """Say how much time is left."""


@dataclass(slots=True)
class Tally:
    """What an invocation has done so far."""

    files: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    bytes: int = 0
    late: int = 0
    lag_seconds: float = 0.0
    more: bool = True

    def add(self, table: str, step: Step | None) -> None:
        """Add one commit."""
        if step is not None:
            self.files[table] += len(step.files)
            self.rows[table] += step.rows
            self.bytes += sum(file.bytes for file in step.files)
            self.late += sum(file.late for file in step.files)

    def report(self) -> dict[str, Any]:
        """Say it in JSON."""
        committed = {table: {"files": n, "rows": self.rows[table]} for table, n in self.files.items() if n}
        return {"committed": committed, "lag_seconds": self.lag_seconds, "more": self.more}


def handler(event: dict[str, Any], context: Context) -> dict[str, Any]:
    """Commit round after round until no receipt is left or time is short."""
    bucket, tally = Bucket(client("s3"), settings().bucket), Tally()
    while tally.more and context.get_remaining_time_in_millis() > MARGIN_MS:
        receipts, tally.more = pending(bucket, catalog())
        tally.lag_seconds = max(tally.lag_seconds, lag(receipts))
        commit(catalog(), bucket.name, receipts, tally)
    metrics.COMMIT_LAG.emit(tally.lag_seconds)
    metrics.FILES_COMMITTED.emit(tally.files.total())
    metrics.LATE.emit(tally.late)
    if files := tally.files.total():
        metrics.FILE_BYTES.emit(tally.bytes / files)
    return tally.report()


def commit(catalog: Catalog, bucket: str, receipts: list[Receipt], tally: Tally) -> None:
    """Bring every table that has a part in the receipts up to them, the witness last."""
    concerned = {file.table for receipt in receipts for file in receipt.files} | {WITNESS}
    for table in COMMIT_ORDER if receipts else ():
        if table in concerned:
            tally.add(table, register(catalog, bucket, table, receipts))


def lag(receipts: list[Receipt]) -> float:
    """Say how many seconds the oldest receipt has waited."""
    return max((time.time() - receipt.written_at.timestamp() for receipt in receipts), default=0.0)


def pending(bucket: Bucket, catalog: Catalog) -> tuple[list[Receipt], bool]:
    """Read the oldest receipts that some table may lack, each shard's in order; tell whether more are left."""
    properties = catalog.load_table(WITNESS).properties
    shards = [tuple(folder.split("/")[1:3]) for stream in bucket.folders(ROOT) for folder in bucket.folders(stream)]
    waiting = {
        (stream, shard): keys
        for stream, shard in shards
        if (keys := unregistered(bucket, stream, shard, position(properties, stream, shard)))
    }
    share = max(1, RECEIPTS_AT_ONCE // max(1, len(waiting)))
    with ThreadPoolExecutor(READERS) as pool:
        read = {
            (stream, shard): list(pool.map(lambda key: read_receipt(bucket.get(key)), keys[-share:]))
            for (stream, shard), keys in waiting.items()
        }
    receipts = [
        receipt
        for (stream, shard), some in read.items()
        for receipt in linked(position(properties, stream, shard), some)
    ]
    return receipts, any(len(keys) > share for keys in waiting.values())


def unregistered(bucket: Bucket, stream: str, shard: str, reached: int) -> list[str]:
    """List a shard's receipts after a position, newest first, and none of the many before it."""
    return list(takewhile(lambda key: followed(key) >= reached, bucket.keys(f"{ROOT}{stream}/{shard}/")))
