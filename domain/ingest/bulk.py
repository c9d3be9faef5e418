"""Read many plain records at once into columns, and set apart each that is in any doubt."""

from __future__ import annotations

import functools
import gc
import operator
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
import pyarrow as pa
from msgspec import UNSET, UnsetType

from domain.contract.arrow import TYPES
from domain.events import EVENTS, Event
from domain.ingest import kernels
from domain.ingest.contract import quotes_of, value_type
from domain.ingest.limits import EARLIEST, LARGEST_RECORD, LEAD
from domain.ingest.values import Flags, Numbers, Optional, Texts, Values, cut
from domain.schema import Column

PLAIN_KINDS = (str, int, float, bool, datetime)
CODES = {int: "q", float: "d"}
STRIDE = 128
"""Records that are decoded before their values are gathered: so few that they stay in the processor's cache."""
MOMENT = TYPES[datetime]
ZONED = Annotated[datetime, msgspec.Meta(tz=True)]
QUOTE = pa.scalar(ord('"'), pa.uint8())
SHORTEST, LONGEST = len("2026-03-01T12:00:00Z"), len("2026-03-01T12:00:00.123456Z")
"""Characters of a moment that Arrow reads fast and to the microsecond."""

Fields = Mapping[str, Sequence[Any]]


class Wire(msgspec.Struct, frozen=True):
    """An event as it stands in a record, its times still text; and the quotation marks that its required fields take.

    An optional field left out is UNSET and takes none; one that is null takes those of its name.
    """

    event: type[Event]
    struct: type[msgspec.Struct]
    columns: tuple[Column, ...]
    times: tuple[str, ...]
    quotes: int
    optional: dict[str, int]


class Group:
    """Decoded records of one kind: which they are, in order, and what their fields say."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.rows: list[int] = []
        self.optional = {column.name: Optional(TYPES[column.kind]) for column in wire.columns if not column.required}
        self.values = {column.name: self.optional.get(column.name) or required(column) for column in wire.columns}
        version = Optional(TYPES[int])
        if "version" in wire.optional:
            self.optional["version"] = version
        self._adds = [version.add, *(each.add for each in self.values.values())]  # in the order of the struct's fields

    def add(self, rows: Sequence[int], values: Sequence[Any]) -> None:
        """Add some records."""
        self.rows += rows
        for add, said in zip(self._adds, zip(*map(msgspec.structs.astuple, values), strict=True), strict=True):
            add(said)

    def columns(self) -> dict[str, pa.Array]:
        """Lay values out, all texts at once."""
        texts = {name: values for name, values in self.values.items() if isinstance(values, Texts)}
        cuts = dict(zip(texts, cut(list(texts.values())), strict=True))
        return {name: cuts[name] if name in cuts else values.column() for name, values in self.values.items()}

    def said(self) -> Fields:
        """Give what the optional fields say, record by record."""
        return {name: values.said for name, values in self.optional.items()}


class Bunch(msgspec.Struct, frozen=True):
    """Events of one kind: which of the payloads they are, in order, and their columns."""

    event: str
    rows: Sequence[int]
    columns: dict[str, pa.Array]


def read(payloads: Sequence[bytes], arrived: pa.Array, whole: bytes = b"") -> tuple[list[Bunch], list[int]]:
    """Return the events that surely keep their contract, and which payloads are in doubt: those are not all broken.

    `whole` are the payloads in one piece, if somebody has joined them already.
    Sound for the reasons that `contract.glance` gives, held against the whole batch: no record has fewer quotation
    marks than its values need, so if the sums agree, each record agrees.
    """
    with uncollected():
        return _read(payloads, arrived, whole or b"".join(payloads))


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


def _read(payloads: Sequence[bytes], arrived: pa.Array, whole: bytes) -> tuple[list[Bunch], list[int]]:
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
    return int(kernels.total(kernels.equal(marks, QUOTE)))


def decode(payloads: Sequence[bytes], doubts: set[int]) -> list[Group]:
    """Decode each payload that is plain, by its event; add those that cannot be decoded to the doubts."""
    groups: dict[type, Group] = {}
    for start in range(0, len(payloads), STRIDE):
        rows, values = decoded(payloads[start : start + STRIDE], start, doubts)
        for struct, its_rows, its_values in by_kind(rows, values):
            if struct not in groups:
                groups[struct] = Group(WIRES[struct])
            groups[struct].add(its_rows, its_values)
    return list(groups.values())


def decoded(payloads: Sequence[bytes], start: int, doubts: set[int]) -> tuple[Sequence[int], Sequence[Any]]:
    """Decode some payloads, of which the first has the number `start`."""
    rows: Sequence[int] = range(start, start + len(payloads))
    try:
        values = list(map(DECODER.decode, payloads))
    except (ValueError, RecursionError):
        rows, values = one_by_one(payloads, start, doubts)
    if doubts.isdisjoint(rows):
        return rows, values
    kept = [place for place, row in enumerate(rows) if row not in doubts]
    return [rows[place] for place in kept], [values[place] for place in kept]


def by_kind(rows: Sequence[int], values: Sequence[Any]) -> Iterator[tuple[type, Sequence[int], Sequence[Any]]]:
    """Part decoded values by their kind."""
    structs = set(map(type, values))
    if len(structs) == 1:
        yield structs.pop(), rows, values
        return
    found: dict[type, tuple[list[int], list[Any]]] = {struct: ([], []) for struct in WIRES if struct in structs}
    for row, value in zip(rows, values, strict=True):
        its_rows, its_values = found[value.__class__]
        its_rows.append(row)
        its_values.append(value)
    for struct, some in found.items():
        yield struct, *some


def one_by_one(payloads: Sequence[bytes], start: int, doubts: set[int]) -> tuple[list[int], list[Any]]:
    """Decode payloads of which some cannot be; add those to the doubts."""
    rows, values = [], []
    to_value = DECODER.decode
    for row, payload in enumerate(payloads, start):
        try:
            values.append(to_value(payload))
        except (ValueError, RecursionError):
            doubts.add(row)
        else:
            rows.append(row)
    return rows, values


def odd(payloads: Sequence[bytes], whole: bytes) -> list[int]:
    """Find payloads with escapes, in which a quotation mark may be text, with NUL, and those that are too large."""
    if b"\\" not in whole and b"\0" not in whole and max(map(len, payloads), default=0) <= LARGEST_RECORD:
        return []
    rows = enumerate(payloads)
    return [row for row, some in rows if b"\\" in some or b"\0" in some or len(some) > LARGEST_RECORD]


def unlike(groups: Sequence[Group], payloads: Sequence[bytes], marks: int) -> set[int]:
    """Find the rows that have more quotation marks than their values need; `marks` is what all have together."""
    if marks == sum(map(at_least, groups)):  # no field that is null takes marks
        return set()
    if marks == sum(needed(each.wire, each.said(), len(each.rows)) for each in groups):
        return set()
    return {row for each in groups for row in lavish(each, payloads)}


def at_least(some: Group) -> int:
    """Count the quotation marks that values take on the wire if no field is written as null."""
    marks, count = some.wire.quotes * len(some.rows), len(some.rows)
    for name, most in some.wire.optional.items():
        marks += most * (count - some.optional[name].column().null_count)
    return marks


def lavish(some: Group, payloads: Sequence[bytes]) -> Iterator[int]:
    """Find the rows of one kind that have more quotation marks than their values need."""
    optional = some.said()
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
    columns = some.columns()
    columns |= {name: times(columns[name]) for name in wire.times}
    columns["version"] = pa.repeat(pa.scalar(wire.event.version, pa.int64()), len(rows))
    came = arrived if len(rows) == len(arrived) else kernels.take(arrived, kernels.places(rows))
    for name in wire.times:
        doubted |= unsound(columns[name], came)
    if not doubted:
        return Bunch(wire.event.name, rows, columns), []
    kept = [place for place in range(len(rows)) if place not in doubted]
    places = kernels.places(kept)
    columns = {name: kernels.take(column, places) for name, column in columns.items()}
    return Bunch(wire.event.name, [rows[place] for place in kept], columns), [rows[place] for place in doubted]


def required(column: Column) -> Values:
    """Make what gathers the values of a required column."""
    if column.kind in CODES:
        return Numbers(TYPES[column.kind], CODES[column.kind])
    return Flags() if column.kind is bool else Texts()


def times(written: pa.Array) -> pa.Array:
    """Read moments, null where a text is none."""
    if is_common(written):
        try:
            return kernels.cast(written, MOMENT)
        except pa.ArrowInvalid:  # such as the 30th of February: read one by one to find it
            pass
    return pa.array(list(map(moment, written.to_pylist())), MOMENT)


def is_common(written: pa.Array) -> bool:
    """Tell whether all moments are written as nearly all producers do: to the second or finer, in UTC, by a Z.

    What Arrow reads as a moment and is so long and ends so is of the form 2026-03-01T12:00:00.123456Z, with up to six
    digits of a second, and no other.
    """
    extent = kernels.min_max(kernels.binary_length(written))
    shortest, longest = extent["min"].as_py() or 0, extent["max"].as_py() or 0
    return bool(shortest >= SHORTEST and longest <= LONGEST and kernels.holds(kernels.ends_with(written, "Z")))


def moment(text: str) -> datetime | None:
    """Read one moment just as the contract does; None if it is none."""
    try:
        return msgspec.convert(text, ZONED)
    except msgspec.ValidationError:
        return None


def unsound(moments: pa.Array, arrived: pa.Array) -> set[int]:
    """Find the places of moments that are none, too early, or ahead of their arrival."""
    latest = kernels.add(arrived, pa.scalar(LEAD, pa.duration("us")))
    not_early = kernels.greater_equal(moments, pa.scalar(EARLIEST, MOMENT))
    sound = kernels.both(not_early, kernels.less_equal(moments, latest))
    if moments.null_count == 0 and kernels.holds(sound):
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
        columns=columns,
        times=tuple(column.name for column in columns if column.kind is datetime),
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
