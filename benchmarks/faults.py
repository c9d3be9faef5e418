"""Is every record accounted for and every event curated once, whatever fails?  Seeds of faults over both brokers.

    python -m benchmarks faults --seeds 200             # both brokers
    python -m benchmarks faults --seed 17 --broker kafka   # one seed again, just as it was
    python -m benchmarks faults --seeds 0 --real 20     # over a real Kafka broker

A seed decides everything: what producers send, how shards are cut, who dies when, and who goes first at every call of
S3, Glue and the broker.  The handlers and the producer are the deployed ones, the tables are Iceberg's; see
docs/exactly-once.md.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import count, product
from multiprocessing import get_context
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from benchmarks import bars
from local.kafka.broker import start
from tests.faults.claims import hold
from tests.faults.play import BROKERS, Play
from tests.faults.real import over_kafka
from tests.faults.strikes import Strikes

SEEDS = 200
EVERY_WRITE = ("kill before", "kill after", "lose answer")
SAID = ("received", "landed", "quarantined", "duplicates", "sent", "receipts")
SAY_EVERY = 20


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one seed."""

    broker: str
    seed: int
    account: dict[str, int] = field(default_factory=dict)
    struck: dict[str, int] = field(default_factory=dict)
    turns: int = 0
    seconds: float = 0.0
    failure: str = ""


def played(broker: str, seed: int) -> Outcome:
    """Play one seed in memory."""
    return held(Play(seed, broker), broker, seed)


def held(play: Play, broker: str, seed: int) -> Outcome:
    """Play what was prepared, and hold it against every claim."""
    began = time.perf_counter()
    try:
        with play.played():
            account = hold(play)
    except Exception:  # the table tells which seed failed and how
        return Outcome(broker, seed, failure=traceback.format_exc())
    seconds = time.perf_counter() - began
    sent = {what: number for what, number in play.producer.ledger.sent.items() if " " in what}
    skewed = {"consumers' clocks off": 1} if play.manners.skew else {}
    return Outcome(broker, seed, account, {**play.struck.struck, **sent, **skewed}, play.turns.count, seconds)


def every_write(kind: str) -> Counter[str]:
    """Let one fault strike write after write of a short play; return how often it struck where."""
    places: Counter[str] = Counter()
    for nth in count(1):
        strikes = Strikes(Random(nth), {}, nth=(nth, kind))  # noqa: S311  # a reproducible fault
        with Play(7, strikes=strikes, records=6).played() as play:
            hold(play)
        if nth > strikes.writes:
            return places
        places.update({what: number for what, number in strikes.struck.items() if what.startswith(kind)})
    raise AssertionError("writes end")


def outcomes(brokers: list[str], seeds: list[int], processes: int) -> Iterator[Outcome]:
    """Play all seeds, in several processes, and say how far it has come."""
    wanted = list(product(brokers, seeds))
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for number, outcome in enumerate(pool.map(played, *zip(*wanted, strict=True)), start=1):
            if outcome.failure or number % SAY_EVERY == 0:
                word = "FAILED" if outcome.failure else "holds"
                print(f"  {number:,} of {len(wanted):,}: {outcome.broker}, seed {outcome.seed} {word}", flush=True)
            yield outcome


def over_a_real_broker(seeds: int) -> Iterator[Outcome]:
    """Play seeds over a Kafka broker that runs here; arrivals are by its clock, so no seed repeats to the turn."""
    with TemporaryDirectory() as folder:
        running = start(Path(folder))
        try:
            for seed in range(seeds):
                yield held(over_kafka(seed, running.bootstrap, f"faults-{seed}"), "real kafka", seed)
        finally:
            running.stop()


def table(found: list[Outcome]) -> Iterator[str]:
    """Sum the seeds up, broker by broker."""
    yield (
        f"{'broker':10}{'seeds':>7}{'failed':>8}"
        + "".join(f"{name:>13}" for name in SAID)
        + f"{'turns':>11}{'s a seed':>10}"
    )
    for broker in dict.fromkeys(outcome.broker for outcome in found):
        some = [outcome for outcome in found if outcome.broker == broker]
        sums = [sum(outcome.account.get(name, 0) for outcome in some) for name in SAID]
        failed = sum(bool(outcome.failure) for outcome in some)
        seconds = sum(outcome.seconds for outcome in some) / len(some)
        turns = sum(outcome.turns for outcome in some)
        numbers = "".join(f"{number:13,}" for number in sums)
        yield f"{broker:10}{len(some):7,}{failed:8,}{numbers}{turns:11,}{seconds:10.2f}"


def held_bars(found: list[Outcome]) -> Iterator[bars.Bar]:
    """Say for each broker how many of its seeds held."""
    for broker in dict.fromkeys(outcome.broker for outcome in found):
        some = [outcome for outcome in found if outcome.broker == broker]
        yield bars.Bar(f"seeds that hold, {broker}", sum(not each.failure for each in some), len(some), unit="seeds")


def strikes(found: list[Outcome]) -> Iterator[str]:
    """Say how often each fault struck."""
    names = list(dict.fromkeys(outcome.broker for outcome in found))
    struck = {name: sum((Counter(each.struck) for each in found if each.broker == name), Counter()) for name in names}
    yield f"{'fault':42}" + "".join(f"{name:>10}" for name in names)
    for what in sorted(set().union(*struck.values())):
        yield f"{what:42}" + "".join(f"{struck[name][what]:10,}" for name in names)


def main() -> int:
    """Play the seeds asked for; return how many failed."""
    parser = argparse.ArgumentParser(prog="benchmarks faults", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many, from 0")
    parser.add_argument("--seed", type=int, help="one only")
    parser.add_argument("--broker", choices=BROKERS, help="one only")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--real", type=int, default=0, help="how many seeds over a real Kafka broker too")
    asked = parser.parse_args()
    seeds = list(range(asked.seeds)) if asked.seed is None else [asked.seed]
    brokers = [asked.broker] if asked.broker else list(BROKERS)
    print(f"faults: {len(seeds)} seeds over {' and '.join(brokers)}", flush=True)
    found = [*(outcomes(brokers, seeds, asked.processes) if seeds else ()), *over_a_real_broker(asked.real)]
    failed = [outcome for outcome in found if outcome.failure]
    for outcome in failed[:5]:
        print(f"\n{outcome.broker}, seed {outcome.seed}:\n{outcome.failure}", file=sys.stderr)
    print("", *table(found), "", *strikes(found), sep="\n")
    if asked.seed is None and seeds:
        for kind in EVERY_WRITE:
            places = every_write(kind)
            said = ", ".join(f"{what.partition(': ')[2]} {number}" for what, number in sorted(places.items()))
            print(f"\n{kind}, at each of {places.total()} writes of a short play: all claims hold ({said})", flush=True)
    if asked.seed is None:
        bars.keep("faults", list(held_bars(found)), seeds=[asdict(outcome) for outcome in found])
    return len(failed)


if __name__ == "__main__":
    sys.exit(min(main(), 100))
