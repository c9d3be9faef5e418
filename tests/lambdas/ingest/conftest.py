"""A moto server in a thread, with the lake's bucket and raw tables, and the functions pointed at it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from moto.core.responses import EmptyResult
from moto.glue.responses import GlueResponse
from pyiceberg.catalog import Catalog
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table as IcebergTable

from domain.contract.iceberg import iceberg_partition, iceberg_schema
from domain.ingest.receipts import Receipt, linked, read_receipt, shard_prefix
from domain.tables import QUARANTINE, RAW, UNDECLARED, Table
from lambdas.ingest import commit, conserve, consume, redrive, sweep
from lambdas.ingest.bucket import Bucket
from local import catalogue
from local.server import Front
from local.wire import Listener
from tests.databases import databases

BUCKET = "lake"
STREAM = "rivermill-events"
SHARD = "shardId-000000000000"
FIRST = 49590338271490256608559692538361571095921575989136588898


@dataclass
class Lake:
    """The lake as a test sees it; `before` and `after` run around each write of Glue's catalogue and may raise."""

    bucket: Bucket
    before: Callable[[], None] = field(default=lambda: None)
    after: Callable[[], None] = field(default=lambda: None)

    def consume(self, payloads: list[bytes], start: int = 0, shard: str = SHARD) -> None:
        consume.handler(kinesis_event(payloads, start, shard), None)

    def commit(self, seconds: float = 900) -> dict[str, Any]:
        return commit.handler({}, Remaining(seconds))

    def table(self, name: str) -> IcebergTable:
        return commit.catalog().load_table(name)

    def sequences(self, name: str) -> list[int]:
        return sorted(int(row) - FIRST for row in self.table(name).scan().to_arrow()["sequence"].to_pylist())

    def chain(self, shard: str = SHARD) -> list[Receipt]:
        keys = self.bucket.keys(shard_prefix(STREAM, shard))
        return linked(0, [read_receipt(self.bucket.get(key)) for key in keys])


@dataclass
class Remaining:
    """Tells how much time an invocation has left."""

    seconds: float

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1000)


def kinesis_event(payloads: list[bytes], start: int = 0, shard: str = SHARD) -> dict[str, Any]:
    """Write records as Lambda hands them over."""
    return {
        "Records": [
            {
                "eventSource": "aws:kinesis",
                "eventSourceARN": f"arn:aws:kinesis:us-east-1:123456789012:stream/{STREAM}",
                "eventID": f"{shard}:{FIRST + number}",
                "kinesis": {
                    "data": base64.b64encode(payload).decode(),
                    "sequenceNumber": str(FIRST + number),
                    "approximateArrivalTimestamp": 1772366400.25,
                },
            }
            for number, payload in enumerate(payloads, start=start)
        ]
    }


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    listener = Listener(0, Front())
    listener.start()
    yield f"http://127.0.0.1:{listener.port}"
    listener.close()


@pytest.fixture
def lake(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lake]:
    settings = {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "BUCKET": BUCKET}
    for name, value in {**settings, "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    forget()
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    made = Lake(Bucket(s3, BUCKET))
    made.bucket.delete(list(made.bucket.keys("")))  # of a test of the process that failed
    lock_glue(monkeypatch, made)
    yield made
    made.bucket.delete(list(made.bucket.keys("")))
    s3.delete_bucket(Bucket=BUCKET)
    forget()


def forget() -> None:
    """Start each function's process anew."""
    for module in (consume, commit, sweep, redrive, conserve):
        module.settings.cache_clear()
        module.client.cache_clear()
    for committer in (commit, redrive, conserve):
        committer.catalog.cache_clear()
    consume.positions.cache_clear()
    for reader in (consume, redrive):
        reader.keys.cache_clear()


@pytest.fixture
def tables(lake: Lake) -> Iterator[None]:
    """The tables that the records of these tests have a part in, and one that they have none in."""
    with databases(boto3.client("glue"), "raw"):
        create_tables(commit.catalog(), RAW["rating"], RAW["search"], RAW["purchase"], UNDECLARED, QUARANTINE)
        yield


def create_tables(catalog: Catalog, *tables: Table) -> None:
    for table in tables:
        catalog.create_table(
            table.full_name,
            Schema.model_validate(iceberg_schema(table.columns)),
            location=f"s3://{BUCKET}/{table.prefix.rstrip('/')}",
            partition_spec=PartitionSpec.model_validate(iceberg_partition(table)),
        )


def lock_glue(monkeypatch: pytest.MonkeyPatch, lake: Lake) -> None:
    """Give moto's Glue the optimistic lock that it lacks, and the faults that a test asks for."""

    def faulty(response: GlueResponse) -> EmptyResult:
        lake.before()
        answer = catalogue.update_table(response)
        lake.after()
        return answer

    monkeypatch.setattr(GlueResponse, "update_table", faulty)
