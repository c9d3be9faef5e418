"""Make a run's training set: one snapshot of a table, split by user and by time, and the list of its files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from domain.process.splits import DIGITS, HELD_OUT_EARLY, LATE_SHARE, LEARNING_LATE, SPLITS
from domain.tables import OPENINGS, PROPENSITY, USERS
from glue_jobs import lake
from glue_jobs.accounts import put, tell
from glue_jobs.arguments import Arguments

RUN = "rivermill.run"
DROPPED = "rivermill.dropped"
COLUMNS = [column.name for column in PROPENSITY.columns]
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def place() -> Column:
    """Place a user among 100, just as `domain.process.splits.place`."""
    digits = F.substring(F.sha2("user_id", 256), 1, DIGITS)
    return F.conv(digits, 16, 10).cast("long") % 100


def transform(openings: DataFrame, users: DataFrame) -> DataFrame:
    """Join what was known of session and user, and give each row its `split`; a row without one has its reason.

    The cut lies where the last part of the covered time begins.
    """
    span = openings.agg(F.min("moment").alias("low"), F.max("moment").alias("high"))
    low, high = F.unix_micros("low"), F.unix_micros("high")
    cut = span.select((high - (high - low) * LATE_SHARE).alias("cut"))
    rows = openings.join(users.drop("as_of"), ["user_id", "session_id"]).crossJoin(F.broadcast(cut))
    late = F.unix_micros("moment") >= F.col("cut")
    chosen = [((place() >= s.low) & (place() < s.high) & (late == F.lit(s.late)), s.name) for s in SPLITS]
    split = F.coalesce(*(F.when(test, F.lit(name)) for test, name in chosen))
    reason = F.when(late, F.lit(LEARNING_LATE)).otherwise(F.lit(HELD_OUT_EARLY))
    return rows.withColumn("split", split).withColumn("dropped", F.when(F.col("split").isNull(), reason))


def made(spark: SparkSession, run: str) -> Any:
    """Find the snapshot that a run has made already, unless it was empty; None if there is none."""
    mine = (snapshot for snapshot in lake.ancestors(spark, PROPENSITY) if snapshot.summary().get(RUN) == run)
    return next((snapshot for snapshot in mine if int(snapshot.summary().get("total-records") or 0)), None)


def make(spark: SparkSession, run: str) -> Any:
    """Write the run's rows in the place of the last run's, in one commit that names the run; find its snapshot."""
    lake.spread(spark, lake.rows(spark, USERS))
    rows = transform(spark.table(lake.name(OPENINGS)), spark.table(lake.name(USERS))).persist()
    dropped = {row["dropped"]: row["count"] for row in rows.where("split IS NULL").groupBy("dropped").count().collect()}
    write = rows.where("split IS NOT NULL").select(*COLUMNS).writeTo(lake.name(PROPENSITY))
    noted = write.option(lake.PROPERTY + RUN, run).option(lake.PROPERTY + DROPPED, json.dumps(dropped))
    noted.overwrite(F.lit(True))
    rows.unpersist()
    return next(snapshot for snapshot in lake.ancestors(spark, PROPENSITY) if snapshot.summary().get(RUN) == run)


def at(spark: SparkSession, snapshot: Any, name: str) -> DataFrame:
    """Read a table, or one of its metadata tables, as it was at a snapshot."""
    return spark.read.format("iceberg").option("versionAsOf", snapshot.snapshotId()).load(name)


def describe(rows: DataFrame) -> dict[str, Any]:
    """Count the rows and the positives of each split, and say what time they cover."""
    micros = F.unix_micros("moment")
    found = rows.groupBy("split").agg(
        F.count("*").alias("rows"),
        F.count_if("purchased").alias("positives"),
        F.min(micros).alias("from"),
        F.max(micros).alias("to"),
    )
    counted = {row["split"]: row.asDict() for row in found.collect()}
    nothing = {"rows": 0, "positives": 0}
    by_split = {s.name: {key: counted.get(s.name, nothing)[key] for key in nothing} for s in SPLITS}
    return {
        "rows": sum(part["rows"] for part in counted.values()),
        "by_split": by_split,
        "from": _moment(min((part["from"] for part in counted.values()), default=None)),
        "to": _moment(max((part["to"] for part in counted.values()), default=None)),
    }


def _moment(micros: int | None) -> str | None:
    return None if micros is None else (EPOCH + timedelta(microseconds=micros)).isoformat()


class ForeignFile(ValueError):
    """A data file lies outside the lake's bucket, where a manifest cannot name it."""


def manifest(bucket: str, files: Iterable[str]) -> list[Any]:
    """List data files as a SageMaker manifest does: a prefix, then the keys (CreateTrainingJob, S3DataSource).

    >>> manifest("lake", ["s3://lake/features/a.parquet"])
    [{'prefix': 's3://lake/'}, 'features/a.parquet']
    """
    prefix, named = f"s3://{bucket}/", sorted(files)
    foreign = next((file for file in named if not file.startswith(prefix)), None)
    if foreign is not None:
        raise ForeignFile(
            f"file: {foreign!r} is not under {prefix}; start the job with --bucket as the lake's stack has it"
        )
    return [{"prefix": prefix}, *(file.removeprefix(prefix) for file in named)]


def main() -> None:
    """Make the run's training set once, list its files, and describe it."""
    arguments, spark = Arguments.read(), lake.session()
    snapshot = made(spark, arguments.run) or make(spark, arguments.run)
    place, table = f"training/{arguments.run}/", lake.name(PROPENSITY)
    files = at(spark, snapshot, f"{table}.files").select("file_path").collect()
    put(arguments.bucket, f"{place}dataset.manifest", manifest(arguments.bucket, (row[0] for row in files)))
    described = {
        "table": PROPENSITY.full_name,
        "snapshot_id": snapshot.snapshotId(),
        **describe(at(spark, snapshot, table)),
        "dropped": json.loads(snapshot.summary().get(DROPPED)),
        "manifest": f"s3://{arguments.bucket}/{place}dataset.manifest",
        "day": arguments.day.isoformat(),
        "run": arguments.run,
    }
    put(arguments.bucket, f"{place}dataset.json", described)
    tell(arguments, "dataset", described)


if __name__ == "__main__":
    main()
