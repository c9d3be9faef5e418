"""Glue jobs through boto3. Source: AWS Glue Developer Guide, "Using job parameters in AWS Glue jobs"."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.cloud import Cloud
from tests.local.builders import any_name, until, zipped
from tests.local.jobs import (
    BUCKET,
    finished_glue_run,
    glue_run,
    lines,
    make_glue_job,
    put,
    start_glue_job,
)

pytestmark = pytest.mark.slow

LAKE = " --conf ".join(
    [
        "spark.sql.extensions=org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        "spark.sql.catalog.lake=org.apache.iceberg.spark.SparkCatalog",
        "spark.sql.catalog.lake.catalog-impl=org.apache.iceberg.aws.glue.GlueCatalog",
        "spark.sql.catalog.lake.io-impl=org.apache.iceberg.aws.s3.S3FileIO",
        f"spark.sql.catalog.lake.warehouse=s3://{BUCKET}/lake/",
        "spark.sql.shuffle.partitions=3",
    ]
)
ICEBERG = """
import sys
from pathlib import Path
from pyspark.sql import SparkSession
from carried import greeting

print(sys.argv[1:])
print(greeting(), Path("note.txt").read_text())
spark = SparkSession.builder.getOrCreate()
print("partitions", spark.conf.get("spark.sql.shuffle.partitions"))
database = sys.argv[sys.argv.index("--database") + 1]
spark.sql(f"CREATE TABLE lake.{database}.rows (id bigint, name string) USING iceberg")
rows = spark.createDataFrame([(1, "one"), (2, "two")], "id long, name string")
rows.writeTo(f"lake.{database}.rows").append()
rows.createOrReplaceTempView("rows")
spark.sql(f"MERGE INTO lake.{database}.rows t USING (SELECT 2L id, 'zwei' name) s ON t.id = s.id "
          "WHEN MATCHED THEN UPDATE SET *")
print("read", [tuple(row) for row in spark.table(f"lake.{database}.rows").orderBy("id").collect()])
"""
SLEEPING = "import os, time\nprint('pid', os.getpid(), flush=True)\ntime.sleep(600)\n"


@pytest.fixture(scope="module")
def run(cloud: Cloud) -> Any:
    """The one run of this module that starts Spark."""
    database = any_name("database").replace("-", "_")
    put(cloud, "carried/carried.zip", zipped({"carried.py": "def greeting():\n    return 'carried'\n"}))
    put(cloud, "carried/note.txt", "along")
    cloud.client("glue").create_database(DatabaseInput={"Name": database})
    job = make_glue_job(
        cloud,
        ICEBERG,
        {
            "--conf": LAKE,
            "--datalake-formats": "iceberg",
            "--enable-metrics": "true",
            "--job-bookmark-option": "job-bookmark-disable",
            "--extra-py-files": f"s3://{BUCKET}/carried/carried.zip",
            "--extra-files": f"s3://{BUCKET}/carried/note.txt",
            "--colour": "the job's",
            "--database": database,
        },
    )
    started = start_glue_job(cloud, job, colour="the run's")
    return finished_glue_run(cloud, job, started) | {"database": database}


@pytest.fixture(scope="module")
def said(cloud: Cloud, run: Any) -> list[str]:
    return lines(cloud, "/aws-glue/jobs/output", run["Id"])


def test_a_job_that_writes_an_iceberg_table_succeeds(run: Any) -> None:
    assert run["JobRunState"] == "SUCCEEDED", run.get("ErrorMessage")
    assert run["ExecutionTime"] > 0
    assert run["CompletedOn"] > run["StartedOn"]


def test_a_script_finds_the_runs_arguments_over_the_jobs_and_none_that_are_glues(run: Any, said: list[str]) -> None:
    arguments = ast.literal_eval(said[0])

    assert arguments == [
        *("--JOB_NAME", run["JobName"], "--JOB_RUN_ID", run["Id"]),
        *("--job-bookmark-option", "job-bookmark-disable", "--colour", "the run's", "--database", run["database"]),
    ]


def test_a_script_imports_extra_python_files_and_finds_extra_files_beside_it(said: list[str]) -> None:
    assert "carried along" in said


def test_chained_settings_reach_spark(said: list[str]) -> None:
    assert "partitions 3" in said


def test_what_a_job_wrote_is_there_for_others(cloud: Cloud, run: Any, said: list[str]) -> None:
    table = cloud.client("glue").get_table(DatabaseName=run["database"], Name="rows")["Table"]

    assert "read [(1, 'one'), (2, 'zwei')]" in said
    assert table["Parameters"]["table_type"].upper() == "ICEBERG"


def test_a_parameter_without_effect_is_named_in_the_log_with_the_reason(cloud: Cloud, run: Any) -> None:
    logged = lines(cloud, "/aws-glue/jobs/error", run["Id"])

    assert any(line.startswith("--enable-metrics has no effect here:") for line in logged)


def test_a_script_that_raises_fails_with_its_message(cloud: Cloud) -> None:
    job = make_glue_job(cloud, "raise ValueError('the day has no rows')")
    ended = finished_glue_run(cloud, job, start_glue_job(cloud, job))

    assert (ended["JobRunState"], ended["ErrorMessage"]) == ("FAILED", "ValueError: the day has no rows")


def test_a_machine_without_java_fails_the_run_in_one_line(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    job = make_glue_job(cloud, "print('never')")
    run = finished_glue_run(cloud, job, start_glue_job(cloud, job))

    assert (run["JobRunState"], run["ErrorMessage"]) == (
        "FAILED",
        "Spark needs Java 17 or newer: JAVA_HOME=/nowhere has no bin/java; install a JDK 17 or point JAVA_HOME at one",
    )


def test_a_stopped_run_ends_its_process_and_makes_room_for_the_next(cloud: Cloud) -> None:
    job = make_glue_job(cloud, SLEEPING, ExecutionProperty={"MaxConcurrentRuns": 1})
    first = start_glue_job(cloud, job)
    output = cloud.state / "glue" / job / first / "output.log"
    until(lambda: output.is_file() and "pid" in output.read_text())
    with pytest.raises(ClientError, match="ConcurrentRunsExceededException"):
        start_glue_job(cloud, job)
    cloud.client("glue").batch_stop_job_run(JobName=job, JobRunIds=[first])

    assert finished_glue_run(cloud, job, first)["JobRunState"] == "STOPPED"
    assert not Path("/proc", output.read_text().split()[1]).exists()


def test_a_run_over_its_timeout_is_ended(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.glue_runs.MINUTE_SECONDS", 3.0)
    job = make_glue_job(cloud, SLEEPING, Timeout=1)

    assert finished_glue_run(cloud, job, start_glue_job(cloud, job))["JobRunState"] == "TIMEOUT"


def test_a_module_that_is_not_installed_fails_the_run_by_name(cloud: Cloud) -> None:
    job = make_glue_job(cloud, "pass", {"--additional-python-modules": "pip,no-such-module==1.0"})
    ended = finished_glue_run(cloud, job, start_glue_job(cloud, job))

    assert ended["JobRunState"] == "FAILED"
    assert "no-such-module==1.0: here it is missing" in ended["ErrorMessage"]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"Command": {"Name": "pythonshell", "ScriptLocation": "s3://any/x.py"}}, "Command.Name pythonshell"),
        ({"default": {"--job-bookmark-option": "job-bookmark-enable"}}, "--job-bookmark-option"),
        ({"default": {"--datalake-formats": "hudi"}}, "--datalake-formats hudi"),
        ({"MaxRetries": 2}, "MaxRetries 2"),
    ],
)
def test_what_the_laptop_does_not_do_is_refused_by_name(cloud: Cloud, settings: Any, named: str) -> None:
    job = make_glue_job(cloud, "pass", **settings)

    with pytest.raises(ClientError, match=named):
        start_glue_job(cloud, job)


def test_runs_are_listed_newest_first(cloud: Cloud) -> None:
    job = make_glue_job(cloud, "raise SystemExit(1)", ExecutionProperty={"MaxConcurrentRuns": 2})
    runs = [start_glue_job(cloud, job) for _ in range(2)]
    for each in runs:
        finished_glue_run(cloud, job, each)
    listed = [found["Id"] for found in cloud.client("glue").get_job_runs(JobName=job)["JobRuns"]]

    assert listed == runs[::-1]
    assert glue_run(cloud, job, runs[0])["JobRunState"] == "FAILED"
