"""Keep the lake's tables in shape: few large sorted files, few manifests, no snapshot past its time, no orphan."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from functools import partial
from itertools import takewhile
from typing import Any

from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]  # it has no types
from pyspark.sql import Row, SparkSession

from domain.layout import (
    ENDED_FILE_BYTES,
    FEWEST_INPUT_FILES,
    ORPHAN_AGE,
    PLANNED_FILE_BYTES,
    SMALL_FILE_BYTES,
    history,
    named,
)
from domain.tables import Table
from glue_jobs import lake
from glue_jobs.accounts import put
from glue_jobs.process.shape import GROUP_BYTES, MOST_GROUPS, Files, Shape

FAILED = "failed_data_files_count"
UNCOMMITTED = "rewrite commits failed"  # Iceberg has no error of its own for it

TABLES_AT_ONCE = 3
MOST_TRIES = 3
MOST_MANIFESTS = 20
"""A table is planned from its manifests; a raw one gains one with every commit."""

REWRITE = {
    "min-input-files": str(FEWEST_INPUT_FILES),
    "min-file-size-bytes": str(SMALL_FILE_BYTES),
    "target-file-size-bytes": str(PLANNED_FILE_BYTES),
    # Iceberg ends a file halfway between what it plans and this.
    "max-file-size-bytes": str(2 * ENDED_FILE_BYTES - PLANNED_FILE_BYTES),
    # A group of files that meets a delete fails alone, and is taken up by the next run.
    "partial-progress.enabled": "true",
    # Iceberg takes for failed what is missing from one commit a group, or from the most that there may be.
    "partial-progress.max-commits": str(MOST_GROUPS),
    "partial-progress.max-failed-commits": "0",  # the others are committed all the same, but we are told
    "max-file-group-size-bytes": str(GROUP_BYTES),
    "rewrite-job-order": "bytes-asc",
}
"""Iceberg's options of rewrite_data_files; the sort order is the table's own."""

CUTS = ("spark.sql.execution.rangeExchange.sampleSizePerPartition", "1000")
"""Spark looks at so many rows a file to cut a group into files alike: at 100, its default, they differ by a tenth."""


@dataclass(slots=True, kw_only=True)
class Upkeep:
    """What was done to a table: files rewritten, into how many, of how many bytes, and what was removed.

    `unfinished` says that some files stayed as they were, mostly since rows were deleted meanwhile: the next run takes
    them up.
    """

    rewritten: int = 0
    written: int = 0
    bytes: int = 0
    unfinished: bool = False
    manifests: int = 0
    expired: int = 0
    orphans: int = 0

    def add(self, snapshot: Any) -> Files:
        """Add one rewrite, by its own account; return what it wrote."""
        summary = snapshot.summary()
        names = ("added-data-files", "added-records", "added-files-size")
        made = Files(*(int(summary.get(name) or 0) for name in names))
        self.rewritten += int(summary.get("deleted-data-files") or 0)
        self.written += made.count
        self.bytes += int(summary.get("removed-files-size") or 0)
        return made


class Unwritten(RuntimeError):
    """Files could not be rewritten, and no other writer was the reason."""


def rewrite(spark: SparkSession, table: Table, done: Upkeep) -> None:
    """Put rows of many small files into few large ones, until no more are small.

    If several files are to be made of a table that has none of their size yet, some rows go ahead of the others, to
    see what they shrink to.  What was foreseen wrongly is rewritten once more, by what is known then.
    """
    if lake.total(spark, table, "files-size") <= PLANNED_FILE_BYTES:  # one file, whatever it shrinks to
        sort(spark, table, done)
        return
    shape = Shape.of(spark, table)
    model = shape.well
    if shape.unknown:
        model, shape = sort(spark, table, done, shape.sample()), Shape.of(spark, table)
    for _ in range(MOST_TRIES):
        made = sort(spark, table, done, shape.options(model))
        if not made.count:
            return
        model, shape = made, Shape.of(spark, table)


def sort(spark: SparkSession, table: Table, done: Upkeep, own: Mapping[str, str] | None = None) -> Files:
    """Rewrite what is small, or too large, with options of the table's own; return what was written.

    A rewrite is one more snapshot: readers of an older one keep its files, appends made meanwhile stay beside it, and
    where rows were deleted meanwhile Iceberg refuses it, so that no deleted row comes back.
    """
    spark.conf.set(*CUTS)
    start = next(lake.ancestors(spark, table)).snapshotId()
    options = ", ".join(f"'{name}', '{value}'" for name, value in {**REWRITE, **(own or {})}.items())
    try:
        failed = call(spark, "rewrite_data_files", table, "strategy => 'sort'", f"options => map({options})")[FAILED]
    except Py4JJavaError as refusal:
        if UNCOMMITTED not in str(refusal.java_exception):
            raise
        done.unfinished = True
    else:
        if failed:
            raise Unwritten(f"{table.full_name}: {failed} files could not be rewritten; the run's log says why")
    made = Files()
    for snapshot in takewhile(lambda each: each.snapshotId() != start, lake.ancestors(spark, table)):
        if snapshot.operation() == "replace":
            made += done.add(snapshot)
    return made


def gather(spark: SparkSession, table: Table, done: Upkeep) -> None:
    """Put the entries of many manifests into few."""
    if lake.manifests(spark, table) > MOST_MANIFESTS:
        done.manifests = call(spark, "rewrite_manifests", table)["rewritten_manifests_count"]


def expire(spark: SparkSession, table: Table, done: Upkeep, now: datetime) -> None:
    """Forget the snapshots that are past the table's own time, and remove the files that only they held."""
    snapshots, past = list(lake.ancestors(spark, table)), now - history(table)
    if len(snapshots) > 1 and snapshots[-1].timestampMillis() < past.timestamp() * 1e3:
        done.expired = call(spark, "expire_snapshots", table, before(past))["deleted_data_files_count"]


def clear(spark: SparkSession, table: Table, done: Upkeep, now: datetime) -> None:
    """Remove old files below the table's own place that no snapshot holds, as failed writers leave them.

    Landed files lie elsewhere: whether one of those is an orphan is said by receipts, not by snapshots.
    """
    # The table's own S3 client lists: not every engine has a Hadoop file system for s3://.
    done.orphans = len(sql(spark, "remove_orphan_files", table, before(now - ORPHAN_AGE), "prefix_listing => true"))


def keep(spark: SparkSession, now: datetime, table: Table) -> Upkeep:
    """Bring one table into shape."""
    done = Upkeep()
    rewrite(spark, table, done)
    gather(spark, table, done)
    expire(spark, table, done, now)
    clear(spark, table, done, now)
    return done


def used(spark: SparkSession, table: Table) -> bool:
    """Say whether anything was ever written to a table."""
    return next(lake.ancestors(spark, table), None) is not None


def before(moment: datetime) -> str:
    """Tell a procedure to touch only what is older."""
    return f"older_than => TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S}'"


def call(spark: SparkSession, procedure: str, table: Table, *arguments: str) -> Row:
    """Run a procedure of Iceberg's on a table, and return what it says of it."""
    [row] = sql(spark, procedure, table, *arguments)
    return row


def sql(spark: SparkSession, procedure: str, table: Table, *arguments: str) -> list[Row]:
    """Run a procedure of Iceberg's on a table (Iceberg, "Spark procedures")."""
    given = ", ".join([f"table => '{lake.name(table)}'", *arguments])
    rows: list[Row] = spark.sql(f"CALL lake.system.{procedure}({given})").collect()
    return rows


@dataclass(frozen=True, slots=True)
class Arguments:
    """The lake's bucket, the run's name, and the tables to keep in shape."""

    bucket: str
    run: str
    tables: tuple[Table, ...]

    @classmethod
    def read(cls, argv: Sequence[str] | None = None) -> Arguments:
        """Read the command line; `--tables raw.search,raw.rating` names some, else all are meant."""
        parser = ArgumentParser(allow_abbrev=False)
        parser.add_argument("--bucket", required=True)
        parser.add_argument("--JOB_RUN_ID", required=True)  # Glue's own
        parser.add_argument("--tables", default="")
        known, _ = parser.parse_known_args(argv)
        return cls(known.bucket, known.JOB_RUN_ID, named(*filter(None, known.tables.split(","))))


def main() -> None:
    """Keep all tables in shape, some at a time: most of the work on a small one is waiting."""
    arguments, spark, now = Arguments.read(), lake.session(), datetime.now(timezone.utc)
    # Looked at here and not by the pool: Spark, asked by several threads at first, does not find its catalogue.
    tables = [table for table in arguments.tables if used(spark, table)]
    with ThreadPoolExecutor(TABLES_AT_ONCE) as pool:
        done = list(pool.map(partial(keep, spark, now), tables))
    account: dict[str, Any] = {table.full_name: asdict(did) for table, did in zip(tables, done, strict=True)}
    told = {"job": "compact", "run": arguments.run, "tables": account}
    put(arguments.bucket, f"runs/{arguments.run}/compact.json", told)
    print(json.dumps(told))


if __name__ == "__main__":
    main()
