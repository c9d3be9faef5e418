"""Take every event into its curated table once, by what came to the raw tables since the last time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial

from pyspark.sql import DataFrame, Observation, SparkSession, Window
from pyspark.sql import functions as F

from domain.events import EVENTS
from domain.process.resends import RESEND_WINDOW
from domain.tables import CURATED, RAW, Arrival
from glue_jobs import lake
from glue_jobs.accounts import tell
from glue_jobs.arguments import Arguments
from glue_jobs.lake import Change

POSITION = "rivermill.position"
KEY = ("user_id", "event_id")
ARRIVAL = tuple(column.name for column in Arrival.columns())


@dataclass(frozen=True, slots=True)
class Plan:
    """What there is to do for one event: the raw rows not taken in, and how many rows are curated already."""

    event: str
    change: Change
    curated: int

    @property
    def idle(self) -> bool:
        """Say whether there is nothing to do."""
        return self.change.until is None or self.change.until == self.change.since


def transform(arrived: DataFrame, known: DataFrame | None = None) -> DataFrame:
    """Keep the earliest arrival of each event that is not known yet; `conflicting` marks ids sent with two contents.

    Rows are named by user and event_id together.
    """
    unknown = arrived if known is None else arrived.join(known.select(*KEY), list(KEY), "left_anti")
    content = F.xxhash64(*(column for column in arrived.columns if column not in (*ARRIVAL, *KEY)))
    arrival = Window.partitionBy(*KEY).orderBy("arrived_at", "sequence", "shard")
    same = arrival.rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    return (
        unknown.withColumn("content", content)
        .withColumn("conflicting", F.min("content").over(same) != F.max("content").over(same))
        .withColumn("arrival", F.row_number().over(arrival))
        .where("arrival = 1")
        .drop("content", "arrival")
    )


def plan(spark: SparkSession, event: str) -> Plan:
    """Find what is not taken in, from the position that the last commit noted."""
    noted = lake.noted(spark, CURATED[event], POSITION)
    change = lake.change(spark, RAW[event], int(noted) if noted else None)
    return Plan(event, change, lake.rows(spark, CURATED[event]))


def curate(spark: SparkSession, todo: Plan) -> int:
    """Append what is new to an event's curated table and count the ids that came with two contents.

    The raw snapshot taken in is noted in the same commit.  A merge that only inserts is an anti-join and an append;
    so is this, but a merge would take its note from the session, which the events curated beside it share.
    """
    if todo.idle:
        return 0
    arrived, seen = todo.change.read(spark), Observation()
    fresh = transform(arrived, known(spark, todo.event, arrived) if todo.curated else None)
    rows = fresh.observe(seen, F.count_if("conflicting").alias("conflicting")).drop("conflicting")
    write = rows.writeTo(lake.name(CURATED[todo.event]))
    write.option(lake.PROPERTY + POSITION, str(todo.change.until)).append()
    return int(seen.get["conflicting"])


def account(spark: SparkSession, todo: Plan, conflicting: int) -> dict[str, int | None]:
    """Count an event's rows read and written, those dropped as known, and the ids that came with two contents."""
    read = 0 if todo.idle else todo.change.rows
    written = lake.rows(spark, CURATED[todo.event]) - todo.curated
    return {"read": read, "written": written, "duplicates": read - written, "conflicting": conflicting}


def known(spark: SparkSession, event: str, arrived: DataFrame) -> DataFrame:
    """Read the curated events that may be sent again among those that arrived."""
    earliest = arrived.agg(F.unix_micros(F.min("arrived_at"))).first()
    assert earliest is not None
    moment = datetime.fromtimestamp((earliest[0] or 0) / 1e6, timezone.utc) - RESEND_WINDOW
    return spark.table(lake.name(CURATED[event])).where(F.col("arrived_at") >= F.lit(moment))


def main() -> None:
    """Curate all events at once: most of a small commit is waiting."""
    arguments, spark = Arguments.read(), lake.session()
    plans = [plan(spark, event) for event in EVENTS]
    lake.spread(spark, max(todo.change.rows + todo.curated for todo in plans))
    with ThreadPoolExecutor(len(plans)) as pool:
        conflicting = list(pool.map(partial(curate, spark), plans))
    done = {todo.event: account(spark, todo, found) for todo, found in zip(plans, conflicting, strict=True)}
    tell(arguments, "curate", {"events": done})


if __name__ == "__main__":
    main()
