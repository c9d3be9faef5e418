"""Estimate arms' mean rewards where a bandit chose how often each was seen: plain means are biased there.

An arm that a bandit leaves early keeps its unlucky start.  Each decision's score is unbiased given what was known when
it was made, and decisions are weighted so that their variances even out (Hadad, Hirshberg, Zhan, Wager and Athey 2021).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from domain.experiment.ope import InvalidLog, check_choices
from domain.experiment.sequential import always

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

FEWEST_EACH = 100
"""Decisions for an arm before a sequence starts: it holds in the limit, and a rare arm's scores are far from normal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """An arm's mean reward, or a difference of two, with its standard error and interval."""

    mean: float
    standard_error: float
    low: float
    high: float


def arm_means(chosen: NDArray[np.int64], propensities: Matrix, rewards: Vector, alpha: float = 0.05) -> list[Estimate]:
    """Estimate each arm's mean reward from decisions in the order in which they were made.

    `chosen` and `rewards` are (n,), `propensities` (n, k): every arm's probability at each decision, above 0 (give the
    policy a floor).  Weights are the propensities' roots, Hadad et al.'s constant allocation; intervals hold as n grows
    as long as no propensity falls faster than 1/n.  Raise InvalidLog where nothing can be estimated.
    """
    gained = scores(chosen, propensities, rewards)
    weights = np.sqrt(propensities)
    return [_weighted(gained[:, arm], weights[:, arm], alpha) for arm in range(propensities.shape[1])]


def difference(
    chosen: NDArray[np.int64],
    propensities: Matrix,
    rewards: Vector,
    *,
    control: int,
    arm: int,
    planned: float,
    alpha: float = 0.05,
) -> Estimate:
    """Estimate arm - control with an interval that holds at every look at once, whatever the policy did so far.

    The scores' difference is a martingale around the effect, so that the normal mixture follows it in its own variance
    (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024, section 2.5); it is tightest near `planned` decisions.
    Raise InvalidLog before each of the two was chosen FEWEST_EACH times.
    """
    gained = scores(chosen, propensities, rewards)
    for place in (control, arm):
        if (seen := int((chosen == place).sum())) < FEWEST_EACH:
            raise InvalidLog(f"arm {place} was chosen {seen} times; a sequence starts with {FEWEST_EACH}")
    differences = gained[:, arm] - gained[:, control]
    count, mean = len(differences), float(differences.mean())
    error = float(differences.std() / math.sqrt(count))
    half = always.widening(count, always.tuned(planned, alpha), alpha) * error
    return Estimate(mean=mean, standard_error=error, low=mean - half, high=mean + half)


def scores(chosen: NDArray[np.int64], propensities: Matrix, rewards: Vector) -> Matrix:
    """Score every arm at every decision, (n, k): its mean so far, corrected by what the decision itself earned (AIPW).

    The mean so far takes no part of the decision's own reward, so that each score is unbiased given the past.
    """
    _check(chosen, propensities, rewards)
    seen = chosen[:, None] == np.arange(propensities.shape[1])
    earned = np.where(seen, rewards[:, None], 0.0)
    count, total = seen.cumsum(axis=0) - seen, earned.cumsum(axis=0) - earned
    before: Matrix = total / np.maximum(count, 1)
    corrected: Matrix = before + np.where(seen, (rewards[:, None] - before) / propensities, 0.0)
    return corrected


def _weighted(gained: Vector, weights: Vector, alpha: float) -> Estimate:
    total = weights.sum()
    mean = float(weights @ gained / total)
    error = float(np.sqrt(weights**2 @ (gained - mean) ** 2) / total)
    half = -float(ndtri(alpha / 2)) * error
    return Estimate(mean=mean, standard_error=error, low=mean - half, high=mean + half)


def _check(chosen: NDArray[np.int64], propensities: Matrix, rewards: Vector) -> None:
    if not len(rewards):
        raise InvalidLog("the log has no decisions")
    check_choices(chosen, propensities.shape[1])
    if not ((propensities > 0) & (propensities <= 1)).all():
        place = np.argwhere(~((propensities > 0) & (propensities <= 1)))[0]
        value = propensities[tuple(place)]
        raise InvalidLog(f"propensity of arm {place[1]} at decision {place[0]} is {value}; give the policy a floor")
    if not np.isfinite(rewards).all():
        raise InvalidLog(f"reward {int(np.argmin(np.isfinite(rewards)))} is not finite; leave such decisions out")
    if missing := set(range(propensities.shape[1])) - set(chosen.tolist()):
        raise InvalidLog(f"arms {sorted(missing)} were never chosen; nothing is known of their means")
