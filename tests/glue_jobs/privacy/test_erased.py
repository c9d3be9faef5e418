"""Spark reads what is left of the files that it wrote, row for row."""

from __future__ import annotations

from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pyiceberg.table import FileScanTask
from pyspark.sql import DataFrame, SparkSession

from domain import layout
from domain.tables import CURATED
from glue_jobs import lake
from lambdas.privacy import purge as purging
from lambdas.privacy import table as erasing
from lambdas.privacy.files import client
from tests.glue_jobs.frames import Lake
from tests.glue_jobs.tables import body, catalog

pytestmark = pytest.mark.slow

RATINGS = CURATED["rating"]
NAME = lake.name(RATINGS)
SUBJECT = "u-000123"
USERS, ROWS = 500, 12_000
VALUES = {
    "version": "1L",
    "arrived_at": "timestamp_micros(1772366400000000 + id)",
    "shard": "'shard-0'",
    "sequence": "lpad(id, 56, '0')",
    "event_id": "uuid()",
    "event_time": "timestamp_micros(1772366400000000 + id * 1000)",
    "user_id": f"concat('u-', lpad(id * 7919 % {USERS}, 6, '0'))",
    "product_id": "concat('p-', id % 97)",
    "stars": "1L + id % 5",
}


@pytest.fixture
def ratings(spark: SparkSession, empty_lake: Lake) -> pa.Table:
    """Rows in the table, in files of many row groups."""
    spark.sql(f"ALTER TABLE {NAME} SET TBLPROPERTIES ('write.parquet.row-group-size-bytes'='65536')")
    columns = [f"{VALUES[column.name]} AS {column.name}" for column in RATINGS.columns]
    spark.range(ROWS).selectExpr(*columns).writeTo(NAME).append()
    return in_order(spark.table(NAME))


def in_order(frame: DataFrame) -> pa.Table:
    """Collect rows in an order that does not depend on their files."""
    return frame.toArrow().sort_by("event_id")


def test_spark_reads_its_own_files_without_the_subject(spark: SparkSession, ratings: pa.Table) -> None:
    """Its files have the filters, indexes and pages of Java's writer; the subject leaves one row group of one."""
    client.cache_clear()
    groups = [footer(task.file.file_path).num_row_groups for task in files()]

    erased = erasing.erase_table(catalog(), RATINGS.full_name, [SUBJECT], "user_id")
    purging.purge(catalog(), RATINGS.full_name, layout.ORPHAN_AGE)

    spark.sql(f"REFRESH TABLE {NAME}")
    left, wanted = spark.table(NAME), ratings.filter(pc.field("user_id") != SUBJECT)
    assert in_order(left) == wanted
    assert erased.rows == ROWS // USERS
    assert erased.row_groups == 1 < min(groups)
    assert sum(footer(task.file.file_path).num_row_groups for task in files()) == sum(groups)
    # Rows can still be found by a key, also where the filter of a row group had to go.
    some = wanted.filter(pc.field("user_id").isin(["u-000122", "u-000124"]))["event_id"].to_pylist()[:4]
    looked_up = [left.where(f"event_id = '{key}'").select("event_id") for key in some]
    assert sorted(row.event_id for row in reduce(DataFrame.unionAll, looked_up).collect()) == some


def files() -> list[FileScanTask]:
    return list(catalog().load_table(RATINGS.full_name).scan().plan_files())


def footer(path: str) -> pq.FileMetaData:
    return pq.ParquetFile(pa.BufferReader(body(path))).metadata
