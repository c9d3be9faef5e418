from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from domain.experiment.ope import (
    InvalidLog,
    Log,
    Value,
    direct,
    doubly_robust,
    inverse_propensity,
    self_normalized,
    switch_doubly_robust,
)

SEED = 20260301
ARMS = np.array([0.2, 0.5, 0.35])
"""Reward of each arm in a context of nought; a context moves the middle one."""


def any_log(seed: int, size: int = 2_000, wrong: float = 0.0) -> tuple[Log, float]:
    """A log of a softmax policy, a new policy that prefers the middle arm, and the new policy's true value."""
    random = np.random.default_rng(seed)
    context = random.uniform(-1, 1, size)
    truth = np.clip(ARMS + np.outer(context, [0.1, 0.3, 0.0]), 0, 1)
    logging = np.exp(np.column_stack([context, -context, 0 * context]))
    logging /= logging.sum(axis=1, keepdims=True)
    target = np.tile([0.1, 0.7, 0.2], (size, 1))
    chosen = (random.random(size)[:, None] > logging.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    rewards = (random.random(size) < truth[np.arange(size), chosen]).astype(float)
    propensities = logging[np.arange(size), chosen]
    value = float(np.array([0.1, 0.7, 0.2]) @ ARMS)  # contexts are centred and nothing is clipped
    return Log(chosen, propensities, rewards, target, truth + wrong), value


@pytest.mark.parametrize("estimator", [doubly_robust, inverse_propensity, self_normalized])
def test_intervals_hold_the_truth_as_often_as_they_say(estimator: Callable[[Log], Value]) -> None:
    """200 replications; 95 % within four binomial standard errors, and no bias beyond three of the mean's."""
    found = [(estimator(log), value) for log, value in (any_log(SEED + run) for run in range(200))]
    inside = np.mean([value.low <= truth <= value.high for value, truth in found])
    away = np.array([value.estimate - truth for value, truth in found])

    assert inside == pytest.approx(0.95, abs=4 * math.sqrt(0.05 * 0.95 / 200))
    assert abs(away.mean()) < 3 * away.std() / math.sqrt(200)


def test_a_wrong_model_biases_the_direct_method_and_not_the_doubly_robust() -> None:
    log, value = any_log(SEED, 20_000, wrong=0.2)

    assert direct(log).estimate - value == pytest.approx(0.2, abs=0.01)
    assert doubly_robust(log).estimate == pytest.approx(value, abs=4 * doubly_robust(log).standard_error)


def test_a_good_model_makes_the_doubly_robust_s_error_smaller() -> None:
    log, _ = any_log(SEED)

    assert doubly_robust(log).standard_error < inverse_propensity(log).standard_error


def test_switching_trusts_the_model_where_ratios_are_high() -> None:
    log, _ = any_log(SEED)

    assert switch_doubly_robust(log, threshold=0.0).estimate == pytest.approx(direct(log).estimate)
    assert switch_doubly_robust(log, threshold=1e9).estimate == doubly_robust(log).estimate


def test_the_policy_that_logged_has_its_mean_reward_for_value() -> None:
    log, _ = any_log(SEED)
    target = np.tile(log.propensities[:, None], (1, 3))
    target = np.where(np.arange(3) == log.chosen[:, None], target, (1 - target) / 2)
    same = replace(log, target=target)

    assert inverse_propensity(same).estimate == pytest.approx(log.rewards.mean())
    assert inverse_propensity(same).effective == pytest.approx(len(log.rewards))


def test_a_log_that_never_did_what_the_policy_would_has_no_overlap() -> None:
    log, _ = any_log(SEED)
    never = np.zeros_like(log.target)
    never[:, 1] = 1
    cut = log.chosen != 1
    blind = Log(log.chosen[cut], log.propensities[cut], log.rewards[cut], never[cut])

    assert inverse_propensity(log).has_overlap
    assert not inverse_propensity(blind).has_overlap
    with pytest.raises(InvalidLog, match="would never choose"):
        self_normalized(blind)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"propensities": np.array([0.5, 0.0])}, "propensity 1 is 0.0"),
        ({"propensities": np.array([1.5, 0.5])}, "propensity 0 is 1.5"),
        ({"rewards": np.array([1.0, np.nan])}, "reward 1 is not finite"),
        ({"target": np.array([[0.5, 0.4], [1, 0]])}, "do not sum to one"),
        ({"rewards": np.array([])}, "no decisions"),
    ],
)
def test_a_log_that_cannot_be_is_refused(changes: dict[str, np.ndarray], said: str) -> None:
    sound = {
        "chosen": np.array([0, 1]),
        "propensities": np.array([0.5, 0.5]),
        "rewards": np.array([0.0, 1.0]),
        "target": np.array([[0.5, 0.5], [1.0, 0.0]]),
    }
    with pytest.raises(InvalidLog, match=said):
        Log(**{**sound, **changes})
    with pytest.raises(InvalidLog, match="give `predicted`"):
        direct(Log(**sound))


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (Log(np.array([0]), np.array([0.5]), np.array([1.0]), np.full((1, 2), 0.5)), "the log has 1 decision"),
        (Log(np.array([0, 1]), np.array([1e-300, 0.5]), np.ones(2), np.eye(2)), "which no double holds"),
    ],
)
def test_an_interval_that_no_double_holds_is_refused(log: Log, said: str) -> None:
    with pytest.raises(InvalidLog, match=said):
        inverse_propensity(log)


@pytest.mark.parametrize("wrong", [{"alpha": 2.0}, {"alpha": math.nan}, {"threshold": math.nan}, {"threshold": -1.0}])
def test_a_level_or_threshold_that_is_none_is_refused(wrong: dict[str, float]) -> None:
    log = Log(np.array([0, 1]), np.full(2, 0.5), np.array([1.0, 0.0]), np.eye(2), np.zeros((2, 2)))
    with pytest.raises(InvalidLog, match=f"{next(iter(wrong))} is"):
        switch_doubly_robust(log, **wrong)
