"""Readings beside independent implementations: SciPy, statsmodels, tea-tasting (on pandas, its right path)."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import tea_tasting as tea
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import minimize_scalar
from statsmodels.stats import proportion
from statsmodels.stats.multitest import multipletests

from domain.experiment.frequentist import compare, compare_proportions, not_worse
from domain.experiment.moments import Moments, of_rows
from domain.experiment.multiplicity import benjamini_hochberg, holm
from domain.experiment.samples import Sample, adjusted, of_mean, of_ratio, stratified
from domain.experiment.srm import mismatch

SEED = 20260301
COLUMNS = ("value", "denominator", "before", "before_denominator")
TIGHT = 1e-9


def any_units(count: int, effect: float, seed: int) -> np.ndarray:
    """Units with a value, a denominator, and both before the experiment."""
    random = np.random.default_rng(seed)
    kind = random.gamma(2, 1, count)
    before_denominator = 1.0 + random.poisson(2 * kind)
    before = random.gamma(before_denominator, 1)
    denominator = 1.0 + random.poisson(2 * kind)
    value = random.gamma(denominator, 1 + effect)
    return np.column_stack([value, denominator, before, before_denominator])


def any_arms(effect: float, seed: int, sizes: tuple[int, int] = (700, 500)) -> dict[str, np.ndarray]:
    return {"control": any_units(sizes[0], 0, seed), "new": any_units(sizes[1], effect, seed + 1)}


def moments_of(arms: dict[str, np.ndarray]) -> dict[str, Moments]:
    return {name: of_rows(COLUMNS, rows) for name, rows in arms.items()}


def as_frame(arms: dict[str, np.ndarray]) -> pd.DataFrame:
    parts = [pd.DataFrame(rows, columns=COLUMNS).assign(variant=name) for name, rows in arms.items()]
    return pd.concat(parts, ignore_index=True)


CASES = list(product((0.0, 0.05, 0.5), range(4)))


@pytest.mark.parametrize(("effect", "seed"), CASES)
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_a_mean_is_read_as_scipy_reads_it(effect: float, seed: int, alpha: float) -> None:
    arms = any_arms(effect, seed)
    samples = {name: of_mean(moments, "value") for name, moments in moments_of(arms).items()}
    found = compare(samples["control"], samples["new"], alpha)
    wanted = stats.ttest_ind(arms["new"][:, 0], arms["control"][:, 0], equal_var=False)
    interval = wanted.confidence_interval(1 - alpha)

    assert found.p_value == pytest.approx(wanted.pvalue, rel=TIGHT)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=TIGHT)
    assert found.degrees == pytest.approx(wanted.df, rel=TIGHT)


def of_tea(arms: dict[str, np.ndarray], metric: Any) -> Any:
    return tea.Experiment(found=metric, variant="variant").analyze(as_frame(arms), control="control")["found"]


@pytest.mark.parametrize(("effect", "seed"), CASES)
def test_a_ratio_is_read_as_tea_tasting_reads_it(effect: float, seed: int) -> None:
    arms = any_arms(effect, seed)
    samples = {name: of_ratio(moments, "value", "denominator") for name, moments in moments_of(arms).items()}
    found, wanted = compare(samples["control"], samples["new"]), of_tea(arms, tea.RatioOfMeans("value", "denominator"))

    assert found.p_value == pytest.approx(wanted.pvalue, rel=TIGHT)
    assert (found.low, found.high) == pytest.approx((wanted.effect_size_ci_lower, wanted.effect_size_ci_upper))
    assert found.relative == pytest.approx(wanted.rel_effect_size, rel=TIGHT)


@pytest.mark.parametrize(("effect", "seed"), CASES)
def test_a_mean_less_what_was_before_is_read_as_tea_tasting_reads_it(effect: float, seed: int) -> None:
    """tea-tasting pools the whole sample's covariance where ours pools within arms, so they agree without an effect."""
    arms = any_arms(effect, seed)
    samples = adjusted(moments_of(arms), "value", ["before"])
    found, wanted = compare(samples["control"], samples["new"]), of_tea(arms, tea.Mean("value", "before"))

    assert found.effect == pytest.approx(wanted.effect_size, abs=0.02 * found.standard_error)
    assert found.p_value == pytest.approx(wanted.pvalue, rel=0.1)


@pytest.mark.parametrize("seed", range(6))
def test_covariates_take_what_a_regression_with_an_intercept_for_each_arm_takes(seed: int) -> None:
    """Within-arm pooled coefficients are those of least squares on arm dummies and covariates (Frisch, Waugh 1933)."""
    arms = any_arms(0.1, seed)
    rows = np.vstack(list(arms.values()))
    dummies = np.repeat(np.eye(2), [len(part) for part in arms.values()], axis=0)
    fitted = np.linalg.lstsq(np.column_stack([dummies, rows[:, [2, 3]]]), rows[:, 0], rcond=None)[0]
    samples = adjusted(moments_of(arms), "value", ["before", "before_denominator"])

    assert samples["new"].mean - samples["control"].mean == pytest.approx(fitted[1] - fitted[0], rel=1e-9)


def test_a_covariate_that_explains_half_the_variance_halves_the_error() -> None:
    random = np.random.default_rng(SEED)
    before = random.normal(size=(2, 20_000))
    arms = {
        name: np.column_stack([x + random.normal(size=20_000), np.ones(20_000), x, np.ones(20_000)])
        for name, x in zip(("control", "new"), before, strict=True)
    }
    plain = of_mean(moments_of(arms)["new"], "value")
    less = adjusted(moments_of(arms), "value", ["before", "before_denominator"])["new"]

    assert less.variance / plain.variance == pytest.approx(0.5, abs=0.02)


def test_a_ratio_less_what_was_before_has_a_smaller_error_and_no_bias() -> None:
    arms = any_arms(0.1, SEED, (20_000, 20_000))
    moments = moments_of(arms)
    plain = {name: of_ratio(part, "value", "denominator") for name, part in moments.items()}
    less = adjusted(moments, "value", ["before", "before_denominator"], "denominator")
    effects = [samples["new"].mean - samples["control"].mean for samples in (plain, less)]

    assert less["new"].variance <= plain["new"].variance
    assert effects == pytest.approx([0.1, 0.1], abs=4 * math.sqrt(plain["new"].error + plain["control"].error))


PROPORTIONS = [
    ((50, 1000), (65, 1000)),
    ((1, 40), (6, 35)),
    ((300, 900), (280, 1000)),
    ((0, 50), (3, 60)),
    ((7, 10), (9, 10)),
    ((20_000, 1_000_000), (20_500, 1_000_000)),
    ((49, 50), (30, 50)),
    ((5, 5), (1, 9)),
]


def score(control: tuple[int, int], arm: tuple[int, int], difference: float) -> float:
    """The score statistic with the likeliest proportions found by search, not by the cubic."""
    (hits_c, n_c), (hits_a, n_a) = control, arm

    def unlikelihood(below: float) -> float:
        above = below + difference
        terms = ((hits_c, below), (n_c - hits_c, 1 - below), (hits_a, above), (n_a - hits_a, 1 - above))
        return -math.fsum(times * math.log(share) for times, share in terms if times)

    bounds = (max(0.0, -difference) + 1e-13, min(1.0, 1 - difference) - 1e-13)
    below = float(minimize_scalar(unlikelihood, bounds=bounds, method="bounded", options={"xatol": 1e-13}).x)
    above = below + difference
    error = below * (1 - below) / n_c + above * (1 - above) / n_a
    return float((hits_a / n_a - hits_c / n_c - difference) / math.sqrt(error))


@pytest.mark.parametrize(("control", "arm"), PROPORTIONS)
def test_proportions_are_tested_as_statsmodels_tests_them(control: tuple[int, int], arm: tuple[int, int]) -> None:
    wanted = proportion.score_test_proportions_2indep(*arm, *control, correction=False)[1]

    assert compare_proportions(control, arm).p_value == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize(("control", "arm"), PROPORTIONS)
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_a_proportion_s_interval_ends_where_the_score_test_does(
    control: tuple[int, int], arm: tuple[int, int], alpha: float
) -> None:
    """statsmodels 0.15 is no oracle here: its cubic has a count where Miettinen and Nurminen have a sample size."""
    found = compare_proportions(control, arm, alpha)
    limit = stats.norm.isf(alpha / 2)
    ends = [(end, side) for end, side in ((found.low, limit), (found.high, -limit)) if abs(end) < 1]

    assert ends
    assert [score(control, arm, end) for end, _ in ends] == pytest.approx([side for _, side in ends], rel=1e-5)


@pytest.mark.parametrize(
    ("control", "arm", "interval"),
    [((48, 80), (56, 70), (0.0533, 0.3377)), ((3, 10), (9, 10), (0.1821, 0.8370)), ((2, 7), (6, 7), (0.0544, 0.8478))],
)
def test_intervals_of_proportions_are_the_paper_s(
    control: tuple[int, int], arm: tuple[int, int], interval: tuple[float, float]
) -> None:
    """Newcombe 1998, table II, method 5 (Mee), contrasts a, b and c."""
    found = compare_proportions(control, arm)

    assert (round(found.low, 4), round(found.high, 4)) == interval


@given(st.integers(1, 400), st.integers(1, 400), st.floats(0, 1), st.floats(0, 1), st.sampled_from([0.05, 0.01]))
def test_interval_and_p_value_of_proportions_never_disagree(
    n_c: int, n_a: int, share_c: float, share_a: float, alpha: float
) -> None:
    found = compare_proportions((round(n_c * share_c), n_c), (round(n_a * share_a), n_a), alpha)

    if found.is_estimable:
        assert -1 <= found.low <= found.effect <= found.high <= 1
        if abs(found.p_value - alpha) > 1e-9:
            assert (found.p_value < alpha) == (not found.low <= 0 <= found.high)


@pytest.mark.parametrize("seed", range(6))
def test_rows_of_one_unit_are_read_as_a_regression_with_clustered_errors_reads_them(seed: int) -> None:
    """statsmodels' cluster-robust errors without its small-sample factors."""
    random = np.random.default_rng(seed)
    frames = []
    for arm in (0, 1):
        users = random.normal(0.1 * arm, 1, 150)
        sizes = random.integers(1, 8, 150)
        frames.append(
            pd.DataFrame(
                {
                    "arm": arm,
                    "user": np.repeat(np.arange(150) + 150 * arm, sizes),
                    "y": np.repeat(users, sizes) + random.normal(size=sizes.sum()),
                }
            )
        )
    rows = pd.concat(frames)
    fit = sm.OLS(rows["y"], sm.add_constant(rows[["arm"]])).fit(
        cov_type="cluster", cov_kwds={"groups": rows["user"], "use_correction": False}
    )
    users = rows.groupby(["arm", "user"])["y"].agg(["sum", "count"])
    control, new = (
        of_ratio(of_rows(("sum", "count"), users.loc[arm].to_numpy(float)), "sum", "count") for arm in (0, 1)
    )
    found = compare(control, new)

    assert found.effect == pytest.approx(fit.params["arm"], rel=1e-9)
    assert found.standard_error == pytest.approx(fit.bse["arm"] * math.sqrt(150 / 149), rel=1e-9)


def test_strata_at_their_share_take_away_the_imbalance_between_arms() -> None:
    """By hand: strata of 100 and 300 units, effects 1 and 2."""
    strata = {
        "small": {"control": Sample(80, 10, 4), "new": Sample(20, 11, 4)},
        "large": {"control": Sample(100, 20, 9), "new": Sample(200, 22, 9)},
    }
    found = stratified(strata)

    assert found["new"].mean - found["control"].mean == pytest.approx(0.25 * 1 + 0.75 * 2)
    assert found["new"].error == pytest.approx(0.25**2 * 4 / 20 + 0.75**2 * 9 / 200)
    assert found["new"].count == 220


def test_tails_are_not_rounded_to_nought() -> None:
    """z = 14: a peer answers 0.0."""
    found = compare(Sample(1e9, 0, 0.5e9), Sample(1e9, 14, 0.5e9))

    assert found.p_value == pytest.approx(1.5587e-44, rel=1e-3)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(14), rel=1e-4)


@pytest.mark.parametrize("margin", [0.02, 0.1])
@pytest.mark.parametrize("better", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_not_worse_is_a_shifted_welch_test(margin: float, better: bool, seed: int) -> None:
    arms = any_arms(0.0, seed)
    control, new = (of_mean(moments, "value") for moments in moments_of(arms).values())
    shifted = arms["control"][:, 0] * (1 - margin if better else 1 + margin)
    wanted = stats.ttest_ind(
        arms["new"][:, 0], shifted, equal_var=False, alternative="greater" if better else "less"
    ).pvalue

    assert not_worse(control, new, margin, higher_is_better=better) == pytest.approx(wanted, rel=TIGHT)


@pytest.mark.parametrize(
    ("control", "arm", "why"),
    [
        (Sample(1, 0, math.nan), Sample(9, 1, 1), "the control has 1 units"),
        (Sample(9, 0, 1), Sample(0, math.nan, math.nan), "the arm has 0 units"),
        (Sample(9, 0, 0), Sample(9, 0, 0), "no unit differs"),
        (Sample(9, math.inf, 1), Sample(9, 0, 1), "the control's mean is inf"),
        (Sample(9, 0, 1), Sample(9, 0, math.nan), "variance nan"),
    ],
)
def test_what_cannot_be_read_says_why(control: Sample, arm: Sample, why: str) -> None:
    found = compare(control, arm)

    assert why in found.why and found.why.startswith("not estimable: ")
    assert math.isnan(found.p_value) and math.isnan(found.effect)
    assert math.isnan(not_worse(control, arm, 0.1))


@pytest.mark.parametrize(
    ("control", "arm", "why"),
    [
        ((0, 0), (1, 2), "no units"),
        ((3, 2), (1, 2), "3 successes of 2"),
        ((0, 9), (0, 9), "no unit differs"),
        ((9, 9), (9, 9), "no unit differs"),
        ((math.nan, 9), (1, 9), "nan successes"),
    ],
)
def test_proportions_that_cannot_be_read_say_why(
    control: tuple[float, float], arm: tuple[float, float], why: str
) -> None:
    assert why in compare_proportions(control, arm).why


def test_a_share_of_a_control_that_may_be_nought_is_not_given() -> None:
    found = compare(Sample(100, 0.1, 100), Sample(100, 5, 100))

    assert found.is_estimable and math.isnan(found.relative)


@pytest.mark.parametrize("seed", range(5))
def test_adjusted_p_values_are_statsmodels(seed: int) -> None:
    p_values = list(np.random.default_rng(seed).uniform(0, 0.2, 9))

    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])
    assert benjamini_hochberg(p_values) == pytest.approx(multipletests(p_values, method="fdr_bh")[1])


@pytest.mark.parametrize("counts", [(500, 520), (4_810, 5_190), (100, 900), (3, 2)])
@pytest.mark.parametrize("share", [0.5, 0.1])
def test_the_ratio_of_samples_is_checked_as_scipy_checks_it(counts: tuple[int, int], share: float) -> None:
    found = mismatch({"a": counts[0], "b": counts[1]}, {"a": share, "b": 1 - share})

    assert found == pytest.approx(stats.chisquare(counts, np.array([share, 1 - share]) * sum(counts)).pvalue, rel=TIGHT)


def test_an_arm_without_a_share_takes_no_degree_of_freedom_and_must_be_empty() -> None:
    assert mismatch({"a": 460, "b": 540, "c": 0}, {"a": 0.5, "b": 0.5, "c": 0}) == pytest.approx(0.0114, abs=1e-4)
    assert mismatch({"a": 4_900, "b": 5_100, "c": 0}, {"a": 0.5, "b": 0.5, "c": 0}) == pytest.approx(0.0455, abs=1e-4)
    assert mismatch({"a": 500, "b": 500, "c": 1}, {"a": 0.5, "b": 0.5, "c": 0}) == 0
    assert math.isnan(mismatch({}, {"a": 0.5, "b": 0.5}))


def test_the_tail_of_a_broken_ratio_is_not_rounded_to_nought() -> None:
    """A third instead of a fifth, as PostHog found on its own experiment: p 2.4e-149 there."""
    assert 0 < mismatch({"a": 3_300, "b": 6_700}, {"a": 0.2, "b": 0.8}) < 1e-200
