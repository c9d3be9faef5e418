"""A Spark session over a Glue catalogue and an S3 of moto's, with the lake's tables in it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import boto3
import pytest
from moto.glue.responses import GlueResponse
from moto.server import ThreadedMotoServer
from pyspark.sql import SparkSession

from domain.tables import TABLES
from glue_jobs import lake
from local import catalogue
from tests.glue_jobs.frames import BUCKET, Lake, create

PACKAGES = (
    "org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.11.0",
    "org.apache.iceberg:iceberg-aws-bundle:1.11.0",
)
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "us-east-1"}
ENVIRONMENT["AWS_DEFAULT_REGION"] = ENVIRONMENT["AWS_REGION"]


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}.items():
            patch.setenv(name, value)
        # Writers notice each other by a lock that moto's Glue lacks.
        patch.setattr(GlueResponse, "update_table", catalogue.update_table)
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture(scope="session")
def spark(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    os.environ["PYSPARK_PYTHON"] = sys.executable
    catalogue = "spark.sql.catalog.lake"
    conf = {
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
        # Small frames: compiling their plans takes longer than running them.
        "spark.sql.codegen.wholeStage": "false",
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.local.dir": str(tmp_path_factory.mktemp("spark")),
        "spark.jars.packages": ",".join(PACKAGES),
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


@pytest.fixture
def empty_lake(spark: SparkSession) -> Lake:
    for table in TABLES:
        if not spark.catalog.tableExists(lake.name(table)):
            spark.sql(f"CREATE DATABASE IF NOT EXISTS lake.{table.database}")
            create(spark, table)
        elif next(lake.ancestors(spark, table), None) is not None:
            spark.sql(f"DROP TABLE {lake.name(table)} PURGE")
            create(spark, table)
    return Lake(spark)
