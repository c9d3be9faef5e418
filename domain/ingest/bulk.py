"""Read many plain records at once into columns, and set apart each that is in any doubt."""

from __future__ import annotations

import functools
import gc
import operator
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
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
QUOTE = pa.scalar(ord('"'), pa.uint8())
SHORTEST, LONGEST = len("2026-03-01T12:00:00Z"), len("2026-03-01T12:00:00.123456Z")
"""Characters of a moment that Arrow reads fast and to the microsecond."""

Fields = Mapping[str, Sequence[Any]]


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
class Group:
    """Decoded payloads of one kind: which they are, in order, and what their fields say."""

    wire: Wire
    rows: Sequence[int]
    fields: Fields


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
    with uncollected():
        return _read(payloads, arrived)


@contextmanager
def uncollected() -> Iterator[None]:
    """Leave the garbage collector out: values by the thousand make it look for cycles, and they have none."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _read(payloads: Sequence[bytes], arrived: pa.Array) -> tuple[list[Bunch], list[int]]:
    whole = b"".join(payloads)
    doubts = set(odd(payloads, whole))
    groups = decode(payloads, doubts)
    extra = unlike(groups, payloads, quotes(whole) - sum(payloads[row].count(b'"') for row in doubts))
    bunches = []
    for group in groups:
        bunch, doubted = lay_out(group, arrived, extra)
        doubts.update(doubted)
        if bunch.rows:
            bunches.append(bunch)
    return bunches, sorted(doubts)


def quotes(whole: bytes) -> int:
    """Count the quotation marks in bytes, as Arrow compares many at once."""
    marks = pa.Array.from_buffers(pa.uint8(), len(whole), [None, pa.py_buffer(whole)])
    return pc.sum(pc.equal(marks, QUOTE), min_count=0).as_py()  # type: ignore[no-any-return]  # pyarrow is untyped


def decode(payloads: Sequence[bytes], doubts: set[int]) -> list[Group]:
    """Decode each payload that is plain, by its event; add those that cannot be decoded to the doubts."""
    rows: Sequence[int] = range(len(payloads))
    try:
        values = list(map(DECODER.decode, payloads))
    except (ValueError, RecursionError):
        rows, values = one_by_one(payloads, doubts)
    if doubts:
        kept = [place for place, row in enumerate(rows) if row not in doubts]
        rows, values = [rows[place] for place in kept], [values[place] for place in kept]
    structs = set(map(type, values))
    if len(structs) == 1:
        return [group(structs.pop(), rows, values)]
    found: dict[type, tuple[list[int], list[Any]]] = {struct: ([], []) for struct in WIRES if struct in structs}
    for row, value in zip(rows, values, strict=True):
        its_rows, its_values = found[value.__class__]
        its_rows.append(row)
        its_values.append(value)
    return [group(struct, *some) for struct, some in found.items()]


def one_by_one(payloads: Sequence[bytes], doubts: set[int]) -> tuple[list[int], list[Any]]:
    """Decode payloads of which some cannot be; add those to the doubts."""
    rows, values = [], []
    to_value = DECODER.decode
    for row, payload in enumerate(payloads):
        try:
            values.append(to_value(payload))
        except (ValueError, RecursionError):
            doubts.add(row)
        else:
            rows.append(row)
    return rows, values


def group(struct: type, rows: Sequence[int], values: Sequence[Any]) -> Group:
    """Lay decoded values out by field."""
    fields = zip(*map(msgspec.structs.astuple, values), strict=True)
    wire = WIRES[struct]
    return Group(wire, rows, dict(zip(wire.struct.__struct_fields__, fields, strict=True)))


def odd(payloads: Sequence[bytes], whole: bytes) -> list[int]:
    """Find payloads with escapes, in which a quotation mark may be text, and payloads that are too large."""
    if b"\\" not in whole and max(map(len, payloads), default=0) <= LARGEST_RECORD:
        return []
    return [row for row, payload in enumerate(payloads) if b"\\" in payload or len(payload) > LARGEST_RECORD]


def unlike(groups: Sequence[Group], payloads: Sequence[bytes], marks: int) -> set[int]:
    """Find the rows that have more quotation marks than their values need; `marks` is what all have together."""
    if marks == sum(needed(each.wire, each.fields, len(each.rows)) for each in groups):
        return set()
    return {row for each in groups for row in lavish(each, payloads)}


def lavish(some: Group, payloads: Sequence[bytes]) -> Iterator[int]:
    """Find the rows of one kind that have more quotation marks than their values need."""
    optional = {name: some.fields[name] for name in some.wire.optional}
    for place, row in enumerate(some.rows):
        own = {name: (said[place],) for name, said in optional.items()}
        if payloads[row].count(b'"') != needed(some.wire, own, 1):
            yield row


def needed(wire: Wire, fields: Fields, count: int) -> int:
    """Count the quotation marks that so many values take on the wire."""
    marks = wire.quotes * count
    for name, most in wire.optional.items():
        said = fields[name]
        marks += most * (count - said.count(UNSET)) - (most - 2) * said.count(None)
    return marks


def lay_out(some: Group, arrived: pa.Array, extra: set[int]) -> tuple[Bunch, list[int]]:
    """Lay values out in columns, less those with a key twice, a key unknown, or a time that no sound clock shows."""
    wire, rows = some.wire, some.rows
    doubted = {place for place, row in enumerate(rows) if row in extra} if extra else set()
    columns = {name: collected(wire, name, kind, some.fields[name]) for name, kind in wire.kinds.items()}
    columns["version"] = pa.repeat(pa.scalar(wire.event.version, pa.int64()), len(rows))
    came = arrived if len(rows) == len(arrived) else arrived.take(pa.array(rows, pa.int32()))
    for name in wire.times:
        doubted |= unsound(columns[name], came)
    if not doubted:
        return Bunch(wire.event.name, rows, columns), []
    kept = [place for place in range(len(rows)) if place not in doubted]
    places = pa.array(kept, pa.int32())
    columns = {name: column.take(places) for name, column in columns.items()}
    return Bunch(wire.event.name, [rows[place] for place in kept], columns), [rows[place] for place in doubted]


def collected(wire: Wire, name: str, kind: pa.DataType, said: Sequence[Any]) -> pa.Array:
    """Collect one column."""
    if name in wire.times:
        return times(said)
    if name in wire.optional and UNSET in said:
        said = [None if value is UNSET else value for value in said]
    return pa.array(said, kind)


def times(texts: Sequence[str]) -> pa.Array:
    """Read moments, null where a text is none."""
    written = pa.array(texts, pa.string())
    if is_common(written):
        try:
            return pc.cast(written, MOMENT)
        except pa.ArrowInvalid:  # such as the 30th of February: read one by one to find it
            pass
    return pa.array(list(map(moment, texts)), MOMENT)


def is_common(written: pa.Array) -> bool:
    """Tell whether all moments are written as nearly all producers do: to the second or finer, in UTC, by a Z.

    What Arrow reads as a moment and is so long and ends so is of the form 2026-03-01T12:00:00.123456Z, with up to six
    digits of a second, and no other.
    """
    extent = pc.min_max(pc.binary_length(written))
    shortest, longest = extent["min"].as_py() or 0, extent["max"].as_py() or 0
    return bool(shortest >= SHORTEST and longest <= LONGEST and pc.all(pc.ends_with(written, "Z")).as_py())


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
