"""The tables that records land in as they arrive; apart from the others, since a consumer needs no more to start."""

# Annotations are no text here, as they would be by `from __future__`: a consumer that starts would parse each.
from datetime import datetime
from functools import partial
from typing import Annotated, NamedTuple

from domain.events import EVENTS
from domain.schema import Column, Field, Privacy, Record, Treatment


class Partition(NamedTuple):
    """How a table is cut: by the `day` of a time, or by a `bucket` of a key (Iceberg partition transforms)."""

    column: str
    transform: str


class Table(NamedTuple):
    """An Iceberg v2 table: its place, columns and layout, and the column that names a person, if one does.

    A column's position is its Iceberg field id, so new columns go last.
    """

    database: str
    name: str
    doc: str
    columns: tuple[Column, ...]
    partition: Partition
    sort: tuple[str, ...]
    subject: str | None = None

    @property
    def full_name(self) -> str:
        """Name the table with its database."""
        return f"{self.database}.{self.name}"

    @property
    def prefix(self) -> str:
        """Say where in the lake's bucket the table's own files live."""
        return f"{self.database}/{self.name}/"


class Arrival(Record):
    """How a record came in."""

    version: Annotated[int, Field("Version of the event's contract.", minimum=1)]
    arrived_at: Annotated[datetime, Field("When the broker took it.")]
    shard: Annotated[str, Field("Shard or partition that carried it.")]
    sequence: Annotated[str, Field("Its position there: 56 digits, so that text order is stream order.")]


UserId = Annotated[
    str, Field("Whose row it is.", privacy=Privacy.IDENTIFIER, treatment=Treatment.TOKENIZE, domain="user")
]
Sealed = partial(Field, privacy=Privacy.SENSITIVE, treatment=Treatment.ENCRYPT)


class Quarantined(Record):
    """A record that broke its contract, with its bytes and the reason."""

    reason: Annotated[str, Field("What kind of fault it is.")]
    event: Annotated[str | None, Field("The event that it claims to be.")] = None
    field: Annotated[str | None, Field("The field at fault.")] = None
    value: Annotated[str | None, Sealed("The value at fault, cut to 256 characters.")] = None
    detail: Annotated[str, Sealed("What is wrong and what would be right.")]
    payload: Annotated[bytes, Sealed("The record, byte for byte.")]
    arrived_at: Annotated[datetime, Field("When the broker took it.")]
    shard: Annotated[str, Field("Shard or partition that carried it.")]
    sequence: Annotated[str, Field("Its position there.")]


class Undeclared(Record):
    """A value that an event said beyond its contract; it is here once the contract declares its field."""

    event: Annotated[str, Field("The event.")]
    event_id: Annotated[str, Field("Names the occurrence.")]
    user_id: UserId
    field: Annotated[str, Field("The field, cut to 256 characters.")]
    value: Annotated[str, Field("The value as JSON.", privacy=Privacy.SENSITIVE, treatment=Treatment.SHRED)]
    arrived_at: Annotated[datetime, Field("When the broker took it.")]
    shard: Annotated[str, Field("Shard or partition that carried it.")]
    sequence: Annotated[str, Field("Its position there.")]


BY_ARRIVAL = Partition("arrived_at", "day")

RAW: dict[str, Table] = {
    name: Table(
        database="raw",
        name=name,
        doc=f"{event.__doc__} Every record as it arrived.",
        columns=Arrival.columns() + event.columns(),
        partition=BY_ARRIVAL,
        # As they arrive files are in stream order; a compacted day finds a user in one row group.
        sort=(event.subject, event.time),
        subject=event.subject,
    )
    for name, event in EVENTS.items()
}
QUARANTINE = Table("raw", "quarantine", f"{Quarantined.__doc__}", Quarantined.columns(), BY_ARRIVAL, ("arrived_at",))
UNDECLARED = Table(
    "raw",
    "undeclared",
    f"{Undeclared.__doc__}",
    Undeclared.columns(),
    BY_ARRIVAL,
    ("user_id", "arrived_at"),
    subject="user_id",
)
