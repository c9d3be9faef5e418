"""A Spark session over a Glue catalogue and an S3 of the laptop cloud's, with the lake's tables in it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import boto3
import pytest
from moto.glue.responses import GlueResponse
from pyspark.sql import SparkSession

from glue_jobs import lake
from local import catalogue
from local import spark as engine
from local.server import Front
from local.wire import Listener
from tests.glue_jobs import tables
from tests.glue_jobs.frames import Lake
from tests.glue_jobs.tables import BUCKET, Untouched

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "us-east-1"}
ENVIRONMENT["AWS_DEFAULT_REGION"] = ENVIRONMENT["AWS_REGION"]

JAVA = "-XX:+UseSerialGC -XX:ReservedCodeCacheSize=160m"  # one session outlives many jobs: theirs would overflow
SMALL = {
    "spark.driver.memory": "1g",
    "spark.sql.shuffle.partitions": "2",
    # Small frames: compiling their plans, and planning them again between stages, takes longer than running them.
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
}


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    listener = Listener(0, Front())
    listener.start()
    here = f"http://127.0.0.1:{listener.port}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": here}.items():
            patch.setenv(name, value)
        # Writers notice each other by a lock that moto's Glue lacks.
        patch.setattr(GlueResponse, "update_table", catalogue.update_table)
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield here
    listener.close()


@pytest.fixture(scope="session")
def spark(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    os.environ["PYSPARK_PYTHON"] = sys.executable
    catalogue = "spark.sql.catalog.lake"
    own = engine.engine()
    conf = {
        **own,
        **SMALL,
        "spark.driver.extraJavaOptions": f"{own['spark.driver.extraJavaOptions']} {JAVA}",
        "spark.local.dir": str(tmp_path_factory.mktemp("spark")),
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        catalogue: "org.apache.iceberg.spark.SparkCatalog",
        f"{catalogue}.catalog-impl": "org.apache.iceberg.aws.glue.GlueCatalog",
        f"{catalogue}.io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        f"{catalogue}.warehouse": f"s3://{BUCKET}/",
        f"{catalogue}.glue.endpoint": endpoint,
        f"{catalogue}.s3.endpoint": endpoint,
        f"{catalogue}.s3.path-style-access": "true",
    }
    builder = SparkSession.builder.master("local[2]").appName("rivermill-tests")
    for key, value in conf.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    lake.session()
    yield session
    session.stop()


@pytest.fixture(scope="session")
def untouched(endpoint: str) -> list[Untouched]:
    """Every table as it was made, before any test wrote to it."""
    return tables.made()


@pytest.fixture
def empty_lake(spark: SparkSession, untouched: list[Untouched]) -> Lake:
    """Every table as it was made; those that another test wrote to are put back."""
    spark.catalog.clearCache()  # what a job has kept of another test's rows
    now = tables.entries()
    for was in untouched:
        if tables.location(now[was.table.full_name]) != was.location:
            was.restore()
            spark.catalog.refreshTable(lake.name(was.table))
    tables.remove("landing/")
    return Lake(spark)
