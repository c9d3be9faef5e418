"""Prove of a past day that every event is accounted for, and ring where one is not."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from functools import cache
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq

from domain import metrics
from domain.ingest import asked
from domain.ingest.asked import Refused
from domain.ingest.commits import WITNESS, places, position
from domain.ingest.conservation import (
    ERASED_PLACES,
    Chain,
    Entry,
    Gap,
    Places,
    Proof,
    chain,
    culprits,
    differences,
    erased,
    with_erased,
)
from domain.ingest.receipts import ROOT, DataFile, shard_prefix
from domain.tables import ACCOUNTS
from lambdas.athena import Athena
from lambdas.catalogue import open_catalogue
from lambdas.ingest import questions, rows
from lambdas.ingest.bucket import Bucket
from lambdas.ingest.settings import ConserveSettings

FIELDS = ("day", "time")  # EventBridge says when it called, a person which day
READERS = 16
RECEIPTS_A_QUESTION = 500  # a query has at most 262,144 characters (Athena's quotas), a receipt takes some 130
SHARDS_A_QUESTION = 100  # each stands in it once for a table, with some 170 characters
TAIL = 64 * 1024  # bytes that hold a data file's footer, nearly always
PLATFORM = ("all", "all")

settings = cache(ConserveSettings.read)
client = cache(boto3.client)
catalog = cache(open_catalogue)


@dataclass(slots=True)
class Receipts:
    """A shard's receipts, read as they are needed; `keys` are in the order of the chain."""

    bucket: Bucket
    keys: list[str]
    read: dict[str, Entry] = field(default_factory=dict)

    def entry(self, key: str) -> Entry:
        """Read a receipt."""
        if key not in self.read:
            self.read[key] = Entry.read(key, self.bucket.get(key))
        return self.read[key]

    def around(self, start: datetime, end: datetime) -> list[Entry]:
        """Read the receipts written from `start` to `end`, and one on either side; few others are looked at."""
        low = bisect_left(self.keys, start, key=lambda key: self.entry(key).written_at)
        high = bisect_left(self.keys, end, lo=low, key=lambda key: self.entry(key).written_at)
        with ThreadPoolExecutor(READERS) as pool:
            return list(pool.map(self.entry, self.keys[max(0, low - 1) : high + 1]))


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Prove a day, yesterday if nobody says which: an answer, an object, rows of a table, and a metric."""
    now = datetime.now(timezone.utc)
    try:
        asked.only(event, FIELDS)
        day = asked.day(event, now)
    except Refused as refused:
        return refused.report()
    try:
        proof = prove(Bucket(client("s3"), settings().bucket), Athena(client("athena"), settings().workgroup), day)
    except Exception:  # whatever keeps a day from being proved must ring too
        metrics.CONSERVATION_GAPS.emit(1)
        raise
    keep(proof, now)
    metrics.CONSERVATION_GAPS.emit(len(proof.gaps))
    for gap in proof.gaps:
        print(json.dumps({"conservation": str(gap), "day": day.isoformat()}))
    return proof.report()


def prove(bucket: Bucket, athena: Athena, day: date) -> Proof:
    """Count a day again, from receipts, files and tables."""
    start = datetime.combine(day, time(), timezone.utc)
    chains, gone = chains_of(bucket, start), erased_places(bucket)
    counted = with_erased(chains, count(athena, chains, start), gone)
    curated = {
        name: (int(ids), int(gone), int(twice)) for name, ids, gone, twice in athena.ask(questions.curated(start))
    }
    gaps = [
        *(gap for each in chains for gap in each.gaps()),
        *(gap for each in chains for gap in files(bucket, each)),
        *(gap for each, table in differences(chains, counted) for gap in blame(athena, each, table, start, gone)),
        *uncurated(curated),
    ]
    words = ("distinct", "missing", "doubled")
    return Proof(
        day, tuple(chains), counted, tuple(gaps), {e: dict(zip(words, n, strict=True)) for e, n in curated.items()}
    )


def chains_of(bucket: Bucket, start: datetime) -> list[Chain]:
    """Read each shard's receipts of a day; a shard that the tables know and that has no receipt counts too."""
    reached = catalog().load_table(WITNESS).properties
    end = start + timedelta(days=1)
    listed = {tuple(folder.split("/")[1:3]) for place in bucket.folders(ROOT) for folder in bucket.folders(place)}
    found = []
    for stream, shard in sorted(listed | set(places(reached))):
        keys = list(bucket.keys(shard_prefix(stream, shard)))[::-1]
        entries = Receipts(bucket, keys).around(start, end)
        found.append(chain(stream, shard, entries, (start, end), position(reached, stream, shard)))
    return found


def count(athena: Athena, chains: Sequence[Chain], start: datetime) -> dict[tuple[str, str], int]:
    """Count rows by table and shard."""
    filled = [each for each in chains if each.entries]
    counted: dict[tuple[str, str], int] = {}
    for place in range(0, len(filled), SHARDS_A_QUESTION):
        answer = athena.ask(questions.rows(filled[place : place + SHARDS_A_QUESTION], start))
        counted |= {(table, shard): int(found) for table, shard, found in answer}
    return counted


def blame(athena: Athena, each: Chain, table: str, start: datetime, gone: Places) -> Iterator[Gap]:
    """Name the receipts behind a difference; the whole shard if the rows are nobody's."""
    counted: dict[str, int] = {}
    for place in range(0, len(each.entries), RECEIPTS_A_QUESTION):
        some = each.entries[place : place + RECEIPTS_A_QUESTION]
        counted |= {low: int(found) for low, found in athena.ask(questions.rows_of(each, table, some, start))}
    for entry in each.entries:
        counted[entry.span[0]] = counted.get(entry.span[0], 0) + erased(each, table, entry.span, gone)
    named = list(culprits(each, table, counted))
    yield from named
    if not named:
        expected = each.rows()[table]
        yield each.gap("rows of no receipt", table, f"{expected} rows", "more, between the positions of receipts")


def erased_places(bucket: Bucket) -> dict[tuple[str, str], list[str]]:
    """Read where the rows of people who were erased had come in."""
    found: dict[tuple[str, str], list[str]] = {}
    for key in bucket.keys(ERASED_PLACES):
        for table, shards in json.loads(bucket.get(key)).items():
            for shard, positions in shards.items():
                found.setdefault((table, shard), []).extend(positions)
    return found


def files(bucket: Bucket, each: Chain) -> Iterator[Gap]:
    """Find data files that hold other than their receipt says; one that a compaction has replaced is gone, rightly."""
    named = [file for entry in each.entries for file in entry.files]
    with ThreadPoolExecutor(READERS) as pool:
        found = list(pool.map(lambda file: footer(bucket, file), named))
    for file, rows_found in zip(named, found, strict=True):
        if rows_found not in (None, file.rows):
            yield each.gap("count changed", file.key, f"{file.rows} rows", rows_found)


def footer(bucket: Bucket, file: DataFile) -> int | None:
    """Read from a data file's own footer how many rows it holds; None if it is gone."""
    body = bucket.tail(file.key, TAIL)
    if body is None:
        return None
    length = int.from_bytes(body[-8:-4], "little") + 8  # Parquet: the footer, its length, the magic
    if length > len(body):
        body = bucket.get(file.key)
    return int(pq.read_metadata(pa.BufferReader(body)).num_rows)


def uncurated(curated: Mapping[str, tuple[int, int, int]]) -> Iterator[Gap]:
    """Find events that arrived and are not curated, or are so twice."""
    stream, shard = PLATFORM
    for event, (ids, missing, doubled) in curated.items():
        for kind, found in (("not curated", missing), ("curated twice", doubled)):
            if found:
                yield Gap(
                    kind=kind, stream=stream, shard=shard, where=f"curated.{event}", expected=f"{ids} events once",
                    found=f"{found} {'missing' if kind == 'not curated' else 'doubled'}",
                )  # fmt: skip


def keep(proof: Proof, now: datetime) -> None:
    """Keep the proof as an object, and as rows that replace those of an earlier proof of the day."""
    day = proof.day.isoformat()
    bucket = Bucket(client("s3"), settings().bucket)
    bucket.put(f"conservation/{day}.json", json.dumps(proof.report()).encode())
    found = [{"day": day, **proof.shard(each), "proved_at": now} for each in proof.chains]
    if found:
        rows.replace(catalog(), bucket, ACCOUNTS, found, "day")
