"""Frames for tests of Spark jobs, and the lake as they see it, made of its own declarations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from domain.schema import Column
from domain.tables import Table
from glue_jobs import accounts, lake
from tests.glue_jobs import tables
from tests.glue_jobs.tables import BUCKET

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
        tables.append(table, rows)
        self.spark.catalog.refreshTable(lake.name(table))

    def rows(self, table: Table) -> list[dict[str, Any]]:
        return tables.rows(table)

    def snapshots(self, table: Table) -> list[Any]:
        return list(lake.ancestors(self.spark, table))

    def json(self, key: str) -> Any:
        return json.loads(accounts.s3().get_object(Bucket=BUCKET, Key=key)["Body"].read())


def framed(spark: SparkSession, columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> DataFrame:
    """Frame rows; a column that a row lacks is null."""
    schema = pa.schema([(column.name, ARROW[column.iceberg_type]) for column in columns])
    return spark.createDataFrame(pa.Table.from_pylist([dict(row) for row in rows], schema))


def dicts(frame: DataFrame) -> list[dict[str, Any]]:
    """Collect rows with aware times, however the machine's clock is set."""
    return [{name: _aware(value) for name, value in row.asDict().items()} for row in frame.collect()]


def _aware(value: Any) -> Any:
    return value.astimezone(timezone.utc) if isinstance(value, datetime) else value
