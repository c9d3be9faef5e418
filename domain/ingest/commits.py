"""Decide which data files a table still lacks, from the receipts and from the positions that the table keeps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from domain.ingest.receipts import START, DataFile, Receipt
from domain.tables import QUARANTINE, RAW, UNDECLARED

COMMIT_ORDER: tuple[str, ...] = tuple(table.full_name for table in (*RAW.values(), UNDECLARED, QUARANTINE))
"""The tables that receipts feed, in the order in which they are committed."""

WITNESS = COMMIT_ORDER[-1]
"""Committed last, also when it gains no file: its position vouches that all tables have reached it."""

POSITION = "rivermill.position."


@dataclass(frozen=True, slots=True)
class Step:
    """What one commit does to a table: the files it adds and the positions it moves, from and to."""

    files: tuple[DataFile, ...]
    before: Mapping[str, str | None]
    after: Mapping[str, str]

    @property
    def rows(self) -> int:
        """Count the rows that the step adds."""
        return sum(file.rows for file in self.files)


def position_property(stream: str, shard: str) -> str:
    """Name the table property that says how far a shard's receipts are in the table."""
    return f"{POSITION}{stream}.{shard}"


def places(properties: Iterable[str]) -> Iterator[tuple[str, str]]:
    """List the streams and shards that a table has a position of.

    >>> list(places(["rivermill.position.clicks.v2.shard-0", "owner"]))
    [('clicks.v2', 'shard-0')]
    """
    for name in properties:
        if name.startswith(POSITION):
            stream, _, shard = name.removeprefix(POSITION).rpartition(
                "."
            )  # a topic's name may hold dots, a shard's not
            yield stream, shard


def position(properties: Mapping[str, str], stream: str, shard: str) -> int:
    """Read how far a shard's receipts are in the table."""
    return int(properties.get(position_property(stream, shard), START))


def plan(table: str, receipts: Sequence[Receipt], properties: Mapping[str, str]) -> Step | None:
    """Plan the step that brings a table up to the receipts; None if it is there, or has no part in them."""
    fresh = [receipt for receipt in receipts if receipt.last > position(properties, receipt.stream, receipt.shard)]
    files = tuple(file for receipt in fresh for file in receipt.files if file.table == table)
    if not fresh or not (files or table == WITNESS):
        return None
    after = reached(fresh)
    return Step(files, {name: properties.get(name) for name in after}, after)


def reached(receipts: Iterable[Receipt]) -> dict[str, str]:
    """Give the position that each shard has after its receipts, as table properties."""
    last: dict[str, int] = {}
    for receipt in receipts:
        name = position_property(receipt.stream, receipt.shard)
        last[name] = max(receipt.last, last.get(name, START))
    return {name: str(sequence) for name, sequence in last.items()}
