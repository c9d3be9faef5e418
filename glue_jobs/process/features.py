"""Say what was known of a user at a session's start and of the session at its fifth event: nothing later."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from domain.process.sessions import GAP, INTERACTIONS, is_machine
from domain.process.splits import TRAINING_WINDOW
from domain.tables import CURATED, OPENINGS, PREFIX_EVENTS, SESSIONS, USERS, Table
from glue_jobs import lake
from glue_jobs.accounts import tell
from glue_jobs.arguments import Arguments
from glue_jobs.process.sessions import cut, interactions, of, seconds, session_id

DAY = 86_400
MARGIN = timedelta(days=1)
"""Events read before the window, so that a session under way at its start is not taken for one that starts there."""


def users(sessions: DataFrame, purchases: DataFrame) -> DataFrame:
    """Know each user at the start of each session by the sessions that ended and the orders made before."""
    starts = sessions.select("user_id", "session_id", "ended_at", F.col("started_at").alias("time"))
    orders = purchases.select("user_id", "amount", F.col("event_time").alias("time"), F.lit(True).alias("order"))
    # At equal times the session comes first: an order at its very start belongs to it, not before it.
    turn = F.col("order").isNotNull()
    before = Window.partitionBy("user_id").orderBy("time", turn).rowsBetween(Window.unboundedPreceding, -1)
    last_session, last_order = F.max("ended_at").over(before), F.max(F.when(turn, F.col("time"))).over(before)
    return (
        starts.unionByName(orders, allowMissingColumns=True)
        .withColumn("sessions_before", F.count("session_id").over(before))
        .withColumn("purchases_before", F.count("order").over(before))
        .withColumn("revenue_before", F.coalesce(F.sum("amount").over(before), F.lit(0.0)))
        .withColumn("days_since_session", seconds(last_session, F.col("time")) / DAY)
        .withColumn("days_since_purchase", seconds(last_order, F.col("time")) / DAY)
        .where(~turn)
        .withColumnRenamed("time", "as_of")
        .select(*(column.name for column in USERS.columns))
    )


def openings(events: DataFrame, until: datetime) -> DataFrame:
    """Know each session at its fifth event, and whether an order followed in it.

    Left out are sessions that may go on after `until`, with fewer events, with an order within the first five, and
    at a machine's pace.
    """
    ended_at = F.max("event_time")
    known = (
        cut(events)
        .groupBy("user_id", "started_at")
        .agg(
            ended_at.alias("ended_at"),
            F.count("*").alias("events"),
            F.max(F.coalesce(of("purchase", F.col("position") > PREFIX_EVENTS), F.lit(False))).alias("purchased"),
            F.max(early(F.col("event_time"))).alias("moment"),
            F.count(early(of("purchase"))).alias("early_orders"),
            *(column.alias(name) for name, column in opening().items()),
        )
    )
    machine = is_machine(F.col("events"), seconds(F.col("started_at"), F.col("ended_at")))
    return (
        known.where((F.col("events") >= PREFIX_EVENTS) & (F.col("early_orders") == 0) & ~machine)
        .where(F.col("ended_at") <= F.lit(until - GAP))
        .withColumn("session_id", session_id())
        .withColumn("elapsed", seconds(F.col("started_at"), F.col("moment")))
        .withColumn("hour", F.pmod(F.floor(F.unix_seconds("started_at") / 3600), F.lit(24)))
        .withColumn("weekday", F.pmod(F.floor(F.unix_seconds("started_at") / DAY) + 3, F.lit(7)))
    )


def early(value: Column) -> Column:
    """Keep a value where the event is among the first five."""
    return F.when(F.col("position") <= PREFIX_EVENTS, value)


def opening() -> dict[str, Column]:
    """Sum up the first five events of a session."""
    page = early(of("page_view", F.col("position")))
    product, category, price = (early(of("product_view", F.col(name))) for name in ("product_id", "category", "price"))
    return {
        "device": F.min_by("device", page),
        "country": F.min_by("country", page),
        "page_views": F.count(page),
        "searches": F.count(early(of("search"))),
        "product_views": F.count(early(of("product_view"))),
        "carts": F.count(early(of("add_to_cart"))),
        "distinct_products": F.size(F.collect_set(product)).cast("long"),
        "distinct_categories": F.size(F.collect_set(category)).cast("long"),
        "mean_price": F.avg(price),
        "cart_value": F.coalesce(F.sum(early(of("add_to_cart", F.col("quantity") * F.col("price")))), F.lit(0.0)),
    }


def write(frame: DataFrame, table: Table) -> None:
    """Put a frame in the place of all that a table held, in one commit."""
    frame.select(*(column.name for column in table.columns)).writeTo(lake.name(table)).overwrite(F.lit(True))


def write_users(spark: SparkSession, since: datetime, until: datetime) -> None:
    """Write what was known of users at the starts of the window's sessions; counts reach back to their first."""
    sessions = spark.table(lake.name(SESSIONS)).where(F.col("started_at") < F.lit(until))
    purchases = spark.table(lake.name(CURATED["purchase"])).where(F.col("event_time") < F.lit(until))
    write(users(sessions, purchases).where(F.col("as_of") >= F.lit(since)), USERS)


def write_openings(spark: SparkSession, since: datetime, until: datetime) -> None:
    """Write what was known of the window's sessions at their fifth events."""
    tables = {event: spark.table(lake.name(CURATED[event])) for event in INTERACTIONS}
    time = F.col("event_time")
    events = interactions(tables).where((time >= F.lit(since - MARGIN)) & (time < F.lit(until)))
    write(openings(events, until).where(F.col("started_at") >= F.lit(since)), OPENINGS)


def main() -> None:
    """Write the features of the window that ends with the day; both tables at once."""
    arguments, spark = Arguments.read(), lake.session()
    since = arguments.until - TRAINING_WINDOW
    lake.spread(spark, sum(lake.rows(spark, CURATED[event]) for event in INTERACTIONS))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda step: step(spark, since, arguments.until), (write_users, write_openings)))
    account = {"sessions": lake.rows(spark, SESSIONS), "users": lake.rows(spark, USERS)}
    tell(arguments, "features", {**account, "openings": lake.rows(spark, OPENINGS)})


if __name__ == "__main__":
    main()
