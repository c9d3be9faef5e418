"""Spark reads what is left of the files that it wrote, row for row."""

from __future__ import annotations

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.table import FileScanTask
from pyspark.sql import DataFrame, SparkSession

from domain import layout
from domain.tables import CURATED
from glue_jobs import lake
from lambdas.catalogue import open_catalogue
from lambdas.privacy import purge as purging
from lambdas.privacy import table as erasing
from tests.glue_jobs.frames import BUCKET, Lake

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
def ratings(spark: SparkSession, empty_lake: Lake) -> DataFrame:
    """Rows in the table, in files of many row groups."""
    spark.sql(f"ALTER TABLE {NAME} SET TBLPROPERTIES ('write.parquet.row-group-size-bytes'='65536')")
    columns = [f"{VALUES[column.name]} AS {column.name}" for column in RATINGS.columns]
    spark.range(ROWS).selectExpr(*columns).writeTo(NAME).append()
    return spark.createDataFrame(spark.table(NAME).toArrow()).persist()


def test_spark_reads_its_own_files_without_the_subject(spark: SparkSession, ratings: DataFrame) -> None:
    """Its files have the filters, indexes and pages of Java's writer; the subject leaves one row group of one."""
    erasing.client.cache_clear()
    purging.client.cache_clear()
    catalog = open_catalogue()
    groups = [footer(task.file.file_path).num_row_groups for task in files(catalog)]

    erased = erasing.erase_table(catalog, RATINGS.full_name, [SUBJECT], "user_id")
    purging.purge(catalog, RATINGS.full_name, layout.ORPHAN_AGE)

    spark.sql(f"REFRESH TABLE {NAME}")
    left, wanted = spark.table(NAME), ratings.where(f"user_id <> '{SUBJECT}'")
    assert left.exceptAll(wanted).isEmpty()
    assert wanted.exceptAll(left).isEmpty()
    assert erased.rows == ROWS // USERS
    assert erased.row_groups == 1 < min(groups)
    assert sum(footer(task.file.file_path).num_row_groups for task in files(catalog)) == sum(groups)
    # Rows can still be found by a key, also where the filter of a row group had to go.
    some = wanted.where("user_id IN ('u-000122', 'u-000124')").collect()
    assert all(left.where(f"event_id = '{row['event_id']}'").count() == 1 for row in some[:4])


def files(catalog: Catalog) -> list[FileScanTask]:
    return list(catalog.load_table(RATINGS.full_name).scan().plan_files())


def footer(path: str) -> pq.FileMetaData:
    body = boto3.client("s3").get_object(Bucket=BUCKET, Key=path.removeprefix(f"s3://{BUCKET}/"))["Body"].read()
    return pq.ParquetFile(pa.BufferReader(body)).metadata
