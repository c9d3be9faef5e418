"""Events of people in two layouts: files by time as events come, and files by person as curated tables are.

Every value is a function of its row's number, so both layouts hold the same rows and neither is kept in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

SEED = 20261122
FILES = 64
START = 1_772_323_200_000_000  # 2026-03-01 in microseconds
A_ROW = 1_300_000  # microseconds
SKEW = 1.25
"""How much more some do than others: of 20 million rows the busiest has some hundreds."""

KINDS = np.array(["page_view", "search", "product_view", "add_to_cart", "purchase", "rating"])
AGENTS = np.array([f"Mozilla/5.0 (Device {number}) AppleWebKit/537.36" for number in range(400)])
WRITTEN: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 3,
    "write_page_index": True,
    "use_dictionary": ["kind", "agent", "item"],
}
"""As the lake's tables are (`domain.layout`): zstd 3, plain strings, and an index of pages."""

AT_ONCE = 400_000
"""Rows made at once: a whole number of row groups."""

Numbers = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class People:
    """How many rows there are, and of how many people."""

    rows: int
    people: int

    @property
    def every(self) -> Numbers:
        """Number all rows, by time."""
        return np.arange(self.rows, dtype=np.uint64)

    def who(self, rows: Numbers) -> Numbers:
        """Say whose each row is."""
        return (self.people * chance(rows, 1) ** SKEW).astype(np.uint64)

    def table(self, rows: Numbers) -> pa.Table:
        """Make some rows."""
        return pa.table(
            {
                "event_id": text(mixed(rows, 2), 16),
                "user_id": name(self.who(rows)),
                "at": pa.array(START + A_ROW * rows.astype(np.int64), pa.timestamp("us", "UTC")),
                "kind": pa.array(KINDS[mixed(rows, 3) % len(KINDS)]),
                "item": pa.array((100_000 * chance(rows, 4) ** 2).astype(np.int64)),
                "price": pa.array(np.round(5 / (0.01 + chance(rows, 5)), 2)),
                "agent": pa.array(AGENTS[mixed(self.who(rows), 6) % len(AGENTS)]),
                "session_id": text(mixed(self.who(rows) * np.uint64(1000) + mixed(rows, 7) % 5, 8), 16),
                "value": pa.array(chance(rows, 9)),
            }
        )

    def by_time(self, folder: Path, group: int) -> list[Path]:
        """Write the rows as they came."""
        parts = enumerate(np.array_split(self.every, FILES))
        return [self.write(rows, folder / f"{number:03d}.parquet", group) for number, rows in parts]

    def by_person(self, folder: Path, group: int, files: int = FILES) -> list[Path]:
        """Write the rows in buckets of people, each sorted by person and time."""
        parts = enumerate(self.buckets(files))
        order = [pq.SortingColumn(1)]
        return [self.write(rows, folder / f"{number:03d}.parquet", group, order) for number, rows in parts]

    def write(self, rows: Numbers, path: Path, group: int, order: list[pq.SortingColumn] | None = None) -> Path:
        """Write some rows to a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(path, self.table(rows[:1]).schema, sorting_columns=order, **WRITTEN) as writer:
            for start in range(0, len(rows), AT_ONCE):
                writer.write_table(self.table(rows[start : start + AT_ONCE]), row_group_size=group)
        return path

    def buckets(self, files: int) -> Iterator[Numbers]:
        """Find each bucket's rows."""
        bucket = (self.who(self.every) % np.uint64(files)).astype(np.uint8)
        for number in range(files):
            rows = np.flatnonzero(bucket == number).astype(np.uint64)
            yield rows[np.argsort(mixed(self.who(rows), 0), kind="stable")]

    def typical(self, count: int, least: int = 10, most: int = 40) -> Numbers:
        """Choose people with a usual number of events, all over the table."""
        events = np.bincount(self.who(self.every).astype(np.int64), minlength=self.people)
        usual = np.flatnonzero((least <= events) & (events <= most))
        return np.random.default_rng(SEED).choice(usual, count, replace=False).astype(np.uint64)


def mixed(values: Numbers, salt: int) -> Numbers:
    """Mix numbers (splitmix64; Steele, Lea and Flood 2014)."""
    with np.errstate(over="ignore"):
        found = values + np.uint64((SEED + salt) * 0x9E3779B97F4A7C15 % 2**64)
        found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return found ^ (found >> np.uint64(31))


def chance(values: Numbers, salt: int) -> npt.NDArray[np.float64]:
    """Spread numbers evenly over [0, 1)."""
    return (mixed(values, salt) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def name(people: Numbers) -> pa.Array:
    """Name people as tokens do: by digits that tell nothing, in the order of `mixed(…, 0)`."""
    return text(mixed(people, 0), 16)


def text(values: Numbers, digits: int) -> pa.Array:
    """Write numbers in hexadecimal."""
    octets = values.astype(">u8").view(np.uint8).reshape(-1, 8)
    nibbles = np.stack([octets >> 4, octets & 15], axis=2).reshape(len(values), 16)[:, :digits]
    body = np.frombuffer(b"0123456789abcdef", np.uint8)[nibbles].tobytes()
    ends = np.arange(len(values) + 1, dtype=np.int32) * digits
    return pa.Array.from_buffers(pa.string(), len(values), [None, pa.py_buffer(ends), pa.py_buffer(body)])
