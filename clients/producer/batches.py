"""Gather events that leave together, and pack them into frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from clients.producer.encoding import Load, framed
from clients.producer.journal import Place

OVERHEAD = 100
"""Bytes that a row, or an event's place on disk, takes in memory beyond its own."""


@dataclass(slots=True, eq=False)
class Parcel:
    """A frame on its way: its bytes, its events' places on disk, and what its events took in memory."""

    data: bytes
    count: int
    size: int
    places: list[Place]


@dataclass(slots=True, eq=False)
class Batch:
    """Events that become frames together: lines of JSON, one after another as a frame holds them, or rows of columns.

    `places` are the lines' on disk, if they have any; `counted` says how many of the events the report knows.
    """

    payload: bytearray = field(default_factory=bytearray)
    lines: int = 0
    rows: list[Any] = field(default_factory=list)
    characters: int = 0
    places: list[Place] = field(default_factory=list)
    counted: int = 0

    @property
    def count(self) -> int:
        """Count the events."""
        return self.lines + len(self.rows)

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return len(self.payload) + self.characters + OVERHEAD * (len(self.rows) + len(self.places))

    def pack(self, record_limit: int, columns: Any) -> list[Parcel]:
        """Make as few frames as fit into records, each with its events' places."""
        loads = framed(self.payload, self.lines, record_limit) if self.payload else []
        if self.rows:
            loads += columns.packed(self.rows, record_limit)
        return parcelled(loads, self.places, self.size)


def parcelled(loads: Sequence[Load], places: Sequence[Place], size: int) -> list[Parcel]:
    """Give each frame its part of the events' places, and of what all took in memory."""
    total = sum(load.count for load in loads)
    parcels, start = [], 0
    for load in loads:
        where = list(places[start : start + load.count])
        parcels.append(Parcel(load.data, load.count, size * load.count // total, where))
        start += load.count
    parcels[-1].size += size - sum(parcel.size for parcel in parcels)
    return parcels
