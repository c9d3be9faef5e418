"""How fast a batch of records becomes Parquet: our consumer beside the ways that people write, and the physical limit.

Each way starts from the dictionary that Lambda hands over and ends with zstd Parquet in memory, in one thread.
"""

from __future__ import annotations

import base64
import io
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import pyarrow as pa

from domain.contract.arrow import arrow_schema
from domain.events import EVENTS
from domain.ingest import frames
from domain.ingest.batch import encode, sort
from lambdas.ingest.consume import arrived

SEED = 20260301
ROUNDS = 15
REPORT = Path("build/benchmarks")
NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
FIRST = 49590338271490256608559692538361571095921575989136588898
EVENTS_A_FRAME = 500
WORDS = ("shoes", "jackets", "trail", "road", "winter", "sale", "new", "kids", "women", "men", "bags", "outlet")
SOURCES = ("newsletter", "search", "display", "social", "partner", "affiliate")
BARS = {
    "plain, 3,000": 3.2,
    "plain, 10,000": 4.5,
    "plain against Powertools, 3,000": 3.5,
    "one poison in 3,000": 1.5,
    "5 % poison": 3.0,
    "columnar frames, 10,000": 8.0,
    "columnar frames, share of bare Parquet": 0.6,
}

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Measured:
    """A way's median time over rounds, in seconds, and the events that it took."""

    seconds: float
    events: int

    @property
    def rate(self) -> float:
        """Give events per second."""
        return self.events / self.seconds


def main() -> None:
    """Measure every way, and print and write the table."""
    found = measure()
    ratios = compare(found)
    lines = ["| way | events | ms | events/s |\n|---|---|---|---|"]
    lines += [f"| {name} | {m.events:,} | {m.seconds * 1e3:.1f} | {m.rate:,.0f} |" for name, m in found.items()]
    lines += ["", "| bar | figure | wanted |", "|---|---|---|"]
    lines += [f"| {name} | {ratio:.2f} | {BARS[name]} |" for name, ratio in ratios.items()]
    own = process()
    lines += ["", *(f"{name}: {value:.0f}" for name, value in own.items())]
    print("\n".join(lines))
    write(found, ratios, own)


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
    schema = arrow_schema(EVENTS["page_view"].columns()).remove_metadata()
    schema = schema.with_metadata({"event": "page_view", "version": "1"})
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


def powertools() -> Callable[[Sequence[dict[str, Any]]], int] | None:
    """Make the way that Powertools' guide shows: a batch processor, pydantic models; None if it is not installed."""
    try:
        from benchmarks.peers import powertools_way  # noqa: PLC0415
    except ImportError:
        return None
    return powertools_way


def measure() -> dict[str, Measured]:
    """Time all ways in turn, round by round, so that a noisy moment strikes all alike."""
    chance = random.Random(SEED)  # noqa: S311  # no secret
    events = any_events(38_000, chance)
    small, large = as_json(events[:3_000]), as_json(events[:10_000])
    [part] = sort(arrived(handed(large)), "shard-0").parts
    batches: dict[str, tuple[Callable[..., int], Any, int]] = {
        "json + pandas + to_parquet": (tutorial, handed(small), 3_000),
        "plain": (ours, handed(small), 3_000),
        "plain, one poison": (ours, handed(poisoned(small, 3_000)), 3_000),
        "plain, 5 % poison": (ours, handed(poisoned(small, 20)), 3_000),
        "json + pandas + to_parquet, 10,000": (tutorial, handed(large), 10_000),
        "plain, 10,000": (ours, handed(large), 10_000),
        "frames of lines, 10,000": (ours, handed(as_lines(events[:10_000])), 10_000),
        "columnar frames, 10,000": (ours, handed(as_columns(events[:10_000])), 10_000),
        "bare Parquet, 10,000": (lambda rows: len(encode(rows)), part.rows, 10_000),
        "frames of lines, 38,000": (ours, handed(as_lines(events)), 38_000),
        "columnar frames, 38,000": (ours, handed(as_columns(events)), 38_000),
    }
    if (way := powertools()) is not None:
        batches["Powertools + pydantic"] = (way, handed(small), 3_000)
    times: dict[str, list[float]] = {name: [] for name in batches}
    for round_ in range(ROUNDS + 1):
        for name, (way_, batch, _) in batches.items():
            start = time.perf_counter()
            way_(batch)
            if round_:
                times[name].append(time.perf_counter() - start)
    return {name: Measured(statistics.median(some), batches[name][2]) for name, some in times.items()}


def compare(found: dict[str, Measured]) -> dict[str, float]:
    """Hold our figures against the bars."""
    seconds = {name: measured.seconds for name, measured in found.items()}
    large = seconds["json + pandas + to_parquet, 10,000"]
    ratios = {
        "plain, 3,000": seconds["json + pandas + to_parquet"] / seconds["plain"],
        "plain, 10,000": large / seconds["plain, 10,000"],
        "one poison in 3,000": seconds["plain, one poison"] / seconds["plain"],
        "5 % poison": seconds["plain, 5 % poison"] / seconds["plain"],
        "columnar frames, 10,000": large / seconds["columnar frames, 10,000"],
        "columnar frames, share of bare Parquet": (
            seconds["bare Parquet, 10,000"] / seconds["columnar frames, 10,000"]
        ),
    }
    if "Powertools + pydantic" in seconds:
        ratios["plain against Powertools, 3,000"] = seconds["Powertools + pydantic"] / seconds["plain"]
    return ratios


def process() -> dict[str, float]:
    """Measure a fresh process: what importing the consumer takes, and its memory with 38,000 framed events."""
    code = (
        "import time; start = time.perf_counter(); import domain.ingest.batch; took = time.perf_counter() - start;"
        "print(took * 1e3)"
    )
    took = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    with NamedTemporaryFile(suffix=".json") as handed_over:
        events = any_events(38_000, random.Random(SEED))  # noqa: S311  # no secret
        Path(handed_over.name).write_text(json.dumps(handed(as_lines(events))))
        command = [sys.executable, "-m", "benchmarks.memory", handed_over.name]
        peak = subprocess.run(command, check=True, capture_output=True, text=True)
    return {"import of the consumer's core, ms": float(took.stdout), "peak memory, MB": float(peak.stdout)}


def write(found: dict[str, Measured], ratios: dict[str, float], own: dict[str, float]) -> None:
    """Write figures as JSON and as a plot."""
    import matplotlib.pyplot as plt  # noqa: PLC0415  # only here

    REPORT.mkdir(parents=True, exist_ok=True)
    figures = {name: {"seconds": m.seconds, "events": m.events} for name, m in found.items()}
    (REPORT / "consume.json").write_text(json.dumps({"ways": figures, "bars": ratios, "process": own}, indent=1))
    figure, axes = plt.subplots(figsize=(9, 5), layout="constrained")
    axes.barh(list(found), [measured.rate / 1e3 for measured in found.values()])
    axes.set_xlabel("thousand events per second, one thread")
    axes.invert_yaxis()
    figure.savefig(REPORT / "consume.svg")


def peak_memory() -> float:
    """Give the process's peak memory in MB; getrusage would count its parent's, from before exec."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
