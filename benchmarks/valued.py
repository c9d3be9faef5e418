"""Whether a policy's value, read off another policy's log, is right, and whether logged propensities are true."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy.special import gammaln, ndtr

from benchmarks.bars import Bar
from domain.experiment.bayesian.belief import Beta
from domain.experiment.bayesian.compare import probabilities_of_best
from domain.experiment.ope import Log, doubly_robust, inverse_propensity
from domain.experiment.policies import BetaThompson, NormalThompson
from domain.experiment.policies.best import best_of_normals
from domain.experiment.policies.policy import Tally

SEED = 20260301
REPLICATIONS = 200
MORE = 5_000
DECISIONS = 1_000
TARGET = (0.1, 0.7, 0.2)
ARMS = (0.2, 0.5, 0.35)
VALUE = math.fsum(share * mean for share, mean in zip(TARGET, ARMS, strict=True))
STATES = 200


def bars() -> list[Bar]:
    """Value a policy on logs of known truth, 200 as wanted and 5,000 to see it sharply, and check propensities."""
    found = []
    for runs, seed in ((REPLICATIONS, SEED), (MORE, SEED + 1)):
        logs = [any_log(np.random.default_rng([seed, run])) for run in range(runs)]
        robust = [doubly_robust(log) for log in logs]
        inside = 100 * float(np.mean([value.low <= VALUE <= value.high for value in robust]))
        away = np.array([inverse_propensity(log).estimate for log in logs]) - VALUE
        off = abs(float(away.mean())) / (float(away.std(ddof=1)) / math.sqrt(runs))
        found += [
            Bar(f"DR, intervals that hold the value, {runs:,} replications", inside, 93, unit="%"),
            Bar(f"DR, the same from above, {runs:,} replications", inside, 97, at_least=False, unit="%"),
            Bar(f"IPS, bias, {runs:,} replications", off, 3, at_least=False, unit="se"),
        ]
    return [*found, *propensities()]


def any_log(random: np.random.Generator) -> Log:
    """Log 1,000 decisions of a softmax policy over contexts; the model of rewards knows the arms, not the contexts."""
    context = random.uniform(-1, 1, DECISIONS)
    truth = np.array(ARMS) + np.outer(context, [0.1, 0.3, 0.0])
    logging = np.exp(np.column_stack([context, -context, 0 * context]))
    logging /= logging.sum(axis=1, keepdims=True)
    chosen = (random.random(DECISIONS)[:, None] > logging.cumsum(axis=1)).sum(axis=1).clip(0, 2)
    every = np.arange(DECISIONS)
    rewards = (random.random(DECISIONS) < truth[every, chosen]).astype(float)
    predicted = np.tile(ARMS, (DECISIONS, 1))
    return Log(chosen, logging[every, chosen], rewards, np.tile(TARGET, (DECISIONS, 1)), predicted)


def propensities() -> Iterator[Bar]:
    """Hold weights to quadratures that share nothing with them, over 200 random states each, up to 1e6 pulls."""
    random = np.random.default_rng(SEED + 2)
    worst_beta = worst_normal = worst_prior = 0.0
    for _ in range(STATES):
        arms = int(random.integers(2, 11))
        pulls = np.round(10 ** random.uniform(0, 6, arms))
        hits = random.binomial(pulls.astype(int), random.beta(2, 20, arms)).astype(float)
        tallies = [Tally(pull, hit, hit) for pull, hit in zip(pulls.tolist(), hits.tolist(), strict=True)]
        true = probabilities_of_best([Beta(1 + tally.total, 1 + tally.pulls - tally.total) for tally in tallies])
        worst_beta = max(worst_beta, np.abs(np.subtract(BetaThompson().weights(tallies), true)).max())
        means, deviations = random.normal(0, 1, arms), 10 ** random.uniform(-2, 0.5, arms)
        worst_normal = max(
            worst_normal, np.abs(np.subtract(best_of_normals(means, deviations), _by_grid(means, deviations))).max()
        )
        a, b = (tuple(random.integers(1, 60, 2).tolist()) for _ in range(2))
        two = [Tally(a[0] + a[1] - 2, a[0] - 1), Tally(b[0] + b[1] - 2, b[0] - 1)]
        worst_prior = max(worst_prior, abs(BetaThompson().weights(two)[1] - _second_is_higher(a, b)))
    assert abs(sum(NormalThompson().weights([Tally(), Tally(5, 2, 2)])) - 1) < 1e-9
    yield Bar("propensities of BetaThompson, from SciPy's beta functions", float(worst_beta), 1e-6, False, "")
    yield Bar("propensities of two Betas, from the exact sum", float(worst_prior), 1e-6, False, "")
    yield Bar("propensities of normal posteriors, from a fine grid", float(worst_normal), 1e-6, False, "")


def _by_grid(means: np.ndarray, deviations: np.ndarray) -> np.ndarray:
    """Sum φ_i times the others' Φ over an even grid, a quarter of the least deviation apart: exact for such humps."""
    step, found = deviations.min() / 4, np.empty(len(means))
    for place, (mean, deviation) in enumerate(zip(means, deviations, strict=True)):
        at = np.arange(mean - 10 * deviation, mean + 10 * deviation, step)
        density = np.exp(-0.5 * ((at - mean) / deviation) ** 2) / (deviation * math.sqrt(2 * math.pi))
        others = np.delete(np.arange(len(means)), place)
        found[place] = step * density @ np.prod(ndtr((at[:, None] - means[others]) / deviations[others]), axis=1)
    return found


def _second_is_higher(a: tuple[int, int], b: tuple[int, int]) -> float:
    """Sum Pr(Beta(b) > Beta(a)) in closed form for whole parameters (Evan Miller 2014)."""

    def log_beta(x: float, y: float) -> float:
        return float(gammaln(x) + gammaln(y) - gammaln(x + y))

    return math.fsum(
        math.exp(log_beta(a[0] + i, a[1] + b[1]) - math.log(b[1] + i) - log_beta(1 + i, b[1]) - log_beta(*a))
        for i in range(b[0])
    )
