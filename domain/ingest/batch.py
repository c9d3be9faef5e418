"""Turn a batch of records into columns: one Arrow table for each event and arrival day, one for what is set aside."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from datetime import date, datetime
from itertools import pairwise
from typing import Any

import msgspec
import pyarrow as pa

from domain.contract.arrow import arrow_schema
from domain.ingest import bulk, columnar, kernels
from domain.ingest.contract import BrokenContract, Valid, check
from domain.ingest.kinds import Arrived, Events, events_of
from domain.ingest.limits import EARLIEST
from domain.ingest.undeclared import Undeclared
from domain.raw import QUARANTINE, RAW, UNDECLARED, Table

ROWS_PER_GROUP = 100_000
SEQUENCE_DIGITS = 56  # as Kinesis writes them; zeros in front make text order stream order
SLICE, BATCH = 5_000, 10_000
"""Events in JSON that are read at once, so that few are in memory twice, and records: Lambda hands no more over."""
FAULTS = 2_000
SAMPLE, MOST = 64, 56
"""Rows that tell whether a column repeats itself, and how many different values there are among them if it does."""

LANDED = (*RAW.values(), UNDECLARED, QUARANTINE)
SCHEMAS: dict[str, pa.Schema] = {table.full_name: arrow_schema(table.columns) for table in LANDED}

__all__ = ["SCHEMAS", "SEQUENCE_DIGITS", "Arrived", "Part", "Sorted", "encode", "sort", "sought"]


def sought(*tables: Table) -> frozenset[str]:
    """Name the columns by which rows are looked for: only they have least and greatest values in the footer.

    Of all columns these would take a sixth of the time.  Registering a file takes its partition from them.
    """
    names = {name for table in tables for name in (*table.sort, table.partition.column)}
    return frozenset({"event_id", "sequence", "shard"} | names)


SOUGHT = sought(*LANDED)


class Part(msgspec.Struct, frozen=True):
    """Rows of one table that arrived on one day."""

    table: Table
    day: date
    rows: pa.Table


class Sorted(msgspec.Struct, frozen=True):
    """A batch, sorted into tables: events landed by kind, set aside by reason, undeclared fields by event."""

    parts: tuple[Part, ...]
    landed: dict[str, int]
    quarantined: dict[str, int]
    ignored: dict[str, int]
    events: int


class Chunk(msgspec.Struct, frozen=True):
    """Rows of one event: the number and the record of each, and the event's own columns."""

    numbers: Sequence[int]
    owners: Sequence[int]
    columns: dict[str, pa.Array | pa.ChunkedArray]


class Fault(msgspec.Struct, frozen=True):
    """An event that is set aside: its number, its record, its bytes, and what is wrong with it."""

    number: int
    owner: int
    payload: bytes
    fault: BrokenContract


class Held(msgspec.Struct, frozen=True):
    """A columnar frame: the number of its first event, its record, and its columns."""

    number: int
    owner: int
    frame: columnar.Opened


class Arrivals(msgspec.Struct, frozen=True):
    """When and where each record came in, as columns, and the day of each."""

    shard: str
    moments: pa.Array
    sequences: pa.Array
    days: Sequence[date]


def sort(records: Sequence[Arrived], shard: str, events: Events | None = None) -> Sorted:
    """Hold each event against its contract; a bad one never harms its neighbours.

    `events` are the records' own, if they were taken apart before.
    """
    events, came = events or events_of(records), arrivals(records, shard)
    chunks: dict[str, list[Chunk]] = defaultdict(list)
    faults, beyond = Aside(events), Undeclared()
    for owner, number, fault in events.faults:
        faults.add(Fault(number, owner, records[owner].payload, fault))
    for name, chunk in plain(events, came, records, faults, beyond):
        chunks[name].append(chunk)
    for name, chunk in framed(events, came, records, faults, beyond):
        if chunk.numbers:
            chunks[name].append(chunk)
    parts = [part for name, some in chunks.items() for part in by_day(RAW[name], merged(some), came)]
    if (broken := faults.all()) is not None:
        parts += by_day(QUARANTINE, broken, came)
    if beyond.values:
        parts += by_day(UNDECLARED, laid_beyond(beyond), came)
    return Sorted(
        parts=tuple(parts),
        landed={name: sum(len(chunk.numbers) for chunk in some) for name, some in chunks.items()},
        quarantined=dict(faults.reasons),
        ignored={name: count for name, count in beyond.ignored.items() if count},
        events=events.received,
    )


def arrivals(records: Sequence[Arrived], shard: str) -> Arrivals:
    """Lay out when and where records came in."""
    moments = [record.arrived_at for record in records]
    # Arrow reads spans of time six times as fast as moments with a zone.
    spans = pa.array([moment - EARLIEST for moment in moments], pa.duration("us"))
    return Arrivals(
        shard=shard,
        moments=kernels.add(spans, pa.scalar(EARLIEST, bulk.MOMENT)),
        sequences=pa.array([written(record) for record in records], pa.string()),
        days=days_of(moments),
    )


def written(record: Arrived) -> str:
    """Write a record's position with as many digits as any."""
    return record.written if len(record.written) == SEQUENCE_DIGITS else str(record.sequence).zfill(SEQUENCE_DIGITS)


def days_of(moments: Sequence[datetime]) -> Sequence[date]:
    """Give the day of each moment, in UTC."""
    first = min(moments, default=EARLIEST).date()
    if first == max(moments, default=EARLIEST).date():
        return [first] * len(moments)
    return [moment.date() for moment in moments]


def plain(
    events: Events, came: Arrivals, records: Sequence[Arrived], faults: Aside, beyond: Undeclared
) -> Iterator[tuple[str, Chunk]]:
    """Read the events in JSON: nearly all at once, and those in doubt one by one."""
    step = BATCH if events.whole else SLICE
    whole = events.whole if len(events.payloads) <= step else b""
    for start in range(0, len(events.payloads), step):  # in slices, so that few values are in memory twice
        stop = start + step
        payloads, numbers = events.payloads[start:stop], events.numbers[start:stop]
        owners = events.owners[start:stop]
        events.payloads[start:stop] = [b""] * len(payloads)  # let go of what a frame held once it is in columns
        [moments] = taken([came.moments], owners)
        bunches, doubts = bulk.read(payloads, moments, whole)
        for bunch in bunches:
            yield bunch.event, Chunk(picked(numbers, bunch.rows), picked(owners, bunch.rows), bunch.columns)
        valid: dict[str, list[tuple[int, Valid]]] = defaultdict(list)
        for row in doubts:
            try:
                event = check(payloads[row], records[owners[row]].arrived_at)
            except BrokenContract as fault:
                faults.add(Fault(numbers[row], owners[row], payloads[row], fault))
            else:
                valid[event.event].append((row, event))
                if event.undeclared:
                    beyond.note_event(numbers[row], owners[row], payloads[row], event)
        for name, some in valid.items():
            rows = [row for row, _ in some]
            columns = columns_of(RAW[name], [event for _, event in some])
            yield name, Chunk(picked(numbers, rows), picked(owners, rows), columns)


def framed(
    events: Events, came: Arrivals, records: Sequence[Arrived], faults: Aside, beyond: Undeclared
) -> Iterator[tuple[str, Chunk]]:
    """Read the events in columnar frames: all frames of a layout at once, or each alone if the bytes of one are bad.

    A frame that cannot be read is set aside whole, once for all its events.
    """
    kinds: dict[int, list[Held]] = defaultdict(list)
    for owner, number, frame in events.tables:
        try:
            opened = columnar.opened(frame)
        except BrokenContract as fault:
            events.unread(frame.count, owner)
            faults.add(Fault(number, owner, records[owner].payload, fault))
        else:
            kinds[id(opened.layout)].append(Held(number, owner, opened))
    events.tables.clear()
    for some in kinds.values():
        try:
            yield gathered(some, came, faults, beyond)
        except BrokenContract:
            yield from each_alone(some, came, records, faults, beyond)


def gathered(some: Sequence[Held], came: Arrivals, faults: Aside, beyond: Undeclared) -> tuple[str, Chunk]:
    """Read frames of one layout; raises BrokenContract if the bytes of one are bad."""
    owners = [held.owner for held in some for _ in range(len(held.frame.table))]
    read = columnar.read([held.frame for held in some], kernels.take(came.moments, kernels.places(owners)))
    numbers = [number for held in some for number in range(held.number, held.number + len(held.frame.table))]
    for row, payload, fault in read.faults:
        faults.add(Fault(numbers[row], owners[row], payload, fault))
    chunk = Chunk(picked(numbers, read.rows), picked(owners, read.rows), read.columns)
    if some[0].frame.layout.undeclared:
        table = pa.concat_tables([held.frame.undeclared for held in some])
        beyond.note_frames(read.event, (read.rows, chunk.numbers, chunk.owners), chunk.columns, table)
    return read.event, chunk


def each_alone(
    some: Sequence[Held], came: Arrivals, records: Sequence[Arrived], faults: Aside, beyond: Undeclared
) -> Iterator[tuple[str, Chunk]]:
    """Read frames one by one, and set aside whole those whose bytes are bad."""
    for held in some:
        try:
            yield gathered([held], came, faults, beyond)
        except BrokenContract as fault:
            faults.events.unread(len(held.frame.table), held.owner)
            faults.add(Fault(held.number, held.owner, records[held.owner].payload, fault))


def columns_of(table: Table, events: Sequence[Valid]) -> dict[str, pa.Array]:
    """Lay typed values out in columns."""
    names = events[0].values.__struct_fields__
    values = dict(
        zip(names, zip(*(msgspec.structs.astuple(event.values) for event in events), strict=True), strict=True)
    )
    return {name: pa.array(column, SCHEMAS[table.full_name].field(name).type) for name, column in values.items()}


def merged(chunks: Sequence[Chunk]) -> Chunk:
    """Put an event's rows back into the order in which they came."""
    if len(chunks) == 1:
        return chunks[0]
    numbers = [number for chunk in chunks for number in chunk.numbers]
    owners = [owner for chunk in chunks for owner in chunk.owners]
    joined = {name: pa.chunked_array([chunk.columns[name] for chunk in chunks]) for name in chunks[0].columns}
    if all(one.numbers[-1] < other.numbers[0] for one, other in pairwise(chunks)):
        return Chunk(numbers, owners, joined)
    order = sorted(range(len(numbers)), key=numbers.__getitem__)
    places = kernels.places(order)
    joined = {name: kernels.take(column.combine_chunks(), places) for name, column in joined.items()}
    return Chunk([numbers[place] for place in order], [owners[place] for place in order], joined)


class Aside:
    """Events that are set aside; laid out in columns every so often, since each takes ten times the room before."""

    def __init__(self, events: Events) -> None:
        self.events = events
        self.reasons: Counter[str] = Counter()
        self._waiting: list[Fault] = []
        self._chunks: list[Chunk] = []

    def add(self, fault: Fault) -> None:
        """Set an event aside."""
        self._waiting.append(fault)
        if len(self._waiting) >= FAULTS:
            self._lay_out()

    def all(self) -> Chunk | None:
        """Give all as rows of the quarantine, in the order in which they came; None if there are none."""
        self._lay_out()
        return merged(self._chunks) if self._chunks else None

    def _lay_out(self) -> None:
        if self._waiting:
            faults = sorted(self._waiting, key=lambda fault: fault.number)
            self.reasons.update(each.fault.reason.value for each in faults)
            numbers, owners = [each.number for each in faults], [each.owner for each in faults]
            self._chunks.append(Chunk(numbers, owners, laid_out(faults, self.events)))
            self._waiting.clear()


def laid_out(faults: Sequence[Fault], events: Events) -> dict[str, pa.Array]:
    """Lay broken events out in the quarantine's own columns: bytes, reason and what is wrong."""
    said: dict[str, list[Any]] = {
        "reason": [each.fault.reason.value for each in faults],
        "event": [each.fault.event for each in faults],
        "field": [each.fault.field for each in faults],
        "value": [each.fault.value for each in faults],
        "detail": [detail(each, events.place(each.owner, each.number)) for each in faults],
        "payload": [each.payload for each in faults],
    }
    schema = SCHEMAS[QUARANTINE.full_name]
    return {name: pa.array(values, schema.field(name).type) for name, values in said.items()}


def laid_beyond(beyond: Undeclared) -> Chunk:
    """Lay undeclared values out in the columns of their table."""
    numbers, owners, columns = beyond.columns()
    return Chunk(numbers, owners, {name: pa.array(values, pa.string()) for name, values in columns.items()})


def detail(fault: Fault, place: int | None) -> str:
    """Say what is wrong, and with which of the record's events if it holds several."""
    return fault.fault.detail if place is None else f"event {place} of the record: {fault.fault.detail}"


def by_day(table: Table, chunk: Chunk, came: Arrivals) -> Iterator[Part]:
    """Lay a chunk out as rows of a table, with how their records came in; one part for each day, in order."""
    schema, owners = SCHEMAS[table.full_name], chunk.owners
    moments, sequences = taken([came.moments, came.sequences], owners)
    shard = pa.repeat(pa.scalar(came.shard, pa.string()), len(owners))
    came_in = {"arrived_at": moments, "shard": shard, "sequence": sequences}
    rows = pa.Table.from_arrays([{**chunk.columns, **came_in}[field.name] for field in schema], schema=schema)
    days = came.days[:1] if len(set(came.days)) == 1 else list(dict.fromkeys(came.days[owner] for owner in owners))
    if len(days) == 1:
        yield Part(table, days[0], rows)
        return
    for day in days:
        mask = pa.array([came.days[owner] == day for owner in owners], pa.bool_())
        yield Part(table, day, rows.filter(mask))


def taken(columns: Sequence[pa.Array], owners: Sequence[int]) -> Sequence[pa.Array]:
    """Give each event what its record has."""
    if owners == list(range(len(columns[0]))):
        return columns
    places = kernels.places(owners)
    return [kernels.take(column, places) for column in columns]


def picked(values: Sequence[int], rows: Sequence[int]) -> Sequence[int]:
    """Pick values by position; the positions ascend."""
    return values if len(rows) == len(values) else [values[row] for row in rows]


def encode(rows: pa.Table, bounded: Collection[str] = SOUGHT) -> bytes:
    """Write rows as a Parquet file, some of its columns with bounds in the footer."""
    bounds = [name for name in rows.column_names if name in bounded]
    return kernels.parquet(rows, ROWS_PER_GROUP, repeating(rows), bounds)


def repeating(rows: pa.Table) -> list[str]:
    """Name the columns whose values repeat; a dictionary of those that do not costs time and bytes."""
    first, most = rows.slice(0, SAMPLE), min(MOST, rows.num_rows // 2)
    columns = zip(first.column_names, first.columns, strict=True)
    return [name for name, column in columns if len(kernels.unique(column)) <= most]
