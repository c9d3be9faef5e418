"""Comparisons beside closed forms, SciPy's adaptive quadrature and Monte Carlo."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import betaln
from scipy.stats import beta, norm

from domain.experiment.bayesian.belief import Belief, Beta, InvalidBelief, Normal, of_mean, of_proportion
from domain.experiment.bayesian.compare import compare, losses, probabilities_of_best
from domain.experiment.samples import Sample

SEED = 20260301
PAIRS = [
    (Beta(51, 951), Beta(66, 936)),
    (Beta(1, 1), Beta(3, 2)),
    (Beta(120, 80), Beta(100, 100)),
    (Beta(2, 50), Beta(9, 41)),
    (Beta(20_001, 980_001), Beta(20_501, 979_501)),
]


def miller(control: Beta, arm: Beta) -> float:
    """P(arm > control) as a finite sum, for a whole `a` of the arm (Miller 2015)."""
    terms = (
        math.exp(
            betaln(control.a + i, control.b + arm.b)
            - math.log(arm.b + i)
            - betaln(1 + i, arm.b)
            - betaln(control.a, control.b)
        )
        for i in range(int(arm.a))
    )
    return math.fsum(terms)


@pytest.mark.parametrize(("control", "arm"), PAIRS)
def test_the_probability_to_be_better_is_miller_s_sum(control: Beta, arm: Beta) -> None:
    assert compare(control, arm).better == pytest.approx(miller(control, arm), abs=1e-7 if control.a > 1e4 else 1e-9)


@pytest.mark.parametrize(("control", "arm"), PAIRS)
def test_the_loss_is_stucchio_s_closed_form(control: Beta, arm: Beta) -> None:
    """E max(C - A, 0) = E[C] P(C' > A) - E[A] P(C > A'), where ' adds a success (Stucchio 2015)."""
    wanted = control.mean * miller(arm, Beta(control.a + 1, control.b)) - arm.mean * miller(
        Beta(arm.a + 1, arm.b), control
    )

    assert compare(control, arm).loss == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize(("control", "arm"), PAIRS[:4])
@pytest.mark.parametrize("rope", [0.01, 0.1])
def test_intervals_and_equivalence_of_proportions_are_monte_carlo_s(control: Beta, arm: Beta, rope: float) -> None:
    random, draws = np.random.default_rng(SEED), 400_000
    differences = random.beta(arm.a, arm.b, draws) - random.beta(control.a, control.b, draws)
    found = compare(control, arm, rope=rope)

    def error(share: float) -> float:
        return 4 * math.sqrt(max(share * (1 - share), 1e-6) / draws)

    assert (differences < found.low).mean() == pytest.approx(0.025, abs=error(0.025))
    assert (differences < found.high).mean() == pytest.approx(0.975, abs=error(0.975))
    assert found.equivalent == pytest.approx((np.abs(differences) < rope).mean(), abs=error(found.equivalent))
    assert found.mean == pytest.approx(differences.mean(), abs=4 * differences.std() / math.sqrt(draws))


@pytest.mark.parametrize(
    ("control", "arm"),
    [(Normal(0, 1), Normal(0.5, 2)), (Normal(10, 0.1), Normal(10, 3)), (Normal(0, 1), Normal(14, 0.01))],
)
def test_normals_are_compared_as_quadrature_compares_them(control: Normal, arm: Normal) -> None:
    found = compare(control, arm, rope=0.2)
    deviation = math.hypot(control.deviation, arm.deviation)
    away = norm(arm.mean - control.mean, deviation)
    loss = quad(lambda d: -d * away.pdf(d), away.mean() - 40 * deviation, 0, epsabs=1e-14, limit=500)[0]

    assert found.better == pytest.approx(away.sf(0), rel=1e-12)
    assert found.loss == pytest.approx(loss, abs=1e-10)
    assert found.equivalent == pytest.approx(away.cdf(0.2) - away.cdf(-0.2), abs=1e-14)
    assert (found.low, found.high) == pytest.approx(away.interval(0.95), rel=1e-12)


def test_a_small_chance_is_not_rounded_to_nought() -> None:
    assert 0 < compare(Normal(20, 1), Normal(0, 1)).better < 1e-40
    assert 0 < compare(Beta(900, 100), Beta(100, 900)).better < 1e-100


@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.floats(0.5, 500), st.floats(0.5, 500)), min_size=2, max_size=5))
def test_probabilities_of_best_are_quadrature_s(counts: list[tuple[float, float]]) -> None:
    beliefs = [Beta(a, b) for a, b in counts]
    found = probabilities_of_best(beliefs)
    random = np.random.default_rng(SEED)
    a, b = np.array(counts).T
    drawn = random.beta(a, b, size=(40_000, len(counts)))
    shares = np.bincount(drawn.argmax(axis=1), minlength=len(counts)) / 40_000

    assert sum(found) == pytest.approx(1)
    assert found == pytest.approx(shares, abs=5 * math.sqrt(0.25 / 40_000))


@pytest.mark.parametrize("prior", [0.5, 1.0])
def test_equal_beliefs_share_equally_however_steep_their_ends(prior: float) -> None:
    assert probabilities_of_best([Beta(prior, prior)] * 4) == pytest.approx([0.25] * 4, abs=1e-12)
    assert compare(Beta(prior, prior), Beta(prior, prior)).better == pytest.approx(0.5, abs=1e-8)


def test_the_best_of_three_whole_betas_is_an_exact_fraction() -> None:
    """Beta(2,1), Beta(1,1), Beta(1,2): by hand, ∫ 2x·x·(2x - x²) dx = 3/5 and so on."""
    found = probabilities_of_best([Beta(2, 1), Beta(1, 1), Beta(1, 2)])

    assert found == pytest.approx([0.6, 0.3, 0.1], abs=1e-12)


@pytest.mark.parametrize("deviations", [(1, 1, 1), (1, 1e-4, 30)])
def test_normals_of_unequal_width_are_as_exact(deviations: tuple[float, ...]) -> None:
    """A peer's Gauss-Hermite rule is 5e-3 off here."""
    means = (0.0, 0.3, -1.0)
    beliefs = [Normal(mean, deviation) for mean, deviation in zip(means, deviations, strict=True)]
    wanted = []
    for place, (mean, deviation) in enumerate(zip(means, deviations, strict=True)):
        others = [norm(means[j], deviations[j]) for j in range(3) if j != place]

        def density(z: float, mean: float = mean, deviation: float = deviation, others: list[Any] = others) -> float:
            return float(norm.pdf(z) * np.prod([other.cdf(mean + deviation * z) for other in others]))

        breaks = sorted((other.mean() + z * other.std() - mean) / deviation for other in others for z in (-6, 0, 6))
        inside = [point for point in breaks if abs(point) < 8]
        wanted.append(quad(density, -9, 9, points=inside, epsabs=1e-12, limit=800)[0])

    assert probabilities_of_best(beliefs) == pytest.approx(wanted, abs=1e-8)


@pytest.mark.parametrize(
    "beliefs", [[Beta(3, 9), Beta(5, 9), Beta(2, 2)], [Normal(0, 1), Normal(1, 2), Normal(0, 0.1)]]
)
def test_losses_are_monte_carlo_s(beliefs: list[Belief]) -> None:
    random, draws = np.random.default_rng(SEED), 400_000
    drawn = np.column_stack(
        [
            random.beta(b.a, b.b, draws) if isinstance(b, Beta) else random.normal(b.mean, b.deviation, draws)  # type: ignore[attr-defined]
            for b in beliefs
        ]
    )
    lost = drawn.max(axis=1, keepdims=True) - drawn

    for found, column in zip(losses(beliefs), lost.T, strict=True):
        assert found == pytest.approx(column.mean(), abs=4 * column.std() / math.sqrt(draws))


def test_a_prior_and_data_weigh_by_their_precision() -> None:
    found = of_mean(Sample(100, 10.0, 400.0), Normal(0.0, 2.0))

    assert (found.mean, found.deviation) == pytest.approx((5.0, math.sqrt(2.0)))
    assert of_mean(Sample(100, 10.0, 400.0)) == Normal(10.0, 2.0)


@pytest.mark.slow
def test_a_credible_interval_holds_the_truth_as_often_as_it_says_under_its_prior() -> None:
    """500 pairs drawn from the prior; four binomial standard errors."""
    random, inside = np.random.default_rng(SEED), 0
    for _ in range(500):
        truth = random.beta(2, 20, 2)
        hits = random.binomial(300, truth)
        beliefs = [of_proportion(hit, 300, Beta(2, 20)) for hit in hits]
        found = compare(*beliefs)
        inside += found.low <= truth[1] - truth[0] <= found.high

    assert inside / 500 == pytest.approx(0.95, abs=4 * math.sqrt(0.05 * 0.95 / 500))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Beta(0, 1), "Beta.a is 0"),
        (lambda: Beta(1, math.nan), "Beta.b is nan"),
        (lambda: Normal(0, 0), "Normal.deviation is 0"),
        (lambda: Normal(math.inf, 1), "Normal.mean is inf"),
        (lambda: of_proportion(3, 2), "successes is 3 of 2 units"),
    ],
)
def test_what_makes_no_posterior_is_refused(make: object, said: str) -> None:
    with pytest.raises(InvalidBelief, match=said):
        make()  # type: ignore[operator]


def test_a_density_is_scipy_s() -> None:
    points = np.linspace(0.01, 0.99, 9)

    assert Beta(2.5, 0.7).density(points) == pytest.approx(beta(2.5, 0.7).pdf(points), rel=1e-12)
    assert Beta(2.5, 0.7).above(points) == pytest.approx(beta(2.5, 0.7).sf(points), rel=1e-12)
