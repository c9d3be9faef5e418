"""Derive shards, frames and the batching window from the load that a stage expects; `python -m stacks.capacity`.

The arithmetic, with the measured figures that it stands on:

- An event weighs on the stream what it weighs as JSON and its partition key, or, in frames of n events, the share of
  it that zstd leaves: 20 % at 25, 15 % at 100, 12 % at 500.
- A shard takes 1,000 records and 1 MB a second; shards are as many as hold the load at `aim` of that, the share at
  which the scaler leaves them alone.  They may grow to what the peak needs, and shrink to a quarter.
- A frame holds what a producer sends in its linger, 500 events at most: larger ones save little more.
- An invocation carries 6 MB: each record in base64 and with 572 bytes around it.  A batch becomes a file for each kind
  of event, so that a window need last no longer than a shard takes to send what fills the files, or the invocation.

Parallelization stays 1: the chain of receipts has one writer a shard.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields
from itertools import pairwise
from math import ceil, floor, log

from domain.events import EVENTS
from domain.ingest.scaling import Policy
from domain.ingest.shards import SHARD_BYTES, SHARD_RECORDS

KEY_BYTES = 16
FRAME_SHARES = ((1, 1.0), (25, 0.204), (100, 0.150), (500, 0.120))
"""Of the JSON's bytes that a frame of so many events weighs (zstd 3, events of 1,010 bytes; findings, section 2)."""

MOST_FRAMED = FRAME_SHARES[-1][0]
LINGER_SECONDS = 0.1
INVOCATION_BYTES = 6 * 1024 * 1024
AROUND_BYTES = 572
"""Of a record in an invocation, around its base64 (measured: 1,919 bytes for a record of 1,010)."""

BATCH_RECORDS = 10_000
ROW_BYTES = 70
"""Of an event in a raw data file: 61 in files of 2.3 MB, 83 in files of 270 kB (measured)."""

LONGEST_WINDOW = 300
SMALLEST_SHARE = 4
"""The floor is the usual count of shards over this."""

BEST = Policy(floor=1, ceiling=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The load that a stage is built for: usual and peak rate, bytes of an event as JSON, who sends it, and how.

    `producers`: processes that send; `framed`: by our `Producer`, and not one event a record; `file_kb`: what a data
    file should weigh when it lands, before compaction.
    """

    events_per_second: int
    peak_events_per_second: int
    event_bytes: int = 1_000
    producers: int = 1
    framed: bool = True
    file_kb: int = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What follows from the load expected: the figures that are deployed, and those that they rest on."""

    frame_events: int
    frame_kb: int
    wire_bytes: float
    shards: int
    floor: int
    ceiling: int
    invocation_events: int
    batch_events: int
    window_seconds: int
    file_kb: float


def plan(
    expected: Expected, *, shards: int | None = None, window_seconds: int | None = None, frame_kb: int | None = None
) -> Plan:
    """Derive a plan; what is given binds, and the rest follows from it.

    >>> found = plan(Expected(events_per_second=10_000, peak_events_per_second=20_000, producers=20))
    >>> found.frame_events, found.shards, found.ceiling, found.window_seconds
    (50, 3, 5, 8)
    """
    framed = events_of_frame(expected, frame_kb)
    wire = wire_bytes(expected, framed)
    usual = shards or shards_for(expected.events_per_second, framed, wire, BEST.aim)
    carried = invocation_events(framed, wire)
    wanted = ceil(expected.file_kb * 1024 * len(EVENTS) / ROW_BYTES)
    rate = expected.events_per_second / usual
    window = window_for(min(wanted, carried), rate) if window_seconds is None else window_seconds
    batch = max(1.0, min(carried, rate * max(window, 1)))
    return Plan(
        frame_events=framed,
        frame_kb=frame_kb or ceil(framed * expected.event_bytes / 1024),
        wire_bytes=wire,
        shards=usual,
        floor=ceil(usual / SMALLEST_SHARE),
        ceiling=max(usual, shards_for(expected.peak_events_per_second, framed, wire, BEST.high)),
        invocation_events=carried,
        batch_events=floor(batch),
        window_seconds=window,
        file_kb=batch * ROW_BYTES / len(EVENTS) / 1024,
    )


def events_of_frame(expected: Expected, frame_kb: int | None) -> int:
    """Count the events of a frame: as many as fit, or as a producer has in its linger; 1 is a plain record."""
    if not expected.framed:
        return 1
    if frame_kb is not None:
        return max(1, frame_kb * 1024 // expected.event_bytes)
    return max(1, min(MOST_FRAMED, floor(expected.events_per_second / expected.producers * LINGER_SECONDS)))


def wire_bytes(expected: Expected, framed: int) -> float:
    """Weigh an event on the stream."""
    return expected.event_bytes * share(framed) + KEY_BYTES / framed


def share(framed: int) -> float:
    """Read from what was measured what a frame leaves of its events, on a line between logarithms of their number.

    >>> share(1), round(share(25), 3), round(share(50), 3), share(9_000)
    (1.0, 0.204, 0.177, 0.12)
    """
    for (low, more), (high, less) in pairwise(FRAME_SHARES):
        if framed <= high:
            part = log(framed / low) / log(high / low)
            return more + (less - more) * part
    return FRAME_SHARES[-1][1]


def shards_for(rate: float, framed: int, wire: float, full: float) -> int:
    """Count the shards that take a rate and are as full as said by it."""
    return max(1, ceil(rate / framed / SHARD_RECORDS / full), ceil(rate * wire / SHARD_BYTES / full))


def invocation_events(framed: int, wire: float) -> int:
    """Count the events that an invocation carries.

    >>> invocation_events(1, 1_010)
    3279
    """
    record = wire * framed * 4 / 3 + AROUND_BYTES
    return max(1, min(BATCH_RECORDS, floor(INVOCATION_BYTES / record))) * framed


def window_for(events: int, rate: float) -> int:
    """Say how many seconds a shard takes to send so many events; longer than 300 no window is."""
    return min(LONGEST_WINDOW, ceil(events / rate))


def table(expected: Expected, found: Plan) -> str:
    """Show the arithmetic, line by line."""
    usual, framed = expected.events_per_second, found.frame_events
    capped = "" if found.file_kb >= expected.file_kb * 0.99 else ": the invocation or the window ends first, compact"
    lines = [
        f"frame            {framed:,} events, {found.frame_kb:,} KB: {usual:,}/s of {expected.producers} producers in "
        f"{LINGER_SECONDS} s, {MOST_FRAMED} at most",
        f"on the stream    {found.wire_bytes:,.0f} bytes an event: {expected.event_bytes:,} x {share(framed):.3f} "
        f"+ {KEY_BYTES}/{framed}",
        f"shards           {found.shards:,}: the more of {usual / framed:,.0f} records/s over {SHARD_RECORDS:,} and "
        f"{usual * found.wire_bytes / 1e6:,.2f} MB/s over 1, each at {BEST.aim:.0%}",
        f"shards, bounds   {found.floor:,} to {found.ceiling:,}: a quarter, and {expected.peak_events_per_second:,}/s "
        f"at {BEST.high:.0%}",
        f"invocation       {found.invocation_events:,} events in 6 MB: base64 and {AROUND_BYTES} bytes a record",
        f"batching window  {found.window_seconds} s: a shard sends {usual / found.shards:,.0f} events/s, "
        f"{found.batch_events:,} a batch",
        f"file             {found.file_kb:,.0f} KB of {expected.file_kb:,} wanted: {found.batch_events:,} "
        f"x {ROW_BYTES} bytes in {len(EVENTS)} kinds{capped}",
    ]
    return "\n".join(lines)


def main() -> None:
    """Derive a plan from the command line, and show how."""
    parser = argparse.ArgumentParser(description="Derive shards, frames and the batching window from a load.")
    parser.add_argument("--rate", type=int, required=True, help="events a second, usually")
    parser.add_argument("--peak", type=int, help="events a second at most (twice the rate)")
    parser.add_argument("--bytes", type=int, default=1_000, help="of an event as JSON")
    parser.add_argument("--producers", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="one event a record, no frames")
    parser.add_argument("--file-kb", type=int, default=256)
    asked = parser.parse_args()
    expected = Expected(
        events_per_second=asked.rate,
        peak_events_per_second=asked.peak or 2 * asked.rate,
        event_bytes=asked.bytes,
        producers=asked.producers,
        framed=not asked.plain,
        file_kb=asked.file_kb,
    )
    for field in fields(expected):
        if field.type == "int" and getattr(expected, field.name) < 1:
            parser.error(f"{field.name} is {getattr(expected, field.name)}; allowed: 1 or more")
    print(table(expected, plan(expected)))  # noqa: T201  # it talks to a person


if __name__ == "__main__":
    main()
