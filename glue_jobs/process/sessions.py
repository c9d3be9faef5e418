"""Cut each user's events into sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import reduce

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from domain.process.sessions import GAP, INTERACTIONS, is_machine
from domain.tables import CURATED, SESSIONS
from glue_jobs import lake
from glue_jobs.accounts import tell
from glue_jobs.arguments import Arguments

POSITION = "rivermill.position."
UNTIL = "rivermill.until"
GAP_MICROS = int(GAP.total_seconds() * 1_000_000)
KEY = ("user_id", "event_id", "event_time")
FIELDS = (*KEY, "device", "country", "product_id", "category", "price", "quantity", "amount")
"""What sessions and features read of an event, whichever of its kinds has it."""

TYPES = {column.name: column.glue_type for event in INTERACTIONS for column in CURATED[event].columns}
COLUMNS = [column.name for column in SESSIONS.columns]


def interactions(tables: Mapping[str, DataFrame], names: Sequence[str] = FIELDS) -> DataFrame:
    """Lay events of several kinds into one frame, each with its kind as `event`, null where it lacks a field."""
    return reduce(DataFrame.unionAll, [_fields(event, table, names) for event, table in tables.items()])


def _fields(event: str, table: DataFrame, names: Sequence[str]) -> DataFrame:
    own = {column.name for column in CURATED[event].columns}
    fields = [F.col(name) if name in own else F.lit(None).cast(TYPES[name]).alias(name) for name in names]
    return table.select(*fields, F.lit(event).alias("event"))


def cut(events: DataFrame) -> DataFrame:
    """Give each event its session's `started_at` and its `position` there, from 1; equal times go by event_id."""
    user = Window.partitionBy("user_id").orderBy("event_time", "event_id")
    time = F.unix_micros("event_time")
    opens = F.coalesce(time - F.lag(time).over(user) >= GAP_MICROS, F.lit(True))
    opening = F.struct(F.col("event_time").alias("started_at"), F.col("nth").alias("from"))
    latest = F.last(F.when(F.col("opens"), opening), ignorenulls=True).over(user)
    return (
        events.select("*", opens.alias("opens"), F.row_number().over(user).alias("nth"))
        .select("*", latest.alias("opening"))
        .select(*events.columns, "opening.started_at", (F.col("nth") - F.col("opening.from") + 1).alias("position"))
    )


def session_id() -> Column:
    """Name a session by its user and start."""
    return F.substring(F.sha2(F.concat_ws("|", "user_id", F.unix_micros("started_at")), 256), 1, 32)


def seconds(start: Column, end: Column) -> Column:
    """Measure the time from one moment to another."""
    return (F.unix_micros(end) - F.unix_micros(start)) / F.lit(1e6)


def of(event: str, value: Column | None = None) -> Column:
    """Keep a value where the row is such an event."""
    return F.when(F.col("event") == event, F.lit(1) if value is None else value)


def transform(events: DataFrame) -> DataFrame:
    """Sum up each session of the events, whole or not."""
    first = of("page_view", F.col("position"))
    sessions = (
        cut(events)
        .groupBy("user_id", "started_at")
        .agg(
            F.max("event_time").alias("ended_at"),
            F.count("*").alias("events"),
            F.count(of("page_view")).alias("page_views"),
            F.count(of("search")).alias("searches"),
            F.count(of("product_view")).alias("product_views"),
            F.count(of("add_to_cart")).alias("carts"),
            F.count(of("purchase")).alias("purchases"),
            F.coalesce(F.sum(of("purchase", F.col("amount"))), F.lit(0.0)).alias("revenue"),
            F.min_by("device", first).alias("device"),
            F.min_by("country", first).alias("country"),
        )
    )
    pace = is_machine(F.col("events"), seconds(F.col("started_at"), F.col("ended_at")))
    return sessions.withColumn("is_bot", pace).withColumn("session_id", session_id()).select(*COLUMNS)


def affected(fresh: DataFrame, sessions: DataFrame) -> DataFrame:
    """Say for each user with fresh events from when on (`since`) sessions must be cut again.

    That is the first fresh event, or the start of the earliest session that it is too close to to leave alone.
    """
    first = fresh.groupBy("user_id").agg(F.min("event_time").alias("first"))
    near = sessions.select("user_id", "started_at", "ended_at").alias("old")
    close = (F.col("old.user_id") == F.col("new.user_id")) & (
        F.unix_micros("ended_at") > F.unix_micros("first") - GAP_MICROS
    )
    return (
        first.alias("new")
        .join(near, close, "left")
        .groupBy("new.user_id")
        .agg(F.min(F.least("first", "started_at")).alias("since"))
    )


def differences(events: DataFrame, sessions: DataFrame, users: DataFrame) -> DataFrame:
    """List the sessions to write for the affected users, and with `gone` those to remove."""
    key = ["user_id", "session_id"]
    new = transform(events.join(users, "user_id").where("event_time >= since").drop("since"))
    old = sessions.join(users, "user_id").where("started_at >= since")
    pairs = new.select(*key, F.struct(*COLUMNS).alias("new")).join(
        old.select(*key, F.struct(*COLUMNS).alias("old")), key, "full"
    )
    row, gone = F.coalesce("new", "old").alias("row"), F.col("new").isNull().alias("gone")
    return pairs.where(~F.col("new").eqNullSafe(F.col("old"))).select(row, gone).select("row.*", "gone")


@dataclass(frozen=True, slots=True)
class Pending:
    """What the sessions have not taken in: changes of each event's table, the moment up to which to look, and before.

    The moment never goes back: an earlier day asked for again finds its events taken in already.
    """

    changes: Mapping[str, lake.Change]
    noted: Mapping[str, int | None]
    until: datetime
    past: datetime | None

    @property
    def any(self) -> bool:
        """Say whether there is anything to do."""
        moved = any(change.until != self.noted[event] for event, change in self.changes.items())
        return moved or self.past is None or self.until > self.past

    @property
    def whole(self) -> bool:
        """Say whether everything must be cut again: the first time, and when a position is lost."""
        lost = (self.noted[event] is not None and change.since is None for event, change in self.changes.items())
        return self.past is None or any(lost)

    def notes(self) -> dict[str, str]:
        """Say what to note in the commit."""
        positions = {POSITION + event: str(change.until) for event, change in self.changes.items() if change.until}
        return {UNTIL: self.until.isoformat(), **positions}


def pending(spark: SparkSession, until: datetime) -> Pending:
    """Find what the sessions have not taken in."""
    notes = {event: lake.noted(spark, SESSIONS, POSITION + event) for event in INTERACTIONS}
    noted = {event: int(note) if note else None for event, note in notes.items()}
    past = lake.noted(spark, SESSIONS, UNTIL)
    before = datetime.fromisoformat(past) if past else None
    changes = {event: lake.change(spark, CURATED[event], noted[event]) for event in INTERACTIONS}
    return Pending(changes, noted, max(until, before or until), before)


def events(spark: SparkSession, todo: Pending, names: Sequence[str] = FIELDS) -> DataFrame:
    """Read all events up to the moment."""
    tables = {event: change.whole().read(spark) for event, change in todo.changes.items()}
    return interactions(tables, names).where(F.col("event_time") < F.lit(todo.until))


def fresh(spark: SparkSession, todo: Pending) -> DataFrame:
    """Read users and times of the events not yet taken in: new rows, and known rows whose day had not come yet."""
    seen = ("user_id", "event_time")
    new = interactions({event: change.read(spark) for event, change in todo.changes.items()}, seen)
    rows = new.where(F.col("event_time") < F.lit(todo.until))
    if todo.until == todo.past:
        return rows
    due = events(spark, todo, seen).where(F.col("event_time") >= F.lit(todo.past))
    return rows.unionAll(due)


def replace(spark: SparkSession, todo: Pending) -> None:
    """Cut everything and put it in the place of all there was, in one commit."""
    write = transform(events(spark, todo)).writeTo(lake.name(SESSIONS))
    for key, note in todo.notes().items():
        write = write.option(lake.PROPERTY + key, note)
    write.overwrite(F.lit(True))


def merge(spark: SparkSession, todo: Pending) -> None:
    """Cut again only what fresh events can have changed, and write what differs, in one commit."""
    sessions = spark.table(lake.name(SESSIONS))
    users = affected(fresh(spark, todo), sessions).persist()
    earliest = users.agg(F.unix_micros(F.min("since"))).first()
    assert earliest is not None
    # A bound that is known when the query is planned keeps older files closed.
    since = F.lit(datetime.fromtimestamp((earliest[0] or 0) / 1e6, timezone.utc))
    bounded = events(spark, todo).where(F.col("event_time") >= since)
    found = differences(bounded, sessions.where(F.col("started_at") >= since), users).persist()
    same = F.expr("sessions.user_id = found.user_id AND sessions.session_id = found.session_id")
    with lake.noting(spark, todo.notes()):
        (
            found.alias("found")
            .mergeInto(lake.name(SESSIONS), same)
            .whenMatched(F.expr("found.gone"))
            .delete()
            .whenMatched()
            .updateAll()
            .whenNotMatched(F.expr("NOT found.gone"))
            .insertAll()
            .merge()
        )
    for frame in (found, users):
        frame.unpersist()


def main() -> None:
    """Bring the sessions up to the end of the day."""
    arguments, spark = Arguments.read(), lake.session()
    todo = pending(spark, arguments.until)
    lake.spread(spark, sum(change.rows for change in todo.changes.values()))
    if todo.any:
        (replace if todo.whole else merge)(spark, todo)
    read = sum(change.rows for change in todo.changes.values())
    tell(arguments, "sessions", {"read": read, "whole": todo.whole, "sessions": lake.rows(spark, SESSIONS)})


if __name__ == "__main__":
    main()
