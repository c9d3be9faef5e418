"""Turn the rows of a file into events that keep their contract, and say of each other row why it was left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from hashlib import sha256
from typing import Any

from clients.replay.mapping import EPOCHS, Clock, Mapping, Rule, Source
from clients.replay.rows import Row
from domain.ingest.contract import BrokenContract, check
from domain.schema import Column

DIGITS = 32  # hexadecimal digits of a digest that names an event


def text_of(value: Any) -> str:
    """Write a single value as text; raise TypeError for what is none, ValueError for what is not UTF-8."""
    if isinstance(value, (list, tuple, dict)) or value != value:  # noqa: PLR0124  # NaN, as Parquet may hold
        raise TypeError
    text = value.decode() if isinstance(value, bytes) else str(value)
    text.encode()
    return text


CONVERSIONS: dict[type, Callable[[Any], Any]] = {
    str: text_of,
    int: lambda value: int(value) if not isinstance(value, float) or value.is_integer() else value,
    float: float,
}


class BadRow(ValueError):
    """A row makes no event; names what is at fault."""


@dataclass(frozen=True, slots=True)
class Translated:
    """An event ready to be sent: its partition key and bytes, and what it says."""

    key: str
    payload: bytes
    event: str
    event_id: str
    event_time: datetime


@dataclass(frozen=True, slots=True)
class Translator:
    """Translates rows by a mapping, as of `now`; `shift` is added to every event's time, not to what names it."""

    mapping: Mapping
    now: datetime
    shift: timedelta = timedelta(0)

    def translate(self, row: Row) -> Translated | None:
        """Make a row's event; None for a row to be skipped; raise BadRow if it makes none."""
        if row.fault is not None:
            raise BadRow(row.fault)
        rule = self.find_rule(row.values)
        if rule.event is None:
            return None
        moment = read_time(row.values.get(self.mapping.clock.column), self.mapping.clock) + self.shift
        kinds = {column.name: column for column in rule.event.columns()}
        document = {
            "event": rule.event.name,
            "event_id": self.name(row),
            "event_time": moment.isoformat().replace("+00:00", "Z"),
            "user_id": convert(draw(self.mapping.user, row.values), kinds["user_id"]),
            **{name: convert(draw(source, row.values), kinds[name]) for name, source in rule.fields.items()},
        }
        payload = json.dumps({name: value for name, value in document.items() if value is not None}).encode()
        try:
            check(payload, self.now)
        except BrokenContract as error:
            raise BadRow(f"{error.reason.value}: {error.detail}") from error
        return Translated(document["user_id"], payload, rule.event.name, document["event_id"], moment)

    def find_rule(self, values: dict[str, Any]) -> Rule:
        """Find the first rule that is for such a row."""
        for rule in self.mapping.rules:
            if all(wanted.fullmatch(str(values.get(column))) for column, wanted in rule.when.items()):
                return rule
        tested = sorted(set().union(*(rule.when for rule in self.mapping.rules)))
        raise BadRow(f"no rule is for {', '.join(f'{column}={values.get(column)!r}' for column in tested)}")

    def name(self, row: Row) -> str:
        """Name the row's event: by its column, else by a digest, so that a second replay sends the same name.

        The digest covers the row's number too, since two equal rows may be two events.
        """
        if self.mapping.event_id is not None:
            return str(draw(self.mapping.event_id, row.values))
        content = json.dumps([row.number, row.part, row.values], sort_keys=True, default=str)
        return sha256(content.encode(errors="surrogatepass")).hexdigest()[:DIGITS]


def draw(source: Source, values: dict[str, Any]) -> Any:
    """Draw a value from its source in a row; None if the row has none."""
    if source.template is not None:
        missing = [column for column in source.columns if values.get(column) is None]
        return None if missing else source.template.format_map(values)
    if source.column is None:
        return source.constant
    value = values.get(source.column)
    if not source.values and source.otherwise is None:
        return value
    return source.values.get(str(value), source.otherwise if source.otherwise is not None else value)


def convert(value: Any, column: Column) -> Any:
    """Make a value of the column's type; what cannot be made stays, for the contract to refuse."""
    try:
        return None if value is None else CONVERSIONS[column.kind](value)
    except UnicodeError as error:
        raise BadRow(f"{column.name}: {value!r} is not UTF-8; save the file as UTF-8") from error
    except (TypeError, ValueError, OverflowError) as error:
        wanted = "text" if column.kind is str else column.kind.__name__
        raise BadRow(f"{column.name}: {value!r} cannot be read as {wanted}") from error


def read_time(value: Any, clock: Clock) -> datetime:
    """Read a moment in UTC, or raise BadRow."""
    if value is None:
        raise BadRow(f"{clock.column}: the row has no time")
    try:
        moment = _read_time(value, clock)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise BadRow(f"{clock.column}: {value!r} is no time written as {clock.format}") from error
    if moment.tzinfo is None:
        if clock.zone is None:
            raise BadRow(f"{clock.column}: {value!r} has no offset; give [time] a zone")
        moment = moment.replace(tzinfo=clock.zone)
    return moment.astimezone(timezone.utc)


def _read_time(value: Any, clock: Clock) -> datetime:
    if isinstance(value, datetime):  # Parquet knows times
        return value
    if clock.format in EPOCHS:
        microseconds = int(Decimal(str(value)) * (1_000_000 // EPOCHS[clock.format]))
        return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=microseconds)
    if clock.format == "rfc3339":
        return datetime.fromisoformat(str(value))
    return datetime.strptime(str(value), clock.format)  # noqa: DTZ007  # the zone is added by the caller


def days_to(last: datetime, until: date) -> timedelta:
    """Say by how many whole days to move the last event's time so that it falls on the given day, UTC."""
    return timedelta(days=(until - last.date()).days)
