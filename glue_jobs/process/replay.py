"""Curate a span of arrivals again into a shadow of each curated table, compare the two, and swap them if asked."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from domain.events import EVENTS
from domain.process.resends import RESEND_WINDOW
from domain.tables import CURATED, RAW, Table
from glue_jobs import lake
from glue_jobs.accounts import put
from glue_jobs.process.curate import ARRIVAL, KEY, transform

SHADOW = "replay"
"""The branch of a curated table that holds its shadow (Iceberg, "Branching and Tagging"): no second table, no copy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """The arrivals to curate again, from `start` up to `end`, and what may be done."""

    start: datetime
    end: datetime
    run: str
    bucket: str
    swap: bool
    accept: bool
    dry: bool

    @classmethod
    def read(cls, argv: Sequence[str] | None = None) -> Arguments:
        """Read the command line; Glue adds arguments of its own, which are left alone."""
        parser = ArgumentParser(allow_abbrev=False)
        for name in ("from", "to"):
            parser.add_argument(f"--{name}", type=datetime.fromisoformat, required=True)
        for name in ("run", "bucket"):
            parser.add_argument(f"--{name}", required=True)
        for name in ("swap", "accept", "dry"):
            parser.add_argument(f"--{name}", choices=("true", "false"), default="false")
        known = vars(parser.parse_known_args(argv)[0])
        flags = {name: known[name] == "true" for name in ("swap", "accept", "dry")}
        return cls(start=known["from"], end=known["to"], run=known["run"], bucket=known["bucket"], **flags)

    @property
    def inside(self) -> Column:
        """Select the arrivals of the span."""
        return (F.col("arrived_at") >= F.lit(self.start)) & (F.col("arrived_at") < F.lit(self.end))


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The shadow beside the table, within the span: rows, what differs, and the days whose checksums do.

    An event is `lost` if only the table has it, `added` if only the shadow has it, `changed` if their contents differ,
    `doubled` if the shadow has it twice.
    """

    rows: int
    shadow_rows: int
    lost: int
    added: int
    changed: int
    doubled: int
    days: tuple[str, ...]
    same_schema: bool

    @property
    def equal(self) -> bool:
        """Say whether there is nothing to swap."""
        return self.sound and not (self.lost or self.added or self.changed)

    @property
    def sound(self) -> bool:
        """Say whether the shadow could be a curated table at all."""
        return self.same_schema and not self.doubled

    def allows(self, accept: bool) -> bool:
        """Say whether the shadow may take the table's place: what is lost or changed must be accepted by name."""
        return self.sound and (accept or not (self.lost or self.changed))


def known(curated: DataFrame, asked: Arguments) -> DataFrame:
    """Keep the curated events outside the span that may be sent again within it."""
    return curated.where(~asked.inside & (F.col("arrived_at") >= F.lit(asked.start - RESEND_WINDOW)))


def build(spark: SparkSession, event: str, asked: Arguments) -> None:
    """Make the shadow: the table as it is, with the span's rows curated again from the raw table."""
    table, raw = lake.name(CURATED[event]), spark.table(lake.name(RAW[event]))
    drop(spark, event)
    spark.sql(f"ALTER TABLE {table} CREATE BRANCH {SHADOW}")
    fresh = transform(raw.where(asked.inside), known(spark.table(table), asked)).drop("conflicting")
    span = f"arrived_at >= TIMESTAMP '{asked.start}' AND arrived_at < TIMESTAMP '{asked.end}'"
    spark.sql(f"DELETE FROM {shadow(event)} WHERE {span}")  # noqa: S608 - names are declarations, moments are parsed
    fresh.writeTo(shadow(event)).append()


def shadow(event: str) -> str:
    """Name a table's shadow as Spark does."""
    return f"{lake.name(CURATED[event])}.branch_{SHADOW}"


def drop(spark: SparkSession, event: str) -> None:
    """Give up the shadow, if there is one."""
    spark.sql(f"ALTER TABLE {lake.name(CURATED[event])} DROP BRANCH IF EXISTS {SHADOW}")


def contents(frame: DataFrame, asked: Arguments) -> DataFrame:
    """Reduce the span's rows to user, event_id, day and a digest of what the producer said."""
    columns = [column for column in frame.columns if column not in ARRIVAL]
    rows = frame.where(asked.inside)
    return rows.select(*KEY, F.to_date("event_time").alias("day"), F.xxhash64(*columns).alias("digest"))


def compare(table: DataFrame, shadow: DataFrame, asked: Arguments) -> Comparison:
    """Compare a table and its shadow within the span, event by event and day by day."""
    ours, theirs = contents(table, asked), contents(shadow, asked)
    doubled = shadow.where(F.col("arrived_at") >= F.lit(asked.start - RESEND_WINDOW)).groupBy(*KEY).count()
    return Comparison(
        rows=ours.count(),
        shadow_rows=theirs.count(),
        doubled=doubled.where("count > 1").count(),
        days=differing_days(ours, theirs),
        same_schema=table.schema == shadow.schema,
        **differences(ours, theirs),
    )


def differences(ours: DataFrame, theirs: DataFrame) -> dict[str, int]:
    """Count the events that only one has, and those whose contents differ."""
    both = ours.withColumnRenamed("digest", "ours").join(
        theirs.withColumnRenamed("digest", "theirs").drop("day"), list(KEY), "full_outer"
    )
    counts = both.agg(
        F.count_if(F.col("theirs").isNull()).alias("lost"),
        F.count_if(F.col("ours").isNull()).alias("added"),
        F.count_if(F.col("ours") != F.col("theirs")).alias("changed"),
    ).first()
    assert counts is not None
    return {name: int(counts[name]) for name in ("lost", "added", "changed")}


def differing_days(ours: DataFrame, theirs: DataFrame) -> tuple[str, ...]:
    """List the days of events whose rows or checksums differ."""

    def sums(frame: DataFrame) -> DataFrame:
        # A sum of digests does not depend on the order; as decimals it cannot overflow.
        return frame.groupBy("day").agg(F.count("*").alias("n"), F.sum(F.col("digest").cast("decimal(38)")).alias("s"))

    odd = sums(ours).exceptAll(sums(theirs)).unionAll(sums(theirs).exceptAll(sums(ours)))
    return tuple(sorted({str(row["day"]) for row in odd.collect()}))


def swap(spark: SparkSession, event: str) -> None:
    """Put the shadow in the table's place in one commit; refused by Iceberg if the table has moved meanwhile."""
    spark.sql(f"CALL lake.system.fast_forward('{CURATED[event].full_name}', 'main', '{SHADOW}')")


def empty(spark: SparkSession, table: Table) -> bool:
    """Say whether a table never held anything."""
    return next(lake.ancestors(spark, table), None) is None


def replay(spark: SparkSession, asked: Arguments) -> dict[str, Any]:
    """Build all shadows, compare each, and only then swap: all of them or none."""
    events = [event for event in EVENTS if not empty(spark, RAW[event]) and not empty(spark, CURATED[event])]
    if asked.dry:
        return {"would_read": {event: span(spark, RAW[event], asked) for event in events}, "swapped": []}
    found: dict[str, Comparison] = {}
    for event in events:
        build(spark, event, asked)
        found[event] = compare(spark.table(lake.name(CURATED[event])), spark.table(shadow(event)), asked)
    refused = [event for event, each in found.items() if not each.allows(asked.accept)]
    swapped = [event for event, each in found.items() if asked.swap and not refused and not each.equal]
    for event in swapped:
        swap(spark, event)
    for event, each in found.items():
        if event in swapped or each.equal:
            drop(spark, event)
    return {"events": told(found), "refused": refused, "swapped": swapped}


def span(spark: SparkSession, table: Table, asked: Arguments) -> int:
    """Count a table's rows within the span."""
    found: int = spark.table(lake.name(table)).where(asked.inside).count()
    return found


def told(found: Mapping[str, Comparison]) -> dict[str, Any]:
    """Say each comparison in JSON."""
    return {event: {**asdict(each), "days": list(each.days), "equal": each.equal} for event, each in found.items()}


def main() -> None:
    """Replay, and tell what came of it on a line and in `runs/<run>/replay.json`."""
    asked = Arguments.read()
    window = {"from": asked.start.isoformat(), "to": asked.end.isoformat()}
    said = {"job": "replay", "run": asked.run, **window, **replay(lake.session(), asked)}
    put(asked.bucket, f"runs/{asked.run}/replay.json", said)
    print(json.dumps(said))


if __name__ == "__main__":
    main()
