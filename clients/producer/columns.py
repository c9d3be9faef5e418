"""Pack events of one kind as Arrow columns, which nobody has to parse.

Only what is surely as its contract says becomes columns; in doubt events go as JSON, for the platform to judge.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from operator import itemgetter
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from clients.producer.encoding import Load, fitted, framed
from domain.contract.arrow import arrow_schema
from domain.events import EVENTS, Event
from domain.schema import Column

RFC3339 = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)$"
ENVELOPE = ("event", "version")
LARGEST_WHOLE = 2**63
ESCAPED = 6
"""Bytes of JSON that a character of text takes at most."""


@dataclass(frozen=True, slots=True)
class Declared:
    """The columns of an event."""

    event: type[Event]
    columns: tuple[Column, ...]
    names: tuple[str, ...]
    schema: Any


class Row(NamedTuple):
    """An event's values in the order of its columns, and how many characters of text they hold."""

    declared: Declared
    values: tuple[Any, ...]
    characters: int


class Look(NamedTuple):
    """What events with the same keys and types have in common, once it is known that columns hold them."""

    declared: Declared
    versioned: bool
    texts: Callable[[tuple[Any, ...]], tuple[str, ...]]
    wholes: tuple[int, ...]


Signature = tuple[Any, ...]
LOOKS: dict[Signature, Look] = {}
MOST_LOOKS = 10_000


def row_of(event: object) -> Row | None:
    """Take an event's values; None if it is not certain that columns can hold them."""
    if not isinstance(event, dict) or not isinstance(name := event.get("event"), str):
        return None
    signature = (name, *event, *map(type, event.values()))
    look = LOOKS.get(signature) or _study(name, event, signature)
    if look is None or (look.versioned and event["version"] != look.declared.event.version):
        return None
    values: tuple[Any, ...] = tuple(map(event.get, look.declared.names))
    for place in look.wholes:
        if not -LARGEST_WHOLE <= values[place] < LARGEST_WHOLE:
            return None
    return Row(look.declared, values, len("".join(look.texts(values))))


def write(declared: Declared, rows: Sequence[Row]) -> bytes:
    """Write rows as an Arrow stream; raises ValueError, TypeError or OverflowError if a column does not hold them."""
    lists = zip(*(row.values for row in rows), strict=True)
    arrays = [_array(column, values) for column, values in zip(declared.columns, lists, strict=True)]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, declared.schema) as stream:
        stream.write_batch(pa.RecordBatch.from_arrays(arrays, schema=declared.schema))
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]  # pyarrow is untyped


def packed(rows: Sequence[Row], record_limit: int) -> list[Load]:
    """Pack each event's rows into frames of their own."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.declared.event.name, []).append(row)
    return [load for group in groups.values() for load in _loads(group, record_limit)]


@cache
def declarations() -> dict[str, Declared]:
    """Lay out all events."""
    return {name: _declared(event) for name, event in EVENTS.items()}


def _declared(event: type[Event]) -> Declared:
    columns = event.columns()
    said = {"event": event.name, "version": str(event.version)}
    return Declared(event, columns, tuple(column.name for column in columns), arrow_schema(columns).with_metadata(said))


def _study(name: str, event: dict[Any, Any], signature: Signature) -> Look | None:
    """Hold an event's keys and types against its columns, and remember them if they fit."""
    declared = declarations().get(name)
    if declared is None or not event.keys() <= {*declared.names, *ENVELOPE} or type(event.get("version", 1)) is not int:
        return None
    if not all(_holds(column, type(event.get(column.name))) for column in declared.columns):
        return None
    texts = [number for number, each in enumerate(declared.names) if isinstance(event.get(each), str)]
    wholes = tuple(number for number, each in enumerate(declared.names) if type(event.get(each)) is int)
    look = Look(declared, "version" in event, itemgetter(*texts), wholes)
    if len(LOOKS) < MOST_LOOKS:
        LOOKS[signature] = look
    return look


def _holds(column: Column, kind: type) -> bool:
    wanted = {datetime: (str,), float: (float, int)}.get(column.kind, (column.kind,))
    return kind in wanted or (kind is type(None) and not column.required)


def _array(column: Column, values: Sequence[Any]) -> Any:
    kind = arrow_schema([column]).field(0).type
    if column.kind is not datetime:
        return pa.array(values, kind)
    texts = pa.array(values, pa.string())
    if not pc.all(pc.match_substring_regex(texts, RFC3339)).as_py():
        raise ValueError(f"{column.name} holds a time that is not RFC 3339 with an offset, to the microsecond at most")
    return texts.cast(kind)


def _loads(rows: list[Row], record_limit: int) -> list[Load]:
    try:
        return fitted("arrow", rows, record_limit, partial(write, rows[0].declared))
    except (ValueError, TypeError, OverflowError):  # the platform says which event is wrong, and why
        return framed(b"".join(map(_line, rows)), len(rows), record_limit)


def _line(row: Row) -> bytes:
    said = {name: value for name, value in zip(row.declared.names, row.values, strict=True) if value is not None}
    return (
        json.dumps({"event": row.declared.event.name, "version": row.declared.event.version, **said}).encode() + b"\n"
    )
