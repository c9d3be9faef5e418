"""Read columnar frames: hold whole columns against an event's contract, and single rows only where that is in doubt."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from math import isfinite as is_finite
from typing import Any

import msgspec
import pyarrow as pa

from domain.contract.arrow import TYPES
from domain.events import Event
from domain.ingest import ipc, kernels
from domain.ingest.contract import ENVELOPE, LARGEST_FLOAT, BrokenContract, Reason, check_document, find_shape
from domain.ingest.frames import Frame
from domain.ingest.limits import EARLIEST, LEAD, LONGEST_VALUE
from domain.schema import Column

MOST_LAYOUTS, LONGEST_SCHEMA = 256, 16 * 1024
"""Schemas that are remembered, and bytes of one at most."""

CHARACTER = 4
"""Bytes of a character in UTF-8 at most."""


class Layout(msgspec.Struct, frozen=True):
    """How a schema lays an event out: the places of its columns, which optional ones are absent, and of all others."""

    event: type[Event]
    schema: pa.Schema
    places: list[int]
    absent: frozenset[str]
    undeclared: list[int]


class Opened(msgspec.Struct, frozen=True):
    """A frame's table, and the columns that its contract does not declare; the bytes in them are not yet checked."""

    layout: Layout
    table: pa.Table
    undeclared: pa.Table


class Read(msgspec.Struct, frozen=True):
    """What frames of one event held: the rows that keep the contract and their columns, and those set aside as JSON."""

    event: str
    rows: Sequence[int]
    columns: dict[str, pa.Array]
    faults: Sequence[tuple[int, bytes, BrokenContract]]


def opened(frame: Frame) -> Opened:
    """Open a frame's stream; raises BrokenContract if the frame must be set aside whole."""
    try:
        written, schema, messages = ipc.opened(frame.payload)
        layout = LAYOUTS.get(written) or remembered(written, laid_out(schema()))
        table = ipc.table_of(messages, layout.schema)
    except (ipc.Unsound, UnicodeDecodeError) as error:  # Arrow does not look at the bytes of names
        raise bad(str(error)) from error
    if len(table) != frame.count:
        raise bad(f"the frame holds {len(table):,} rows and declares {frame.count:,}")
    return Opened(layout, table.select(layout.places), table.select(layout.undeclared))


def remembered(written: bytes, layout: Layout) -> Layout:
    """Remember a layout: a producer writes the same with each frame."""
    if len(LAYOUTS) < MOST_LAYOUTS and len(written) < LONGEST_SCHEMA:
        LAYOUTS[written] = layout
    return layout


def laid_out(schema: pa.Schema) -> Layout:
    """Find an event's columns in a schema; raises BrokenContract if it is none of an event that we know."""
    names = {name: place for place, name in enumerate(schema.names)}
    if len(names) != len(schema.names):
        raise bad("the frame names a column twice")
    event = event_of(schema.metadata or {})
    present = [column for column in event.columns() if column.required or column.name in names]
    places = [placed(schema, names, column, event) for column in present]
    declared = {column.name for column in event.columns()}
    others = [place for name, place in names.items() if name not in declared | ENVELOPE]
    return Layout(event, schema, places, frozenset(declared - set(names)), others)


def read(frames: Sequence[Opened], arrived: pa.Array) -> Read:
    """Read frames of one layout together; `arrived` is the moment of each row.

    Raises BrokenContract if the bytes of one are not what Arrow takes for text and offsets: read each alone then.
    """
    layout, event = frames[0].layout, frames[0].layout.event
    columns = columns_of(frames, layout)
    count = len(arrived)
    doubts = doubtful(event, columns, arrived)
    columns["version"] = pa.repeat(pa.scalar(event.version, pa.int64()), count)
    if not doubts:
        return Read(event.name, range(count), columns, ())
    faults = list(faulty(event, columns, doubts, arrived))
    broken = {row for row, _, _ in faults}
    rows = [row for row in range(count) if row not in broken]
    places = kernels.places(rows)
    return Read(event.name, rows, {name: kernels.take(column, places) for name, column in columns.items()}, faults)


def columns_of(frames: Sequence[Opened], layout: Layout) -> dict[str, pa.Array]:
    """Join the frames' columns, and check every offset and text in them before anything trusts them."""
    table = pa.concat_tables([frame.table for frame in frames]).combine_chunks()
    try:
        table.validate(full=True)
    except pa.ArrowException as error:
        raise bad(f"the frame is no Arrow stream: {error}") from error
    absent = {name: pa.nulls(len(table), TYPES[kind_of(layout.event, name)]) for name in layout.absent}
    found = {name: column.chunk(0) for name, column in zip(table.column_names, table.columns, strict=True)}
    return found | absent


def kind_of(event: type[Event], name: str) -> type:
    """Say of which kind an event's column is."""
    return next(column.kind for column in event.columns() if column.name == name)


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


def placed(schema: pa.Schema, names: dict[str, int], column: Column, event: type[Event]) -> int:
    """Find a column in its type."""
    kind, place = TYPES[column.kind], names.get(column.name)
    if place is None:
        detail = f"the frame lacks the column {column.name!r}"
        raise BrokenContract(Reason.MISSING_FIELD, detail, event=event.name, field=column.name)
    if schema.field(place).type != kind:
        found = str(schema.field(place).type)[:LONGEST_VALUE]
        detail = f"the column {column.name!r} is of {found}; send {kind}"
        raise BrokenContract(Reason.WRONG_TYPE, detail, event=event.name, field=column.name, value=found)
    return place


def doubtful(event: type[Event], columns: dict[str, pa.Array], arrived: pa.Array) -> list[int]:
    """List the rows with a value that may break the contract."""
    held = [
        sound
        for column in event.columns()
        for sound in checks(column, columns[column.name], arrived)
        if not kernels.holds(sound)
    ]
    if not held:
        return []
    return [row for row, sound in enumerate(functools.reduce(kernels.both, held).to_pylist()) if not sound]


def checks(column: Column, values: pa.Array, arrived: pa.Array) -> Iterator[pa.Array]:
    """Hold a column against its contract, check by check; a null that is allowed passes."""
    if column.required and values.null_count:
        yield values.is_valid()
    for sound in bounds(column, values, arrived):
        yield kernels.or_else(sound, True) if values.null_count else sound


def bounds(column: Column, values: pa.Array, arrived: pa.Array) -> Iterator[pa.Array]:
    """Say of each value whether it is within its bounds; nothing if the least and the greatest are."""
    if column.kind is str:
        yield from texts(column, values)
    elif column.kind is datetime:
        yield kernels.greater_equal(values, pa.scalar(EARLIEST, values.type))
        yield kernels.less_equal(values, kernels.add(arrived, LEAD_SCALAR))
    else:
        yield from numbers(column, values)


def numbers(column: Column, values: pa.Array) -> Iterator[pa.Array]:
    """Say of each number whether it is within its bounds; nothing if the least and the greatest are."""
    stated = column.field
    if column.kind is float and not is_finite(kernels.total(values)):
        # Neither infinite nor NaN, which is not below anything.
        yield kernels.less_equal(kernels.absolute(values), LARGEST_FLOAT)
    if stated.minimum is stated.above is stated.maximum is None or len(values) == values.null_count:
        return
    extent = kernels.min_max(values)
    least, most = extent["min"].as_py(), extent["max"].as_py()
    if stated.minimum is not None and not least >= stated.minimum:
        yield kernels.greater_equal(values, stated.minimum)
    if stated.above is not None and not least > stated.above:
        yield kernels.greater(values, stated.above)
    if stated.maximum is not None and not most <= stated.maximum:
        yield kernels.less_equal(values, stated.maximum)


def texts(column: Column, values: pa.Array) -> Iterator[pa.Array]:
    """Say of each text whether it is one of its choices, as long as it may be, and without NUL."""
    stated = column.field
    if stated.choices:
        yield kernels.is_in(values, pa.array(stated.choices, pa.string()))
        return
    least, most = stated.min_length or 0, stated.max_length
    extent = kernels.min_max(kernels.binary_length(values))  # a character is one byte or more, up to four
    shortest, longest = extent["min"].as_py() or 0, extent["max"].as_py() or 0
    if shortest < CHARACTER * least - CHARACTER + 1 or (most is not None and longest > most):
        length = kernels.utf8_length(values)
        yield kernels.greater_equal(length, least)
        if most is not None:
            yield kernels.less_equal(length, most)
    if holds_nul(values):  # one search of all text: a search of each takes a hundred times that
        yield kernels.invert(kernels.contains(values, "\0"))


def holds_nul(values: pa.Array) -> bool:
    """Tell whether any byte of an array's text is NUL."""
    text = values.buffers()[2]
    if not text:
        return False
    octets = pa.Array.from_buffers(pa.uint8(), text.size, [None, text])
    return bool(kernels.min_max(octets)["min"].as_py() == 0)


def faulty(
    event: type[Event], columns: dict[str, pa.Array], doubts: Sequence[int], arrived: pa.Array
) -> Iterator[tuple[int, bytes, BrokenContract]]:
    """Name the fault of each row in doubt, with the JSON that a producer would have sent."""
    for row in doubts:
        document = document_of(event, columns, row)
        try:
            check_document(document, arrived[row].as_py())
        except BrokenContract as fault:
            yield row, json.dumps(document).encode(), fault


def document_of(event: type[Event], columns: dict[str, pa.Array], row: int) -> dict[str, Any]:
    """Give one row as the document that a producer would have written."""
    document: dict[str, Any] = {"event": event.name}
    for name, column in columns.items():
        scalar = column[row]
        if scalar.is_valid:
            document[name] = scalar.cast(pa.string()).as_py() if column.type == TYPES[datetime] else scalar.as_py()
    return document


LAYOUTS: dict[bytes, Layout] = {}
LEAD_SCALAR = pa.scalar(LEAD, pa.duration("us"))
