"""What bandits lose on the way to the best arm: Garivier and Cappé's ten coins (2011), refreshes, and drifting coins.

Thompson's ten thousand decisions are made by the policy's own `choose`.  A hundred thousand, and drifting coins, are
made for all runs at once by numpy from the same posterior; before that both are shown to choose each arm as often as
the policy's weights say.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc

from benchmarks.bars import Bar
from domain.experiment.policies import (
    KLUCB,
    UCB1,
    BetaThompson,
    EpsilonGreedy,
    NormalThompson,
    Policy,
    TopTwoThompson,
)
from domain.experiment.policies.policy import Tally
from domain.experiment.policies.upper import divergence

SEED = 20260301
COINS = (0.1, 0.05, 0.05, 0.05, 0.02, 0.02, 0.02, 0.01, 0.01, 0.01)
RUNS = 200
DECISIONS = 10_000
REFRESH = 1_000
UNIFORM = DECISIONS * (max(COINS) - sum(COINS) / len(COINS))
LAI_ROBBINS = sum((max(COINS) - coin) / divergence(coin, max(COINS)) for coin in COINS if coin < max(COINS))
POLICIES: dict[str, Policy] = {
    "BetaThompson": BetaThompson(),
    "NormalThompson": NormalThompson(),
    "TopTwoThompson": TopTwoThompson(),
    "EpsilonGreedy": EpsilonGreedy(),
    "KLUCB": KLUCB(batch=REFRESH),
    "UCB1": UCB1(batch=REFRESH),
}
DRIFT = 2_000
"""Decisions after which another coin is the best."""
FACTOR = 0.99
STATES = (10, 100, 1_000, 10_000)
"""Decisions after which the arms chosen are held against the policy's weights, by so many draws."""
DRAWS = 20_000

Vector = NDArray[np.float64]


def bars() -> list[Bar]:
    """Measure regret at once, by refreshes, in the long run and under drift."""
    found = [Bar(f"arms that {way} chooses, chi-square p", p, 0.001, unit="") for way, p in as_weighed().items()]
    found.append(Bar("regret at 10,000, BetaThompson.choose", shown("choose", one_by_one()), 84, False, ""))
    for name, policy in POLICIES.items():
        regret = shown(f"{name} refreshed every {REFRESH}", [refreshed(policy, SEED + run) for run in range(RUNS)])
        wanted = 122.0 if name == "BetaThompson" else UNIFORM * 0.95
        found.append(Bar(f"regret at 10,000, {name} refreshed every {REFRESH:,}", regret, wanted, False, ""))
    return [*found, *slope(), drifting()]


def shown(name: str, regrets: Sequence[float] | Vector) -> float:
    """Print a mean with its standard error, and return it."""
    mean, error = float(np.mean(regrets)), float(np.std(regrets) / math.sqrt(len(regrets)))
    print(f"{name}: {mean:.1f} ± {error:.1f} (uniform {UNIFORM:.0f})", flush=True)
    return mean


def one_by_one() -> list[float]:
    """Let the policy choose each of 10,000 decisions, 200 times."""
    regrets = []
    for run in range(RUNS):
        chance, state, regret = random.Random(SEED + run), [Tally()] * len(COINS), 0.0  # noqa: S311 - a simulation
        for _ in range(DECISIONS):
            arm = BetaThompson().choose(state, chance)
            state[arm] = state[arm].rewarded(float(chance.random() < COINS[arm]))
            regret += max(COINS) - COINS[arm]
        regrets.append(regret)
    return regrets


def refreshed(policy: Policy, seed: int) -> float:
    """Draw 1,000 decisions at a time from the policy's weights."""
    source, state, regret = np.random.default_rng(seed), [Tally()] * len(COINS), 0.0
    for _ in range(DECISIONS // REFRESH):
        weights = np.array(policy.weights(state))
        pulls = source.multinomial(REFRESH, weights / weights.sum())
        hits = source.binomial(pulls, COINS)
        state = [
            Tally(tally.pulls + pull, tally.total + hit, tally.squares + hit)
            for tally, pull, hit in zip(state, pulls.tolist(), hits.tolist(), strict=True)
        ]
        regret += float(pulls @ (max(COINS) - np.array(COINS)))
    return regret


def as_weighed() -> dict[str, float]:
    """Hold how often each arm is chosen, on the way of a run, against the exact weights; the least p of each way."""
    chance, source, state = random.Random(SEED), np.random.default_rng([SEED, 1]), [Tally()] * len(COINS)  # noqa: S311
    worst = {"BetaThompson.choose": 1.0, "numpy": 1.0}
    for decision in range(1, max(STATES) + 1):
        arm = BetaThompson().choose(state, chance)
        state[arm] = state[arm].rewarded(float(chance.random() < COINS[arm]))
        if decision in STATES:
            pulls, hits = (np.tile(row, (DRAWS, 1)) for row in np.array([(each.pulls, each.total) for each in state]).T)
            weights = np.array(BetaThompson().weights(state))
            one = np.array([BetaThompson().choose(state, chance) for _ in range(DRAWS)])
            for way, arms in (("BetaThompson.choose", one), ("numpy", best_drawn(source, pulls, hits))):
                worst[way] = min(worst[way], fit(np.bincount(arms, minlength=len(COINS)), weights))
    return worst


def fit(counts: NDArray[np.int64], weights: Vector) -> float:
    """Return the p-value of counts under weights, by chi-square; what is expected less than five times is one."""
    expected = weights / weights.sum() * counts.sum()
    rare = expected < 5
    seen, wanted = (np.append(each[~rare], each[rare].sum()) for each in (counts, expected))
    kept = wanted > 0
    return float(chdtrc(kept.sum() - 1, ((seen - wanted)[kept] ** 2 / wanted[kept]).sum()))


def best_drawn(source: np.random.Generator, pulls: Vector, hits: Vector) -> NDArray[np.int64]:
    """Choose for every run as BetaThompson does, (runs,)."""
    drawn = source.beta(1 + hits, 1 + np.maximum(pulls - hits, 0.0))
    return cast("NDArray[np.int64]", drawn.argmax(axis=1))


def slope() -> list[Bar]:
    """Measure how regret grows from 10,000 to 100,000 decisions beside Lai and Robbins' constant (1985)."""
    regret = thrown(np.tile(COINS, (10, 1)), DECISIONS, 1.0)
    grown = (regret[-1] - regret[0]) / math.log(10)
    share = shown("slope in ln T from 10,000 to 100,000", grown) / LAI_ROBBINS
    print(f"Lai and Robbins' constant: {LAI_ROBBINS:.2f}; regret at 100,000: {regret[-1].mean():.1f}")
    name = "slope of regret beside Lai and Robbins' constant"
    return [Bar(name, share, 0.75), Bar(name, share, 1.25, at_least=False)]


def drifting() -> Bar:
    """Let the best coin change every 2,000 decisions, and compare Thompson that forgets with Thompson that does not."""
    coins = np.array([[0.7 if arm == phase % 5 else 0.3 for arm in range(5)] for phase in range(DECISIONS // DRIFT)])
    plain, forgetting = (thrown(coins, DRIFT, factor)[-1] for factor in (1.0, FACTOR))
    share = shown(f"drifting, discounted by {FACTOR}", forgetting) / shown("drifting, plain", plain)
    return Bar(f"drifting: regret of Thompson discounted by {FACTOR}, of plain Thompson's", 100 * share, 60, False, "%")


def thrown(coins: Vector, length: int, factor: float) -> Vector:
    """Throw coins (phases, arms) for `length` decisions a phase in all runs; return regret after each phase, (., runs).

    Every decision the past counts `factor` of what it did, as by Tally.discounted.
    """
    source, runs = np.random.default_rng([SEED, 3]), np.arange(RUNS)
    pulls, hits = np.zeros((RUNS, coins.shape[1])), np.zeros((RUNS, coins.shape[1]))
    regret, kept = np.zeros(RUNS), []
    for phase in coins:
        for _ in range(length):
            arm = best_drawn(source, pulls, hits)
            if factor < 1:
                pulls *= factor
                hits *= factor
            pulls[runs, arm] += 1
            hits[runs, arm] += source.random(RUNS) < phase[arm]
            regret += phase.max() - phase[arm]
        kept.append(regret.copy())
    return np.array(kept)
