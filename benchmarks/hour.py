"""An hour of 5,000 events a second through the laptop cloud, in fewer minutes: its memory, its lag and its files.

Events are sent as columnar frames, as fast as the hour is compressed; the platform's windows and commits keep their own
clock.  Every few seconds the memory of the cloud and all its children is read (proportional set size: what they share
counts once), and how many records its event source mapping has not handled.  Then the job compacts what came.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import urlopen

import numpy as np

from benchmarks.clicks import KINDS, Clicks, clicks, framed, morning
from benchmarks.lake import File, Lake, deployed
from demo.day import commit_all
from demo.progress import retell, tell
from domain.layout import FEWEST_INPUT_FILES, LARGEST_FILE_BYTES, TARGET_FILE_BYTES
from domain.tables import RAW

SEED = 20260301
STREAM = "rivermill-events"
RATE = 5_000  # events a second
EVENTS_A_FRAME = 500
SECONDS_A_PUT = 2  # of the hour
CHUNK_MINUTES = 5  # of the hour, made at once: bounds our own memory
RECORDS_A_REQUEST, BYTES_A_REQUEST = 400, 4 << 20
SAMPLE_SECONDS = 5.0
PATIENCE_SECONDS = 600.0
STEADY = 1.1
"""The last quarter's median memory is at most this many times the second's: the first is warm-up."""

ROOM = 30.0
"""The lag stays under so many seconds' worth of what is sent."""

REPORT = Path("build/benchmarks")
TABLES = {name: RAW[name].full_name for name in KINDS}


@dataclass(frozen=True, slots=True)
class Sample:
    """A moment of the run: seconds since its start, MB of memory by kind of process, records sent and not handled."""

    seconds: float
    megabytes: dict[str, float]
    sent: int
    lag: int

    @property
    def memory(self) -> float:
        """Sum up the memory."""
        return sum(self.megabytes.values())


@dataclass(slots=True)
class Run:
    """What was sent so far, and the samples."""

    lake: Lake
    records: int = 0
    events: int = 0
    bytes: int = 0
    samples: list[Sample] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        """Take samples until the run has ended."""
        start = time.monotonic()
        while not self.ended.wait(SAMPLE_SECONDS):
            sample = Sample(time.monotonic() - start, memory(), self.records, lag(self.lake))
            self.samples.append(sample)
            retell(f"{self.events:,} events sent, {sample.lag:,} records waiting, {sample.memory:,.0f} MB")


def main() -> int:
    """Send, watch, commit, compact; print the table, keep figures and plot; return whether a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=int, default=60, help="of the stream's time")
    parser.add_argument("--within", type=float, default=10.0, help="minutes that it takes here")
    given = parser.parse_args()
    Path("build/benchmarks").mkdir(parents=True, exist_ok=True)
    stacks = ["Rivermill-Lake", "Rivermill-Process", "Rivermill-Ingest"]
    with TemporaryDirectory(dir="build/benchmarks") as folder, deployed(Path(folder, "cloud"), stacks) as lake:
        facts = measure(lake, given.minutes, given.within)
    report(facts)
    return int(not all(verdict for verdict, _ in facts["bars"].values()))


def measure(lake: Lake, minutes: int, within: float) -> dict[str, Any]:
    """Run the hour and look at what is left of it."""
    run = Run(lake)
    watching = threading.Thread(target=run.watch, daemon=True)
    watching.start()
    seconds = send(run, minutes, minutes / within)
    drained = drain(lake)
    run.ended.set()
    watching.join()
    commit_all(lake.laptop)
    landed = {name: lake.files(table) for name, table in TABLES.items()}
    commits = {name: len(lake.table(table).metadata.snapshots) for name, table in TABLES.items()}
    tell("compacting")
    took, account = lake.compact(*TABLES.values())
    compacted = {name: lake.files(table) for name, table in TABLES.items()}
    kept = sum(file.rows for files in compacted.values() for file in files)
    return {
        "minutes": minutes,
        "events": run.events,
        "records": run.records,
        "megabytes_sent": run.bytes / 1e6,
        "send_seconds": seconds,
        "drain_seconds": drained,
        "landed": {name: summed(files) for name, files in landed.items()},
        "commits": commits,
        "compaction_seconds": took,
        "compaction": account,
        "compacted": {name: summed(files) for name, files in compacted.items()},
        "samples": [asdict(sample) for sample in run.samples],
        "bars": bars(run, seconds, compacted, kept),
    }


def send(run: Run, minutes: int, speed: float) -> float:
    """Send the hour's events, so many times faster; return the seconds that it took."""
    start = time.monotonic()
    for number, requests in enumerate(puts(minutes)):
        due = start + number * SECONDS_A_PUT / speed
        time.sleep(max(0.0, due - time.monotonic()))
        for records, events in requests:
            put(run, records)
            run.events += events
    return time.monotonic() - start


def puts(minutes: int) -> Iterator[list[tuple[list[bytes], int]]]:
    """Make the requests of each moment: frames, and how many events they hold."""
    for chunk in range(0, minutes, CHUNK_MINUTES):
        span = min(CHUNK_MINUTES, minutes - chunk) * 60
        made = clicks(SEED + chunk, RATE * span, morning(), span)
        # Sessions of another chunk are others.
        events = replace(made, session=made.session + chunk * 1_000_000)
        chance, step = np.random.default_rng((SEED, chunk)), RATE * SECONDS_A_PUT
        for start in range(0, len(events), step):
            yield list(requests(events, slice(start, start + step), chance))


def requests(events: Clicks, rows: slice, chance: np.random.Generator) -> Iterator[tuple[list[bytes], int]]:
    """Pack some events into frames, and the frames into requests."""
    waiting: list[bytes] = []
    held = 0
    for name, table in events.tables(rows, chance):
        for start in range(0, len(table), EVENTS_A_FRAME):
            part = table.slice(start, EVENTS_A_FRAME)
            waiting.append(framed(name, part))
            held += len(part)
            if len(waiting) == RECORDS_A_REQUEST or sum(map(len, waiting)) > BYTES_A_REQUEST:
                yield waiting, held
                waiting, held = [], 0
    if waiting:
        yield waiting, held


def put(run: Run, frames: Sequence[bytes]) -> None:
    """Put frames on the stream, those that it refuses again."""
    client, chance = run.lake.laptop.client("kinesis"), os.urandom
    entries = [{"Data": frame, "PartitionKey": chance(8).hex()} for frame in frames]
    while entries:
        answer = client.put_records(StreamName=STREAM, Records=entries)
        told = zip(entries, answer["Records"], strict=True)
        entries = [entry for entry, said in told if "ErrorCode" in said]
        if entries:
            time.sleep(0.2)
    run.records += len(frames)
    run.bytes += sum(map(len, frames))


def drain(lake: Lake) -> float:
    """Wait until everything sent is handled; return how many seconds it took."""
    start = time.monotonic()
    while lag(lake):
        if time.monotonic() - start > PATIENCE_SECONDS:
            raise TimeoutError(f"{lag(lake)} records were not handled in {PATIENCE_SECONDS:.0f} s")
        time.sleep(0.5)
    return time.monotonic() - start


def lag(lake: Lake) -> int:
    """Count the records that the mappings have not handled."""
    with urlopen(f"{lake.laptop.endpoint}/_cloud/event-sources") as answer:  # noqa: S310  # loopback
        return sum(mapping["lag"] for mapping in json.loads(answer.read()))


def memory() -> dict[str, float]:
    """Read the proportional set size of all our descendants, in MB: of the server, and of the workers it has."""
    found = {"server": 0.0, "workers": 0.0}
    server, *others = descendants(os.getpid())
    for pid in (server, *others):
        found["server" if pid == server else "workers"] += pss(pid)
    return found


def pss(pid: int) -> float:
    """Read a process's proportional set size in MB; nought if it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


def descendants(pid: int) -> list[int]:
    """List the children of a process and theirs, the oldest first."""
    try:
        tasks = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    children = sorted(int(child) for task in tasks for child in task.split())
    return [*children, *(grandchild for child in children for grandchild in descendants(child))]


def summed(files: Sequence[File]) -> dict[str, float]:
    """Sum up files: how many, rows, MB, and MB of the median and the largest."""
    sizes = [file.bytes / 1e6 for file in files]
    return {
        "files": len(files),
        "rows": sum(file.rows for file in files),
        "megabytes": sum(sizes),
        "median": statistics.median(sizes),
        "largest": max(sizes),
    }


def bars(run: Run, seconds: float, compacted: Mapping[str, Sequence[File]], kept: int) -> dict[str, tuple[bool, str]]:
    """Hold the run against its bars."""
    sending = [sample for sample in run.samples if sample.seconds <= seconds]
    quarter = max(1, len(sending) // 4)
    second, last = sending[quarter : 2 * quarter], sending[-quarter:]
    before, after = (statistics.median(sample.memory for sample in some) for some in (second, last))
    waiting = max(sample.lag for sample in last) / (run.records / seconds)
    outside = [name for name, files in compacted.items() if not fits(files)]
    return {
        "steady memory": (after <= STEADY * before, f"{before:,.0f} MB, then {after:,.0f} MB"),
        "no growing lag": (waiting <= ROOM, f"at most {waiting:.1f} s of records in the last quarter"),
        "file sizes within their objective": (not outside, ", ".join(outside) or "all tables"),
        "every event landed once": (kept == run.events, f"{kept:,} of {run.events:,}"),
    }


def fits(files: Sequence[File]) -> bool:
    """Say whether a day of a table is as few files as its size asks for, none of them too large."""
    total = sum(file.bytes for file in files)
    most = math.ceil(total / TARGET_FILE_BYTES) + FEWEST_INPUT_FILES - 1
    return len(files) <= most and max(file.bytes for file in files) <= LARGEST_FILE_BYTES


def report(facts: Mapping[str, Any]) -> None:
    """Print the figures, and write them as JSON and as a plot."""
    lines = ["| event | commits | landed: files, median MB | compacted: files, median MB | MB before, after |"]
    lines += ["|---|---|---|---|---|"]
    for name in KINDS:
        before, after = facts["landed"][name], facts["compacted"][name]
        sizes = f"{before['files']:,}, {before['median']:.2f} | {after['files']:,}, {after['median']:.1f}"
        lines.append(
            f"| {name} | {facts['commits'][name]} | {sizes} | {before['megabytes']:,.0f}, {after['megabytes']:,.0f} |"
        )
    lines += ["", "| bar | holds | figure |\n|---|---|---|"]
    lines += [f"| {name} | {'yes' if holds else 'NO'} | {figure} |" for name, (holds, figure) in facts["bars"].items()]
    lines += ["", f"{facts['minutes']} minutes of {RATE:,} events a second ({facts['events']:,} events, "]
    lines[-1] += f"{facts['megabytes_sent']:,.0f} MB in {facts['records']:,} records) sent in "
    lines[-1] += f"{facts['send_seconds']:.0f} s, handled {facts['drain_seconds']:.0f} s later, compacted in "
    lines[-1] += f"{facts['compaction_seconds']:.0f} s"
    print("\n".join(lines))
    (REPORT / "hour.json").write_text(json.dumps(facts, indent=1))
    plot(facts["samples"])


def plot(samples: Sequence[Mapping[str, Any]]) -> None:
    """Draw memory and lag over the run."""
    import matplotlib.pyplot as plt  # noqa: PLC0415  # only here

    figure, (upper, lower) = plt.subplots(2, 1, figsize=(9, 5), sharex=True, layout="constrained")
    seconds = [sample["seconds"] for sample in samples]
    for kind in ("server", "workers"):
        upper.plot(seconds, [sample["megabytes"][kind] for sample in samples], label=kind)
    upper.set_ylabel("memory, MB (PSS)")
    upper.set_ylim(bottom=0)
    upper.legend(frameon=False)
    lower.plot(seconds, [sample["lag"] for sample in samples], color="#d1495b")
    lower.set_ylabel("records waiting")
    lower.set_xlabel("seconds")
    figure.savefig(REPORT / "hour.svg")


if __name__ == "__main__":
    raise SystemExit(main())
