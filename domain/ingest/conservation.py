"""Prove of a past day that nothing was lost or doubled: what receipts say against what is counted again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any

from domain.ingest.batch import SEQUENCE_DIGITS
from domain.ingest.receipts import START, Account, DataFile
from domain.tables import QUARANTINE, RAW, UNDECLARED


@dataclass(frozen=True, slots=True)
class Entry:
    """A receipt as it stands, right or wrong: proving needs to read what `Receipt` refuses."""

    key: str
    stream: str
    shard: str
    follows: int
    first: int
    last: int
    account: Account
    files: tuple[DataFile, ...]
    written_at: datetime

    @classmethod
    def read(cls, key: str, body: bytes) -> Entry:
        """Read a receipt's JSON."""
        said: dict[str, Any] = json.loads(body)
        return cls(
            key=key,
            stream=said["stream"],
            shard=said["shard"],
            follows=int(said["follows"]),
            first=int(said["first"]),
            last=int(said["last"]),
            account=Account(said["received"], said["landed"], said["quarantined"], said["duplicates"]),
            files=tuple(DataFile(**file) for file in said["files"]),
            written_at=datetime.fromisoformat(said["written_at"]),
        )

    @property
    def rows(self) -> Counter[str]:
        """Count the rows that each table must hold of it, by its account; of undeclared values, by its files."""
        found = Counter({RAW[event].full_name: count for event, count in self.account.landed.items()})
        found[QUARANTINE.full_name] += sum(self.account.quarantined.values())
        found[UNDECLARED.full_name] += sum(file.rows for file in self.files if file.table == UNDECLARED.full_name)
        return +found

    @property
    def span(self) -> tuple[str, str]:
        """Give its first and last position as tables write them."""
        return str(self.first).zfill(SEQUENCE_DIGITS), str(self.last).zfill(SEQUENCE_DIGITS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Something that does not add up: what kind of thing, where, what it should be, what was found."""

    kind: str
    stream: str
    shard: str
    where: str
    expected: str
    found: str

    def __str__(self) -> str:
        """Say it on one line."""
        return f"{self.kind}: {self.stream}/{self.shard}: {self.where}: {self.expected} expected, {self.found} found"


@dataclass(frozen=True, slots=True)
class Chain:
    """A shard's receipts of a day, with the position that they must begin at and the one that the tables reached.

    `follower` is what the first receipt after the day says it follows; None if there is none.
    """

    stream: str
    shard: str
    begins: int
    entries: tuple[Entry, ...]
    follower: int | None
    committed: int

    @property
    def place(self) -> tuple[str, str]:
        """Name the shard."""
        return self.stream, self.shard

    def gap(self, kind: str, where: str, expected: object, found: object) -> Gap:
        """Name a gap of this shard."""
        return Gap(
            kind=kind, stream=self.stream, shard=self.shard, where=where, expected=str(expected), found=str(found)
        )

    def rows(self) -> Counter[str]:
        """Count the rows that each table must hold of the day."""
        return sum((entry.rows for entry in self.entries), Counter())

    def gaps(self) -> Iterator[Gap]:
        """Find what is wrong with the receipts alone."""
        yield from self.links()
        yield from self.commits()
        for entry in self.entries:
            yield from self.sums(entry)

    def links(self) -> Iterator[Gap]:
        """Find where a receipt does not follow the one before it."""
        reached = [self.begins, *(entry.last for entry in self.entries)]
        follows = [*(entry.follows for entry in self.entries), *([] if self.follower is None else [self.follower])]
        for position, said in zip(reached, follows, strict=False):
            if said != position:
                yield self.gap("receipt missing", f"the chain after position {position}", position, said)

    def commits(self) -> Iterator[Gap]:
        """Find receipts that the tables have not reached, and tables that are beyond the last receipt."""
        last = self.entries[-1].last if self.entries else self.begins
        if self.committed < last:
            yield self.gap("not committed", f"position in {QUARANTINE.full_name}", last, self.committed)
        elif self.follower is None and self.committed > last:
            yield self.gap("receipt missing", f"the chain after position {last}", self.committed, "the end")

    def sums(self, entry: Entry) -> Iterator[Gap]:
        """Find an account that does not add up, or that says otherwise than the files that it names."""
        account = entry.account
        if account.imbalance:
            settled = account.received - account.imbalance
            yield self.gap("unaccounted", entry.key, f"{account.received} received", f"{settled} settled")
        files = Counter[str]()
        for file in entry.files:
            files[file.table] += file.rows
        for table in sorted(entry.rows.keys() | files.keys()):
            if entry.rows[table] != files[table]:
                yield self.gap("count changed", f"{table} in {entry.key}", f"{entry.rows[table]} rows", files[table])


def chain(
    stream: str, shard: str, entries: Sequence[Entry], bounds: tuple[datetime, datetime], committed: int
) -> Chain:
    """Pick a day's receipts from those that lie around it: all of the day, and at least one on either side."""
    start, end = bounds
    before = [entry for entry in entries if entry.written_at < start]
    after = [entry for entry in entries if entry.written_at >= end]
    of_day = tuple(entry for entry in entries if start <= entry.written_at < end)
    begins = before[-1].last if before else START
    return Chain(stream, shard, begins, of_day, after[0].follows if after else None, committed)


@dataclass(frozen=True, slots=True)
class Proof:
    """What a day came to."""

    day: date
    chains: tuple[Chain, ...]
    counted: Mapping[tuple[str, str], int]
    gaps: tuple[Gap, ...]
    curated: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def balanced(self) -> bool:
        """Say whether nothing is missing and nothing is there twice."""
        return not self.gaps

    def shard(self, chain: Chain) -> dict[str, Any]:
        """Say what a shard's day came to."""
        accounts = [entry.account for entry in chain.entries]
        mine = [gap for gap in self.gaps if (gap.stream, gap.shard) == chain.place]
        return {
            "stream": chain.stream,
            "shard": chain.shard,
            "receipts": len(chain.entries),
            "received": sum(account.received for account in accounts),
            "landed": sum(sum(account.landed.values()) for account in accounts),
            "quarantined": sum(sum(account.quarantined.values()) for account in accounts),
            "duplicates": sum(account.duplicates for account in accounts),
            "counted": sum(
                rows
                for (table, shard), rows in self.counted.items()
                if shard == chain.shard and table != UNDECLARED.full_name  # no events, but values of some
            ),
            "files": sum(len(entry.files) for entry in chain.entries),
            "gaps": len(mine),
            "detail": str(mine[0]) if mine else None,
        }

    def report(self) -> dict[str, Any]:
        """Say it in JSON."""
        return {
            "day": self.day.isoformat(),
            "balanced": self.balanced,
            "shards": [self.shard(chain) for chain in self.chains],
            "curated": self.curated,
            "gaps": [{**asdict(gap), "said": str(gap)} for gap in self.gaps],
        }


ERASED_PLACES = "conservation/erased/"
"""Where erasures keep, by job, at which positions the rows that they removed had come in."""

Places = Mapping[tuple[str, str], Sequence[str]]
"""Positions, as text, by table and shard."""


def erased(each: Chain, table: str, span: tuple[str, str], gone: Places) -> int:
    """Count the rows that erasures removed from a table, of those that came in between two positions of a shard."""
    low, high = span
    return sum(low <= position <= high for position in gone.get((table, each.shard), ()))


def with_erased(
    chains: Iterable[Chain], counted: Mapping[tuple[str, str], int], gone: Places
) -> dict[tuple[str, str], int]:
    """Count rows that were rightly removed as if they were there."""
    whole = Counter(dict(counted))
    for each in chains:
        for table in {table for table, shard in gone if shard == each.shard} if each.entries else ():
            whole[table, each.shard] += erased(each, table, (each.entries[0].span[0], each.entries[-1].span[1]), gone)
    return {place: rows for place, rows in whole.items() if rows}


def differences(chains: Iterable[Chain], counted: Mapping[tuple[str, str], int]) -> Iterator[tuple[Chain, str]]:
    """Find the shards and tables whose rows are not as many as the receipts say; `counted` is by table and shard."""
    for each in chains:
        expected = each.rows()
        for table in sorted(expected.keys() | {table for table, shard in counted if shard == each.shard}):
            if expected[table] != counted.get((table, each.shard), 0):
                yield each, table


def culprits(each: Chain, table: str, counted: Mapping[str, int]) -> Iterator[Gap]:
    """Name the receipts whose rows a table holds too few or too many of; `counted` is by a receipt's first position."""
    for entry in each.entries:
        expected, found = entry.rows[table], counted.get(entry.span[0], 0)
        if expected != found:
            names = ", ".join(file.key for file in entry.files if file.table == table) or entry.key
            kind = "rows missing" if found < expected else "rows doubled"
            yield each.gap(kind, f"{table}, {names}", f"{expected} rows", found)
