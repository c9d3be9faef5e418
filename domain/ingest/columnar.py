"""Read columnar frames: hold whole columns against an event's contract, and single rows only where that is in doubt."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from domain.contract.arrow import TYPES
from domain.events import Event
from domain.ingest import ipc
from domain.ingest.contract import LARGEST_FLOAT, BrokenContract, Reason, check, find_shape
from domain.ingest.frames import Frame
from domain.ingest.limits import EARLIEST, LEAD, LONGEST_VALUE
from domain.schema import Column

CHARACTER = 4
"""Bytes of a character in UTF-8 at most."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A frame's columns in the types of its event; the bytes in them are not yet checked."""

    event: type[Event]
    columns: list[pa.Array]
    rows: int


@dataclass(frozen=True, slots=True)
class Read:
    """What frames of one event held: the rows that keep the contract and their columns, and those set aside as JSON."""

    event: str
    rows: Sequence[int]
    columns: dict[str, pa.Array]
    faults: Sequence[tuple[int, bytes, BrokenContract]]


def opened(frame: Frame) -> Opened:
    """Open a frame's stream; raises BrokenContract if the frame must be set aside whole."""
    try:
        table = ipc.read(frame.payload)
    except ipc.Unsound as error:
        raise bad(str(error)) from error
    if len(table) != frame.count:
        raise bad(f"the frame holds {len(table):,} rows and declares {frame.count:,}")
    names = {name: place for place, name in enumerate(table.column_names)}
    if len(names) != table.num_columns:
        raise bad("the frame names a column twice")
    event = event_of(table.schema.metadata or {})
    return Opened(event, [taken(table, names, column, event) for column in event.columns()], len(table))


def read(frames: Sequence[Opened], arrived: pa.Array) -> Read:
    """Read frames of one event together; `arrived` is the moment of each row.

    Raises BrokenContract if the bytes of one are not what Arrow takes for text and offsets: read each alone then.
    """
    event, count = frames[0].event, sum(frame.rows for frame in frames)
    names = [column.name for column in event.columns()]
    joined = zip(*(frame.columns for frame in frames), strict=True)
    columns = {name: whole(arrays) for name, arrays in zip(names, joined, strict=True)}
    doubts = doubtful(event, columns, arrived)
    columns["version"] = pa.repeat(pa.scalar(event.version, pa.int64()), count)
    if not doubts:
        return Read(event.name, range(count), columns, ())
    faults = list(faulty(event, columns, doubts, arrived))
    broken = {row for row, _, _ in faults}
    rows = [row for row in range(count) if row not in broken]
    places = pa.array(rows, pa.int32())
    return Read(event.name, rows, {name: column.take(places) for name, column in columns.items()}, faults)


def whole(arrays: Sequence[pa.Array]) -> pa.Array:
    """Join a column's arrays, and check every offset and text in it before anything trusts them."""
    array = arrays[0] if len(arrays) == 1 else pa.concat_arrays(arrays)
    try:
        array.validate(full=True)
    except pa.ArrowException as error:
        raise bad(f"the frame is no Arrow stream: {error}") from error
    return array


def bad(detail: str) -> BrokenContract:
    """Make out the fault of a whole frame."""
    return BrokenContract(Reason.BAD_FRAME, detail[:500])


def event_of(said: dict[bytes, bytes]) -> type[Event]:
    """Find the contract that a frame's schema names."""
    try:
        name, version = said.get(b"event", b"").decode(), int(said.get(b"version", b"1"))
    except ValueError as error:
        raise bad(f"the frame's schema names no event and version: {error}") from error
    return find_shape({"event": name, "version": version}).event


def taken(table: pa.Table, names: dict[str, int], column: Column, event: type[Event]) -> pa.Array:
    """Take a column in its type; an optional one that is absent is null."""
    kind = TYPES[column.kind]
    if column.name not in names:
        if column.required:
            detail = f"the frame lacks the column {column.name!r}"
            raise BrokenContract(Reason.MISSING_FIELD, detail, event=event.name, field=column.name)
        return pa.nulls(len(table), kind)
    found = table.column(names[column.name])
    if found.type != kind:
        detail = f"the column {column.name!r} is of {found.type}; send {kind}"[:500]
        value = str(found.type)[:LONGEST_VALUE]
        raise BrokenContract(Reason.WRONG_TYPE, detail, event=event.name, field=column.name, value=value)
    return found.combine_chunks() if found.num_chunks != 1 else found.chunk(0)


def doubtful(event: type[Event], columns: dict[str, pa.Array], arrived: pa.Array) -> list[int]:
    """List the rows with a value that may break the contract."""
    held = [
        sound
        for column in event.columns()
        for sound in checks(column, columns[column.name], arrived)
        if not pc.all(sound, min_count=0).as_py()
    ]
    if not held:
        return []
    return [row for row, sound in enumerate(functools.reduce(pc.and_, held).to_pylist()) if not sound]


def checks(column: Column, values: pa.Array, arrived: pa.Array) -> Iterator[pa.Array]:
    """Hold a column against its contract, check by check; a null that is allowed passes."""
    if column.required and values.null_count:
        yield values.is_valid()
    for sound in bounds(column, values, arrived):
        yield pc.fill_null(sound, True) if values.null_count else sound


def bounds(column: Column, values: pa.Array, arrived: pa.Array) -> Iterator[pa.Array]:
    """Say of each value whether it is within its bounds; nothing if the least and the greatest are."""
    if column.kind is str:
        yield from texts(column, values)
    elif column.kind is datetime:
        yield pc.greater_equal(values, pa.scalar(EARLIEST, values.type))
        yield pc.less_equal(values, pc.add(arrived, LEAD_SCALAR))
    else:
        yield from numbers(column, values)


def numbers(column: Column, values: pa.Array) -> Iterator[pa.Array]:
    """Say of each number whether it is within its bounds."""
    stated = column.field
    if column.kind is float:
        yield pc.less_equal(pc.abs(values), LARGEST_FLOAT)  # neither infinite nor NaN, which is not below anything
    if stated.minimum is not None:
        yield pc.greater_equal(values, stated.minimum)
    if stated.above is not None:
        yield pc.greater(values, stated.above)
    if stated.maximum is not None:
        yield pc.less_equal(values, stated.maximum)


def texts(column: Column, values: pa.Array) -> Iterator[pa.Array]:
    """Say of each text whether it is one of its choices, as long as it may be, and without NUL."""
    stated = column.field
    if stated.choices:
        yield pc.is_in(values, pa.array(stated.choices, pa.string()))
        return
    least, most = stated.min_length or 0, stated.max_length
    extent = pc.min_max(pc.binary_length(values))  # a character is one byte or more, up to four
    shortest, longest = extent["min"].as_py() or 0, extent["max"].as_py() or 0
    if shortest < CHARACTER * least - CHARACTER + 1 or (most is not None and longest > most):
        length = pc.utf8_length(values)
        yield pc.greater_equal(length, least)
        if most is not None:
            yield pc.less_equal(length, most)
    if holds_nul(values):  # one search of all text: a search of each takes a hundred times that
        yield pc.invert(pc.match_substring(values, "\0"))


def holds_nul(values: pa.Array) -> bool:
    """Tell whether any byte of an array's text is NUL."""
    text = values.buffers()[2]
    if not text:
        return False
    octets = pa.Array.from_buffers(pa.uint8(), text.size, [None, text])
    return bool(pc.min(octets).as_py() == 0)


def faulty(
    event: type[Event], columns: dict[str, pa.Array], doubts: Sequence[int], arrived: pa.Array
) -> Iterator[tuple[int, bytes, BrokenContract]]:
    """Name the fault of each row in doubt, as its JSON has it."""
    for row in doubts:
        payload = as_json(event, columns, row)
        try:
            check(payload, arrived[row].as_py())
        except BrokenContract as fault:
            yield row, payload, fault


def as_json(event: type[Event], columns: dict[str, pa.Array], row: int) -> bytes:
    """Write one row as the JSON that a producer would have sent."""
    document: dict[str, Any] = {"event": event.name}
    for name, column in columns.items():
        scalar = column[row]
        if scalar.is_valid:
            document[name] = scalar.cast(pa.string()).as_py() if column.type == TYPES[datetime] else scalar.as_py()
    return json.dumps(document).encode()


LEAD_SCALAR = pa.scalar(LEAD, pa.duration("us"))
