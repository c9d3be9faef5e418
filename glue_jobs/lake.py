"""Read the lake's tables, and of a table only what was appended since a position."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from domain.tables import Table

PROPERTY = "snapshot-property."
"""Iceberg's prefix of a write option that lands in the commit's own summary, so together with its rows."""

ROWS_A_TASK = 500_000
MOST_TASKS = 10_000


def session() -> SparkSession:
    """Join the engine's Spark session; times are UTC and files follow the tables' buckets."""
    spark = SparkSession.builder.getOrCreate()
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    # Iceberg would sort sorted tables by range, which runs every plan twice to sample it.
    spark.conf.set("spark.sql.iceberg.distribution-mode", "hash")
    return spark


def spread(spark: SparkSession, rows: int) -> None:
    """Cut shuffles of about so many rows into parts that a task holds in memory; Spark joins the small ones again."""
    parts = min(max(rows // ROWS_A_TASK + 1, spark.sparkContext.defaultParallelism), MOST_TASKS)
    spark.conf.set("spark.sql.shuffle.partitions", parts)


def name(table: Table) -> str:
    """Name a table as Spark does."""
    return f"lake.{table.full_name}"


@dataclass(frozen=True, slots=True)
class Change:
    """What a table holds at snapshot `until` beyond snapshot `since`; everything if `since` is None."""

    table: Table
    since: int | None
    until: int | None
    rows: int

    def whole(self) -> Change:
        """Ask for the whole table at the same snapshot."""
        return replace(self, since=None)

    def read(self, spark: SparkSession) -> DataFrame:
        """Read the rows; follows snapshots, so that files rewritten by a compaction are not read again."""
        reader = spark.read.format("iceberg")
        if self.until == self.since:  # Iceberg refuses an empty range; a table without a snapshot is empty itself
            return spark.table(name(self.table)).limit(0)
        if self.since is None:
            return reader.option("versionAsOf", self.until).load(name(self.table))
        return (
            reader.option("start-snapshot-id", self.since).option("end-snapshot-id", self.until).load(name(self.table))
        )


def change(spark: SparkSession, table: Table, since: int | None) -> Change:
    """Find what came to a table since a snapshot.

    Everything counts as new if the snapshot is unknown or has expired, or if rows were removed or rewritten after
    it (an erasure): appended files alone would then bring back what is gone.
    """
    added, until = 0, None
    for snapshot in ancestors(spark, table):
        until = snapshot.snapshotId() if until is None else until
        if snapshot.snapshotId() == since:
            return Change(table, since, until, added)
        if snapshot.operation() not in ("append", "replace"):
            break
        if snapshot.operation() == "append":
            added += int(snapshot.summary().get("added-records") or 0)
    return Change(table, None, until, rows(spark, table))


def rows(spark: SparkSession, table: Table) -> int:
    """Count a table's rows."""
    return total(spark, table, "records")


def total(spark: SparkSession, table: Table, of: str) -> int:
    """Sum up a table's `records`, `data-files` or `files-size`, by its newest snapshot's own account."""
    newest = next(ancestors(spark, table), None)
    return int(newest.summary().get(f"total-{of}") or 0) if newest else 0


def noted(spark: SparkSession, table: Table, key: str) -> str | None:
    """Read what the newest commit that noted `key` wrote under it."""
    notes = (snapshot.summary().get(key) for snapshot in ancestors(spark, table))
    return next((str(note) for note in notes if note is not None), None)


def manifests(spark: SparkSession, table: Table) -> int:
    """Count the manifests of a table's newest snapshot."""
    iceberg = opened(spark, table)
    return int(iceberg.currentSnapshot().allManifests(iceberg.io()).size())


def ancestors(spark: SparkSession, table: Table) -> Iterator[Any]:
    """Walk a table's snapshots (Iceberg's own Snapshot objects), the newest first, as long as they have not expired."""
    iceberg = opened(spark, table)
    snapshot = iceberg.currentSnapshot()
    while snapshot is not None:
        yield snapshot
        parent = snapshot.parentId()
        snapshot = iceberg.snapshot(parent) if parent is not None else None


def opened(spark: SparkSession, table: Table) -> Any:
    """Open a table as Iceberg's own Table, as it is now."""
    # Straight from the metadata file: as a metadata table this would be a Spark job for each table.
    iceberg = spark._jvm.org.apache.iceberg.spark.Spark3Util.loadIcebergTable(spark._jsparkSession, name(table))
    iceberg.refresh()
    return iceberg


@contextmanager
def noting(spark: SparkSession, notes: Mapping[str, str]) -> Iterator[None]:
    """Write the notes into the summary of every commit made meanwhile, also of one that takes no options (MERGE)."""
    for key, note in notes.items():
        spark.conf.set(f"spark.sql.iceberg.{PROPERTY}{key}", note)
    try:
        yield
    finally:
        for key in notes:
            spark.conf.unset(f"spark.sql.iceberg.{PROPERTY}{key}")
