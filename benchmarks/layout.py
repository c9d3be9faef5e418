"""What compaction is worth: ten million events as they landed, against the same after the job that compacts them.

The laptop cloud runs the deployed job on files that the consumer's own writer made and the committer's own code
registered.  A third layout, arrival order packed into large files, tells what the order alone is worth.  Look-ups are
DuckDB's, over all files of the five tables, with the page cache emptied before each; each asks for whole rows.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.clicks import KINDS, Clicks, clicks, morning
from benchmarks.lake import File, Lake, deployed
from demo.progress import retell, tell
from domain.contract.arrow import arrow_schema
from domain.ingest.batch import encode
from domain.ingest.receipts import Account, DataFile, Receipt
from domain.layout import GROUP_ROWS, TARGET_FILE_BYTES
from domain.tables import RAW
from lambdas.ingest.registration import register

SEED = 20260301
EVENTS = 10_000_000
RATE = 5_000  # events a second
SHARDS = 4
EVENTS_A_BATCH = 38_500  # what an invocation carries, framed
EVENTS_A_FRAME = 500
BATCHES_A_COMMIT = 32
KEYS = 11
THREADS = 2
REPORT = Path("build/benchmarks")
BARS = {"bytes": 0.9, "one user": 5.0, "one event": 5.0}
"""Of the compacted layout against arrival order: at most, at least, at least."""

FIRST = 49590338271490256608559692538361571095921575989136588898
TABLES = {name: RAW[name].full_name for name in KINDS}
SCHEMAS = {name: arrow_schema(RAW[name].columns) for name in KINDS}


@dataclass(frozen=True, slots=True)
class Layout:
    """How large the tables are in one layout, and how long look-ups take, in ms."""

    files: dict[str, int]
    bytes: dict[str, int]
    user_ms: list[float]
    event_ms: list[float]

    @property
    def size(self) -> int:
        """Sum up the bytes."""
        return sum(self.bytes.values())


@dataclass(frozen=True, slots=True)
class Batch:
    """One invocation's events: places among all, and how many of the shard's came before."""

    shard: str
    rows: Any
    follows: int


def main() -> int:
    """Land, measure, compact, measure again; print the table, keep figures and plot; return whether a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    events = parser.parse_args().events
    with (
        TemporaryDirectory(dir=made("build/benchmarks")) as folder,
        deployed(Path(folder, "cloud"), ["Rivermill-Lake", "Rivermill-Process"]) as lake,
    ):
        found, facts = measure(lake, events, Path(folder))
    report(found, facts)
    return int(any(missed(name, ratio) for name, ratio in ratios(found).items()) or facts["repeated"] != 0)


def made(path: str) -> Path:
    """Make a folder."""
    Path(path).mkdir(parents=True, exist_ok=True)
    return Path(path)


def measure(lake: Lake, events: int, folder: Path) -> tuple[dict[str, Layout], dict[str, Any]]:
    """Measure the layouts one after the other, and that readers by increments see each row once."""
    start = time.monotonic()
    since = land(lake, clicks(SEED, events, morning(), events / RATE))
    landing = time.monotonic() - start
    arrival = fetch(lake, folder / "arrival")
    users, ids = keys(arrival)
    found = {"arrival": looked_up(arrival, users, ids)}
    found["packed"] = looked_up(pack(arrival, folder / "packed"), users, ids)
    later = {name: sum(file.rows for file in lake.files(TABLES[name])) - since[name][1] for name in KINDS}
    tell("compacting")
    seconds, account = lake.compact(*TABLES.values())
    compacted = fetch(lake, folder / "compacted")
    found["compacted"] = looked_up(compacted, users, ids)
    same(arrival, compacted, users)
    counted = increments(lake, {TABLES[name]: snapshot for name, (snapshot, _) in since.items()})
    repeated = sum(abs(counted[TABLES[name]][what] - rows) for name, rows in later.items() for what in ("rows", "ids"))
    facts = {"events": events, "landing_seconds": landing, "compaction_seconds": seconds, "compaction": account}
    return found, {**facts, "groups": groups(compacted), "later": sum(later.values()), "repeated": repeated}


def land(lake: Lake, events: Clicks) -> dict[str, tuple[int, int]]:
    """Land and commit all events; return each table's snapshot half-way, and its rows by then."""
    batches = in_order(events)
    half: dict[str, tuple[int, int]] = {}
    for start in range(0, len(batches), BATCHES_A_COMMIT):
        with ThreadPoolExecutor(THREADS) as pool:
            some = batches[start : start + BATCHES_A_COMMIT]
            receipts = list(pool.map(partial(landed, lake, events), some))
        for name in KINDS:
            register(lake.catalog, lake.bucket, TABLES[name], receipts)
        if not half and (start + len(some)) * 2 >= len(batches):
            half = {name: standing(lake, TABLES[name]) for name in KINDS}
        retell(f"{start + len(some)} of {len(batches)} batches landed and committed")
    tell(f"{len(batches)} batches landed and committed")
    return half


def standing(lake: Lake, table: str) -> tuple[int, int]:
    """Say which snapshot a table is at, and how many rows it holds."""
    snapshot = lake.table(table).current_snapshot()
    assert snapshot
    assert snapshot.summary
    return snapshot.snapshot_id, int(snapshot.summary["total-records"] or 0)


def in_order(events: Clicks) -> list[Batch]:
    """Cut each shard's events into batches, and order them by when they are full."""
    batches = []
    for shard in range(SHARDS):
        mine = np.flatnonzero(events.user % SHARDS == shard)
        for start in range(0, len(mine), EVENTS_A_BATCH):
            batches.append(Batch(f"shardId-{shard:012d}", mine[start : start + EVENTS_A_BATCH], start))
    return sorted(batches, key=lambda batch: int(batch.rows[-1]))


def landed(lake: Lake, events: Clicks, batch: Batch) -> Receipt:
    """Land a batch as the consumer does: a file for each event, and the receipt."""
    chance, s3, files = np.random.default_rng((SEED, batch.rows[0])), lake.laptop.client("s3"), []
    for name, table in events.tables(batch.rows, chance):
        body = encode(as_arrived(name, table, batch))
        key = f"landing/{name}/bench/{batch.shard}/{batch.follows:060d}-x.parquet"
        s3.put_object(Bucket=lake.bucket, Key=key, Body=body)
        files.append(DataFile(TABLES[name], key, len(table), len(body)))
    return Receipt(
        stream="bench",
        shard=batch.shard,
        follows=batch.follows,
        first=batch.follows + 1,
        last=batch.follows + len(batch.rows),
        account=Account(len(batch.rows), {file.table: file.rows for file in files}, {}, 0),
        ignored={},
        files=tuple(files),
        attempt="x",
        written_at=datetime.now(timezone.utc),
    )


def as_arrived(name: str, table: pa.Table, batch: Batch) -> pa.Table:
    """Say how events came in: in frames, each a record that left with its last event."""
    count = len(table)
    frame = np.arange(count) // EVENTS_A_FRAME
    last = np.minimum((frame + 1) * EVENTS_A_FRAME, count) - 1
    sent = table["event_time"].combine_chunks().cast(pa.int64()).to_numpy()[last] + 250_000
    sequences = pa.array(
        [f"{FIRST + batch.follows * 1000 + 7919 * number:056d}" for number in range(int(frame[-1]) + 1)]
    )
    came = {
        "version": pa.array(np.ones(count, np.int64)),
        "arrived_at": pa.array(sent, pa.timestamp("us", tz="UTC")),
        "shard": pa.array([batch.shard]).take(pa.array(np.zeros(count, np.int8))),
        "sequence": sequences.take(pa.array(frame)),
    }
    columns = [came[field.name] if field.name in came else table[field.name] for field in SCHEMAS[name]]
    return pa.Table.from_arrays(columns, schema=SCHEMAS[name])


def fetch(lake: Lake, folder: Path) -> dict[str, list[Path]]:
    """Copy the data files of the tables' newest snapshots to local disk."""
    s3, copies = lake.laptop.client("s3"), {}
    for name, table in TABLES.items():
        files = sorted(lake.files(table), key=lambda file: file.key)
        copies[name] = [made(str(folder / name)) / f"{number:05d}.parquet" for number in range(len(files))]
        for file, copy in zip(files, copies[name], strict=True):
            copy_of(s3, lake.bucket, file, copy)
    return copies


def copy_of(s3: Any, bucket: str, file: File, path: Path) -> None:
    """Copy one file."""
    path.write_bytes(s3.get_object(Bucket=bucket, Key=file.key)["Body"].read())


def pack(files: Mapping[str, Sequence[Path]], folder: Path) -> dict[str, list[Path]]:
    """Put the rows of many files, in their order, into large ones with row groups as a compacted file has."""
    packed: dict[str, list[Path]] = {}
    for name, some in files.items():
        packed[name], writer, waiting = [], None, []
        for number, path in enumerate(some):
            waiting.append(pq.ParquetFile(path).read())
            if sum(map(len, waiting)) < GROUP_ROWS and number + 1 < len(some):
                continue
            if writer is None or packed[name][-1].stat().st_size > TARGET_FILE_BYTES:
                finished(writer)
                packed[name].append(made(str(folder / name)) / f"{len(packed[name])}.parquet")
                writer = pq.ParquetWriter(packed[name][-1], SCHEMAS[name], compression="zstd", compression_level=3)
            writer.write_table(pa.concat_tables(waiting), row_group_size=GROUP_ROWS)
            waiting = []
        finished(writer)
    return packed


def finished(writer: Any) -> None:
    """Close a file, if one is open."""
    if writer is not None:
        writer.close()


def keys(files: Mapping[str, Sequence[Path]]) -> tuple[list[str], list[str]]:
    """Choose users and events to look for, from all over the files."""
    chance = np.random.default_rng(SEED)
    some = [files["page_view"][int(place)] for place in chance.integers(0, len(files["page_view"]), KEYS)]
    rows = [pq.ParquetFile(path).read(["user_id", "event_id"]) for path in some]
    places = [int(chance.integers(0, len(table))) for table in rows]
    users = [table["user_id"][place].as_py() for table, place in zip(rows, places, strict=True)]
    return users, [table["event_id"][place].as_py() for table, place in zip(rows, places, strict=True)]


def looked_up(files: Mapping[str, Sequence[Path]], users: Sequence[str], ids: Sequence[str]) -> Layout:
    """Measure a layout."""
    os.sync()  # only what is on disk leaves the page cache
    paths = [path for some in files.values() for path in some]
    sizes = {name: sum(path.stat().st_size for path in some) for name, some in files.items()}
    by_user = [timed(partial(ask, files, "user_id", user), paths) for user in users]
    by_id = [timed(partial(ask, files, "event_id", key), paths) for key in ids]
    return Layout({name: len(some) for name, some in files.items()}, sizes, by_user, by_id)


def timed(work: Callable[[], object], paths: Sequence[Path]) -> float:
    """Time a look-up in ms with none of the files in memory."""
    for path in paths:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    start = time.perf_counter()
    if not work():
        raise AssertionError("a row that was landed was not found")
    return (time.perf_counter() - start) * 1e3


def ask(files: Mapping[str, Sequence[Path]], column: str, value: str) -> list[str]:
    """Find the rows with a value in every table, as a person would be exported; return their ids."""
    with duckdb.connect(config={"threads": THREADS, "enable_external_file_cache": False}) as session:
        found = [
            session.sql(f"SELECT * FROM read_parquet(?) WHERE {column} = ?", params=[list(map(str, some)), value])  # noqa: S608
            .to_arrow_table()["event_id"]
            .to_pylist()
            for some in files.values()
        ]
    return sorted(each for some in found for each in some)


def same(before: Mapping[str, Sequence[Path]], after: Mapping[str, Sequence[Path]], users: Sequence[str]) -> None:
    """Make sure that users' rows are the same in two layouts."""
    for user in users:
        if ask(before, "user_id", user) != ask(after, "user_id", user):
            raise AssertionError(f"the rows of {user} changed")


def increments(lake: Lake, since: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Let Spark read, with the lake's own reader, what came after some snapshots; count rows and different ids."""
    lake.add_job("bench-increments", Path(__file__).with_name("increments.py"))
    lake.run("bench-increments", {"--since": json.dumps(since), "--to": "runs/increments.json"})
    body = lake.laptop.client("s3").get_object(Bucket=lake.bucket, Key="runs/increments.json")["Body"].read()
    counted: dict[str, dict[str, int]] = json.loads(body)
    return counted


def groups(files: Mapping[str, Sequence[Path]]) -> dict[str, float]:
    """Give the rows of a row group, on average."""
    found = {name: [pq.ParquetFile(path).metadata for path in some] for name, some in files.items()}
    return {name: sum(m.num_rows for m in some) / sum(m.num_row_groups for m in some) for name, some in found.items()}


def ratios(found: Mapping[str, Layout]) -> dict[str, float]:
    """Hold the compacted layout against arrival order."""
    arrival, compacted = found["arrival"], found["compacted"]
    return {
        "bytes": compacted.size / arrival.size,
        "one user": statistics.median(arrival.user_ms) / statistics.median(compacted.user_ms),
        "one event": statistics.median(arrival.event_ms) / statistics.median(compacted.event_ms),
    }


def missed(name: str, ratio: float) -> bool:
    """Say whether a ratio is beyond its bar."""
    return ratio > BARS[name] if name == "bytes" else ratio < BARS[name]


def report(found: Mapping[str, Layout], facts: Mapping[str, Any]) -> None:
    """Print the figures, and write them as JSON and as a plot."""
    lines = ["| layout | files | MB | one user, ms (least) | one event, ms (least) |\n|---|---|---|---|---|"]
    lines += [
        f"| {name} | {sum(it.files.values()):,} | {it.size / 1e6:,.0f} | {spread(it.user_ms)} | {spread(it.event_ms)} |"
        for name, it in found.items()
    ]
    lines += ["", "| event | " + " | ".join(f"{name}, MB (files)" for name in found) + " | rows a group |"]
    lines += ["|---" * (len(found) + 2) + "|"]
    for event in KINDS:
        cells = [f"{it.bytes[event] / 1e6:,.1f} ({it.files[event]:,})" for it in found.values()]
        lines.append(f"| {event} | {' | '.join(cells)} | {facts['groups'][event]:,.0f} |")
    lines += ["", "| bar | figure | wanted |\n|---|---|---|"]
    lines += [f"| {name} | {ratio:.2f} | {BARS[name]} |" for name, ratio in ratios(found).items()]
    lines += [f"| rows that an incremental reader saw twice or not, of {facts['later']:,} | {facts['repeated']} | 0 |"]
    lines += ["", f"{facts['events']:,} events landed in {facts['landing_seconds']:.0f} s, compacted in "]
    lines[-1] += f"{facts['compaction_seconds']:.0f} s"
    print("\n".join(lines))
    made(str(REPORT))
    written = {name: asdict(layout) for name, layout in found.items()}
    (REPORT / "layout.json").write_text(json.dumps({"layouts": written, "bars": ratios(found), **facts}, indent=1))
    plot(found)


def spread(times: Sequence[float]) -> str:
    """Write a median and a minimum."""
    return f"{statistics.median(times):,.0f} ({min(times):,.0f})"


def plot(found: Mapping[str, Layout]) -> None:
    """Draw bytes and look-ups of each layout."""
    import matplotlib.pyplot as plt  # noqa: PLC0415  # only here

    figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
    values = {
        "MB": [layout.size / 1e6 for layout in found.values()],
        "one user, ms": [statistics.median(layout.user_ms) for layout in found.values()],
        "one event, ms": [statistics.median(layout.event_ms) for layout in found.values()],
    }
    for axis, (title, heights) in zip(axes, values.items(), strict=True):
        axis.bar(list(found), heights, color=["#6b7c88", "#e6a23c", "#1b998b"])
        axis.set_title(title)
    figure.savefig(REPORT / "layout.svg")


if __name__ == "__main__":
    raise SystemExit(main())
