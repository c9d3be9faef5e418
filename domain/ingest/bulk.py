"""Read many plain records at once into columns, and set apart each that is in any doubt."""

from __future__ import annotations

import functools
import operator
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Annotated, Any, Literal

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import UNSET, UnsetType

from domain.contract.arrow import TYPES
from domain.events import EVENTS, Event
from domain.ingest.contract import quotes_of, value_type
from domain.ingest.limits import EARLIEST, LARGEST_RECORD, LEAD
from domain.schema import Column

PLAIN_KINDS = (str, int, float, bool, datetime)
MOMENT = TYPES[datetime]
ZONED = Annotated[datetime, msgspec.Meta(tz=True)]
COMMON_TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$"
"""How nearly all producers write a moment; Arrow reads it fast and to the microsecond."""


@dataclass(frozen=True, slots=True)
class Wire:
    """An event as it stands in a record, its times still text; and the quotation marks that its required fields take.

    An optional field left out is UNSET and takes none; one that is null takes those of its name.
    """

    event: type[Event]
    struct: type[msgspec.Struct]
    kinds: dict[str, pa.DataType]
    times: frozenset[str]
    quotes: int
    optional: dict[str, int]


@dataclass(frozen=True, slots=True)
class Bunch:
    """Events of one kind: which of the payloads they are, in order, and their columns."""

    event: str
    rows: Sequence[int]
    columns: dict[str, pa.Array]


def read(payloads: Sequence[bytes], arrived: pa.Array) -> tuple[list[Bunch], list[int]]:
    """Return the events that surely keep their contract, and which payloads are in doubt: those are not all broken.

    Sound for the reasons that `contract.glance` gives, held against the whole batch: no record has fewer quotation
    marks than its values need, so if the sums agree, each record agrees.
    """
    whole = b"".join(payloads)
    found, doubts = decode(payloads, set(odd(payloads, whole)))
    extra = unlike(found, payloads, whole.count(b'"') - sum(payloads[row].count(b'"') for row in doubts))
    bunches = []
    for struct, (rows, values) in found.items():
        bunch, doubted = lay_out(WIRES[struct], rows, values, arrived, extra)
        doubts.update(doubted)
        if bunch.rows:
            bunches.append(bunch)
    return bunches, sorted(doubts)


Found = dict[type, tuple[list[int], list[Any]]]


def decode(payloads: Sequence[bytes], doubts: set[int]) -> tuple[Found, set[int]]:
    """Decode each payload that is plain, by its event; return also the rows in doubt."""
    found: Found = defaultdict(lambda: ([], []))
    to_value = DECODER.decode
    for row, payload in enumerate(payloads):
        try:
            value = to_value(payload)
        except (ValueError, RecursionError):
            doubts.add(row)
        else:
            rows, values = found[value.__class__]
            rows.append(row)
            values.append(value)
    return (without(found, doubts) if doubts else found), doubts


def without(found: Found, doubts: set[int]) -> Found:
    """Leave out the rows in doubt."""
    left = {}
    for struct, (rows, values) in found.items():
        kept = [place for place, row in enumerate(rows) if row not in doubts]
        left[struct] = [rows[place] for place in kept], [values[place] for place in kept]
    return left


def odd(payloads: Sequence[bytes], whole: bytes) -> list[int]:
    """Find payloads with escapes, in which a quotation mark may be text, and payloads that are too large."""
    if b"\\" not in whole and max(map(len, payloads), default=0) <= LARGEST_RECORD:
        return []
    return [row for row, payload in enumerate(payloads) if b"\\" in payload or len(payload) > LARGEST_RECORD]


def unlike(found: Found, payloads: Sequence[bytes], marks: int) -> set[int]:
    """Find the rows that have more quotation marks than their values need; `marks` is what all have together."""
    if marks == sum(needed(WIRES[struct], values) for struct, (_, values) in found.items()):
        return set()
    return {
        row
        for struct, (rows, values) in found.items()
        for row, value in zip(rows, values, strict=True)
        if payloads[row].count(b'"') != needed(WIRES[struct], [value])
    }


def needed(wire: Wire, values: Sequence[Any]) -> int:
    """Count the quotation marks that values take on the wire."""
    marks = wire.quotes * len(values)
    for name, most in wire.optional.items():
        said = list(map(attrgetter(name), values))
        given = len(said) - said.count(UNSET)
        marks += most * given - (most - 2) * said.count(None)
    return marks


def lay_out(
    wire: Wire, rows: list[int], values: list[Any], arrived: pa.Array, extra: set[int]
) -> tuple[Bunch, list[int]]:
    """Lay values out in columns, less those with a key twice, a key unknown, or a time that no sound clock shows."""
    doubted = {place for place, row in enumerate(rows) if row in extra} if extra else set()
    columns = {name: collected(wire, name, kind, values) for name, kind in wire.kinds.items()}
    columns["version"] = pa.repeat(pa.scalar(wire.event.version, pa.int64()), len(values))
    came = arrived if len(rows) == len(arrived) else arrived.take(pa.array(rows, pa.int32()))
    for name in wire.times:
        doubted |= unsound(columns[name], came)
    if not doubted:
        return Bunch(wire.event.name, rows, columns), []
    kept = [place for place in range(len(rows)) if place not in doubted]
    places = pa.array(kept, pa.int32())
    columns = {name: column.take(places) for name, column in columns.items()}
    return Bunch(wire.event.name, [rows[place] for place in kept], columns), [rows[place] for place in doubted]


def collected(wire: Wire, name: str, kind: pa.DataType, values: Sequence[Any]) -> pa.Array:
    """Collect one column."""
    said = list(map(attrgetter(name), values))
    if name in wire.times:
        return times(said)
    if name in wire.optional and UNSET in said:
        said = [None if value is UNSET else value for value in said]
    return pa.array(said, kind)


def times(texts: list[str]) -> pa.Array:
    """Read moments, null where a text is none."""
    written = pa.array(texts, pa.string())
    if pc.all(pc.match_substring_regex(written, COMMON_TIME)).as_py():
        try:
            return pc.cast(written, MOMENT)
        except pa.ArrowInvalid:  # such as the 30th of February: read one by one to find it
            pass
    return pa.array(list(map(moment, texts)), MOMENT)


def moment(text: str) -> datetime | None:
    """Read one moment just as the contract does; None if it is none."""
    try:
        return msgspec.convert(text, ZONED)
    except msgspec.ValidationError:
        return None


def unsound(moments: pa.Array, arrived: pa.Array) -> set[int]:
    """Find the places of moments that are none, too early, or ahead of their arrival."""
    latest = pc.add(arrived, pa.scalar(LEAD, pa.duration("us")))
    sound = pc.and_(pc.greater_equal(moments, pa.scalar(EARLIEST, MOMENT)), pc.less_equal(moments, latest))
    if moments.null_count == 0 and pc.all(sound).as_py():
        return set()
    return {place for place, holds in enumerate(sound.to_pylist()) if not holds}


def _wire(event: type[Event]) -> Wire:
    columns = event.columns()
    version: Any = Literal[event.version]
    fields: list[Any] = [_field(column) for column in columns]
    said = ("version", version) if event.version > 1 else ("version", version | UnsetType, UNSET)
    struct = msgspec.defstruct(
        event.__name__, [said, *fields], kw_only=True, frozen=True, gc=False, tag_field="event", tag=event.name
    )
    optional = {column.name: quotes_of(column) for column in columns if not column.required}
    return Wire(
        event=event,
        struct=struct,
        kinds={column.name: TYPES[column.kind] for column in columns},
        times=frozenset(column.name for column in columns if column.kind is datetime),
        quotes=(6 if event.version > 1 else 4) + sum(quotes_of(column) for column in columns if column.required),
        optional=optional if event.version > 1 else {**optional, "version": 2},
    )


def _field(column: Column) -> tuple[Any, ...]:
    kind = str if column.kind is datetime else value_type(column)
    return (column.name, kind) if column.required else (column.name, kind | None | UnsetType, UNSET)


def _plain(event: type[Event]) -> bool:
    columns = event.columns()
    return all(column.kind in PLAIN_KINDS and (column.required or column.kind is not datetime) for column in columns)


WIRES: dict[type, Wire] = {wire.struct: wire for wire in map(_wire, filter(_plain, EVENTS.values()))}
DECODER: Any = msgspec.json.Decoder(functools.reduce(operator.or_, WIRES))
