"""The tables of the lake.  To add one, write its row and list it in TABLES."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from domain.events import DEVICES, EVENTS
from domain.raw import BY_ARRIVAL, QUARANTINE, RAW, UNDECLARED, Arrival, Partition, Table, UserId
from domain.schema import Column, Field, Privacy, Record

__all__ = ["BY_ARRIVAL", "QUARANTINE", "RAW", "UNDECLARED", "Arrival", "Partition", "Table", "UserId"]

PREFIX_EVENTS = 5  # a session is scored once it has this many events


class Redriven(Record):
    """An event that was set aside, or given up with its batch, and was sent again."""

    shard: Annotated[str, Field("Shard or partition that first carried it.")]
    sequence: Annotated[str, Field("Its position there.")]
    digest: Annotated[str, Field("SHA-256 of its bytes, in hexadecimal: tells the events of one record apart.")]
    reason: Annotated[str, Field("Why it had been set aside.")]
    event: Annotated[str | None, Field("The event that it claims to be.")] = None
    arrived_at: Annotated[datetime, Field("When the broker first took it.")]
    redriven_at: Annotated[datetime, Field("When it was sent again.")]
    to_shard: Annotated[str, Field("Shard or partition that took it then.")]
    to_sequence: Annotated[str, Field("Its position there.")]


class Proved(Record):
    """What became of a shard's events on a day, proved by counting again."""

    day: Annotated[str, Field("The day, YYYY-MM-DD in UTC, in which the receipts were written.")]
    stream: Annotated[str, Field("The stream or topic.")]
    shard: Annotated[str, Field("Shard or partition.")]
    receipts: Annotated[int, Field("Batches of the day.")]
    received: Annotated[int, Field("Events that the consumer was handed.")]
    landed: Annotated[int, Field("Events that became rows of raw tables.")]
    quarantined: Annotated[int, Field("Events set aside.")]
    duplicates: Annotated[int, Field("Events handed over again and dropped.")]
    counted: Annotated[int, Field("Rows that the raw tables and the quarantine hold of them.")]
    files: Annotated[int, Field("Data files that the receipts name.")]
    gaps: Annotated[int, Field("Gaps found; nought if all is accounted for.")]
    detail: Annotated[str | None, Field("The first gap, in words.")] = None
    proved_at: Annotated[datetime, Field("When it was counted.")]


class Session(Record):
    """A run of one user's events with no pause of 30 minutes in it."""

    session_id: Annotated[str, Field("Names the session: digest of user and start.")]
    user_id: UserId
    started_at: Annotated[datetime, Field("Time of its first event.")]
    ended_at: Annotated[datetime, Field("Time of its last event.")]
    events: Annotated[int, Field("How many events it holds.")]
    page_views: Annotated[int, Field("Pages opened.")]
    searches: Annotated[int, Field("Searches made.")]
    product_views: Annotated[int, Field("Products looked at.")]
    carts: Annotated[int, Field("Additions to the cart.")]
    purchases: Annotated[int, Field("Orders paid.")]
    revenue: Annotated[float, Field("What the orders came to.", privacy=Privacy.SENSITIVE)]
    device: Annotated[str | None, Field("Device of its first page view.", privacy=Privacy.QUASI_IDENTIFIER)] = None
    country: Annotated[str | None, Field("Country of its first page view.", privacy=Privacy.QUASI_IDENTIFIER)] = None
    is_bot: Annotated[bool, Field("Whether its pace is a machine's.")]


class History(Record):
    """What a session's start knows of the user: only what ended before it."""

    sessions_before: Annotated[int, Field("Earlier sessions.", minimum=0)]
    purchases_before: Annotated[int, Field("Earlier orders.", minimum=0)]
    revenue_before: Annotated[float, Field("What they came to.", minimum=0)]
    days_since_session: Annotated[float | None, Field("Days since the last session ended.", minimum=0)] = None
    days_since_purchase: Annotated[float | None, Field("Days since the last order.", minimum=0)] = None


class UserFeatures(History):
    """A user as known at the start of one session."""

    session_id: Annotated[str, Field("The session.")]
    user_id: UserId
    as_of: Annotated[datetime, Field("Start of the session: nothing later is counted.")]


class Opening(Record):
    """A session's first events, as many as it takes to score it."""

    device: Annotated[str | None, Field("Kind of device.", choices=DEVICES)] = None
    country: Annotated[str | None, Field("ISO 3166-1 alpha-2 code.", min_length=2, max_length=2)] = None
    hour: Annotated[int, Field("Hour of the start, UTC.", minimum=0, maximum=23)]
    weekday: Annotated[int, Field("Day of the week, Monday is 0.", minimum=0, maximum=6)]
    elapsed: Annotated[float, Field("Seconds from the first of the events to the last.", minimum=0)]
    page_views: Annotated[int, Field("Pages opened.", minimum=0)]
    searches: Annotated[int, Field("Searches made.", minimum=0)]
    product_views: Annotated[int, Field("Products looked at.", minimum=0)]
    carts: Annotated[int, Field("Additions to the cart.", minimum=0)]
    distinct_products: Annotated[int, Field("Different products looked at.", minimum=0)]
    distinct_categories: Annotated[int, Field("Different categories looked at.", minimum=0)]
    mean_price: Annotated[float | None, Field("Mean price of the products looked at.", minimum=0)] = None
    cart_value: Annotated[float, Field("Value put into the cart.", minimum=0)]


class SessionFeatures(Opening):
    """A session as known at its fifth event, and whether it ended in a purchase."""

    session_id: Annotated[str, Field("The session.")]
    user_id: UserId
    moment: Annotated[datetime, Field("Time of the last event counted.")]
    purchased: Annotated[bool, Field("Whether an order followed in the same session.")]


class Example(Record):
    """The key, the split and the label of a row that a propensity model learns from."""

    session_id: Annotated[str, Field("The session.")]
    user_id: UserId
    moment: Annotated[datetime, Field("When the score would have been asked for.")]
    split: Annotated[str, Field("What it serves.", choices=("train", "calibrate", "test"))]
    purchased: Annotated[bool, Field("The label: whether an order followed in the same session.")]


class Statistic(Record):
    """What an experiment's readings need of the units of one arm: counts, means and products about the means."""

    experiment: Annotated[str, Field("The experiment.")]
    as_of: Annotated[datetime, Field("Start of the day up to whose end events are counted.")]
    day: Annotated[str, Field("Day of the units' first exposure, YYYY-MM-DD in UTC.")]
    arm: Annotated[str | None, Field("Their arm; none for units that were shown several and count nowhere.")] = None
    slice: Annotated[str, Field("What they had in common when first exposed, as device=mobile; all for all.")]
    outcome: Annotated[str | None, Field("What was measured; none where units are only counted.")] = None
    count: Annotated[int, Field("How many units.", minimum=0)]
    value: Annotated[float, Field("Mean of a unit's value after its first exposure; of a quantile, of its events.")]
    denominator: Annotated[float, Field("Mean of a ratio's denominator.")]
    covariate: Annotated[float, Field("Mean of the value in the period before the exposure.")]
    value_value: Annotated[float, Field("Sum over units of the squared distance from the mean value.")]
    value_denominator: Annotated[float, Field("Sum over units of the product of both distances from their means.")]
    value_covariate: Annotated[float, Field("The same of value and covariate.")]
    denominator_denominator: Annotated[float, Field("The same of the denominator alone.")]
    denominator_covariate: Annotated[float, Field("The same of denominator and covariate.")]
    covariate_covariate: Annotated[float, Field("The same of the covariate alone.")]
    histogram: Annotated[str | None, Field("A quantile's events by bucket, a JSON object.")] = None


PROPENSITY_FEATURES: tuple[Column, ...] = Opening.columns() + History.columns()
"""What a propensity model sees; also the contract of a request for a prediction."""

BY_SUBJECT = Partition("user_id", "bucket")

REDRIVEN = Table("raw", "redriven", f"{Redriven.__doc__}", Redriven.columns(), BY_ARRIVAL, ("arrived_at",))
ACCOUNTS = Table(
    "raw", "accounts", f"{Proved.__doc__}", Proved.columns(), Partition("proved_at", "day"), ("day", "shard")
)
CURATED: dict[str, Table] = {
    name: Table(
        database="curated",
        name=name,
        doc=f"{event.__doc__} Each once.",
        columns=Arrival.columns() + event.columns(),
        partition=BY_SUBJECT,
        sort=(event.subject, event.time),
        subject=event.subject,
    )
    for name, event in EVENTS.items()
}


def by_subject(database: str, name: str, *columns: Column, doc: str, time: str) -> Table:
    """Declare a table whose rows are a user's: bucketed and sorted by the user, so that one is found at once."""
    return Table(database, name, doc, columns, BY_SUBJECT, ("user_id", time), subject="user_id")


SESSIONS = by_subject("curated", "sessions", *Session.columns(), doc=f"{Session.__doc__}", time="started_at")
USERS = by_subject("features", "users", *UserFeatures.columns(), doc=f"{UserFeatures.__doc__}", time="as_of")
OPENINGS = by_subject(
    "features", "sessions", *SessionFeatures.columns(), doc=f"{SessionFeatures.__doc__}", time="moment"
)
PROPENSITY = by_subject(
    "features",
    "propensity",
    *Example.columns(),
    *PROPENSITY_FEATURES,
    doc="What a propensity model learns from: the user and the session as known at the moment, and the label.",
    time="moment",
)
STATISTICS = Table(
    "features",
    "statistics",
    f"{Statistic.__doc__}",
    Statistic.columns(),
    Partition("as_of", "day"),
    ("experiment", "outcome", "day"),
)

TABLES: tuple[Table, ...] = (
    *RAW.values(),
    UNDECLARED,
    QUARANTINE,
    REDRIVEN,
    ACCOUNTS,
    *CURATED.values(),
    SESSIONS,
    USERS,
    OPENINGS,
    PROPENSITY,
    STATISTICS,
)
