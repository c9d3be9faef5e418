"""Feed the consumer bytes of every kind: nothing raises, no neighbour is lost, and each file can be read by all.

Each example is one record.  Every few hundred land together, each between two sound ones: what comes out must account
for all, every sound one among the landed.  DuckDB reads each file at once, Spark reads all files at the end.
`python -m benchmarks fuzz [--examples N] [--seed N]`; a record that harms others is named.  An
interrupt ends it with the account so far.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from hashlib import md5
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from benchmarks.bars import Bar, report
from benchmarks.consume import aggregate, any_event, as_columns
from domain.contract.fakes import fake_record
from domain.events import EVENTS
from domain.ingest import frames, kpl
from domain.ingest.batch import Arrived, Sorted, encode, sort

SEED = 20260301
EXAMPLES = 100_000
TOGETHER = 500
TOLD = 10_000
NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
GOOD = [fake_record(event, random.Random(SEED), NOON) for event in EVENTS.values()]  # noqa: S311  # no secret
FRAME = as_columns([any_event(number, random.Random(number)) for number in range(3)])[0]  # noqa: S311
STREAM = frames.unpack(FRAME).payload
CODECS = st.sampled_from(list(frames.Codec))
PIECES = [
    b'"',
    b"\\",
    b"\0",
    b"\n",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"NaN",
    b"1e400",
    b"-0",
    b"\xff",
    b" ",
]
PIECES += [b"\xef\xbb\xbf", b"\\u0000", b"\\ud800", b'"event"', b'"version":1', b"9223372036854775808", b"true", b"1.5"]


@st.composite
def mutated(draw: st.DrawFn, body: bytes) -> bytes:
    """Change a few places of sound bytes."""
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(body)))
        end = min(len(body), start + draw(st.integers(0, 6)))
        body = body[:start] + draw(st.sampled_from(PIECES) | st.binary(max_size=4)) + body[end:]
    return body


def documents() -> st.SearchStrategy[bytes]:
    """Make JSON of any shape, with the names that events have."""
    names = sorted({column.name for event in EVENTS.values() for column in event.columns()} | {"event", "version"})
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(list(EVENTS))
    values = st.recursive(leaves, lambda some: st.lists(some, max_size=3), max_leaves=4)
    return st.dictionaries(st.sampled_from(names) | st.text(max_size=5), values).map(
        lambda said: json.dumps(said).encode()
    )


def texts() -> st.SearchStrategy[bytes]:
    """Make events, sound and not."""
    return st.sampled_from(GOOD).flatmap(mutated) | documents() | st.binary(max_size=80)


def packed(some: st.SearchStrategy[list[bytes]]) -> st.SearchStrategy[bytes]:
    """Pack texts into one record in every way there is."""
    lines = some.map(b"\n".join)
    whole = st.builds(
        lambda body, codec: frames.pack("ndjson", body or b" ", frames.lines(body or b" "), codec), lines, CODECS
    )
    return lines | whole | some.map(aggregate)


def sealed() -> st.SearchStrategy[bytes]:
    """Make records whose checksums are true and whose insides are not."""
    streams = mutated(STREAM).filter(bool)
    columns = st.builds(lambda body, codec: frames.pack("arrow", body, 3, codec), streams, CODECS)
    messages = mutated(aggregate(GOOD[:2])[len(kpl.MAGIC) : -kpl.DIGEST])
    digest = messages.map(lambda body: kpl.MAGIC + body + md5(body, usedforsecurity=False).digest())
    return columns | digest


def any_record() -> st.SearchStrategy[bytes]:
    """Make any record."""
    wrapped = packed(st.lists(texts(), min_size=1, max_size=4))
    return st.one_of(texts(), wrapped, sealed(), mutated(FRAME), wrapped.flatmap(mutated), st.binary(max_size=200))


def between(payloads: Sequence[bytes]) -> Sorted:
    """Sort records, each between two sound ones, and hold what comes out against all of them."""
    bodies = [GOOD[0], *(body for payload in payloads for body in (payload, GOOD[1]))]
    batch = sort([Arrived(number, NOON, body) for number, body in enumerate(bodies)], "shard-0")
    parts = [part for part in batch.parts if part.table.name != "undeclared"]  # that is of values, not of events
    kept = Counter(int(each) for part in parts for each in part.rows["sequence"].to_pylist())
    sound = [part for part in parts if part.table.name != "quarantine"]
    landed = Counter(int(each) for part in sound for each in part.rows["sequence"].to_pylist())
    if any(landed[number] != 1 or kept[number] != 1 for number in range(0, len(bodies), 2)):
        raise AssertionError("a sound record is lost or doubled")
    if not batch.events == kept.total() == sum(batch.landed.values()) + sum(batch.quarantined.values()):
        raise AssertionError(f"{batch.events} events are {batch.landed} and {batch.quarantined}")
    if kept.keys() != set(range(len(bodies))):
        raise AssertionError(f"records {sorted(set(range(len(bodies))) - kept.keys())} left no trace")
    return batch


@dataclass(slots=True)
class Files:
    """Files of what has been fed, each read by DuckDB when it is written."""

    folder: Path
    waiting: list[bytes] = field(default_factory=list)
    rows: Counter[str] = field(default_factory=Counter)
    examples: int = 0
    files: int = 0

    def feed(self, payload: bytes) -> None:
        """Take a record, and land it with its neighbours when there are enough."""
        self.examples += 1
        self.waiting.append(payload)
        if len(self.waiting) >= TOGETHER:
            self.land()
        if self.examples % TOLD == 0:
            print(f"{self.examples:,} examples, {self.files:,} files", file=sys.stderr, flush=True)

    def land(self) -> None:
        """Land what waits as the consumer does, and read it; name the record that does harm if there is one."""
        payloads, self.waiting = self.waiting, []
        try:
            self.write(between(payloads))
        except Exception:  # whatever it is, it is raised again once the record that did it is named
            for payload in payloads:
                print(f"alone: {payload!r}", file=sys.stderr)
                self.write(between([payload]))
            raise

    def write(self, batch: Sorted) -> None:
        """Write files, and read them."""
        for part in batch.parts:
            path = self.folder / part.table.name / f"{self.files}.parquet"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(encode(part.rows))
            found = duckdb.sql(f"select * from read_parquet('{path}')").to_arrow_table()  # noqa: S608  # our own path
            if found.num_rows != part.rows.num_rows:
                raise AssertionError(f"DuckDB reads {found.num_rows} of {part.rows.num_rows} rows of {path}")
            self.rows[part.table.name] += part.rows.num_rows
            self.files += 1


def read_by_spark(files: Files) -> None:
    """Read every value of every file with Spark, and count the rows."""
    from pyspark.sql import SparkSession  # noqa: PLC0415  # takes seconds

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    quiet = {"spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    builder: Any = SparkSession.builder.master("local[1]")
    session = builder.config(map=quiet).getOrCreate()
    try:
        for name, rows in files.rows.items():
            table = session.read.parquet(str(files.folder / name))
            table.write.format("noop").mode("overwrite").save()
            if table.count() != rows:
                raise AssertionError(f"Spark reads {table.count()} of {rows} rows of {name}")
    finally:
        session.stop()


def fuzzing(files: Files, examples: int, number: int) -> Callable[[], None]:
    """Make the test."""

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,),  # records wait for one another: the last is seldom the one at fault
    )
    @given(any_record())
    def test(payload: bytes) -> None:
        files.feed(payload)

    return test


def main() -> int:
    """Feed examples, read files, and print the account."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=EXAMPLES)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--strict", action="store_true")
    asked = parser.parse_args()
    start = time.perf_counter()
    with TemporaryDirectory() as folder:
        files = Files(Path(folder))
        try:
            fuzzing(files, asked.examples, asked.seed)()
        except KeyboardInterrupt:
            print("\nstopped; what has been fed so far counts", file=sys.stderr)
        files.land()
        fed = time.perf_counter() - start
        read_by_spark(files)
    print(f"{files.examples:,} examples in {fed:,.0f} s; rows that DuckDB and Spark read, in {files.files:,} files:")
    print("\n".join(f"  {name}: {rows:,}" for name, rows in files.rows.most_common()))
    bars = [Bar("fuzz: records that harm nothing", files.examples, asked.examples, unit="examples")]
    return report("fuzz", bars, {"seed": asked.seed, "files": files.files, "rows": files.rows}, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
