"""Exactly once from the broker to the curated tables, whatever fails: a few of `benchmarks/faults.py`'s seeds."""

from __future__ import annotations

from itertools import count
from random import Random

import pytest

from local.cloud import Cloud
from tests.faults.claims import hold
from tests.faults.play import BROKERS, Play
from tests.faults.real import over_kafka, over_the_laptop
from tests.faults.strikes import Strikes

pytestmark = pytest.mark.slow

SEEDS = range(4)


@pytest.mark.parametrize("broker", BROKERS)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_record_is_accounted_for_and_every_event_curated_once(seed: int, broker: str) -> None:
    with Play(seed, broker).played() as play:
        account = hold(play)

    assert account["received"] == account["landed"] + account["quarantined"] + account["duplicates"]


def test_a_seed_holds_over_a_real_kafka_broker(kafka: str) -> None:
    """Seed 5: its turns are the seed's, its batches those that a real client reads."""
    with over_kafka(5, kafka, "faults-5").played() as play:
        account = hold(play)

    assert account["landed"] > 0


def test_a_seed_ends_the_same_over_the_laptop_cloud_s_own_s3_and_glue(cloud: Cloud) -> None:
    """Seed 2: in the same turns, with the same account, as over the stores in memory."""
    with over_the_laptop(2, "kinesis", cloud, records=8) as play, play.played():
        account = hold(play)
    with Play(2, records=8).played() as other:
        assert hold(other) == account


def test_a_seed_plays_the_same_again() -> None:
    orders = set()
    for _ in range(2):
        with Play(3).played() as play:
            orders.add((play.turns.digest, play.turns.count))

    assert len(orders) == 1


@pytest.mark.parametrize("kind", ["kill before", "kill after"])
def test_a_death_at_any_write_loses_and_doubles_nothing(kind: str) -> None:
    """Write after write of a short play (seed 7, three records): data files, receipts, manifests, metadata, commits."""
    places: set[str] = set()
    for nth in count(1):
        strikes = Strikes(Random(nth), {}, nth=(nth, kind))
        with Play(7, strikes=strikes, records=3).played() as play:
            hold(play)
        if nth > strikes.writes:
            break
        places.update(what.partition(": ")[2] for what in strikes.struck if what.startswith(kind))

    assert places >= {"data file", "receipt", "manifest", "metadata", "commit"}
