"""Append rows to a table of the lake that no receipt feeds, and read tables in pieces that fit in memory."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import pyarrow as pa
from pyiceberg.catalog import Catalog

from domain.contract.arrow import arrow_schema
from domain.ingest.asked import Window
from domain.ingest.batch import encode
from domain.tables import Table
from lambdas.ingest.bucket import Bucket
from lambdas.ingest.registration import describe

FIRST, LAST = datetime(1970, 1, 1, tzinfo=timezone.utc), datetime(9999, 1, 1, tzinfo=timezone.utc)


def append(
    catalog: Catalog,
    bucket: Bucket,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    *,
    name: str = "",
    replaces: str = "",
) -> None:
    """Append rows, all of one partition, in one commit; it replaces the files whose names begin with `replaces`."""
    opened = catalog.load_table(table.full_name)
    key = f"{table.prefix}data/{name}{uuid.uuid4().hex}.parquet"
    bucket.put(key, encode(pa.Table.from_pylist([dict(row) for row in rows], arrow_schema(table.columns))))
    files = describe(opened, [f"s3://{bucket.name}/{key}"])
    old = [task.file for task in opened.scan().plan_files()] if replaces else []
    gone = [file for file in old if file.file_path.rpartition("/")[2].startswith(replaces)]
    with opened.transaction() as transaction:
        update = transaction.update_snapshot()
        with update.overwrite() if gone else update.fast_append() as commit:
            for file in gone:
                commit.delete_data_file(file)
            for file in files:
                commit.append_data_file(file)


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
