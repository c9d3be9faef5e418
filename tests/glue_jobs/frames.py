"""Frames and tables for tests of Spark jobs, made of the lake's own declarations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from domain import layout
from domain.schema import Column
from domain.tables import Table
from glue_jobs import accounts, lake

BUCKET = "lake"
SPARK = {
    "string": "string",
    "long": "bigint",
    "double": "double",
    "boolean": "boolean",
    "timestamptz": "timestamp",
    "date": "date",
    "binary": "binary",
}
ARROW = {
    "string": pa.string(),
    "long": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
    "binary": pa.binary(),
}


@dataclass(frozen=True, slots=True)
class Lake:
    """The lake's tables, empty at first."""

    spark: SparkSession

    def append(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        framed(self.spark, table.columns, rows).writeTo(lake.name(table)).append()

    def rows(self, table: Table) -> list[dict[str, Any]]:
        return dicts(self.spark.table(lake.name(table)))

    def snapshots(self, table: Table) -> list[Any]:
        return list(lake.ancestors(self.spark, table))

    def json(self, key: str) -> Any:
        return json.loads(accounts.s3().get_object(Bucket=BUCKET, Key=key)["Body"].read())


def create(spark: SparkSession, table: Table) -> None:
    """Create a table as the lake's stack declares it, with two buckets."""
    columns = ", ".join(f"{c.name} {SPARK[c.iceberg_type]}{' NOT NULL' if c.required else ''}" for c in table.columns)
    cut = {"day": "days({})", "bucket": "bucket(2, {})"}[table.partition.transform].format(table.partition.column)
    laid_out = {"format-version": "2", **layout.properties(table), "comment": table.name}
    properties = ", ".join(f"'{key}'='{value}'" for key, value in laid_out.items())
    spark.sql(
        f"CREATE TABLE {lake.name(table)} ({columns}) USING iceberg PARTITIONED BY ({cut}) "
        f"LOCATION 's3://{BUCKET}/{table.prefix}' TBLPROPERTIES ({properties})"
    )
    spark.sql(f"ALTER TABLE {lake.name(table)} WRITE LOCALLY ORDERED BY {', '.join(table.sort)}")


def framed(spark: SparkSession, columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> DataFrame:
    """Frame rows; a column that a row lacks is null."""
    schema = pa.schema([(column.name, ARROW[column.iceberg_type]) for column in columns])
    return spark.createDataFrame(pa.Table.from_pylist([dict(row) for row in rows], schema))


def dicts(frame: DataFrame) -> list[dict[str, Any]]:
    """Collect rows with aware times, however the machine's clock is set."""
    return [{name: _aware(value) for name, value in row.asDict().items()} for row in frame.collect()]


def _aware(value: Any) -> Any:
    return value.astimezone(timezone.utc) if isinstance(value, datetime) else value
