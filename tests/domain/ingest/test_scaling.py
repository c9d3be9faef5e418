"""What the scaler of shards promises: Kinesis's limits, its own bounds, and growth that is never out of reach."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from itertools import groupby, pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from benchmarks.scaling import CHANGE_MINUTES, DAY_MINUTES, METRIC_MINUTES, START, Outcome, oracle, scaled
from domain.ingest.scaling import (
    MOST_CHANGES,
    Change,
    Decision,
    InvalidPolicy,
    Minute,
    Policy,
    bounded,
    decide,
    doublings,
    left,
)
from domain.ingest.shards import SHARD_RECORDS

EXAMPLES = int(os.environ.get("SCALING_EXAMPLES", "5"))
NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
POLICY = Policy(floor=2, ceiling=64)
DARK_MINUTES = 40
"""What two outages of the metrics of a quarter of an hour, and single missing points, may add to a run of refusals."""

PIECES = st.tuples(
    st.sampled_from(("level", "spike", "wave", "ramp", "silence")),
    st.integers(1, 2_880),  # minutes
    st.floats(0, 100_000),  # records a second: beyond what 64 shards take, too
    st.floats(0, 0.5),  # noise
)


def any_load(pieces: Sequence[tuple[str, int, float, float]], minutes: int, seed: int) -> list[float]:
    """Repeat the pieces until the time is full."""
    chance, found, place = Random(seed), list[float](), 0
    while len(found) < minutes:
        kind, length, level, loud = pieces[place % len(pieces)]
        for number in range(length):
            share = {
                "level": 1.0,
                "spike": float(number % 97 < 4),
                "wave": (1 + (number % DAY_MINUTES - 720) / 720) / 2,
                "ramp": number / length,
                "silence": 0.0,
            }[kind]
            found.append(level * share * chance.lognormvariate(0, loud))
        place += 1
    return found[:minutes]


def runs(asked: Sequence[float], outcome: Outcome, ceiling: int) -> list[int]:
    """Measure the runs of minutes in which records were refused that the ceiling could have taken."""
    short = [
        shards * SHARD_RECORDS < rate <= ceiling * SHARD_RECORDS
        for rate, shards in zip(asked, outcome.shards, strict=True)
    ]
    return [len(list(some)) for refused, some in groupby(short) if refused]


def hold(asked: Sequence[float], policy: Policy, seed: int) -> Outcome:
    """Run a load and hold every promise against what came of it."""
    outcome = scaled(asked, policy, seed=seed)
    moments = [change.at for change in outcome.changes]

    for change in outcome.changes:
        assert policy.floor <= change.after <= policy.ceiling
        assert change.before <= 2 * change.after
        assert change.after <= 2 * change.before
        assert change.after != change.before
        assert sum(change.at - timedelta(hours=24) <= at <= change.at for at in moments) <= MOST_CHANGES
        assert left(change.at, [c for c in outcome.changes if c.at <= change.at]) >= doublings(
            change.after, policy.ceiling
        )
    for one, other in pairwise(outcome.changes):
        if other.after < other.before:
            assert other.at - one.at >= policy.calm
    bound = doublings(policy.floor, policy.ceiling) * (METRIC_MINUTES + CHANGE_MINUTES + 1) + DARK_MINUTES
    assert max(runs(asked, outcome, policy.ceiling), default=0) <= bound
    assert oracle(asked, policy).dollars <= outcome.dollars
    return outcome


@pytest.mark.slow
@given(st.lists(PIECES, min_size=1, max_size=8), st.integers(0, 2**32), st.integers(1, 9), st.integers(0, 7))
@example([("spike", 2_880, 60_000.0, 0.3)], 1, 2, 5)
@example([("wave", 2_880, 30_000.0, 0.1)], 2, 3, 4)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_thirty_days_of_any_load_keep_every_limit_and_refuse_only_while_growing(
    pieces: list[tuple[str, int, float, float]], seed: int, floor: int, powers: int
) -> None:
    policy = Policy(floor=floor, ceiling=floor << powers)

    hold(any_load(pieces, 30 * DAY_MINUTES, seed), policy, seed)


@given(st.lists(PIECES, min_size=1, max_size=8), st.integers(0, 2**32), st.integers(1, 9), st.integers(1, 300))
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_day_of_any_load_keeps_every_limit_with_odd_bounds_too(
    pieces: list[tuple[str, int, float, float]], seed: int, floor: int, more: int
) -> None:
    hold(any_load(pieces, DAY_MINUTES, seed), Policy(floor=floor, ceiling=floor + more), seed)


@pytest.mark.parametrize("level", [900, 1_490, 1_510, 7_000, 40_000])
def test_a_load_that_stays_is_found_once_and_left_alone(level: int) -> None:
    asked = any_load([("level", 1_440, float(level), 0.04)], 2 * DAY_MINUTES, seed=level)

    outcome = hold(asked, POLICY, seed=7)

    assert all(change.after > change.before for change in outcome.changes[:-1])
    assert [c for c in outcome.changes if c.at > START + timedelta(hours=6)] == []
    assert not [rate for rate, n in list(zip(asked, outcome.shards, strict=True))[360:] if rate > n * SHARD_RECORDS]


def test_an_idle_stream_comes_down_to_its_floor() -> None:
    asked = [*any_load([("level", 400, 30_000.0, 0.0)], 400, 1), *[0.0] * 2 * DAY_MINUTES]

    assert hold(asked, POLICY, seed=3).shards[-1] == POLICY.floor


def minutes(records: float, *, bytes: float | None = None, refused: float = 0, last: int = 120) -> list[Minute]:
    """Say that each of the last minutes took so many records and bytes a second."""
    size = records * 100 if bytes is None else bytes
    return [Minute(NOW - timedelta(minutes=ago), size * 60, records * 60, refused * 60) for ago in range(last)]


def earlier(*hours: float, before: int = 8, after: int = 16, **said: Any) -> list[Change]:
    return [Change(NOW - timedelta(hours=ago), before, after, **said) for ago in sorted(hours, reverse=True)]


def decided(history: list[Minute], shards: int = 8, changes: Sequence[Change] = (), **said: Any) -> Decision:
    return decide(NOW, shards, history, changes, Policy(**{"floor": 2, "ceiling": 64, **said}))


@pytest.mark.parametrize(
    ("history", "target"),
    [
        (minutes(5_000), None),
        (minutes(6_100), 12),  # of records: 6.1 / 0.6 is 10.2, the next quarter is 12
        (minutes(100, bytes=6_100_000), 12),  # of bytes
        (minutes(7_900), 14),
        (minutes(8_000, refused=900), 16),
        (minutes(5_000, refused=1), 10),  # refused well below the limits of all: shards are not hit alike
    ],
)
def test_a_stream_grows_on_bytes_records_or_refusals(history: list[Minute], target: int | None) -> None:
    assert decided(history).target == target


def test_one_loud_minute_is_enough_to_grow_and_not_enough_to_stay_large() -> None:
    loud = [*minutes(1_000), Minute(NOW, 0, 7_000 * 60)]

    assert decided(loud).target == 12
    assert decided(minutes(1_000)).target == 4


def test_refusals_of_a_quiet_stream_are_a_hot_key_and_tried_with_shards_once_a_day() -> None:
    history = minutes(1_000, refused=10)

    first, again = decided(history), decided(history, changes=earlier(5, skewed=True))

    assert (first.target, first.skewed) == (16, True)
    assert (again.target, again.skewed) == (None, True)
    assert "salting" in again.reason


def test_refusals_from_before_a_change_do_not_make_another() -> None:
    history = minutes(8_000, refused=4_000, last=10)

    assert decided(history, shards=16, changes=earlier(1 / 60)).target is None
    assert decided(history, shards=16, changes=earlier(1)).target == 20


def test_shrinking_waits_until_all_has_been_calm_since_the_last_change() -> None:
    assert decided(minutes(1_000), changes=earlier(1.4)).target is None
    assert decided(minutes(1_000), changes=earlier(1.6)).target == 4
    assert decided([*minutes(1_000), Minute(NOW - timedelta(minutes=80), 0, 5_500 * 60)]).target is None


def test_changes_are_kept_for_growth_to_the_ceiling() -> None:
    """From 4 shards 64 are four doublings away: a change that left three would not be made."""
    assert decided(minutes(1_000), changes=earlier(2, 3, 4, 5, 6)).target == 4
    assert decided(minutes(1_000), changes=earlier(2, 3, 4, 5, 6, 7)).target is None


def test_the_last_changes_go_as_far_as_the_ceiling_asks() -> None:
    """With two left from 16, a first step to less than 32 would make 64 unreachable."""
    assert decided(minutes(12_100), shards=16, changes=earlier(*range(1, 9))).target == 32
    assert decided(minutes(12_100), shards=16).target == 24


def test_growth_that_may_not_be_had_says_so() -> None:
    spent = decided(minutes(7_000), changes=earlier(*range(1, 11)), ceiling=8, floor=2)
    ceiling = decided(minutes(64_000, refused=900), shards=64)

    assert (spent.target, ceiling.target) == (None, None)
    assert (ceiling.starved, "ceiling" in ceiling.reason) == (True, True)


@pytest.mark.parametrize(("shards", "target"), [(1, 2), (200, 100), (70, 64)])
def test_a_stream_outside_its_bounds_comes_back_step_by_step(shards: int, target: int) -> None:
    assert decided(minutes(500), shards=shards).target == target


def test_a_change_counts_for_a_day_and_a_minute() -> None:
    assert left(NOW, earlier(24.0)) == MOST_CHANGES - 1
    assert left(NOW, earlier(24.1)) == MOST_CHANGES


def test_the_account_s_room_lowers_the_ceiling() -> None:
    assert bounded(POLICY, shards=8, room=5).ceiling == 13
    assert bounded(POLICY, shards=8, room=500) == POLICY
    assert decide(NOW, 8, minutes(7_900), (), bounded(POLICY, 8, 2)).target == 10


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"floor": 0, "ceiling": 4}, "Policy.floor is 0"),
        ({"floor": 9, "ceiling": 4}, "Policy.floor is 9; allowed: from 1 to the ceiling, 4"),
        ({"floor": 1, "ceiling": 1_025}, "Policy.ceiling is 1025; allowed: to 1024, ten doublings of the floor"),
        ({"floor": 1, "ceiling": 4, "aim": 0.8}, "Policy.aim is 0.8; allowed: between skew 0.4 and high 0.75"),
    ],
)
def test_a_policy_that_cannot_be_kept_is_refused(said: dict[str, Any], found: str) -> None:
    with pytest.raises(InvalidPolicy) as refused:
        Policy(**said)

    assert found in str(refused.value)
