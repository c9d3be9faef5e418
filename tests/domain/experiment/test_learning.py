from __future__ import annotations

import random
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.experiment.learning import (
    ALWAYS,
    Count,
    Feedback,
    Kept,
    bucket,
    counted,
    oldest_bucket,
    refusal,
    shares,
    tallies,
)
from domain.experiment.policies import BetaThompson
from domain.experiment.policies.policy import Tally
from domain.experiments import EXPERIMENTS, RANKING

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
DRIFTING = replace(RANKING, half_life_hours=6.0)
REWARD = Feedback("r-1", "u-1", "ranking", "recent", 1.0)
KEPT = Kept("recent", 0.5, NOW)


@given(st.lists(st.floats(0, 1), max_size=50), st.randoms())
def test_sums_are_the_same_in_any_order(values: list[float], chance: random.Random) -> None:
    shuffled = values[:]
    chance.shuffle(shuffled)

    assert sum(map(counted, values), Count()) == sum(map(counted, shuffled), Count())


def test_a_count_is_the_tally_that_policies_know() -> None:
    assert (counted(0.25) + counted(1.0)).tally() == Tally(2, 1.25, 1.0625)


@pytest.mark.parametrize(
    ("feedback", "decision", "reason"),
    [
        (REWARD, KEPT, None),
        (REWARD._replace(value=None), KEPT, None),
        (REWARD._replace(experiment="none"), KEPT, "unknown_experiment"),
        (REWARD._replace(arm="gone"), KEPT, "unknown_arm"),
        (REWARD._replace(value=1.0001), KEPT, "out_of_range"),
        (REWARD._replace(value=-0.1), KEPT, "out_of_range"),
        (REWARD._replace(value=float("nan")), KEPT, "out_of_range"),
        (REWARD, None, "no_decision"),
        (REWARD._replace(arm="popular"), KEPT, "other_arm"),
    ],
)
def test_what_fits_no_decision_is_refused_with_its_reason(
    feedback: Feedback, decision: Kept | None, reason: str | None
) -> None:
    assert refusal(feedback, decision, EXPERIMENTS) == reason


def test_rewards_of_decisions_that_are_a_half_life_old_weigh_half() -> None:
    hours = [bucket(DRIFTING, NOW - timedelta(hours=age)) for age in (0, 6, 12)]

    found = tallies(DRIFTING, [(hour, {"recent": counted(1.0)}) for hour in hours], NOW)

    assert found["recent"] == Tally(1.75, 1.75, 1.75)
    assert found["popular"] == Tally()


def test_how_much_a_reward_weighs_does_not_depend_on_when_it_comes() -> None:
    decided = NOW - timedelta(hours=6, minutes=5)

    assert bucket(DRIFTING, decided) == bucket(DRIFTING, decided.replace(minute=1))
    assert bucket(RANKING, decided) == ALWAYS


def test_a_half_life_that_is_declared_or_taken_back_later_finds_the_counters() -> None:
    counts = [(ALWAYS, {"recent": counted(1.0)}), (bucket(DRIFTING, NOW), {"recent": counted(1.0)})]

    assert tallies(RANKING, counts, NOW)["recent"].pulls == 2
    assert tallies(DRIFTING, counts, NOW)["recent"].pulls == 1
    assert oldest_bucket(RANKING, NOW) < oldest_bucket(DRIFTING, NOW) < bucket(DRIFTING, NOW) < ALWAYS


def test_shares_are_the_policy_s_with_the_floor_and_without_frozen_arms() -> None:
    earned = {"popular": Tally(10, 1, 1), "recent": Tally(10, 5, 5), "personal": Tally(10, 9, 9)}
    frozen = replace(RANKING, frozen=("personal",), floor=0.1)

    found = shares(frozen, earned)

    popular, recent = BetaThompson().weights([earned["popular"], earned["recent"]])
    assert found == pytest.approx({"popular": 0.1 + 0.8 * popular, "recent": 0.1 + 0.8 * recent, "personal": 0.0})
    assert shares(replace(RANKING, frozen=("personal", "recent")), earned)["popular"] == 1.0


@given(st.lists(st.tuples(st.integers(0, 5000), st.floats(0, 1)), min_size=3, max_size=3))
def test_shares_sum_to_one_and_none_is_below_the_floor(earned: list[tuple[int, float]]) -> None:
    names = [arm.name for arm in RANKING.arms]
    found = shares(
        RANKING,
        {name: Tally(n, n * mean, n * mean) for name, (n, mean) in zip(names, earned, strict=True)},
    )

    assert sum(found.values()) == pytest.approx(1.0, abs=1e-12)
    assert min(found.values()) >= RANKING.floor * (1 - 1e-9)
