"""Readings of rare, huge, tiny and few things are right to their digits, or say why there are none."""

from __future__ import annotations

import math
from datetime import date
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq

from domain.experiment import frequentist, srm
from domain.experiment.adaptive import arm_means
from domain.experiment.bayesian.belief import Beta, InvalidBelief, Normal, of_mean
from domain.experiment.bayesian.compare import compare, probabilities_of_best
from domain.experiment.declaration import Arm, Design, Experiment, Kind, Outcome, Stopping
from domain.experiment.frequentist import compare_proportions
from domain.experiment.histogram import of_values
from domain.experiment.moments import Moments, of_rows
from domain.experiment.ope import InvalidLog, Log
from domain.experiment.page.page import files
from domain.experiment.readout import read
from domain.experiment.samples import Sample, adjusted
from domain.experiment.sequential import always
from domain.experiment.statistics import EVERYONE, MEASURES, Cell, Snapshot, Summary

SEED = 20260301
DAY = date(2026, 3, 2)

Proportion = tuple[int, int]


@pytest.mark.parametrize(
    ("control", "arm"),
    [
        ((3, 10**9), (12, 10**9)),
        ((1, 10**8), (0, 10**8)),
        ((0, 10**6), (5, 10**6)),
        ((999_999, 10**6), (10**6, 10**6)),
        ((10**9 - 3, 10**9), (10**9 - 12, 10**9)),
        ((5, 10), (7, 10)),
        ((0, 1), (1, 1)),
        ((1, 2), (1, 2)),
        ((50, 100), (0, 3)),
    ],
)
def test_rare_and_nearly_sure_successes_keep_the_digits_of_their_p_value(control: Proportion, arm: Proportion) -> None:
    (hits_c, n_c), (hits_a, n_a) = control, arm
    misses = n_c - hits_c + n_a - hits_a
    together = n_c + n_a
    deviation = math.sqrt((hits_c + hits_a) * misses / n_c / n_a / together)
    statistic = (hits_a * n_c - hits_c * n_a) / (n_a * n_c) / deviation  # whole numbers, so that nothing cancels
    found = compare_proportions(control, arm)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(abs(statistic)), rel=1e-9)


@pytest.mark.parametrize("alpha", [0.2, 0.05, 1e-3])
@pytest.mark.parametrize(
    ("control", "arm"),
    [((3, 10**9), (12, 10**9)), ((0, 10**6), (5, 10**6)), ((1, 2), (1, 2)), ((0, 1), (1, 1)), ((95, 100), (99, 100))],
)
def test_a_score_interval_ends_where_the_likeliest_proportions_make_the_score_its_limit(
    control: Proportion, arm: Proportion, alpha: float
) -> None:
    (hits_c, n_c), (hits_a, n_a) = control, arm

    def score(difference: float) -> float:
        """Find the likeliest proportions by bisection of the slope, by the lower of the two."""
        up, down, high = max(difference, 0.0), max(-difference, 0.0), 1 - abs(difference)

        def slope(least: float) -> float:
            share, other = least + down, least + up
            return hits_c / share - (n_c - hits_c) / (1 - share) + hits_a / other - (n_a - hits_a) / (1 - other)

        ends = 1e-30, high * (1 - 1e-15)
        least = 0.0 if slope(ends[0]) <= 0 else high
        if slope(ends[0]) > 0 > slope(ends[1]):
            least = brentq(slope, *ends, xtol=1e-28, rtol=1e-14, maxiter=300)
        share, other = least + down, least + up
        variance = share * (1 - share) / n_c + other * (1 - other) / n_a
        return float((hits_a / n_a - hits_c / n_c - difference) / math.sqrt(variance))

    found = compare_proportions(control, arm, alpha)
    limit = stats.norm.isf(alpha / 2)
    for bound, sign in ((found.low, 1.0), (found.high, -1.0)):
        if abs(bound) < 1:
            assert sign * score(bound) == pytest.approx(limit, rel=1e-5)


NUMBERS = st.sampled_from([0.0, 1e-320, 1e-200, 1e-12, 1.0, 1e12, 1e200, 1e308, math.nan, math.inf])
SIGNED = st.builds(lambda number, sign: sign * number, NUMBERS, st.sampled_from([1.0, -1.0]))
SAMPLES = st.builds(Sample, st.sampled_from([0.0, 1.0, 2.0, 3.0, 1e9, 1e15, math.nan, math.inf, -1.0]), SIGNED, SIGNED)


@given(SAMPLES, SAMPLES, st.sampled_from([0.2, 0.05, 1e-9]))
def test_no_sample_makes_a_silent_number(control: Sample, arm: Sample, alpha: float) -> None:
    found = frequentist.compare(control, arm, alpha)
    numbers = (found.effect, found.standard_error, found.low, found.high, found.p_value)
    assert found.is_estimable == all(math.isfinite(number) for number in numbers)
    assert not math.isinf(found.relative_low + found.relative_high)
    assert not frequentist.not_worse(control, arm, 0.05) > 1


def test_a_broken_count_is_no_sound_ratio() -> None:
    even = {"control": 0.5, "new": 0.5}
    assert math.isnan(always.mismatch({"control": math.nan, "new": 1.0}, even))
    assert math.isnan(srm.mismatch({"control": math.nan, "new": 1.0}, even))
    assert srm.mismatch({"control": 9.0}, {"control": 1.0, "new": 0.0}) == 1.0


@pytest.mark.parametrize("units", [1e9, 1e12, 1e15])
def test_beliefs_in_proportions_of_a_billion_units_and_more_are_those_of_normals(units: float) -> None:
    spread = math.sqrt(0.21 / units)
    control, arm = Beta(0.3 * units, 0.7 * units), Beta((0.3 + spread) * units, (0.7 - spread) * units)
    better = stats.norm.cdf((arm.mean - control.mean) / (spread * math.sqrt(2)))
    assert compare(control, arm).better == pytest.approx(better, abs=1e-5)
    assert probabilities_of_best([control, arm])[1] == pytest.approx(better, abs=1e-5)
    assert probabilities_of_best([control, arm])[1] == pytest.approx(compare(control, arm).better, abs=1e-8)


@given(st.floats(100, 1e6), st.floats(100, 1e6), st.floats(-3, 3))
def test_a_beta_s_density_is_the_same_from_its_mean(a: float, b: float, away: float) -> None:
    belief = Beta(a, b)
    at = min(max(belief.mean + away * math.sqrt(belief.mean * (1 - belief.mean) / (a + b)), 1e-9), 1 - 1e-9)
    assert belief.density(np.array([at]))[0] == pytest.approx(stats.beta.pdf(at, a, b), rel=1e-7)


def test_what_only_rounding_tells_apart_is_no_knowledge() -> None:
    rounded = of_rows(("value",), np.full((70, 1), 0.1) + np.arange(70)[:, None] % 2 * 1e-17)
    known = of_mean(Sample(70, rounded.of("value"), 1e-36))
    assert probabilities_of_best([known, Normal(0.1, 0.1)])[0] == pytest.approx(0.5, abs=1e-5)
    with pytest.raises(InvalidBelief, match=r"Normal\.deviation"):
        Normal(1e9, 1e-9)


@pytest.mark.parametrize(("count", "share"), [(1, 0.5), (3, 0.5), (5, 0.5), (20, 0.9), (100, 0.99), (30, 0.01)])
def test_too_few_values_have_no_interval_of_a_quantile(count: int, share: float) -> None:
    assert all(math.isnan(end) for end in of_values(range(1, count + 1)).interval(share))


@pytest.mark.parametrize(("count", "share"), [(6, 0.5), (10, 0.5), (50, 0.9), (400, 0.99)])
def test_few_values_have_an_interval_that_holds_the_quantile(count: int, share: float) -> None:
    chance = np.random.default_rng(SEED)
    truth = stats.expon.ppf(share)
    intervals = [of_values(chance.exponential(size=count)).interval(share) for _ in range(400)]
    assert sum(low <= truth <= high for low, high in intervals) >= 0.92 * len(intervals)  # 95 %, three errors off


@pytest.mark.parametrize("percent", [7, 14, 28, 29, 55, 57])
def test_a_quantile_s_rank_does_not_hang_on_rounding(percent: int) -> None:
    assert of_values(range(1, 101)).quantile(percent / 100) == pytest.approx(percent, rel=1e-3)


def test_a_ratio_of_hardly_anything_is_not_estimable() -> None:
    rows = np.array([[1.0, 1e-300, 1.0], [2.0, 0.0, 3.0]]), np.array([[1.0, 1.0, 1.0], [2.0, 2.0, 3.0]])
    known = {name: of_rows(MEASURES, each) for name, each in zip(("control", "new"), rows, strict=True)}
    with np.errstate(all="ignore"):
        found = adjusted(known, "value", ["covariate"], "denominator")
    assert not frequentist.compare(found["control"], found["new"]).is_estimable


LOG = {
    "chosen": np.array([0, 1]),
    "propensities": np.array([0.5, 0.5]),
    "rewards": np.array([1.0, 0.0]),
    "target": np.full((2, 2), 0.5),
}


@pytest.mark.parametrize(
    "wrong",
    [
        {"chosen": np.array([0, -1])},
        {"chosen": np.array([0, 2])},
        {"propensities": np.array([0.5])},
        {"target": np.array([[-1.0, 2.0], [0.5, 0.5]])},
        {"predicted": np.array([[math.nan, 1.0], [0.5, 0.5]])},
        {"predicted": np.full((2, 3), 0.5)},
    ],
)
def test_a_log_that_does_not_fit_together_is_refused(wrong: dict[str, NDArray[np.float64]]) -> None:
    with pytest.raises(InvalidLog):
        Log(**(LOG | wrong))


def test_an_arm_counted_from_the_end_is_refused() -> None:
    with pytest.raises(InvalidLog, match="choice 0 is arm -1"):
        arm_means(np.array([-1, 0, 1]), np.full((3, 2), 0.5), np.array([1.0, 0.0, 1.0]))


def rows(name: str) -> NDArray[np.float64]:
    """Give an arm's units as MEASURES."""
    chance = np.random.default_rng(SEED)
    usual = np.column_stack([chance.normal(1, 1, 20), 1 + chance.random(20), chance.normal(0, 1, 20)])
    return {
        "usual": usual,
        "none": np.zeros((0, 3)),
        "one": usual[:1],
        "nought": np.zeros((20, 3)),
        "alike": np.full((20, 3), 0.1),
        "all": np.ones((20, 3)),
        "huge": usual * 1e199,
        "far": usual * 1e-3 + 1e12,
        "broken": np.vstack([usual, np.full((1, 3), math.nan)]),
    }[name]


def summed(name: str) -> Summary:
    """Sum an arm up, also one that has a value which is no number."""
    known = rows(name)
    if np.isfinite(known).all():
        return Summary(of_rows(MEASURES, known))
    return Summary(Moments(MEASURES, len(known), np.full(3, math.nan), np.full((3, 3), math.nan)))


ARMS = ("usual", "none", "one", "nought", "alike", "all", "huge", "far", "broken")


@pytest.mark.parametrize("kind", [Kind.MEAN, Kind.RATIO, Kind.PROPORTION])
def test_the_page_of_any_two_arms_is_written_and_has_no_silent_number(kind: Kind) -> None:
    below = "purchase" if kind is Kind.RATIO else None
    field = None if kind is Kind.PROPORTION else "amount"
    outcome = Outcome(name="o", event="purchase", kind=kind, field=field, denominator_event=below)
    known = ("none", "nought", "all", "broken") if kind is Kind.PROPORTION else ARMS
    for (control, new), design in zip(product(known, known), list(Design) * 27, strict=False):
        stopping = Stopping(design=design, days=2, looks=2)
        trial = Experiment(name="t", arms=(Arm(name="control"), Arm(name="new")), primary=outcome, stopping=stopping)
        arms = {arm: name for arm, name in (("control", control), ("new", new)) if len(rows(name))}
        units = {(DAY, arm): len(rows(name)) for arm, name in arms.items()}
        if not units:
            continue
        with np.errstate(all="ignore"):
            cells = {Cell("o", EVERYONE, DAY, arm): summed(name) for arm, name in arms.items()}
            told = files(read(trial, [Snapshot(DAY, units, 0, cells)]))
        assert "NaN" not in told["readings.json"]
        assert "Infinity" not in told["readings.json"]
