"""Prepare Spark once, so that each job starts in half the time: python -m local.spark_archive."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import boto3
from moto.server import ThreadedMotoServer

from local import spark

_CATALOG = "spark.sql.catalog.lake"
_SETTINGS = {
    "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
    _CATALOG: "org.apache.iceberg.spark.SparkCatalog",
    f"{_CATALOG}.catalog-impl": "org.apache.iceberg.aws.glue.GlueCatalog",
    f"{_CATALOG}.io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
    f"{_CATALOG}.warehouse": "s3://warm-up/",
}

# What jobs do most: create, append, merge, window, aggregate, over Iceberg on S3.
_JOB = """
from pyspark.sql import SparkSession, Window, functions as F

spark = SparkSession.builder.getOrCreate()
spark.sql("CREATE TABLE lake.warm.up (id bigint, name string, at timestamp) USING iceberg "
          "PARTITIONED BY (bucket(2, id)) TBLPROPERTIES ('write.parquet.compression-codec' = 'zstd')")
rows = spark.createDataFrame([(1, "a"), (2, "b")], "id long, name string").withColumn("at", F.current_timestamp())
rows.writeTo("lake.warm.up").append()
rows.createOrReplaceTempView("rows")
spark.sql("MERGE INTO lake.warm.up t USING rows s ON t.id = s.id "
          "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *")
latest = F.row_number().over(Window.partitionBy("name").orderBy(F.desc("at")))
table = spark.table("lake.warm.up").withColumn("place", latest).where("place = 1")
print(table.groupBy("name").agg(F.count("*"), F.countDistinct("id"), F.max("at")).collect())
spark.stop()
"""


def prepare() -> Path:
    """Fetch the jars and archive the classes that a job loads; return the archive. Raises `MissingEngine`."""
    spark.jars()
    target = spark.archive()
    if not target.is_file() or _older(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _dump(target)
    return target


def _older(archive: Path) -> bool:
    """Say whether a jar was installed anew since; the JVM then ignores the archive without a word."""
    made = archive.stat().st_mtime
    return any(jar.stat().st_mtime > made for jar in [*spark.jars(), *(spark.home() / "jars").glob("*.jar")])


def _dump(target: Path) -> None:
    """Run a small Iceberg job against moto's S3 and Glue, and have the JVM archive the classes that it loaded."""
    with tempfile.TemporaryDirectory() as folder:
        script, part = Path(folder, "warm_up.py"), target.with_suffix(f".{os.getpid()}")
        script.write_text(_JOB)
        options = f"{spark.JAVA_OPTIONS} -XX:ArchiveClassesAtExit={part}"
        command = spark.submit(script, [], {**_SETTINGS, "spark.driver.extraJavaOptions": options})
        done = subprocess.run(
            command,
            env={**os.environ, **spark.environment(), **_warm_up_cloud()},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode or not part.is_file():
        raise spark.MissingEngine(f"Spark cannot run a small Iceberg job here: {done.stderr.strip()[-500:]}")
    part.replace(target)


def _warm_up_cloud() -> dict[str, str]:
    """Serve moto's S3 and Glue from this process, with an empty bucket and database; return how to reach it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    variables = {
        "AWS_ENDPOINT_URL": "http://{}:{}".format(*server.get_host_and_port()),
        "AWS_ACCESS_KEY_ID": "laptop",
        "AWS_SECRET_ACCESS_KEY": "laptop",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    session = boto3.Session("laptop", "laptop", region_name=variables["AWS_REGION"])
    session.client("s3", endpoint_url=variables["AWS_ENDPOINT_URL"]).create_bucket(Bucket="warm-up")
    glue = session.client("glue", endpoint_url=variables["AWS_ENDPOINT_URL"])
    glue.create_database(DatabaseInput={"Name": "warm"})
    return variables


def main() -> int:
    """Prepare, and say where; 2 means that something is missing, and the one line printed says what."""
    try:
        print(f"Spark's archive of classes is {prepare()}")
    except spark.MissingEngine as missing:
        print(f"local.spark_archive: {missing}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
