"""What scaling shards costs and refuses, against static peak provisioning and on demand, over 30 days of random load.

Time is simulated, minute by minute: metrics come late, some never, a change of shards takes minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta, timezone
from math import ceil
from pathlib import Path

from domain.ingest.scaling import Change, Minute, Policy, decide
from domain.ingest.shards import SHARD_RECORDS
from stacks.cost import PUT_UNITS_MILLION, SHARD_HOUR, STREAM_GB_IN, STREAM_GB_OUT, STREAM_HOUR

SEED = 20261122
DAYS = 30
DAY_MINUTES = 24 * 60
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
REPORT = Path("build/benchmarks/scaling.json")
PLOT = Path("build/benchmarks/scaling.svg")

METRIC_MINUTES = 2
"""Minutes until CloudWatch shows what was counted in one."""

CHANGE_MINUTES = 3
"""Minutes of a change: "a few minutes" (API Reference, UpdateShardCount)."""

ON_DEMAND_SHARDS = 4
ON_DEMAND_MINUTES = 15
"""An on-demand stream takes twice its peak of 30 days, and doubles that within 15 minutes (Kinesis guide)."""

Load = Sequence[float]
"""Records of 1 KB a second, minute by minute."""


@dataclass(slots=True)
class Outcome:
    """How one way met a load: minutes in which it refused records, USD, and what it did."""

    way: str
    throttled: int = 0
    refused: float = 0.0
    dollars: float = 0.0
    longest: int = 0
    shards: list[int] = field(default_factory=list, repr=False)
    changes: list[Change] = field(default_factory=list, repr=False)
    _run: int = 0

    def minute(self, asked: float, capacity: float, shards: int = 0) -> float:
        """Count one minute; return the records a second that were taken."""
        taken = min(asked, capacity)
        short = asked > capacity
        self._run = self._run + 1 if short else 0
        self.longest = max(self.longest, self._run)
        self.throttled += short
        self.refused += (asked - taken) * 60
        self.shards.append(shards)
        return taken


def diurnal(chance: random.Random, days: int = DAYS) -> Iterator[float]:
    """Follow the sun: a trough at night, weekends at two thirds, growth, and noise."""
    for minute in range(days * DAY_MINUTES):
        day, hour = minute // DAY_MINUTES, minute % DAY_MINUTES / 60
        wave = 1 - math.cos(2 * math.pi * (hour - 3) / 24)
        week = 0.67 if day % 7 in (5, 6) else 1.0
        yield (600 + 4_000 * wave) * week * (1 + day / 100) * chance.lognormvariate(0, 0.06)


def spikes(chance: random.Random, days: int = DAYS) -> Iterator[float]:
    """Stay low, and leap without warning to up to thirty times that, for minutes or hours."""
    until, height = 0, 1.0
    for minute in range(days * DAY_MINUTES):
        if minute >= until:
            height = 1.0
            if chance.random() < 1.5 / DAY_MINUTES:
                until, height = minute + chance.randint(3, 150), chance.uniform(3, 30)
        yield 900 * height * chance.lognormvariate(0, 0.1)


def steps(chance: random.Random, days: int = DAYS) -> Iterator[float]:
    """Stay at a level for hours, then at another."""
    level, until = 2_000.0, 0
    for minute in range(days * DAY_MINUTES):
        if minute >= until:
            level, until = chance.choice((500, 1_500, 4_000, 9_000, 16_000)), minute + chance.randint(120, 2_400)
        yield level * chance.lognormvariate(0, 0.05)


def noise(chance: random.Random, days: int = DAYS) -> Iterator[float]:
    """Go nowhere, loudly: a random walk with bursts of single minutes."""
    height = 0.0
    for _ in range(days * DAY_MINUTES):
        height = 0.999 * height + chance.gauss(0, 0.02)
        yield 3_000 * math.exp(height) * chance.lognormvariate(0, 0.15)


LOADS: dict[str, Callable[[random.Random, int], Iterator[float]]] = {
    "diurnal": diurnal,
    "spikes": spikes,
    "steps": steps,
    "noise": noise,
}


def scaled(asked: Load, policy: Policy, missing: float = 0.02, seed: int = SEED) -> Outcome:
    """Run the scaler over a load; a share of the metric's points is missing, now and then for a quarter of an hour."""
    chance = random.Random(seed)  # noqa: S311  # a simulation
    outcome = Outcome("scaled")
    shards, changing = policy.floor, deque[tuple[int, int]]()
    history: deque[Minute] = deque(maxlen=int(policy.calm.total_seconds() / 60) + METRIC_MINUTES)
    pending: deque[Minute] = deque()
    dark = 0
    for number, rate in enumerate(asked):
        now = START + timedelta(minutes=number)
        if changing and changing[0][0] <= number:
            shards = changing.popleft()[1]
        taken = outcome.minute(rate, shards * SHARD_RECORDS, shards)
        dark = dark - 1 if dark else (15 if chance.random() < missing / 15 else 0)
        pending.append(Minute(now, taken * 60 * 1_000, taken * 60, (rate - taken) * 60))
        if dark or chance.random() < missing:
            pending.pop()
        while pending and pending[0].at <= now - timedelta(minutes=METRIC_MINUTES):
            history.append(pending.popleft())
        if changing:
            continue  # the stream is UPDATING
        decision = decide(now, shards, history, outcome.changes[-10:], policy)
        if decision.target is not None:
            outcome.changes.append(Change(now, shards, decision.target, decision.skewed))
            changing.append((number + CHANGE_MINUTES, decision.target))
    outcome.dollars = provisioned(outcome.shards, asked)
    return outcome


def oracle(asked: Load, policy: Policy) -> Outcome:
    """Have, each minute, the shards that the minute needs: no scaler refuses less within the same bounds."""
    outcome = Outcome("oracle")
    for rate in asked:
        shards = min(policy.ceiling, max(policy.floor, ceil(rate / SHARD_RECORDS)))
        outcome.minute(rate, shards * SHARD_RECORDS, shards)
    outcome.dollars = provisioned(outcome.shards, asked)
    return outcome


def static(asked: Load, headroom: float = 0.75) -> Outcome:
    """Provide for the peak, known in advance, at the same headroom, all the time."""
    outcome = Outcome("static peak")
    shards = ceil(max(asked) / SHARD_RECORDS / headroom)
    for rate in asked:
        outcome.minute(rate, shards * SHARD_RECORDS, shards)
    outcome.dollars = provisioned(outcome.shards, asked)
    return outcome


def on_demand(asked: Load) -> Outcome:
    """Let AWS do it: twice the peak that the stream has seen, reached 15 minutes after it is needed."""
    outcome = Outcome("on demand")
    capacity, grows = ON_DEMAND_SHARDS * SHARD_RECORDS, 0
    for number, rate in enumerate(asked):
        if grows and number >= grows:
            capacity, grows = 2 * capacity, 0
        outcome.minute(rate, capacity)
        if rate > capacity / 2 and not grows:
            grows = number + ON_DEMAND_MINUTES
    gigabytes = sum(asked) * 60 * 1_024 / 1e9
    outcome.dollars = STREAM_HOUR * len(asked) / 60 + gigabytes * (STREAM_GB_IN + STREAM_GB_OUT)
    return outcome


def provisioned(shards: Sequence[int], asked: Load) -> float:
    """Price shards and payload units; a record of 1 KB is one unit."""
    return sum(shards) / 60 * SHARD_HOUR + sum(asked) * 60 / 1e6 * PUT_UNITS_MILLION


def compared(name: str, policy: Policy, days: int, seed: int) -> list[Outcome]:
    """Meet one load in every way."""
    asked = list(LOADS[name](random.Random(seed), days))  # noqa: S311  # a simulation
    return [scaled(asked, policy, seed=seed), oracle(asked, policy), static(asked), on_demand(asked)]


def table(found: dict[str, list[Outcome]]) -> str:
    """Write what each way refused and cost."""
    head = "| load | way | minutes refused | longest run | refused | mean shards | changes a day | USD | of static |"
    lines = [head, "|---|---|" + "---:|" * 7]
    for name, outcomes in found.items():
        peak = next(each for each in outcomes if each.way == "static peak")
        for each in outcomes:
            minutes = len(each.shards)
            changes = f"{len(each.changes) / minutes * DAY_MINUTES:.1f}" if each.way == "scaled" else ""
            mean = f"{sum(each.shards) / minutes:.1f}" if sum(each.shards) else ""
            lines.append(
                f"| {name} | {each.way} | {each.throttled:,} ({each.throttled / minutes:.2%}) | {each.longest} "
                f"| {each.refused:,.0f} | {mean} | {changes} "
                f"| {each.dollars:,.0f} | {each.dollars / peak.dollars:.0%} |"
            )
    return "\n".join(lines)


def plot(found: Mapping[str, list[Outcome]], loads: Mapping[str, Load], days: int = 7) -> str:
    """Draw a week of each load, in shards, with the scaler's count and the static peak, as SVG."""
    width, height, gap = 960, 150, 40
    parts = []
    for row, (name, outcomes) in enumerate(found.items()):
        top, minutes = row * (height + gap) + 24, days * DAY_MINUTES
        most = max(max(each.shards[:minutes]) for each in outcomes if each.way != "on demand")
        lines: dict[str, Sequence[float]] = {
            "#bbb": [rate / SHARD_RECORDS for rate in loads[name][:minutes]],
            "#c33": outcomes[0].shards[:minutes],
            "#339": outcomes[2].shards[:minutes],
        }
        parts.append(
            f'<text x="4" y="{top - 8}">{name}: load (grey), scaled (red), static peak (blue), in shards</text>'
        )
        for colour, values in lines.items():
            some = values[::5]
            points = " ".join(
                f"{place * width / len(some):.1f},{top + height - value / most * height:.1f}"
                for place, value in enumerate(some)
            )
            parts.append(f'<polyline fill="none" stroke="{colour}" points="{points}"/>')
    whole = len(found) * (height + gap) + 10
    body = "\n".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{whole}" font-size="12">\n{body}\n</svg>\n'


def main() -> None:
    """Simulate, print the table, keep the figures and the plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=DAYS)
    parser.add_argument("--seed", type=int, default=SEED)
    asked = parser.parse_args()
    policy = Policy(floor=2, ceiling=64)
    found = {name: compared(name, policy, asked.days, asked.seed) for name in LOADS}
    loads = {name: list(make(random.Random(asked.seed), asked.days)) for name, make in LOADS.items()}  # noqa: S311
    print(f"{asked.days} days, {policy.floor} to {policy.ceiling} shards, records of 1 KB, seed {asked.seed}\n")
    print(table(found))
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    PLOT.write_text(plot(found, loads))
    kept = {
        name: [{k: v for k, v in asdict(each).items() if k not in ("shards", "changes", "_run")} for each in outcomes]
        for name, outcomes in found.items()
    }
    REPORT.write_text(json.dumps({"seed": asked.seed, "days": asked.days, "figures": kept}, indent=1))
    print(f"\nplot: {PLOT}")


if __name__ == "__main__":
    main()
