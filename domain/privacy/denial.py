"""Keep out whoever was erased: of what comes in late, again or anew, nothing of theirs rests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from msgspec.structs import replace

from domain.contract.arrow import arrow_schema
from domain.ingest.batch import Part, Sorted
from domain.privacy.domains import USER, one
from domain.privacy.erasures import Denied
from domain.privacy.normalise import normalised
from domain.tables import QUARANTINE, RAW, UNDECLARED, Table

ERASED = "erased"
"""The reason by which a denied record is set aside: its place in the stream is kept, and nothing of what it said."""

DETAIL = "whoever it is about was erased; nothing of it was kept"
SUBJECTS = {table.subject for table in RAW.values() if table.subject}
EMPTY: dict[str, Any] = {"field": None, "value": None, "detail": DETAIL, "payload": b""}


def admitted(batch: Sorted, denied: Denied) -> Sorted:
    """Take the denied out of a batch; their records are set aside without what they said, so that all still add up."""
    if not denied:
        return batch
    quarantined, landed = Counter(batch.quarantined), Counter(batch.landed)
    parts: list[Part] = []
    for part in batch.parts:
        if part.table is QUARANTINE:
            rows, reasons = blanked(part.rows, denied)
            quarantined -= reasons
            parts.append(replace(part, rows=rows))
        elif part.table is UNDECLARED:  # values of events, which have their places in the quarantine
            rows, _ = parted(part.table, part.rows, denied)
            parts += [replace(part, rows=rows)] * bool(rows.num_rows)
        else:
            rows, aside = parted(part.table, part.rows, denied)
            landed[part.table.name] -= aside.num_rows
            parts += [replace(part, rows=rows)] * bool(rows.num_rows)
            parts += [Part(QUARANTINE, part.day, aside)] * bool(aside.num_rows)
    gone = sum(batch.landed.values()) - sum(landed.values())
    gone += sum(batch.quarantined.values()) - sum(quarantined.values())
    return replace(
        batch,
        parts=tuple(merged(parts)),
        landed={name: rows for name, rows in landed.items() if rows},
        quarantined={reason: rows for reason, rows in quarantined.items() if rows} | ({ERASED: gone} if gone else {}),
    )


def parted(table: Table, rows: pa.Table, denied: Denied) -> tuple[pa.Table, pa.Table]:
    """Part a table's rows into those that come in, and places in the quarantine for those that do not."""
    hit = among(rows[str(table.subject)], denied)
    if not pc.any(hit).as_py():
        return rows, aside_of(rows.slice(0, 0), table.name)
    return rows.filter(pc.invert(hit)), aside_of(rows.filter(hit), table.name)


def among(subjects: pa.ChunkedArray, denied: Denied) -> pa.Array:
    """Say of each row whether its subject is denied; each distinct one is digested once."""
    coded = normalised(subjects, USER).dictionary_encode()
    found = pa.array([denied.holds(value) for value in coded.dictionary.to_pylist()], pa.bool_())
    return pc.fill_null(found.take(coded.indices), False)


def aside_of(rows: pa.Table, event: str) -> pa.Table:
    """Keep of rows only where they came in."""
    return filled({"reason": ERASED, "event": event, **EMPTY}, rows)


def filled(values: Mapping[str, Any], rows: pa.Table) -> pa.Table:
    """Make rows of the quarantine: the same values in each, and the places of other rows."""
    columns = []
    for field in arrow_schema(QUARANTINE.columns):
        same = pa.scalar(values.get(field.name), field.type)
        columns.append(pa.repeat(same, rows.num_rows) if field.name in values else rows[field.name].cast(field.type))
    return pa.Table.from_arrays(columns, schema=arrow_schema(QUARANTINE.columns))


def blanked(rows: pa.Table, denied: Denied) -> tuple[pa.Table, Counter[str]]:
    """Blank the records of the denied among those that broke their contract; count them by their reasons."""
    hit = pa.array([owner is not None and denied.holds(owner) for owner in map(owner_of, rows["payload"])], pa.bool_())
    reasons = Counter(rows["reason"].filter(hit).to_pylist())
    if not reasons:
        return rows, reasons
    whole = rows.filter(hit)
    blank = filled({"reason": ERASED, **EMPTY}, whole)
    return pa.concat_tables([rows.filter(pc.invert(hit)), blank]), reasons


def owner_of(payload: pa.Scalar) -> str | None:
    """Read whose a broken record is, as far as it says so in JSON."""
    try:
        said = msgspec.json.decode(payload.as_py())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    found = (said.get(name) for name in SUBJECTS) if isinstance(said, dict) else ()
    return next((one(value, USER) for value in found if isinstance(value, str)), None)


def merged(parts: list[Part]) -> list[Part]:
    """Put the places of one table and day into one part."""
    joined: dict[tuple[str, Any], Part] = {}
    for part in parts:
        key = (part.table.full_name, part.day)
        before = joined.get(key)
        joined[key] = replace(part, rows=pa.concat_tables([before.rows, part.rows])) if before else part
    return list(joined.values())
