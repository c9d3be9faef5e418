"""Append rows to a table of the lake that no receipt feeds, and read tables in pieces that fit in memory."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.catalog import Catalog

from domain.contract.arrow import arrow_schema
from domain.ingest.asked import Window
from domain.ingest.batch import encode, sought
from domain.tables import Table
from lambdas.ingest.bucket import Bucket
from lambdas.ingest.registration import describe

FIRST, LAST = datetime(1970, 1, 1, tzinfo=timezone.utc), datetime(9999, 1, 1, tzinfo=timezone.utc)


def append(catalog: Catalog, bucket: Bucket, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append rows, all of one partition, in one commit."""
    opened = catalog.load_table(table.full_name)
    files = describe(opened, [write(bucket, table, pa.Table.from_pylist(list(rows), arrow_schema(table.columns)))])
    with opened.transaction() as transaction, transaction.update_snapshot().fast_append() as commit:
        for file in files:
            commit.append_data_file(file)


def replace(catalog: Catalog, bucket: Bucket, table: Table, rows: Sequence[Mapping[str, Any]], column: str) -> None:
    """Put rows, all of one partition and one value of a column, in the place of all with that value, in one commit.

    Files are found by what they hold: a compaction may have given them other names and other company.
    """
    opened, value = catalog.load_table(table.full_name), rows[0][column]
    fresh = [pa.Table.from_pylist(list(rows), arrow_schema(table.columns))]
    old = [task.file for task in opened.scan(row_filter=f"{column} = '{value}'").plan_files()]
    for file in old:
        held = pq.read_table(pa.BufferReader(bucket.get(file.file_path.removeprefix(f"s3://{bucket.name}/"))))
        if (rest := held.filter(pc.field(column) != value)).num_rows:
            fresh.append(rest.cast(arrow_schema(table.columns)))
    files = describe(opened, [write(bucket, table, each) for each in fresh])
    with opened.transaction() as transaction, transaction.update_snapshot().overwrite() as commit:
        for file in old:
            commit.delete_data_file(file)
        for file in files:
            commit.append_data_file(file)


def write(bucket: Bucket, table: Table, rows: pa.Table) -> str:
    """Write a data file and return its address."""
    key = f"{table.prefix}data/{uuid.uuid4().hex}.parquet"
    bucket.put(key, encode(rows, sought(table)))
    return f"s3://{bucket.name}/{key}"


def within(window: Window, **equal: str) -> str:
    """Select rows that arrived within a window, with columns of these values, as pyiceberg spells it."""
    start, end = window.start or FIRST, window.end or LAST
    values = "".join(f" and {column} = '{value}'" for column, value in equal.items())
    return f"arrived_at >= '{start.isoformat()}' and arrived_at < '{end.isoformat()}'{values}"


def read(catalog: Catalog, table: Table, condition: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Read the rows that a condition selects, a piece of the table at a time."""
    opened = catalog.load_table(table.full_name)
    if opened.current_snapshot() is None:
        return
    scan = opened.scan(row_filter=condition, selected_fields=tuple(columns))
    for batch in scan.to_arrow_batch_reader():
        yield from batch.to_pylist()
