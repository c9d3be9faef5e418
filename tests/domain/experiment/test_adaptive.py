from __future__ import annotations

import math

import numpy as np
import pytest

from domain.experiment.adaptive import Estimate, arm_means, difference, scores
from domain.experiment.ope import InvalidLog

SEED = 20260301
FLOOR = 0.05


def any_run(seed: int, means: tuple[float, ...] = (0.5, 0.5), batches: int = 20, batch: int = 50) -> tuple:  # type: ignore[type-arg]
    """Decisions of a Thompson bandit over coins, refreshed each batch by 200 draws, each arm with a floor."""
    random, arms = np.random.default_rng(seed), len(means)
    pulls, hits = np.zeros(arms), np.zeros(arms)
    chosen, shares, rewards = [], [], []
    for _ in range(batches):
        best = random.beta(1 + hits, 1 + pulls - hits, size=(200, arms)).argmax(axis=1)
        weights = FLOOR + (1 - FLOOR * arms) * np.bincount(best, minlength=arms) / 200
        taken = random.choice(arms, size=batch, p=weights)
        earned = (random.random(batch) < np.array(means)[taken]).astype(float)
        pulls += np.bincount(taken, minlength=arms)
        hits += np.bincount(taken, weights=earned, minlength=arms)
        chosen.append(taken)
        shares.append(np.tile(weights, (batch, 1)))
        rewards.append(earned)
    return np.concatenate(chosen), np.concatenate(shares), np.concatenate(rewards)


def test_a_score_is_the_mean_before_it_and_corrects_the_chosen_arm_alone() -> None:
    gained = scores(np.array([0, 1, 0]), np.full((3, 2), 0.5), np.array([1.0, 4.0, 3.0]))

    assert gained.tolist() == [[2.0, 0.0], [1.0, 8.0], [5.0, 4.0]]


def test_even_propensities_weigh_every_decision_alike() -> None:
    chosen, rewards = np.array([0, 1, 0, 1]), np.array([1.0, 2.0, 1.0, 4.0])
    shares = np.full((4, 2), 0.5)

    first, second = arm_means(chosen, shares, rewards)
    assert first.mean == pytest.approx(scores(chosen, shares, rewards)[:, 0].mean())
    assert second.mean == pytest.approx(scores(chosen, shares, rewards)[:, 1].mean())


@pytest.mark.slow
def test_means_of_a_bandit_s_arms_are_covered_where_plain_means_are_biased() -> None:
    """1,000 runs of two equal coins; 95 % within four binomial errors; scores without bias beyond four of theirs."""
    runs = [any_run(SEED + run) for run in range(1_000)]
    found = [arm_means(*run)[0] for run in runs]
    plain = np.array([rewards[chosen == 0].mean() - 0.5 for chosen, _, rewards in runs])
    away = np.array([scores(*run)[:, 0].mean() - 0.5 for run in runs])

    inside = np.mean([estimate.low <= 0.5 <= estimate.high for estimate in found])
    assert inside == pytest.approx(0.95, abs=4 * math.sqrt(0.05 * 0.95 / 1_000))
    assert abs(away.mean()) < 4 * away.std() / math.sqrt(1_000) < abs(plain.mean())


def test_an_interval_for_every_look_is_wider_than_one_for_one_look() -> None:
    chosen, shares, rewards = any_run(SEED, (0.3, 0.6), batches=60)

    found: Estimate = difference(chosen, shares, rewards, control=0, arm=1, planned=3_000)
    assert found.low < 0.3 < found.high
    assert found.high - found.mean > 1.96 * found.standard_error


def test_a_sequence_does_not_start_with_a_handful() -> None:
    chosen, shares, rewards = any_run(SEED, batches=2)

    with pytest.raises(InvalidLog, match=r"arm 0 was chosen \d\d times; a sequence starts with 100"):
        difference(chosen, shares, rewards, control=0, arm=1, planned=1_000)


@pytest.mark.parametrize(
    ("chosen", "shares", "rewards", "said"),
    [
        ([], np.empty((0, 2)), [], "no decisions"),
        ([0, 1], [[0.5, 0.5], [1.0, 0.0]], [1.0, 1.0], "propensity of arm 1 at decision 1 is 0.0"),
        ([0, 1], [[0.5, 0.5], [0.5, 0.5]], [1.0, math.nan], "reward 1 is not finite"),
        ([0, 0], [[0.5, 0.5], [0.5, 0.5]], [1.0, 1.0], r"arms \[1\] were never chosen"),
    ],
)
def test_a_log_that_says_nothing_of_an_arm_is_refused(
    chosen: object, shares: object, rewards: object, said: str
) -> None:
    with pytest.raises(InvalidLog, match=said):
        arm_means(np.array(chosen, dtype=int), np.array(shares), np.array(rewards, dtype=float))
