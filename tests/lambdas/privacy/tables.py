"""Tables with people in them, written as Spark writes them: bucketed and sorted by the person, several row groups."""

from __future__ import annotations

import io
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog import Catalog
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table as IcebergTable
from pyiceberg.transforms import BucketTransform
from pyiceberg.typedef import Record
from pyiceberg.types import StringType

from domain.contract.arrow import arrow_schema
from domain.contract.iceberg import iceberg_partition, iceberg_schema
from domain.tables import CURATED
from lambdas.privacy.table import described
from tests.lambdas.ingest.conftest import BUCKET

RATINGS = CURATED["rating"]
SCHEMA = arrow_schema(RATINGS.columns)
BUCKETS = 4
NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
bucket = BucketTransform(BUCKETS).transform(StringType())


def ratings(users: Sequence[str | None], start: int = 0) -> pa.Table:
    """Make a rating for each user named, in this order."""
    columns: dict[str, list[Any]] = {
        "user_id": list(users),
        "event_id": [f"e-{start + number:06d}" for number in range(len(users))],
        "product_id": [f"p-{number % 7}" for number in range(len(users))],
        "stars": [1 + number % 5 for number in range(len(users))],
        "version": [1] * len(users),
        "shard": ["shard-0"] * len(users),
        "sequence": [f"{start + number:056d}" for number in range(len(users))],
    }
    moments = [NOON + timedelta(seconds=start + number) for number in range(len(users))]
    found = [columns.get(field.name, moments) for field in SCHEMA]
    nullable = [field.with_nullable(True) for field in SCHEMA]
    return pa.table(found, schema=pa.schema(nullable))


def create(catalog: Catalog, name: str, **properties: str) -> IcebergTable:
    """Create a table of ratings, bucketed by user; a rating may be nobody's."""
    schema = iceberg_schema(RATINGS.columns)
    schema["fields"] = [{**field, "required": False} for field in schema["fields"]]
    return catalog.create_table(
        name,
        Schema.model_validate(schema),
        location=f"s3://{BUCKET}/{name.replace('.', '/')}",
        partition_spec=PartitionSpec.model_validate(iceberg_partition(RATINGS, BUCKETS)),
        properties=properties,
    )


def append(table: IcebergTable, rows: pa.Table, *, group: int = 10, branch: str = "main", place: str = "") -> list[str]:
    """Append rows, a file to a bucket; return the files' keys."""
    files = [
        written(table, rows.take(places).sort_by("user_id"), number, group, place)
        for number, places in bucketed(rows).items()
    ]
    with table.transaction() as transaction, transaction.update_snapshot(branch=branch).fast_append() as change:
        for file in files:
            change.append_data_file(file)
    return [file.file_path.removeprefix(f"s3://{BUCKET}/") for file in files]


def bucketed(rows: pa.Table) -> dict[int | None, list[int]]:
    """Find the places of the rows of each bucket."""
    found: dict[int | None, list[int]] = {}
    for place, user in enumerate(rows["user_id"].to_pylist()):
        found.setdefault(bucket(user), []).append(place)
    return found


def written(table: IcebergTable, rows: pa.Table, number: int | None, group: int, place: str) -> DataFile:
    """Write one bucket's rows, and describe the file."""
    body = io.BytesIO()
    pq.write_table(rows, body, row_group_size=group, compression="zstd", write_page_index=True)
    key = f"{place or table.location().removeprefix(f's3://{BUCKET}/') + '/data/'}{uuid.uuid4()}.parquet"
    boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body=body.getvalue())
    like = DataFile.from_args(
        content=DataFileContent.DATA,
        file_format=FileFormat.PARQUET,
        partition=Record(number),
        sort_order_id=None,
    )
    like.spec_id = table.metadata.default_spec_id
    return described(table, like, f"s3://{BUCKET}/{key}", pq.read_metadata(body), len(body.getvalue()))


def rows_of(table: IcebergTable, branch: str = "main") -> dict[str, dict[str, Any]]:
    """Read a branch's or tag's rows, by event."""
    found = table.scan(snapshot_id=table.metadata.refs[branch].snapshot_id).to_arrow().to_pylist()
    assert len({row["event_id"] for row in found}) == len(found)
    return {row["event_id"]: row for row in found}
