"""Readings where others lose their digits, beside fractions, long arithmetic and quadrature laid out otherwise."""

from __future__ import annotations

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from domain.experiment import histogram
from domain.experiment.bayesian.belief import Beta, Normal
from domain.experiment.bayesian.compare import compare as compare_beliefs
from domain.experiment.bayesian.compare import losses
from domain.experiment.frequentist import compare, not_worse
from domain.experiment.moments import Moments, empty, merge, of_rows
from domain.experiment.multiplicity import benjamini_hochberg, holm
from domain.experiment.policies import BetaThompson, TopTwoThompson
from domain.experiment.policies.policy import Tally
from domain.experiment.samples import Sample, adjusted, of_mean, of_ratio
from domain.experiment.sequential import always, group

SEED = 20260301
COLUMNS = ("value", "denominator", "first", "second")
Rows = NDArray[np.float64]


@pytest.mark.parametrize(("alpha", "looks"), [(0.05, 30), (0.05, 100), (0.01, 50), (1e-4, 30)])
def test_the_bounds_of_early_looks_are_long_arithmetic_s(alpha: float, looks: int) -> None:
    """O'Brien and Fleming's second bound lies at 8 to 16 deviations; cut off at nine, it was 0.4 too low."""
    first, second = group.bounds([(look + 1) / looks for look in range(looks)], alpha)[:2]
    step, limit = math.sqrt(1 / looks), first * math.sqrt(1 / looks)
    due = group.obrien_fleming(2 / looks, alpha) - group.obrien_fleming(1 / looks, alpha)
    panels = np.linspace(-limit, limit, 200)
    points, weights = np.polynomial.legendre.leggauss(12)
    half = np.diff(panels)[:, None] / 2
    at = (panels[:-1, None] + half * (1 + points)).ravel()
    mass = (half * weights).ravel() * stats.norm.pdf(at, scale=step)
    out = sum(mass @ stats.norm.sf(second * math.sqrt(2 / looks), sign * at, step) for sign in (1, -1))
    assert 2 * stats.norm.sf(first) == pytest.approx(group.obrien_fleming(1 / looks, alpha), rel=1e-10, abs=0)
    assert out == pytest.approx(due, rel=1e-9, abs=0)  # a bound off by 1e-8 would be off by 1e-7 here


@pytest.mark.parametrize("units", [10, 10**6, 10**9, 10**12, 10**15])
@pytest.mark.parametrize("away", [0, 7, 10])
def test_the_always_valid_ratio_check_is_long_arithmetic_s(units: int, away: int) -> None:
    counts = {"control": units, "new": units + int(away * math.sqrt(units)), "third": 2 * units // 3}
    shares = {"control": 0.375, "new": 0.375, "third": 0.25}
    with mpmath.workdps(50):
        parts = [
            mpmath.loggamma(100 * mpmath.mpf(share) + counts[arm])
            - mpmath.loggamma(100 * mpmath.mpf(share))
            - counts[arm] * mpmath.log(share)
            for arm, share in shares.items()
        ]
        units_of_all = sum(counts.values())
        ratio = sum(parts) + mpmath.loggamma(100) - mpmath.loggamma(100 + units_of_all)
        wanted = float(min(mpmath.exp(-ratio), 1))
    assert always.mismatch(counts, shares) == pytest.approx(wanted, rel=1e-6, abs=0)


def test_what_is_not_known_is_not_corrected_for() -> None:
    for correction in (holm, benjamini_hochberg):
        found = correction([0.04, math.nan, 0.01])
        assert math.isnan(found[1])
        assert [found[0], found[2]] == correction([0.04, 0.01])


@pytest.mark.parametrize("scale", [1e-150, 1e-12, 1.0, 1e15, 1e140])
@pytest.mark.parametrize("shift", [0.0, 1e8, -1e9])
@pytest.mark.parametrize("sizes", [(0, 60), (60, 0), (1,) * 60, (0, 1, 0, 59), (20, 20, 20)])
def test_moments_of_empty_and_single_parts_are_fractions(scale: float, shift: float, sizes: tuple[int, ...]) -> None:
    rows = (np.random.default_rng(SEED).normal(size=60) + shift) * scale
    parts = [of_rows(("value",), part[:, None]) for part in np.split(rows, np.cumsum(sizes)[:-1])]
    exact = [Fraction(value) for value in rows.tolist()]
    mean = sum(exact) / 60
    variance = sum((value - mean) ** 2 for value in exact) / 59
    for found in (merge(parts), merge(parts[::-1]), merge([empty(("value",)), *parts])):
        assert Fraction(found.variance("value")) / variance == pytest.approx(1, rel=1e-9)


def any_rows(count: int, scales: tuple[float, float], random: np.random.Generator) -> Rows:
    before = random.normal(size=(count, 2))
    below = 1.0 + random.poisson(3, count)
    value = below * (1 + before @ (0.4, 0.3) + random.normal(size=count))
    return np.column_stack([value, below, before * scales])


@pytest.mark.parametrize("scales", [(1.0, 1.0), (1.0, 1e8), (1e-12, 1e6), (1e15, 1e-3)])
@pytest.mark.parametrize("denominator", [None, "denominator"])
def test_covariates_of_any_scales_are_taken_alike(scales: tuple[float, float], denominator: str | None) -> None:
    """Least squares on what was brought to a billion beside ones took the ones for a combination of them."""
    random = np.random.default_rng(SEED)
    arms = {name: any_rows(count, scales, random) for name, count in (("control", 300), ("new", 40))}
    linear = {}
    for name, rows in arms.items():
        ratio = rows[:, 0].mean() / rows[:, 1].mean()
        plain = rows[:, 0] if denominator is None else (rows[:, 0] - ratio * rows[:, 1]) / rows[:, 1].mean()
        linear[name] = plain - plain.mean()
    centred = {name: rows[:, 2:] / scales - (rows[:, 2:] / scales).mean(axis=0) for name, rows in arms.items()}
    slopes = np.linalg.lstsq(np.vstack(list(centred.values())), np.concatenate(list(linear.values())), rcond=None)[0]
    moments = {name: of_rows(COLUMNS, rows) for name, rows in arms.items()}
    found = adjusted(moments, "value", ["first", "second"], denominator)
    for name in arms:
        left = linear[name] - centred[name] @ slopes
        assert found[name].variance == pytest.approx(left @ left / (len(left) - 1), rel=1e-9)


def test_units_that_differ_by_rounding_alone_are_not_told_apart() -> None:
    """A column that is 0.1 everywhere has parts whose means differ in the last digit."""

    def of(noise: list[float], values: bool) -> Moments:
        random = np.random.default_rng(SEED)
        parts = [of_rows(COLUMNS, any_rows(30, (1.0, 1.0), random)) for _ in noise]
        for part, last in zip(parts, noise, strict=True):
            for column in (0, 2) if values else (2,):
                part.mean[column] = 0.1 + last
                part.product[column], part.product[:, column] = 0.0, 0.0
        return merge(parts)

    last = [0.0, 1.4e-17, 0.0]
    control, new = of(last, True), of(last[1:] + last[1:2], True)
    alike = of_mean(control, "value"), of_mean(new, "value")
    assert "by rounding alone" in compare(*alike).why
    assert math.isnan(not_worse(*alike, 0.05))
    arms = {"control": of(last, False), "new": of(last[::-1], False)}
    for name, sample in adjusted(arms, "value", ["first"]).items():
        assert sample.mean == pytest.approx(arms[name].of("value"), rel=1e-12)


def test_what_is_divided_by_nothing_says_so() -> None:
    nothing = of_ratio(of_rows(("value", "denominator"), np.array([[1.0, 1.0], [2.0, -1.0]])), "value", "denominator")
    assert "what is divided by sums to nought" in compare(nothing, nothing).why


@pytest.mark.parametrize("value", [5e-324, 1e-320, 1e300, 1.7976931348623157e308])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_least_and_the_greatest_double_have_a_bucket(value: float, sign: float) -> None:
    counted = histogram.of_values([sign * value] * 9 + [sign] * 2)
    assert counted.quantile(0.5 if value > 1 or sign < 0 else 0.2) / sign > 0
    assert not math.isnan(histogram.sample(counted, 0.5, 11).mean)


@pytest.mark.parametrize(
    ("control", "arm"),
    [
        (Beta(1, 1), Beta(2, 1)),
        (Beta(1, 1001), Beta(1, 2001)),
        (Beta(2, 3), Beta(40, 10**6)),
        (Beta(4, 10**9), Beta(13, 10**9)),
        (Beta(0.5, 0.5), Beta(3, 1)),
    ],
)
def test_intervals_of_few_and_of_rare_successes_hold_what_they_say(control: Beta, arm: Beta) -> None:
    """By the mean over the control's quantiles; a kink within a panel, and a step of 1e-12, were 1e-4 and 1e-3 off."""
    found = compare_beliefs(control, arm, rope=0.1 * control.mean)
    at = stats.beta.ppf((np.arange(200_000) + 0.5) / 200_000, control.a, control.b)

    def below(difference: float) -> float:
        return float(stats.beta.cdf(at + difference, arm.a, arm.b).mean())

    assert (below(found.low), below(found.high)) == pytest.approx((0.025, 0.975), abs=3e-7)
    rope = 0.1 * control.mean
    assert found.equivalent == pytest.approx(below(rope) - below(-rope), abs=3e-7)


def test_two_uniform_beliefs_differ_by_a_triangle() -> None:
    found = compare_beliefs(Beta(1, 1), Beta(1, 1), rope=0.05)
    assert (found.low, found.high) == pytest.approx((math.sqrt(0.05) - 1, 1 - math.sqrt(0.05)), rel=1e-12)
    assert found.equivalent == pytest.approx(1 - 0.95**2, rel=1e-12)


@pytest.mark.parametrize("units", [10**6, 10**9, 10**15])
def test_one_success_beside_three_of_very_many_is_the_better_with_seven_eighths(units: int) -> None:
    """As gammas: P(Γ3 > Γ1) = 1 - 1/8."""
    assert compare_beliefs(Beta(1, units), Beta(3, units)).better == pytest.approx(0.875, abs=2 / units + 1e-12)


def test_a_small_loss_is_not_rounded_to_the_spacing_below_one() -> None:
    deviation = math.sqrt(2)
    for mean in (5.0, 10.0, 12.0):
        wanted = deviation * stats.norm.pdf(mean / deviation) - mean * stats.norm.sf(mean / deviation)
        assert losses([Normal(0, 1), Normal(mean, 1)])[1] == pytest.approx(wanted, rel=1e-6, abs=0)


@pytest.mark.parametrize("seed", range(6))
def test_shares_of_fractions_of_rewards_are_a_fine_quadrature_s(seed: int) -> None:
    """Rewards between nought and one make a density go with a fraction of a power, which no wide panel holds."""
    random = np.random.default_rng([SEED, seed])
    tallies = [Tally(pulls, pulls * share) for pulls, share in zip(random.random(4) * 3, random.random(4), strict=True)]
    ends = 0.5 ** np.arange(1, 50)
    edges = np.unique(np.concatenate([np.linspace(0, 1, 500), ends, 1 - ends]))
    points, weights = np.polynomial.legendre.leggauss(20)
    half = np.diff(edges)[:, None] / 2
    at, widths = (edges[:-1, None] + half * (1 + points)).ravel(), (half * weights).ravel()
    beliefs = [stats.beta(1 + tally.total, 1 + tally.pulls - tally.total) for tally in tallies]
    below = [belief.cdf(at) for belief in beliefs]
    wanted = [
        widths @ (belief.pdf(at) * np.prod(below[:place] + below[place + 1 :], axis=0))
        for place, belief in enumerate(beliefs)
    ]
    assert BetaThompson().weights(tallies) == pytest.approx(wanted, abs=1e-9)
    paired = [
        0.5 * share + 0.5 * sum(other * share / (1 - other) for j, other in enumerate(wanted) if j != place)
        for place, share in enumerate(wanted)
    ]
    assert TopTwoThompson().weights(tallies) == pytest.approx(paired, abs=1e-8)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("tallies", "share"),
    [
        ([Tally(1e15, 0), Tally(1e15, 1e15)], 1.0),
        ([Tally(1e15, 1e15), Tally(1e15, 1e15)], 0.5),
        ([Tally(1e9, 0), Tally(1e9, 3)], 0.9375),
        ([Tally(1e9, 1e9), Tally(1e9, 1e9 - 3)], 0.0625),
        ([Tally(1e15, 5e14), Tally(1e15, 5e14 + math.sqrt(0.5e15))], stats.norm.cdf(1)),
    ],
)
def test_shares_of_very_many_rewards_keep_their_digits(tallies: list[Tally], share: float) -> None:
    assert BetaThompson().weights(tallies)[1] == pytest.approx(share, abs=1e-8)


def test_all_noughts_of_a_sample_are_no_knowledge_either() -> None:
    assert compare(Sample(9, 0.0, 0.0), Sample(9, 0.0, 0.0)).why
