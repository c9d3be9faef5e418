"""Land a shard's batch exactly once: data files first, then the receipt that makes them count."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Protocol

import msgspec
import pyarrow as pa

from domain.ingest.batch import Arrived, Part, Sorted, encode, sort
from domain.ingest.kinds import Events, count, events_of, slices
from domain.ingest.late import late
from domain.ingest.receipts import (
    HIGHEST,
    START,
    Account,
    BrokenChain,
    DataFile,
    Receipt,
    read_receipt,
    receipt_key,
    shard_prefix,
    total,
)
from domain.raw import Table

ROOT = "landing/"

Protect = Callable[[Table, pa.Table], pa.Table]
"""Treats the rows of a table as the contract asks before they rest; raises if it cannot, and the batch waits."""


def in_clear(table: Table, rows: pa.Table) -> pa.Table:
    """Leave rows as they are: the stage runs without privacy."""
    return rows


class Door(Protocol):
    """Keeps people out who were erased: asked before records rest, and once more before they count."""

    def admit(self, batch: Sorted) -> Sorted:
        """Take out whoever is denied; all still adds up."""

    def has_news(self) -> bool:
        """Look anew; tell whether anybody was denied since the last look."""


class Open:
    """Keeps nobody out."""

    def admit(self, batch: Sorted) -> Sorted:
        """Take nobody out."""
        return batch

    def has_news(self) -> bool:
        """Hear of nobody."""
        return False


OPEN = Open()


class Store(Protocol):
    """The lake's bucket, as far as landing needs it."""

    def get(self, key: str) -> bytes:
        """Read an object."""

    def put(self, key: str, body: bytes) -> None:
        """Write an object."""

    def put_if_absent(self, key: str, body: bytes) -> bool:
        """Write an object unless the key is taken; tell whether it was written."""

    def first_key(self, prefix: str) -> str | None:
        """Find the first key with the prefix, in text order."""


class Landing(msgspec.Struct, frozen=True):
    """The end of landing a batch: the shard's position now, and the account of this delivery."""

    position: int
    account: Account


class Lander(msgspec.Struct, frozen=True):
    """Lands batches of one shard of one stream, protected; `attempt` names each write anew, `now` tells the time."""

    store: Store
    stream: str
    shard: str
    attempt: Callable[[], str]
    now: Callable[[], datetime]
    protect: Protect = in_clear
    door: Door = OPEN

    def land(self, records: Sequence[Arrived], known: int | None = None) -> Landing:
        """Land what no receipt covers; `known` is a position that the shard is known to have reached.

        What would unpack to too much at once lands in slices, each with a receipt of its own.  A writer that was
        overtaken reads the chain again and drops what is covered by then.
        """
        position = self.position() if known is None else known
        done: list[Account] = []
        while True:
            fresh = uncovered(records, position)
            duplicates = repeated(records, fresh)
            if not fresh:
                return Landing(position, total([*done, Account(duplicates, {}, {}, duplicates)]))
            for some, events in slices(fresh):
                receipt = self.write(some, position, duplicates, events)
                while self.door.has_news():  # the files of before are nobody's, and an erasure finds them
                    receipt = self.write(some, position, duplicates, events_of(some))
                if not self.put(receipt):
                    position = self.overtaken(position)
                    break
                done.append(receipt.account)
                position, duplicates = receipt.last, 0
                records = fresh[bisect_right(fresh, position, key=attrgetter("sequence")) :]
            else:
                return Landing(position, total(done))

    def position(self) -> int:
        """Find the last position that a receipt covers."""
        newest = self.store.first_key(shard_prefix(self.stream, self.shard))
        return START if newest is None else read_receipt(self.store.get(newest)).last

    def overtaken(self, position: int) -> int:
        """Find the position that another writer has reached."""
        reached = self.position()
        if reached <= position:
            raise BrokenChain(
                f"{self.stream}/{self.shard}: {receipt_key(self.stream, self.shard, position)} exists, but the newest "
                f"receipt ends at {reached}; restore the missing receipt from the bucket's versions"
            )
        return reached

    def write(self, records: Sequence[Arrived], follows: int, duplicates: int, events: Events) -> Receipt:
        """Write the data files of records and make out their receipt; it accounts for events, not for records."""
        attempt = self.attempt()
        batch = self.door.admit(sort(records, self.shard, events))
        files = tuple(self.write_part(part, follows, attempt) for part in batch.parts)
        return Receipt(
            stream=self.stream,
            shard=self.shard,
            follows=follows,
            first=records[0].sequence,
            last=records[-1].sequence,
            account=Account(batch.events + duplicates, batch.landed, batch.quarantined, duplicates),
            ignored=batch.ignored,
            files=files,
            attempt=attempt,
            written_at=self.now(),
        )

    def write_part(self, part: Part, follows: int, attempt: str) -> DataFile:
        """Write one data file."""
        key = data_key(part.table.name, self.stream, self.shard, follows, f"{part.day}-{attempt}")
        body = encode(self.protect(part.table, part.rows))
        self.store.put(key, body)
        return DataFile(part.table.full_name, key, part.rows.num_rows, len(body), late(part.rows))

    def put(self, receipt: Receipt) -> bool:
        """Put the receipt where only one can stand; tell whether it stands there."""
        if self.store.put_if_absent(receipt.key, receipt.write()):
            return True
        # A client that lost the answer sends the write again and is refused by its own receipt.
        return read_receipt(self.store.get(receipt.key)).attempt == receipt.attempt


def uncovered(records: Iterable[Arrived], position: int) -> list[Arrived]:
    """Keep the records after a position, in order, each once."""
    fresh = {record.sequence: record for record in records if record.sequence > position}
    return [fresh[sequence] for sequence in sorted(fresh)]


def repeated(records: Sequence[Arrived], fresh: Sequence[Arrived]) -> int:
    """Count the events of records that are covered already, or that a batch holds twice."""
    if len(fresh) == len(records):
        return 0
    kept = {id(record) for record in fresh}
    return count(record for record in records if id(record) not in kept)


def data_key(table: str, stream: str, shard: str, follows: int, name: str) -> str:
    """Name a data file by the position that its receipt follows, so that the receipt is found from the file."""
    return f"{ROOT}{table}/{stream}/{shard}/{follows:0{len(str(HIGHEST))}d}-{name}.parquet"
