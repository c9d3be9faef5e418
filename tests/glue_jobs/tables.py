"""Tables for tests of Spark jobs, made, filled and read without Spark, whose every statement costs most of a second."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from io import BytesIO
from itertools import groupby
from typing import Any
from uuid import uuid4

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog import Catalog
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table.sorting import NullOrder, SortField, SortOrder
from pyiceberg.transforms import IdentityTransform
from pyiceberg.typedef import Record

from domain import layout
from domain.contract.arrow import arrow_schema
from domain.contract.iceberg import iceberg_partition, iceberg_schema
from domain.tables import TABLES, Table
from lambdas.catalogue import open_catalogue
from lambdas.privacy.table import described
from tests.databases import anew

BUCKET = "sparks-lake"  # its own: what others of the process leave in theirs, or count there, is not its
BUCKETS = 2
MOMENT = pa.timestamp("us", tz="UTC")
GIVEN_BY_GLUE = ("DatabaseName", "CreateTime", "UpdateTime", "VersionId", "CatalogId", "IsRegisteredWithLakeFormation")


@cache
def s3() -> Any:
    return boto3.client("s3")


@cache
def glue() -> Any:
    return boto3.client("glue")


@cache
def catalog() -> Catalog:
    return open_catalogue()


def create(table: Table) -> None:
    """Create a table as the lake's stack declares it, with two buckets."""
    schema = Schema.model_validate(iceberg_schema(table.columns))
    order = [
        SortField(
            source_id=schema.find_field(name).field_id, transform=IdentityTransform(), null_order=NullOrder.NULLS_FIRST
        )
        for name in table.sort
    ]
    catalog().create_table(
        table.full_name,
        schema,
        location=f"s3://{BUCKET}/{table.prefix.rstrip('/')}",
        partition_spec=PartitionSpec.model_validate(iceberg_partition(table, BUCKETS)),
        sort_order=SortOrder(*order),
        properties={"format-version": "2", **layout.properties(table), "comment": table.name},
    )


def append(table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append rows, a sorted file to a partition; a field that a row lacks is null."""
    opened = catalog().load_table(table.full_name)
    with opened.transaction() as transaction, transaction.update_snapshot().fast_append() as commit:
        for place, some in _partitioned(opened, rows):
            in_order = sorted(some, key=lambda row: [row[name] for name in table.sort])
            names = [column.name for column in table.columns]
            known = [{name: row.get(name) for name in names} for row in in_order]
            commit.append_data_file(_written(opened, place, pa.Table.from_pylist(known, arrow_schema(table.columns))))


def _partitioned(opened: IcebergTable, rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, Any]]:
    """Group rows by the number of their partition, the day or the bucket."""
    [field], schema = opened.spec().fields, opened.schema()
    column = schema.find_field(field.source_id)
    transform = field.transform.transform(column.field_type)

    def place(row: Mapping[str, Any]) -> Any:
        value = row[column.name]
        return transform(pa.scalar(value, MOMENT).value if isinstance(value, datetime) else value)

    return groupby(sorted(rows, key=place), place)


def _written(opened: IcebergTable, place: int, rows: pa.Table) -> DataFile:
    body, path = BytesIO(), f"{opened.location()}/data/{uuid4()}.parquet"
    pq.write_table(rows, body, compression="zstd")
    s3().put_object(Bucket=BUCKET, Key=key(path), Body=body.getvalue())
    like = DataFile.from_args(
        content=DataFileContent.DATA,
        file_format=FileFormat.PARQUET,
        partition=Record(place),
        sort_order_id=opened.metadata.default_sort_order_id,
    )
    like.spec_id = opened.metadata.default_spec_id
    return described(opened, like, path, pq.read_metadata(body), body.getbuffer().nbytes)


def rows(table: Table) -> list[dict[str, Any]]:
    """Read all rows, with aware times."""
    found: list[dict[str, Any]] = catalog().load_table(table.full_name).scan().to_arrow().to_pylist()
    return found


@dataclass(frozen=True, slots=True)
class Untouched:
    """A table before its first row: its entry in Glue's catalogue, and its one file, which is metadata."""

    table: Table
    entry: Mapping[str, Any]
    metadata: bytes

    @property
    def location(self) -> str:
        """Where its metadata lies."""
        return location(self.entry)

    def restore(self) -> None:
        """Put the entry and the file back, and remove all others."""
        remove(self.table.prefix)
        s3().put_object(Bucket=BUCKET, Key=key(self.location), Body=self.metadata)
        glue().update_table(DatabaseName=self.table.database, TableInput=self.entry)


def made() -> list[Untouched]:
    """Make every table of the lake."""
    anew(glue(), *sorted({table.database for table in TABLES}))
    for table in TABLES:
        create(table)
    found = entries()
    return [Untouched(table, found[table.full_name], body(location(found[table.full_name]))) for table in TABLES]


def entries() -> dict[str, dict[str, Any]]:
    """Read each table's entry in Glue's catalogue, by the table's full name, without what Glue itself says in it."""
    pages = glue().get_paginator("get_tables")
    return {
        f"{database}.{entry['Name']}": {name: value for name, value in entry.items() if name not in GIVEN_BY_GLUE}
        for database in sorted({table.database for table in TABLES})
        for page in pages.paginate(DatabaseName=database)
        for entry in page["TableList"]
    }


def location(entry: Mapping[str, Any]) -> str:
    """Say where a table's metadata lies."""
    where: str = entry["Parameters"]["metadata_location"]
    return where


def key(path: str) -> str:
    return path.removeprefix(f"s3://{BUCKET}/")


def body(path: str) -> bytes:
    content: bytes = s3().get_object(Bucket=BUCKET, Key=key(path))["Body"].read()
    return content


def keys(prefix: str) -> list[str]:
    pages = s3().get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return [found["Key"] for page in pages for found in page.get("Contents", ())]


def remove(prefix: str) -> None:
    """Remove whatever lies below a prefix, 1,000 objects at most."""
    if found := keys(prefix):
        s3().delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": each} for each in found], "Quiet": True})
