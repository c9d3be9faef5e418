"""Records that were made to harm: few bytes that stand for many, and claims that no bytes bear out."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from domain.ingest import frames, ipc, kinds, kpl
from domain.ingest.batch import Arrived, sort
from domain.ingest.kinds import slices
from domain.ingest.limits import LARGEST_BATCH, LARGEST_RECORD, MOST_EVENTS
from tests.domain.contract.strategies import NOW
from tests.domain.ingest.faulty import MemoryBucket
from tests.domain.ingest.test_contract import GOOD, write
from tests.domain.ingest.test_kinds import aggregate, sorted_, table
from tests.domain.ingest.test_landing import chain, lander

MEGABYTE = 1024 * 1024


def streamed(rows: pa.Table, *, compression: str | None = None, batches: int = 1) -> bytes:
    """Write rows as an Arrow stream, over and over."""
    rows = rows.replace_schema_metadata({"event": "rating", "version": "1"})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as stream:
        for _ in range(batches):
            stream.write_table(rows)
    return bytes(sink.getvalue())


def framed(stream: bytes, count: int = 3) -> bytes:
    return frames.pack("arrow", stream, count)


def inflating() -> bytes:
    """Make a frame of a few KB whose compressed buffers unpack to 50 MB, unknown to its head."""
    rows = table().take(pa.array([0] * 2**19, pa.int32()))
    return framed(streamed(rows, compression="zstd"), MOST_EVENTS)


def sharing() -> bytes:
    """Make a frame in which the bytes of one column stand for another too."""
    stream = bytearray(streamed(table()))
    message = list(pa.ipc.MessageReader.open_stream(pa.BufferReader(bytes(stream))))[1]
    said = bytes(message.metadata)
    start = stream.find(said)
    header = ipc.place(memoryview(said), int.from_bytes(said[:4], "little"), ipc.HEADER)
    batch = header + int.from_bytes(said[header : header + 4], "little")
    vector = ipc.place(memoryview(said), batch, ipc.BUFFERS)
    first = vector + int.from_bytes(said[vector : vector + 4], "little") + 4
    text, size = first + 2 * 16, message.body.size  # a column's second text: validity, offsets, data
    stream[start + text : start + text + 16] = (0).to_bytes(8, "little") + size.to_bytes(8, "little")
    return framed(bytes(stream))


def encoded_by_dictionary() -> bytes:
    rows = table()
    return framed(streamed(rows.set_column(0, "event_id", rows["event_id"].dictionary_encode())))


BOMBS = [
    ("buffers compressed by zstd", framed(streamed(table(), compression="zstd")), "compressed"),
    ("buffers compressed by lz4", framed(streamed(table(), compression="lz4")), "compressed"),
    ("buffers that unpack to 50 MB", inflating(), "compressed"),
    ("bytes that stand for two columns", sharing(), "declare more than"),
    ("dictionaries", encoded_by_dictionary(), "dictionary"),
    ("a column's name that is no UTF-8", framed(streamed(table()).replace(b"product_id", b"product\x8eid")), "utf-8"),
    ("a thousand batches", framed(streamed(table(), batches=1_000), 3_000), "more than 64"),
    ("a second stream after the first", framed(2 * streamed(table())), "followed by"),
    ("lines without end", frames.pack("ndjson", b"\n" * 16 * MEGABYTE, 16 * MEGABYTE), "pack at most 262,144"),
    ("rows without bytes", framed(streamed(pa.table({"x": pa.nulls(MOST_EVENTS)})), MOST_EVENTS), "names no event"),
    ("a head that lies", frames.FIELDS.pack(frames.MAGIC, 1, 1, 1, 0, 9, 2**32 - 1) + b"xxxxx", "pack at most"),
    ("a body beyond its head", frames.seal("ndjson", b"{}", 1, frames.Codec.ZSTD, pa.Codec("zstd").compress(
        b"{}" * 50 * MEGABYTE, asbytes=True)), "no zstd of 2 bytes"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "payload", "said"), BOMBS, ids=[name for name, *_ in BOMBS])
def test_a_bomb_is_set_aside_whole_and_takes_no_memory(name: str, payload: bytes, said: str) -> None:
    pool = pa.default_memory_pool()
    before = pool.bytes_allocated()
    batch, rows = sorted_(write(stars=4), payload, write(stars=5))

    assert [row["stars"] for row in rows["rating"]] == [4, 5]
    assert [row["payload"] for row in rows["quarantine"]] == [payload]
    if name != "rows without bytes":
        assert said in rows["quarantine"][0]["detail"]
    assert pool.bytes_allocated() - before < 64 * MEGABYTE
    assert batch.events == 3


def test_a_record_of_more_lines_than_could_be_events_is_set_aside_whole() -> None:
    record = b"1\n" * (MOST_EVENTS + 1) + write()
    assert len(record) < LARGEST_RECORD

    batch, rows = sorted_(write(), record, write())

    assert batch.quarantined == {"too_large": 1}
    assert rows["quarantine"][0]["payload"] == record


@pytest.mark.slow
def test_a_batch_is_taken_apart_in_slices_that_memory_holds() -> None:
    event = write(more="x" * 2_000)
    count = 3_000
    record = frames.pack("ndjson", b"\n".join([event] * count), count)
    records = [Arrived(number, NOW, record) for number in range(1, 41)]
    assert sum(len(each.payload) for each in records) < MEGABYTE

    taken = [(some, events.size, events.total) for some, events in slices(records)]

    assert [record for some, *_ in taken for record in some] == records
    assert all(size < LARGEST_BATCH + frames.LARGEST_PAYLOAD for _, size, _ in taken)
    assert sum(total for *_, total in taken) == 40 * count
    assert len(taken) > 2


def test_slices_land_one_after_another_each_with_a_receipt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "MOST_EVENTS", 2_000)
    record = aggregate([b""] * 600)
    records = [Arrived(number, NOW, record if number % 4 else write()) for number in range(1, 9)]
    bucket = MemoryBucket()

    account = lander(bucket).land(records).account
    again = lander(bucket).land(records).account

    receipts = chain(bucket)
    assert len(receipts) > 1
    assert account.received == sum(receipt.account.received for receipt in receipts) == 6 * 600 + 2
    assert (account.landed, account.imbalance) == ({"rating": 2}, 0)
    assert (again.duplicates, again.received) == (account.received, account.received)
    tables = [pq.read_table(pa.BufferReader(bucket.get(file.key))) for each in receipts for file in each.files]
    found = Counter(int(sequence) for rows in tables for sequence in rows["sequence"].to_pylist())
    assert found == Counter({number: 600 if number % 4 else 1 for number in range(1, 9)})


PEAK = """
import sys
from datetime import datetime, timezone
from itertools import count
from pathlib import Path
from lambdas.ingest import consume  # sets the memory pool
from domain.ingest.batch import Arrived
from tests.domain.ingest.faulty import MemoryBucket
from tests.domain.ingest.test_landing import lander
now = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
record = Path(sys.argv[1]).read_bytes()
account = lander(MemoryBucket()).land([Arrived(number, now, record) for number in range(1, 41)]).account
[line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
print(account.received, int(line.split()[1]) // 1024)
"""


@pytest.mark.slow
def test_forty_frames_that_unpack_to_600_megabytes_land_in_a_small_process(tmp_path: Path) -> None:
    page = {"event": "page_view", "device": "mobile", "country": "DE", "page": "x" * 2_000, "referrer": "y" * 2_000}
    event = json.dumps({name: GOOD[name] for name in ("event_id", "event_time", "user_id")} | page).encode()
    count = 15 * MEGABYTE // (len(event) + 1)
    Path(tmp_path, "record").write_bytes(frames.pack("ndjson", b"\n".join([event] * count), count))
    command = [sys.executable, "-c", PEAK, str(tmp_path / "record")]

    done = subprocess.run(command, check=True, capture_output=True, text=True)

    received, peak = map(int, done.stdout.split())
    assert received == 40 * count > 100_000
    assert peak < 512, f"{peak} MB"


def test_an_aggregate_of_empty_records_is_accounted_for_one_by_one() -> None:
    record = aggregate([b""] * 5_000)
    assert kpl.is_aggregate(record)

    batch, rows = sorted_(record)

    assert batch.quarantined == {"not_json": 5_000}
    assert [row["detail"].partition(" of")[0] for row in rows["quarantine"]] == [
        f"event {number}" for number in range(1, 5_001)
    ]


@pytest.mark.slow
def test_a_row_that_is_deeply_wrong_keeps_its_neighbours() -> None:
    payload = json.dumps({"event": "rating", "more": [[[]]] * 300}).encode()
    many: list[Any] = [payload] * 3_000

    batch = sort([Arrived(1, NOW, frames.pack("ndjson", b"\n".join([*many, write()]), 3_001))], "s")

    assert (batch.landed, sum(batch.quarantined.values())) == ({"rating": 1}, 3_000)
