"""Keep what events say beyond their contracts: a field that is declared later has lost nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from domain.contract.arrow import TYPES
from domain.ingest.contract import Valid, shown

MOST_FIELDS = 64
"""Undeclared fields of an event that are kept."""

MOST_VALUES = 250_000
"""Undeclared values of a batch that are kept: six of each event of a full one; each takes 150 bytes of memory."""

KNOWN = frozenset(TYPES.values())

Places = tuple[Sequence[int], Sequence[int], Sequence[int]]
"""Rows of a table, the number of the event in each, and its record."""

RAW: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Said(msgspec.Struct, frozen=True):
    """An undeclared value as JSON text, its field, and whose and which event's it is."""

    event: str
    event_id: str
    user_id: str
    field: str
    value: str


class Undeclared(msgspec.Struct):
    """Undeclared values of a batch, and how many fields there were by event, also of those that are not kept."""

    ignored: Counter[str] = msgspec.field(default_factory=Counter)
    values: list[tuple[int, int, Said]] = msgspec.field(default_factory=list)

    @property
    def is_full(self) -> bool:
        """Say whether no more values are kept."""
        return len(self.values) >= MOST_VALUES

    def note_event(self, number: int, owner: int, payload: bytes, event: Valid) -> None:
        """Note what an event in JSON says beyond its contract."""
        self.ignored[event.event] += len(event.undeclared)
        if self.is_full:
            return
        values: Any = event.values
        for name, text in of_payload(payload, event.undeclared):
            self.values.append((number, owner, Said(event.event, values.event_id, values.user_id, name, text)))

    def note_frames(self, event: str, places: Places, columns: dict[str, pa.Array], table: pa.Table) -> None:
        """Note what frames say beyond their contract: `places` are of the rows that landed, `columns` are theirs."""
        rows, numbers, owners = places
        whose = columns["event_id"].to_pylist(), columns["user_id"].to_pylist()
        for place, name in enumerate(table.column_names):
            texts = of_column(table.column(place)) if place < MOST_FIELDS and not self.is_full else None
            if texts is None:
                self.ignored[event] += len(rows)
                continue
            said = zip(numbers, owners, *whose, (texts[row] for row in rows), strict=True)
            kept = [
                (n, o, Said(event, id, user, shown(name), text)) for n, o, id, user, text in said if text is not None
            ]
            self.ignored[event] += len(kept)
            self.values += kept

    def columns(self) -> tuple[list[int], list[int], dict[str, list[str]]]:
        """Lay the values out in the order of their events: numbers, records, columns."""
        ordered = sorted(self.values, key=lambda each: each[0])
        rows = zip(*(msgspec.structs.astuple(said) for _, _, said in ordered), strict=True)
        columns = {name: list(column) for name, column in zip(Said.__struct_fields__, rows, strict=True)}
        return [number for number, _, _ in ordered], [owner for _, owner, _ in ordered], columns


def of_payload(payload: bytes, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Give undeclared fields of an event in JSON as its sender wrote them, less those that are null.

    >>> list(of_payload(b'{"a": 1.50, "b": null, "c": {"d": []}}', ["a", "b", "c"]))
    [('a', '1.50'), ('c', '{"d": []}')]
    """
    try:
        said = {name: bytes(raw).decode() for name, raw in RAW.decode(payload).items()}
    except (ValueError, RecursionError):  # nested deeper than this decoder goes: it is counted and not kept
        return
    for name in names[:MOST_FIELDS]:
        text = said[name]
        if text != "null":
            yield shown(name), text


def of_column(column: pa.ChunkedArray) -> list[str | None] | None:
    """Give the values of a frame's undeclared column as JSON text; None if its type or its bytes are not sound.

    Of types that no contract has nothing is read: a frame that was made to harm may have any.

    >>> of_column(pa.chunked_array([["a", None]])), of_column(pa.chunked_array([[1.5, float("nan")]]))
    (['"a"', None], ['1.5', '"nan"'])
    """
    if column.type not in KNOWN:
        return None
    try:
        column.validate(full=True)
        return [None if value is None else as_json(value) for value in column.to_pylist()]
    except (pa.ArrowException, ValueError, OverflowError, RecursionError, ImportError):
        return None


def as_json(value: object) -> str:
    """Write a value as JSON, or as JSON text of what Python calls it."""
    try:
        return json.dumps(value, default=str, ensure_ascii=False, allow_nan=False)
    except (ValueError, TypeError):  # NaN, an infinity, keys that are no text
        return json.dumps(str(value), ensure_ascii=False)
