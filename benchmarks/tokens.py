"""How fast fields are protected: our batched AES-SIV and FF1 beside the packages that do one value a call, and what
protection costs the consumer.

The ways of a comparison run in turn, round by round, in one process on one thread; time is the process's own.  The
consumer begins with the dictionary that Lambda hands over and ends with zstd Parquet in memory, as in `consume`; keys
are warm, as they are after a process's first batches, but for the line that says that each subject is new.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from benchmarks.bars import Bar, report
from benchmarks.consume import as_columns, handed
from clients.world.world import World
from domain.ingest.batch import encode, sort
from domain.ingest.landing import Protect, in_clear
from domain.privacy import sealing
from domain.privacy.columns import changed
from domain.privacy.domains import DOMAINS
from domain.privacy.keyring import SIZES, DataKey, Keyring, SubjectKey
from domain.privacy.protect import Protection
from domain.privacy.siv import Siv
from domain.privacy.tokens import digit_by_digit, format_cipher, tokenized
from domain.tables import QUARANTINE
from lambdas.ingest.consume import arrived

SEED = 20260301
VALUES = 1_000_000
PEERS = 20_000
"""Numbers that the slower peer is given: it takes a minute for a million."""

ROUNDS, CONSUMER_ROUNDS = 5, 9
ABOUT = b"email"
RING = Keyring.of(DataKey(purpose, 1, os.urandom(size)) for purpose, size in SIZES.items())

Way = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Measured:
    """A way's median and least time over rounds, in seconds, and the values that it took."""

    median: float
    least: float
    values: int

    @property
    def rate(self) -> float:
        """Give values per second, by the median."""
        return self.values / self.median


def main() -> int:
    """Measure, and print and write the table."""
    pa.set_cpu_count(1)
    found = measure(columns(), ROUNDS) | measure(numbers(), ROUNDS) | measure(consumers(), CONSUMER_ROUNDS)
    print("| way | values | ms, median | ms, least | values/s |\n|---|---|---|---|---|")
    for name, m in found.items():
        print(f"| {name} | {m.values:,} | {m.median * 1e3:.1f} | {m.least * 1e3:.1f} | {m.rate:,.0f} |")
    rows = {name: {"median": m.median, "least": m.least, "values": m.values} for name, m in found.items()}
    return report("tokens", compared(found), {"ways": rows}, sys.argv[1:])


def addresses() -> pa.Array:
    """Make distinct addresses of 17 to 25 characters."""
    chance = random.Random(SEED)  # noqa: S311  # no secret
    names = ("ann", "bob", "carol", "dave", "eve")
    return pa.array(
        [f"{chance.choice(names)}{number:07d}@{'mail' * chance.randint(1, 2)}.net" for number in range(VALUES)]
    )


def columns() -> dict[str, tuple[Way, int]]:
    """Prepare the ways to seal a column of addresses deterministically; both give the same bytes."""
    column, key = addresses(), os.urandom(64)
    one = AESSIV(key)

    def value_by_value() -> pa.Array:
        return pa.array([one.encrypt(value.encode(), [ABOUT]) for value in column.to_pylist()], pa.binary())

    def batched() -> pa.Array:
        return changed(column.view(pa.binary()), Siv(key, (ABOUT,)).seal)

    assert batched().equals(value_by_value())
    repeated = column.slice(0, VALUES // 10).take(
        pa.array(np.random.default_rng(SEED).integers(0, VALUES // 10, VALUES))
    )
    return {
        "AES-SIV, value by value (cryptography)": (value_by_value, VALUES),
        "AES-SIV, batched": (batched, VALUES),
        "tokens as text, normalised": (lambda: tokenized(column, RING, DOMAINS["email"]), VALUES),
        "tokens as text, each value ten times": (lambda: tokenized(repeated, RING, DOMAINS["email"]), VALUES),
    }


def numbers() -> dict[str, tuple[Way, int]]:
    """Prepare the ways to encrypt numbers of 16 digits into such."""
    chance = np.random.default_rng(SEED)
    column = pa.array([f"{number:016d}" for number in chance.choice(10**16, VALUES, replace=True).tolist()])
    ff1 = format_cipher(RING, DOMAINS["account"])
    found: dict[str, tuple[Way, int]] = {"FF1, batched": (lambda: changed(column, digit_by_digit(ff1.seal)), VALUES)}
    try:
        from ff3 import FF3Cipher  # noqa: PLC0415  # a peer
    except ImportError:
        return found
    peer, some = FF3Cipher(os.urandom(32).hex(), os.urandom(7).hex()), column.slice(0, PEERS).to_pylist()
    return found | {"FF3-1, value by value (ff3)": (lambda: [peer.encrypt(value) for value in some], PEERS)}


def consumers() -> dict[str, tuple[Way, int]]:
    """Prepare the consumer with privacy off and on: the world's mix, and the events that protection costs most."""
    events = [json.loads(payload) for payload in world(38_000)]
    by_event: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        by_event[event["event"]].append(event)
    framed = [frame for some in by_event.values() for frame in as_columns(some)]
    searches = [search(event, number) for number, event in enumerate(events)]
    batches = {
        "JSON, the world's mix": (world(10_000), 10_000),
        "columnar frames, the world's mix": (framed, len(events)),
        "columnar frames, page views only": (as_columns(by_event["page_view"]), len(by_event["page_view"])),
        "columnar frames, searches only": (as_columns(searches), len(searches)),
    }
    found: dict[str, tuple[Way, int]] = {}
    for name, (payloads, count) in batches.items():
        records = handed(payloads)
        found[f"{name}: off"] = (consumed(records, in_clear), count)
        found[f"{name}: on"] = (consumed(records, Protection(RING, Known())), count)
    name, (payloads, count) = "JSON, the world's mix", batches["JSON, the world's mix"]
    return found | {f"{name}: on, each subject new": (consumed(handed(payloads), Protection(RING, made)), count)}


def consumed(records: Sequence[dict[str, Any]], protect: Protect) -> Way:
    """Make the way of the consumer up to the bucket."""

    def way() -> None:
        for part in sort(arrived(records), "shard-0").parts:
            encode(protect(part.table, part.rows))

    return way


class Known:
    """Remembers subjects' keys, as a warm process does."""

    def __init__(self) -> None:
        self.keys: dict[str, SubjectKey] = {}

    def __call__(self, subjects: Sequence[str]) -> Mapping[str, SubjectKey]:
        """Give subjects' keys."""
        for subject in subjects:
            if subject not in self.keys:
                self.keys[subject] = sealing.new_subject_key()
        return self.keys


def made(subjects: Sequence[str]) -> Mapping[str, SubjectKey]:
    """Make and wrap a key for each subject, all but the write into the table."""
    keys = {subject: sealing.new_subject_key() for subject in subjects}
    for subject, key in keys.items():
        sealing.wrapped(key, RING, subject)
    return keys


def world(count: int) -> list[bytes]:
    """Take so many good records of the simulated world, in the order in which they were sent."""
    source = World(seed=SEED, events=60_000, until=date(2026, 3, 1))
    sent = [payload for batch in source.batches() for _, payload in batch.records]
    records = arrived(handed(sent))
    landed = {
        int(number)
        for part in sort(records, "shard-0").parts
        if part.table is not QUARANTINE
        for number in part.rows["sequence"].to_pylist()
    }
    return [record.payload for record in records if record.sequence in landed][:count]


def search(event: dict[str, Any], number: int) -> dict[str, Any]:
    """Make a search of the same user at the same time."""
    same = {name: event[name] for name in ("event_id", "event_time", "user_id")}
    return {"event": "search", **same, "query": f"trail shoes {number % 5_000}", "results": number % 90}


def measure(ways: Mapping[str, tuple[Way, int]], rounds: int) -> dict[str, Measured]:
    """Time all ways in turn, round by round, so that a noisy moment strikes all alike."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for round_ in range(rounds + 1):
        for name, (way, _) in ways.items():
            start = time.process_time()
            way()
            if round_:
                times[name].append(time.process_time() - start)
    return {name: Measured(statistics.median(some), min(some), ways[name][1]) for name, some in times.items()}


def compared(found: Mapping[str, Measured]) -> list[Bar]:
    """Hold our figures against the bars."""
    siv = found["AES-SIV, batched"].rate / found["AES-SIV, value by value (cryptography)"].rate
    bars = [Bar("AES-SIV, 1 million addresses, against cryptography value by value", siv, 5)]
    if (peer := found.get("FF3-1, value by value (ff3)")) is not None:
        bars.append(
            Bar("FF1, 1 million numbers of 16 digits, against ff3's FF3-1", found["FF1, batched"].rate / peer.rate, 100)
        )
    for name in ("JSON, the world's mix", "columnar frames, the world's mix"):
        kept = found[f"{name}: off"].median / found[f"{name}: on"].median
        bars.append(Bar(f"consumer with privacy on, share of its throughput: {name}", kept, 0.6, unit=""))
    return bars


if __name__ == "__main__":
    sys.exit(main())
