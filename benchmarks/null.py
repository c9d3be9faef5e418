"""How often each reading finds an effect where there is none, and how often it holds the truth where there is one.

10,000 experiments a method, by the product's own code.  Rows are drawn where the reading makes something of them; a
sequential design's statistic is a Brownian motion at its looks (Jennison and Turnbull 1999), so paths are drawn there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from benchmarks.bars import Bar
from domain.experiment import adaptive, srm
from domain.experiment.bayesian import compare as beliefs
from domain.experiment.bayesian.belief import Beta, Normal, of_mean, of_proportion
from domain.experiment.declaration import Design, Stopping
from domain.experiment.frequentist import compare, compare_proportions, not_worse
from domain.experiment.moments import of_rows
from domain.experiment.samples import Sample, adjusted, of_ratio
from domain.experiment.samples import of_mean as mean_of
from domain.experiment.sequential import always
from domain.experiment.sequential.plan import look_bounds

SEED = 20260301
RUNS = 10_000
CHUNK = 250
ALPHA = 0.05
BAND = 3.0
"""Binomial standard errors that a rate may lie from what is stated."""

UNITS = 400
LIFT = 0.1
MARGIN = 0.05
LOOKS = (14, 100)
FLOOR = 0.05

Draw = Callable[[np.random.Generator], NDArray[np.float64]]
Answer = tuple[bool, bool]
"""Whether an effect was found, and whether the interval held the truth."""


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something happened in so many runs, beside how often it should."""

    name: str
    share: float
    stated: float
    runs: int = RUNS
    at_most: bool = False

    def bar(self, what: str) -> Bar:
        """Hold the share to the binomial band of what is stated, on both sides or from above."""
        error = math.sqrt(self.stated * (1 - self.stated) / self.runs)
        if self.at_most:
            return Bar(f"{what}, {self.name}", 100 * self.share, 100 * (self.stated + BAND * error), False, "%")
        away = abs(self.share - self.stated) / error
        return Bar(
            f"{what}, {self.name}: {100 * self.share:.2f} %, off {100 * self.stated:g} %", away, BAND, False, "se"
        )


def false_alarms() -> list[Bar]:
    """Measure every method's rejections without an effect, and show what naive peeking does beside."""
    found = [Rate(name, float(rejected.mean()), ALPHA) for name, rejected, _ in fixed(0.0)]
    found += [ratio_check(), *sequential(), *ratio_checks(), *allocated()]
    naive = [Rate(f"naive peeking at {looks} looks", peeking(looks), ALPHA) for looks in LOOKS]
    for rate in naive:
        print(f"{rate.name}: {100 * rate.share:.2f} % of {rate.runs:,} null experiments rejected")
    return [rate.bar("A/A") for rate in found]


def coverage() -> list[Bar]:
    """Measure how often intervals hold a planted effect, and beliefs what was drawn from their prior."""
    found = [Rate(name, float(held.mean()), 1 - ALPHA) for name, _, held in fixed(LIFT) if name not in NO_INTERVAL]
    found += [credible_proportion(), credible_mean(), *arm_means()]
    over_time = [followed(14, RUNS), followed(100, 2_000)]
    return [rate.bar("coverage") for rate in found] + [rate.bar("left at any look") for rate in over_time]


def fixed(lift: float) -> Iterator[tuple[str, NDArray[np.bool_], NDArray[np.bool_]]]:
    """Read experiments once, the arm's mean `lift` above the control's: rejections and intervals that hold, (RUNS,)."""
    for name, read in READINGS.items():
        random = np.random.default_rng([SEED, len(name)])
        answers = np.array([answer for _ in range(RUNS // CHUNK) for answer in read(random, lift)])
        yield name, answers[:, 0], answers[:, 1]


def welch(random: np.random.Generator, lift: float) -> Iterator[Answer]:
    """Compare means of skewed values, the arms of unequal size."""
    control = random.exponential(1.0, (CHUNK, UNITS, 1))
    arm = random.exponential(1.0 + lift, (CHUNK, UNITS * 2, 1))
    for rows, others in zip(control, arm, strict=True):
        before, after = (mean_of(of_rows(("value",), part), "value") for part in (rows, others))
        reading = compare(before, after, ALPHA)
        yield reading.p_value < ALPHA, reading.low <= lift <= reading.high


def ratio(random: np.random.Generator, lift: float) -> Iterator[Answer]:
    """Compare clicks a view, each unit with its own number of views and its own rate."""
    views = 1 + random.poisson(4.0, (2, CHUNK, UNITS)).astype(float)
    rates = random.beta(4.0, 16.0, views.shape)
    rates[1] = np.minimum(rates[1] * (1 + lift), 1.0)
    clicks = random.binomial(views.astype(int), rates).astype(float)
    rows = np.stack([clicks, views], axis=-1)
    truth = 0.2 * lift
    for before, after in zip(rows[0], rows[1], strict=True):
        control, arm = (of_ratio(of_rows(("clicks", "views"), part), "clicks", "views") for part in (before, after))
        reading = compare(control, arm, ALPHA)
        yield reading.p_value < ALPHA, reading.low <= truth <= reading.high


def cuped(random: np.random.Generator, lift: float) -> Iterator[Answer]:
    """Compare means adjusted by what units did before, with which the value correlates by 0.7."""
    before = random.gamma(2.0, 1.0, (2, CHUNK, UNITS))
    value = before + random.gamma(2.0, 1.0, before.shape)
    value[1] += lift
    rows = np.stack([value, before], axis=-1)
    for first, second in zip(rows[0], rows[1], strict=True):
        arms = {name: of_rows(("value", "before"), part) for name, part in (("control", first), ("arm", second))}
        samples = adjusted(arms, "value", ["before"])
        reading = compare(samples["control"], samples["arm"], ALPHA)
        yield reading.p_value < ALPHA, reading.low <= lift <= reading.high


def proportion(random: np.random.Generator, lift: float) -> Iterator[Answer]:
    """Compare proportions by the score test."""
    units = 4_000
    control, arm = random.binomial(units, 0.1, CHUNK), random.binomial(units, 0.1 * (1 + lift), CHUNK)
    for hits, others in zip(control.tolist(), arm.tolist(), strict=True):
        reading = compare_proportions((hits, units), (others, units), ALPHA)
        yield reading.p_value < ALPHA, reading.low <= 0.1 * lift <= reading.high


def worse_by_the_margin(random: np.random.Generator, lift: float) -> Iterator[Answer]:
    """Ask whether an arm that is worse by just the margin is not; there is no interval to hold to."""
    rows = random.gamma(4.0, 1.0, (2, CHUNK, UNITS, 1))
    rows[1] *= 1 - MARGIN
    for before, after in zip(rows[0], rows[1], strict=True):
        control, arm = (mean_of(of_rows(("value",), part), "value") for part in (before, after))
        low = not_worse(control, arm, MARGIN, alpha=ALPHA) < ALPHA
        yield low, not low


READINGS: dict[str, Callable[[np.random.Generator, float], Iterator[Answer]]] = {
    "Welch, mean": welch,
    "delta method, ratio": ratio,
    "CUPED, adjusted mean": cuped,
    "score test, proportion": proportion,
    "not worse, at its margin": worse_by_the_margin,
}
NO_INTERVAL = {"not worse, at its margin"}


def ratio_check() -> Rate:
    """Check three arms' counts against their shares, once."""
    shares = {"control": 0.5, "a": 0.3, "b": 0.2}
    counts = np.random.default_rng(SEED + 1).multinomial(10_000, list(shares.values()), RUNS)
    p_values = [srm.mismatch(dict(zip(shares, row, strict=True)), shares) for row in counts.tolist()]
    return Rate("ratio check, fixed", float(np.mean(np.array(p_values) < ALPHA)), ALPHA)


def ratio_checks() -> Iterator[Rate]:
    """Check three arms' counts at every look, by the test that may be."""
    shares = {"control": 0.5, "a": 0.3, "b": 0.2}
    for looks in LOOKS:
        random = np.random.default_rng([SEED, 2, looks])
        counts = random.multinomial(10_000 // looks, list(shares.values()), (RUNS, looks)).cumsum(axis=1)
        rejected = [
            any(always.mismatch(dict(zip(shares, at, strict=True)), shares) < ALPHA for at in run)
            for run in counts.tolist()
        ]
        yield Rate(f"ratio check, always valid, {looks} looks", float(np.mean(rejected)), ALPHA, at_most=True)


def paths(looks: int, drift: float, runs: int, seed: int) -> NDArray[np.float64]:
    """Draw standardised statistics at equal looks, (runs, looks), with `drift` standard errors at the last."""
    at = np.arange(1, looks + 1) / looks
    steps = np.random.default_rng([SEED, seed, looks]).standard_normal((runs, looks)) / math.sqrt(looks)
    walked: NDArray[np.float64] = (steps.cumsum(axis=1) + drift * at) / np.sqrt(at)
    return walked


def peeking(looks: int) -> float:
    """Return how often a fixed test finds something when it is made at every look."""
    return float((np.abs(paths(looks, 0.0, RUNS, 3)) > -ndtri(ALPHA / 2)).any(axis=1).mean())


def sequential() -> Iterator[Rate]:
    """Stop by each design's bounds, and by the mixture's p-value."""
    for looks in LOOKS:
        walked = np.abs(paths(looks, 0.0, RUNS, 3))
        for design in (Design.GROUP_SEQUENTIAL, Design.ALWAYS_VALID):
            limits = np.array(look_bounds(Stopping(design=design, looks=looks, alpha=ALPHA)))
            rejected = float((walked > limits).any(axis=1).mean())
            name = design.value.replace("_", " ")
            yield Rate(f"{name}, {looks} looks", rejected, ALPHA, at_most=design is Design.ALWAYS_VALID)
        scaled = [always.tuned(1.0, ALPHA) ** 2 * (look + 1) / looks for look in range(looks)]
        crossed = [
            any(always.mixture_p_value(z, each) <= ALPHA for z, each in zip(run, scaled, strict=True))
            for run in walked.tolist()
        ]
        yield Rate(f"mixture p-value, {looks} looks", float(np.mean(crossed)), ALPHA, at_most=True)


def allocated() -> Iterator[Rate]:
    """Look at two equal coins that a Thompson bandit is throwing: at their plain means, and at the scores' sequence."""
    for looks in LOOKS:
        batch, runs = 4_000 // looks, RUNS if looks == min(LOOKS) else 2_000
        plain = score = 0
        random = np.random.default_rng([SEED, 4, looks])
        for _ in range(runs // CHUNK):
            chosen, shares, rewards = thrown((0.2, 0.2), looks, batch, random)
            for each in zip(chosen, shares, rewards, strict=True):
                plain += _plain_leaves(each[0], each[2], looks, batch)
                score += _scores_leave(*each, looks, batch)
        yield Rate(f"always valid under Thompson, plain means, {looks} looks", plain / runs, ALPHA, runs, at_most=True)
        yield Rate(f"always valid under Thompson, scores, {looks} looks", score / runs, ALPHA, runs, at_most=True)


def thrown(
    means: tuple[float, ...], looks: int, batch: int, random: np.random.Generator, draws: int = 1_000
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Let a Thompson bandit with a floor throw coins, refreshed at each look: choices, shares and rewards by run.

    Each refresh shares the batch as `draws` draws from the posterior win, so that the share logged is the one used.
    """
    arms = len(means)
    pulls, hits = np.zeros((CHUNK, arms)), np.zeros((CHUNK, arms))
    chosen, shares, rewards = [], [], []
    for _ in range(looks):
        a, b = 1 + hits, 1 + pulls - hits
        best = random.beta(a[:, None], b[:, None], (CHUNK, draws // 10, arms)).argmax(axis=2)
        won = np.stack([(best == arm).mean(axis=1) for arm in range(arms)], axis=1)
        weights = FLOOR + (1 - FLOOR * arms) * won
        taken = (random.random((CHUNK, batch))[:, :, None] > weights.cumsum(axis=1)[:, None]).sum(axis=2)
        taken = taken.clip(0, arms - 1)
        earned = (random.random(taken.shape) < np.array(means)[taken]).astype(float)
        for arm in range(arms):
            pulls[:, arm] += (taken == arm).sum(axis=1)
            hits[:, arm] += (earned * (taken == arm)).sum(axis=1)
        chosen.append(taken)
        shares.append(np.repeat(weights[:, None], batch, axis=1))
        rewards.append(earned)
    return np.concatenate(chosen, 1), np.concatenate(shares, 1), np.concatenate(rewards, 1)


def _plain_leaves(chosen: NDArray[np.int64], rewards: NDArray[np.float64], looks: int, batch: int) -> bool:
    for look in range(1, looks + 1):
        seen, earned = chosen[: look * batch], rewards[: look * batch]
        reading = compare(_coin(earned[seen == 0]), _coin(earned[seen == 1]), ALPHA)
        if reading.is_estimable and always.sequence(reading, look * batch, looks * batch, ALPHA).p_value < ALPHA:
            return True
    return False


def _coin(earned: NDArray[np.float64]) -> Sample:
    mean = float(earned.mean()) if len(earned) else math.nan
    return Sample(len(earned), mean, mean * (1 - mean))


def _scores_leave(
    chosen: NDArray[np.int64], shares: NDArray[np.float64], rewards: NDArray[np.float64], looks: int, batch: int
) -> bool:
    for look in range(1, looks + 1):
        part = slice(0, look * batch)
        if np.bincount(chosen[part], minlength=2).min() >= adaptive.FEWEST_EACH:
            found = adaptive.difference(
                chosen[part], shares[part], rewards[part], control=0, arm=1, planned=looks * batch, alpha=ALPHA
            )
            if not found.low <= 0 <= found.high:
                return True
    return False


def credible_proportion() -> Rate:
    """Draw two proportions from the prior, and ask whether the credible interval holds their difference."""
    random, held = np.random.default_rng(SEED + 5), 0
    prior = Beta(2.0, 8.0)
    truths = random.beta(prior.a, prior.b, (RUNS, 2))
    hits = random.binomial(500, truths)
    for (p, q), (first, second) in zip(truths.tolist(), hits.tolist(), strict=True):
        found = beliefs.compare(of_proportion(first, 500, prior), of_proportion(second, 500, prior))
        held += found.low <= q - p <= found.high
    return Rate("credible interval of proportions under its prior", held / RUNS, 1 - ALPHA)


def credible_mean() -> Rate:
    """Draw two means from the prior, and ask whether the credible interval holds their difference."""
    random, held = np.random.default_rng(SEED + 6), 0
    prior = Normal(1.0, 0.2)
    truths = random.normal(prior.mean, prior.deviation, (RUNS, 2))
    seen = random.normal(truths, math.sqrt(4.0 / 100))
    for (p, q), (first, second) in zip(truths.tolist(), seen.tolist(), strict=True):
        found = beliefs.compare(*(of_mean(Sample(100, mean, 4.0), prior) for mean in (first, second)))
        held += found.low <= q - p <= found.high
    return Rate("credible interval of means under its prior", held / RUNS, 1 - ALPHA)


def followed(looks: int, runs: int) -> Rate:
    """Follow skewed rows through looks: how often the confidence sequence leaves the planted effect at any of them."""
    random, left, batch = np.random.default_rng([SEED, 7, looks]), 0, 2_800 // looks
    for _ in range(runs // CHUNK):
        rows = [random.exponential(mean, (CHUNK, looks, batch, 1)) for mean in (1.0, 1.0 + LIFT)]
        for before, after in zip(*rows, strict=True):
            left += _leaves(before, after, LIFT)
    return Rate(f"confidence sequence, {looks} looks", left / runs, ALPHA, runs, at_most=True)


def _leaves(before: NDArray[np.float64], after: NDArray[np.float64], truth: float) -> bool:
    looks, batch, _ = before.shape
    first, second = (of_rows(("value",), rows[0]) for rows in (before, after))
    for look in range(looks):
        if look:
            first, second = (
                moments + of_rows(("value",), rows[look]) for moments, rows in ((first, before), (second, after))
            )
        reading = compare(mean_of(first, "value"), mean_of(second, "value"), ALPHA)
        wide = always.sequence(reading, 2 * batch * (look + 1), 2 * batch * looks, ALPHA)
        if not wide.low <= truth <= wide.high:
            return True
    return False


def arm_means() -> Iterator[Rate]:
    """Estimate the arms that a Thompson bandit left with few decisions and with many."""
    means, runs = (0.2, 0.3), 2_000
    random, held = np.random.default_rng(SEED + 8), np.zeros(2)
    for _ in range(runs // CHUNK):
        for run in zip(*thrown(means, 40, 100, random), strict=True):
            found = adaptive.arm_means(*run, ALPHA)
            held += [each.low <= mean <= each.high for each, mean in zip(found, means, strict=True)]
    for arm, share in zip(("worse", "better"), (held / runs).tolist(), strict=True):
        yield Rate(f"adaptively weighted mean of the {arm} arm under Thompson", share, 1 - ALPHA, runs)
