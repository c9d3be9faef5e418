"""How fast a batch of records becomes Parquet: our consumer beside the ways that people write, and the physical limit.

Each way starts from the dictionary that Lambda hands over and ends with zstd Parquet in memory, in one thread.  Two
events are measured: an interaction of 46 small values, and a page view that is nearly all one long address.  Time is
the process's own on its core, all threads together, so that what else the machine does counts for nobody.
"""

from __future__ import annotations

import base64
import io
import json
import random
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import md5
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.bars import REPORT, Bar, report, table
from benchmarks.wide import NOON, SOURCES, WORDS, any_interactions  # before domain.ingest: it declares its event
from domain.contract.arrow import arrow_schema
from domain.events import EVENTS
from domain.ingest import frames, kpl
from domain.ingest.batch import encode, sort
from lambdas.ingest.consume import arrived

SEED = 20260301
ROUNDS = 15
FRESH = 9
"""Processes that are started to time an import."""

FIRST = 49590338271490256608559692538361571095921575989136588898
EVENTS_A_FRAME = 500
LAYER = ("pyarrow", "msgspec", "pybase64")
RUNTIME = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six.py")
"""What the function finds beside its own code: lambdas/requirements/arrow.txt, and what the runtime brings."""

Event = dict[str, Any]
Way = tuple[Callable[..., int], Any, int]


@dataclass(frozen=True, slots=True)
class Measured:
    """A way's median time over rounds, in seconds, and the events that it took."""

    seconds: float
    events: int

    @property
    def rate(self) -> float:
        """Give events per second."""
        return self.events / self.seconds


def main() -> int:
    """Measure every way, and print and write the table."""
    pa.set_cpu_count(1)
    found = measure(ways("interaction", any_interactions) | ways("page_view", any_events) | aggregates())
    lines = ["| way | events | ms | events/s |\n|---|---|---|---|"]
    lines += [f"| {name} | {m.events:,} | {m.seconds * 1e3:.1f} | {m.rate:,.0f} |" for name, m in found.items()]
    print("\n".join(lines))
    figures = {name: {"seconds": m.seconds, "events": m.events} for name, m in found.items()}
    print("\nFor comparison, of the long address, where every way waits for Parquet:\n")
    print(table(compared(found, "page_view")))
    bars = [*compare(found), *process(), layer()]
    draw(found)
    return report("consume", bars, {"ways": figures}, sys.argv[1:])


def any_events(count: int, chance: random.Random) -> list[Event]:
    """Make page views of about 1 KB, nearly all of it the addresses that campaigns make."""
    return [any_event(number, chance) for number in range(count)]


def any_event(number: int, chance: random.Random) -> Event:
    """Make one page view."""
    moment = NOON - timedelta(milliseconds=chance.randrange(3_600_000))
    return {
        "event": "page_view",
        "event_id": f"{chance.getrandbits(128):032x}",
        "event_time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "user_id": f"u-{chance.randrange(100_000)}",
        "page": address("https://shop.example", chance, 300),
        "device": chance.choice(("desktop", "mobile", "tablet")),
        "country": chance.choice(("DE", "FR", "US", "GB")),
        "referrer": address("https://ads.example/click", chance, 480),
    }


def address(start: str, chance: random.Random, length: int) -> str:
    """Make an address as campaigns write them: known parameters, and one click's own number."""
    text = f"{start}/{chance.choice(WORDS)}/{chance.choice(WORDS)}?click={chance.getrandbits(128):032x}"
    while len(text) < length:
        text += f"&utm_{chance.choice(('source', 'medium', 'campaign', 'content', 'term'))}={chance.choice(SOURCES)}"
        text += f"-{chance.choice(WORDS)}-{chance.choice(WORDS)}"
    return text


def handed(payloads: Sequence[bytes]) -> list[dict[str, Any]]:
    """Write records as Lambda hands them over."""
    return [
        {
            "eventID": f"shardId-000000000000:{FIRST + number}",
            "eventSourceARN": "arn:aws:kinesis:us-east-1:123456789012:stream/rivermill-events",
            "kinesis": {
                "sequenceNumber": str(FIRST + number),
                "approximateArrivalTimestamp": NOON.timestamp() + number / 1000,
                "partitionKey": "u-1",
                "data": base64.b64encode(payload).decode(),
            },
        }
        for number, payload in enumerate(payloads)
    ]


def as_json(events: Sequence[Event]) -> list[bytes]:
    """Write one event a record."""
    return [json.dumps(event, separators=(",", ":")).encode() for event in events]


def poisoned(payloads: Sequence[bytes], every: int) -> list[bytes]:
    """Cut one record in so many short."""
    return [payload[:-9] if number % every == every // 2 else payload for number, payload in enumerate(payloads)]


def as_lines(events: Sequence[Event]) -> list[bytes]:
    """Pack events as frames of lines."""
    payloads = as_json(events)
    some = [payloads[start : start + EVENTS_A_FRAME] for start in range(0, len(payloads), EVENTS_A_FRAME)]
    return [frames.pack("ndjson", b"\n".join(lines), len(lines)) for lines in some]


def as_columns(events: Sequence[Event]) -> list[bytes]:
    """Pack events as columnar frames."""
    name = events[0]["event"]
    schema = arrow_schema(EVENTS[name].columns()).with_metadata({"event": name, "version": "1"})
    packed = []
    for start in range(0, len(events), EVENTS_A_FRAME):
        some = events[start : start + EVENTS_A_FRAME]
        rows = [{**event, "event_time": datetime.fromisoformat(event["event_time"])} for event in some]
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, schema) as stream:
            stream.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
        packed.append(frames.pack("arrow", sink.getvalue().to_pybytes(), len(some)))
    return packed


def ours(records: Sequence[dict[str, Any]]) -> int:
    """Do what the consumer does up to the bucket; return how many events landed."""
    parts = sort(arrived(records), "shard-0")
    for part in parts.parts:
        encode(part.rows)
    return sum(parts.landed.values())


def tutorial(records: Sequence[dict[str, Any]]) -> int:
    """Do what tutorials do: json, pandas, to_parquet."""
    import pandas as pd  # noqa: PLC0415  # a peer

    frame = pd.DataFrame([json.loads(base64.b64decode(record["kinesis"]["data"])) for record in records])
    frame.to_parquet(io.BytesIO(), compression="zstd")
    return len(frame)


def powertools(event: str) -> Callable[[Sequence[dict[str, Any]]], int] | None:
    """Make the way that Powertools' guide shows: a batch processor, pydantic models; None if it is not installed."""
    try:
        from benchmarks.peers import powertools_way  # noqa: PLC0415
    except ImportError:
        return None
    return powertools_way(EVENTS[event])


def bare(rows: pa.Table) -> int:
    """Write the table that ours ends with, as Arrow does unless told otherwise."""
    pq.write_table(rows, pa.BufferOutputStream(), compression="zstd")
    return len(rows)


def ways(name: str, some: Callable[[int, random.Random], list[Event]]) -> dict[str, Way]:
    """Prepare the ways of one event."""
    events = some(38_000, random.Random(SEED))  # noqa: S311  # no secret
    small, large = as_json(events[:3_000]), as_json(events[:10_000])
    [part] = sort(arrived(handed(large)), "shard-0").parts
    found: dict[str, Way] = {
        "tutorial, 3,000": (tutorial, handed(small), 3_000),
        "plain, 3,000": (ours, handed(small), 3_000),
        "plain, one poison": (ours, handed(poisoned(small, 3_000)), 3_000),
        "plain, 5 % poison": (ours, handed(poisoned(small, 20)), 3_000),
        "tutorial, 10,000": (tutorial, handed(large), 10_000),
        "plain, 10,000": (ours, handed(large), 10_000),
        "frames of lines, 10,000": (ours, handed(as_lines(events[:10_000])), 10_000),
        "columnar frames, 10,000": (ours, handed(as_columns(events[:10_000])), 10_000),
        "bare Parquet, 10,000": (bare, part.rows, 10_000),
        "frames of lines, 38,000": (ours, handed(as_lines(events)), 38_000),
        "columnar frames, 38,000": (ours, handed(as_columns(events)), 38_000),
    }
    if (way := powertools(name)) is not None:
        found["Powertools, 3,000"] = (way, handed(small), 3_000)
    return {f"{name}: {way}": prepared for way, prepared in found.items()}


def aggregates() -> dict[str, Way]:
    """Prepare KPL aggregates of 50 events each, from what Lambda hands over to the events' own bytes."""
    payloads = as_json(any_interactions(10_000, random.Random(SEED)))  # noqa: S311  # no secret
    packed = [aggregate(payloads[start : start + 50]) for start in range(0, len(payloads), 50)]
    found: dict[str, Way] = {"KPL, ours": (deaggregated, handed(packed), 10_000)}
    try:
        from benchmarks.peers import deaggregate_way  # noqa: PLC0415
    except ImportError:
        return found
    return found | {"KPL, aws_kinesis_agg": (deaggregate_way, handed(packed), 10_000)}


def deaggregated(records: Sequence[dict[str, Any]]) -> int:
    """Take aggregates apart with ours."""
    return sum(len(kpl.deaggregate(record.payload)) for record in arrived(records))


def aggregate(payloads: Sequence[bytes]) -> bytes:
    """Pack payloads as KPL does (its aggregation-format.md), with one key."""
    records = b"".join(blob(3, b"\x08\x00" + blob(3, payload)) for payload in payloads)
    message = blob(1, b"u-1") + records
    return kpl.MAGIC + message + md5(message, usedforsecurity=False).digest()


def blob(field: int, body: bytes) -> bytes:
    """Write a field of bytes (Protocol Buffers encoding guide)."""
    size, length = b"", len(body)
    while length > 0x7F:
        size += struct.pack("B", length & 0x7F | 0x80)
        length >>= 7
    return struct.pack("B", field << 3 | 2) + size + struct.pack("B", length) + body


def measure(batches: dict[str, Way]) -> dict[str, Measured]:
    """Time all ways in turn, round by round, so that a noisy moment strikes all alike."""
    times: dict[str, list[float]] = {name: [] for name in batches}
    for round_ in range(ROUNDS + 1):
        for name, (way, batch, _) in batches.items():
            start = time.process_time()
            way(batch)
            if round_:
                times[name].append(time.process_time() - start)
    return {name: Measured(statistics.median(some), batches[name][2]) for name, some in times.items()}


def compare(found: dict[str, Measured]) -> list[Bar]:
    """Hold our figures against the bars."""
    bars = compared(found, "interaction")
    if "KPL, aws_kinesis_agg" in found:
        ratio = found["KPL, aws_kinesis_agg"].seconds / found["KPL, ours"].seconds
        bars.append(Bar("KPL against aws_kinesis_agg", ratio, 3))
    return bars


def compared(found: dict[str, Measured], event: str) -> list[Bar]:
    """Hold the figures of one event against the bars."""
    took = {name.partition(": ")[2]: m.seconds for name, m in found.items() if name.startswith(event)}
    small, large, columnar = took["plain, 3,000"], took["tutorial, 10,000"], took["columnar frames, 10,000"]
    bars = [
        Bar(f"{event}: plain against tutorial, 3,000", took["tutorial, 3,000"] / small, 3.2),
        Bar(f"{event}: plain against tutorial, 10,000", large / took["plain, 10,000"], 4.5),
        Bar(f"{event}: columnar frames against tutorial", large / columnar, 8),
        Bar(f"{event}: columnar frames, share of bare Parquet", took["bare Parquet, 10,000"] / columnar, 0.6, unit=""),
        Bar(f"{event}: one poison in 3,000", took["plain, one poison"] / small, 1.5, at_least=False),
        Bar(f"{event}: 5 % poison", took["plain, 5 % poison"] / small, 3, at_least=False),
    ]
    if "Powertools, 3,000" in took:
        bars.append(Bar(f"{event}: plain against Powertools, 3,000", took["Powertools, 3,000"] / small, 3.5))
    return bars


def process() -> list[Bar]:
    """Measure fresh processes: what an import takes, and memory with 38,000 framed events."""
    bars = [Bar("import of the consumer, packages and all", imported(), 100, False, "ms")]
    for kind, pack in (("lines", as_lines), ("columns", as_columns)):
        with NamedTemporaryFile(suffix=".json") as handed_over:
            events = any_interactions(38_000, random.Random(SEED))  # noqa: S311  # no secret
            Path(handed_over.name).write_text(json.dumps(handed(pack(events))))
            command = [sys.executable, "-m", "benchmarks.memory", handed_over.name]
            peak = subprocess.run(command, check=True, capture_output=True, text=True)
        bars.append(Bar(f"memory with 38,000 events in frames of {kind}", float(peak.stdout), 256, False, "MB"))
    return bars


def imported() -> float:
    """Give the least time, in ms, that a fresh process takes to import the consumer with only the layer's packages.

    Its package comes first, as Lambda's handler brings it; the client of AWS, which the runtime has, is left out.
    """
    installed = Path(pa.__file__).parents[1]
    code = (
        "import sys, time; sys.path[:0] = sys.argv[1:]; start = time.process_time();"
        "import lambdas.ingest, domain.ingest.landing; print((time.process_time() - start) * 1e3)"
    )
    with TemporaryDirectory() as site:
        for name in (*LAYER, *RUNTIME):
            Path(site, name).symlink_to(installed / name)
        command = [sys.executable, "-I", "-S", "-c", code, str(Path.cwd()), site]
        runs = [subprocess.run(command, check=True, capture_output=True, text=True) for _ in range(FRESH)]
    return min(float(run.stdout) for run in runs)


def layer() -> Bar:
    """Measure the layer as it is deployed, unzipped."""
    from stacks.constructs.layer import REQUIREMENTS, build  # noqa: PLC0415  # takes the CDK, a second

    return Bar("layer, unzipped", build(REQUIREMENTS / "arrow.txt").unzipped / 1e6, 100, at_least=False, unit="MB")


def draw(found: dict[str, Measured]) -> None:
    """Draw what each way takes of events in a second."""
    import matplotlib as mpl  # noqa: PLC0415  # only here

    mpl.use("agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    REPORT.mkdir(parents=True, exist_ok=True)
    figure, axes = plt.subplots(figsize=(9, 8), layout="constrained")
    axes.barh(list(found), [measured.rate / 1e3 for measured in found.values()])
    axes.set_xlabel("thousand events per second, one thread")
    axes.invert_yaxis()
    figure.savefig(REPORT / "consume-ways.png", dpi=120)
    plt.close(figure)


def peak_memory() -> float:
    """Give the process's peak memory in MB; getrusage would count its parent's, from before exec."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    sys.exit(main())
