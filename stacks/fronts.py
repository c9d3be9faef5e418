"""Compare what ingestion costs by each way in, from a stage's `Config` and a rate; `python -m benchmarks cost`.

Ingestion is here all that is paid until an event rests in the lake: what the front asks for a request, the stream, and
the consumer with its writes to S3.  The stream is weighed as it is billed:

- provisioned: each shard's hours, and each record in units of 25 KB, begun ones whole;
- on demand: the stream's hours, each record in KB, begun ones whole, and its bytes again as the consumer reads them.

How large a frame is, how many shards a load needs and when the consumer is called: `capacity` derives it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby
from math import ceil

from stacks.capacity import BEST, KEY_BYTES, LINGER_SECONDS, Expected, invocation_events, plan, shards_for
from stacks.config import ON_DEMAND, PROVISIONED, Config
from stacks.cost import (
    CONSUMER_GB,
    FIREWALL_MILLION,
    HOURS,
    HTTP_MILLION,
    INVOCATION_PUTS,
    LAMBDA_GB_SECOND,
    LAMBDA_MILLION_REQUESTS,
    PUT_UNITS_MILLION,
    REST_MILLION,
    S3_THOUSAND_PUTS,
    SECONDS,
    SHARD_HOUR,
    STREAM_GB_IN,
    STREAM_GB_OUT,
    STREAM_HOUR,
    Tiers,
)

FUNCTION_MILLION = LAMBDA_MILLION_REQUESTS + 1e6 * 0.010 * 0.5 * LAMBDA_GB_SECOND  # 10 ms of 512 MB, an estimate
UNIT = 25 * 1024
WHOLE_KB = 1024
BATCH = 20
AGGREGATE = 25  # events of 1 KB in the KPL's record of one payload unit
ENTRY_BYTES = 12  # what its protobuf takes for an event
CONSUMED_A_SECOND = 40_000  # of plain records; frames are no slower
CALL_SECONDS = 0.4  # of an invocation, for its writes to S3


@dataclass(frozen=True, slots=True)
class Way:
    """A way in: its name, events in one of its records at most, events a request of its front (0: no front), prices."""

    name: str
    record: int
    request: int = 0
    tiers: Tiers = ()
    function: bool = False
    framed: bool = False


WAYS = (
    Way("frames of the Producer", 1, framed=True),
    Way("aggregates as the KPL's", AGGREGATE),
    Way("plain records", 1),
    Way("REST front, 20 events a request", 1, BATCH, REST_MILLION, function=True),
    Way("REST front, 1 event a request", 1, 1, REST_MILLION, function=True),
    Way("HTTP API into Kinesis, 1 event a request", 1, 1, HTTP_MILLION),
)
SIGNED, OPEN = WAYS[:3], WAYS[3:]
"""With AWS credentials, and without."""


@dataclass(frozen=True, slots=True)
class Cost:
    """USD per million events, by what it is spent on."""

    front: float
    stream: float
    consumer: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.front + self.stream + self.consumer


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a way puts on the stream: events in a record, bytes of an event there, and the shards that takes."""

    events: int
    wire: float
    shards: int


def cost(config: Config, way: Way, rate: int, capacity: str) -> Cost:
    """Say what a million events cost at a steady rate, in events a second."""
    expected = replace(config.expected, events_per_second=rate, peak_events_per_second=rate, framed=way.framed)
    put = traffic(expected, way)
    million = SECONDS * rate / 1e6  # of them in a month
    stream = _on_demand(put, million) if capacity == ON_DEMAND else _provisioned(put, million)
    return Cost(_front(way, million, firewall=config.front_firewall), stream, _consumer(put, expected))


def traffic(expected: Expected, way: Way) -> Traffic:
    """Derive what a way puts on the stream."""
    if way.framed:
        found = plan(expected)
        return Traffic(found.frame_events, found.wire_bytes, found.shards)
    lingering = int(expected.events_per_second / expected.producers * LINGER_SECONDS)
    events = max(1, min(way.record, lingering))
    wire = expected.event_bytes + (ENTRY_BYTES if events > 1 else 0) + KEY_BYTES / events
    return Traffic(events, wire, shards_for(expected.events_per_second, events, wire, BEST.aim))


def tiered(million: float, tiers: Tiers) -> float:
    """Price so many million requests of a month.

    >>> tiered(400, HTTP_MILLION)
    390.0
    """
    total = below = 0.0
    for upto, price in tiers:
        total += max(0.0, min(million, upto) - below) * price
        below = upto
    return total


def _front(way: Way, million: float, *, firewall: bool) -> float:
    """Price the requests, with the function and the firewall that stand before and behind a REST API only."""
    if not way.request:
        return 0.0
    requests = million / way.request
    more = way.function * (FUNCTION_MILLION + firewall * FIREWALL_MILLION)
    return (tiered(requests, way.tiers) + requests * more) / million


def _provisioned(put: Traffic, million: float) -> float:
    units = ceil(put.wire * put.events / UNIT) / put.events
    return put.shards * SHARD_HOUR * HOURS / million + units * PUT_UNITS_MILLION


def _on_demand(put: Traffic, million: float) -> float:
    billed = ceil(put.wire * put.events / WHOLE_KB) * WHOLE_KB / put.events
    return STREAM_HOUR * HOURS / million + (billed * STREAM_GB_IN + put.wire * STREAM_GB_OUT) * 1e6 / 1e9


def _consumer(put: Traffic, expected: Expected) -> float:
    """Price the invocations for a million events: as few as carry them, but one a window of each shard at least."""
    window = plan(expected, shards=put.shards).window_seconds
    a_second = expected.events_per_second / put.shards
    batch = max(1.0, min(invocation_events(put.events, put.wire), a_second * max(window, 1)))
    calls = 1e6 / batch
    busy = calls * CALL_SECONDS + 1e6 / CONSUMED_A_SECOND
    writes = calls * INVOCATION_PUTS / 1e3 * S3_THOUSAND_PUTS
    return busy * CONSUMER_GB * LAMBDA_GB_SECOND + calls / 1e6 * LAMBDA_MILLION_REQUESTS + writes


RATES = (1, 10, 100, 1_000, 10_000, 100_000)
CAPACITIES = (PROVISIONED, ON_DEMAND)


def table(config: Config, rate: int) -> str:
    """Write what a million events cost by each way, part by part."""
    lines = ["| way in | capacity | in a record | bytes | shards | front | stream | consumer | total |"]
    lines.append("|---|---|" + "---:|" * 7)
    for way in WAYS:
        put = traffic(replace(config.expected, events_per_second=rate, framed=way.framed), way)
        for capacity in CAPACITIES:
            found = cost(config, way, rate, capacity)
            shards = put.shards if capacity == PROVISIONED else ""
            lines.append(
                f"| {way.name} | {capacity} | {put.events:,} | {put.wire:,.0f} | {shards} | {found.front:.4f} "
                f"| {found.stream:.4f} | {found.consumer:.4f} | {found.total:.4f} |"
            )
    return "\n".join(lines)


def arithmetic(config: Config, rate: int) -> str:
    """Show how the first line of the table comes about."""
    expected = replace(config.expected, events_per_second=rate, peak_events_per_second=rate, framed=True)
    put, found = traffic(expected, WAYS[0]), cost(config, WAYS[0], rate, PROVISIONED)
    units = ceil(put.wire * put.events / UNIT)
    return "\n".join(
        (
            f"frame     {put.events:,} events: {rate:,}/s of {expected.producers} producers in {LINGER_SECONDS} s",
            f"record    {put.events:,} x {put.wire:,.0f} bytes = {put.events * put.wire / 1024:,.1f} KB, "
            f"{units} of 25 KB",
            f"shards    {put.shards} x {SHARD_HOUR} an hour / {rate * 3600 / 1e6:,.2f} million events an hour "
            f"= {put.shards * SHARD_HOUR / (rate * 3600 / 1e6):.5f}",
            f"units     {units / put.events:.4f} an event x {PUT_UNITS_MILLION} a million "
            f"= {units / put.events * PUT_UNITS_MILLION:.5f}",
            f"consumer  1,769 MB for {CALL_SECONDS} s a call and {CONSUMED_A_SECOND:,} events/s, "
            f"{INVOCATION_PUTS} PUTs a call = {found.consumer:.5f}",
            f"together  {found.total:.5f} USD per million events",
        )
    )


def cheapest(config: Config, ways: Iterable[Way], rate: int) -> tuple[Way, str]:
    """Find the way and the capacity that cost the least at a rate; the first of equals."""
    choices = [(way, capacity) for way in ways for capacity in CAPACITIES]
    return min(choices, key=lambda choice: round(cost(config, choice[0], rate, choice[1]).total, 9))


def reigns(config: Config, ways: tuple[Way, ...], most: int = 200_000) -> list[tuple[int, str, str]]:
    """Say from what rate on which way and capacity are the cheapest, up to `most` events a second."""
    rates = sorted({*range(1, 200), *(int(1.02**step) for step in range(267, 1_000) if 1.02**step <= most)})
    firsts = [
        (next(same), way.name, capacity)
        for (way, capacity), same in groupby(rates, lambda rate: cheapest(config, ways, rate))
    ]
    return [(_exact(config, ways, rates, first), name, capacity) for first, name, capacity in firsts]


def _exact(config: Config, ways: tuple[Way, ...], rates: list[int], first: int) -> int:
    """Go back from a rate to the least one with the same winner, between it and the rate looked at before."""
    place = bisect_left(rates, first)
    low, winner = rates[place - 1] if place else first, cheapest(config, ways, first)
    while low + 1 < first:
        middle = (low + first) // 2
        low, first = (low, middle) if cheapest(config, ways, middle) == winner else (middle, first)
    return first
