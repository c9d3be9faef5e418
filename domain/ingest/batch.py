"""Turn a batch of records into columns: one Arrow table for each event and arrival day, one for what is set aside."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from domain.contract.arrow import arrow_schema
from domain.ingest.contract import BrokenContract, Valid, check
from domain.tables import QUARANTINE, RAW, Table

ROWS_PER_GROUP = 100_000
SEQUENCE_DIGITS = 56  # as Kinesis writes them; zeros in front make text order stream order

SCHEMAS: dict[str, pa.Schema] = {table.full_name: arrow_schema(table.columns) for table in (*RAW.values(), QUARANTINE)}


@dataclass(frozen=True, slots=True)
class Arrived:
    """A record as the broker handed it over."""

    sequence: int
    arrived_at: datetime
    payload: bytes


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one table that arrived on one day."""

    table: Table
    day: date
    rows: pa.Table


@dataclass(frozen=True, slots=True)
class Sorted:
    """A batch, sorted into tables: rows landed by event, set aside by reason, unknown fields ignored by event."""

    parts: tuple[Part, ...]
    landed: dict[str, int]
    quarantined: dict[str, int]
    ignored: dict[str, int]


def sort(records: Iterable[Arrived], shard: str) -> Sorted:
    """Hold each record against its contract; a bad one never harms its neighbours."""
    valid: dict[tuple[str, date], list[tuple[Arrived, Valid]]] = defaultdict(list)
    broken: dict[date, list[tuple[Arrived, BrokenContract]]] = defaultdict(list)
    landed: Counter[str] = Counter()
    quarantined: Counter[str] = Counter()
    ignored: Counter[str] = Counter()
    for record in records:
        day = record.arrived_at.date()
        try:
            event = check(record.payload, record.arrived_at)
        except BrokenContract as fault:
            broken[day].append((record, fault))
            quarantined[fault.reason.value] += 1
        else:
            valid[event.event, day].append((record, event))
            landed[event.event] += 1
            ignored[event.event] += event.unknown_fields
    parts = [Part(RAW[name], day, landed_rows(RAW[name], rows, shard)) for (name, day), rows in valid.items()]
    aside = [Part(QUARANTINE, day, quarantined_rows(rows, shard)) for day, rows in broken.items()]
    return Sorted((*parts, *aside), dict(landed), dict(quarantined), {name: n for name, n in ignored.items() if n})


def landed_rows(table: Table, events: Sequence[tuple[Arrived, Valid]], shard: str) -> pa.Table:
    """Lay events of one kind out as rows of their raw table."""
    came = arrival((record for record, _ in events), shard)
    names = events[0][1].values.__struct_fields__
    columns = dict(
        zip(names, zip(*(msgspec.structs.astuple(event.values) for _, event in events), strict=True), strict=True)
    )
    return _table(table, {**came, **columns})


def quarantined_rows(faults: Sequence[tuple[Arrived, BrokenContract]], shard: str) -> pa.Table:
    """Lay broken records out as rows of the quarantine, with bytes, reason and position."""
    columns: dict[str, Sequence[Any]] = {
        "reason": [fault.reason.value for _, fault in faults],
        "event": [fault.event for _, fault in faults],
        "field": [fault.field for _, fault in faults],
        "value": [fault.value for _, fault in faults],
        "detail": [fault.detail for _, fault in faults],
        "payload": [record.payload for record, _ in faults],
    }
    return _table(QUARANTINE, {**arrival((record for record, _ in faults), shard), **columns})


def arrival(records: Iterable[Arrived], shard: str) -> dict[str, Sequence[Any]]:
    """Say of each record when and where it came in."""
    moments, sequences = [], []
    for record in records:
        moments.append(record.arrived_at)
        sequences.append(f"{record.sequence:0{SEQUENCE_DIGITS}d}")
    return {"arrived_at": moments, "shard": [shard] * len(moments), "sequence": sequences}


def encode(rows: pa.Table) -> bytes:
    """Write rows as a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd", row_group_size=ROWS_PER_GROUP)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]  # pyarrow is untyped


def _table(table: Table, columns: dict[str, Sequence[Any]]) -> pa.Table:
    schema = SCHEMAS[table.full_name]
    return pa.Table.from_arrays([pa.array(columns[field.name], field.type) for field in schema], schema=schema)
