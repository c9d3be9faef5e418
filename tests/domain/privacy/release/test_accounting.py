"""Conversions and scales are those of the papers, and what an independent reckoning gives."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from domain.privacy.release import accounting as losses

RHOS = st.floats(1e-6, 10)
DELTAS = st.floats(1e-12, 1e-2)


@pytest.mark.parametrize(
    ("epsilon", "delta", "scale"),
    [(0.1, 1e-5, 48.4481), (0.5, 1e-5, 9.6896), (0.9, 1e-6, 5.8876)],  # sqrt(2 ln(1.25 / delta)) / epsilon
)
def test_the_classic_scale_is_the_one_of_dwork_and_roth(epsilon: float, delta: float, scale: float) -> None:
    assert losses.classic_gaussian_scale(1, epsilon, delta) == pytest.approx(scale, abs=1e-4)


def test_the_classic_scale_is_refused_where_it_does_not_hold() -> None:
    with pytest.raises(ValueError, match=r"epsilon is 1\.5.*analytic_gaussian_scale"):
        losses.classic_gaussian_scale(1, 1.5, 1e-5)


@pytest.mark.parametrize(("epsilon", "delta"), [(0.1, 1e-6), (0.5, 1e-5), (1.0, 1e-5), (4.0, 1e-9), (10.0, 1e-3)])
def test_the_analytic_scale_spends_exactly_delta_as_integrated_by_hand(epsilon: float, delta: float) -> None:
    scale = losses.analytic_gaussian_scale(1, epsilon, delta)
    here, there = stats.norm(0, scale), stats.norm(1, scale)
    edge = scale**2 * -epsilon + 0.5  # where one density is e^epsilon times the other
    lost, _ = integrate.quad(
        lambda x: here.pdf(x) - math.exp(epsilon) * there.pdf(x), edge - 40 * scale, edge, epsabs=0, epsrel=1e-10
    )

    assert lost == pytest.approx(delta, rel=1e-6)


@pytest.mark.parametrize("epsilon", [0.1, 0.5, 0.9])
def test_the_analytic_scale_is_below_the_classic_one(epsilon: float) -> None:
    assert losses.analytic_gaussian_scale(1, epsilon, 1e-6) < losses.classic_gaussian_scale(1, epsilon, 1e-6)


@pytest.mark.parametrize(
    ("rho", "delta", "epsilon"),
    [(0.1, 1e-6, 2.4508), (0.5, 1e-5, 5.2985), (1.0, 1e-6, 8.4339)],  # rho + 2 sqrt(rho ln(1 / delta))
)
def test_the_closed_form_is_the_one_of_bun_and_steinke(rho: float, delta: float, epsilon: float) -> None:
    assert losses.simple_epsilon(rho, delta) == pytest.approx(epsilon, abs=1e-4)


@settings(deadline=None, max_examples=25)
@given(RHOS, DELTAS)
def test_the_tight_conversion_is_never_above_the_closed_form(rho: float, delta: float) -> None:
    assert losses.epsilon_of_zcdp(rho, delta) <= losses.simple_epsilon(rho, delta)


@settings(deadline=None, max_examples=25)
@given(st.floats(0.01, 5), st.floats(0.1, 8))
def test_the_tight_conversion_is_never_below_what_gaussian_noise_loses(rho: float, epsilon: float) -> None:
    exact = losses.gaussian_delta(1, losses.gaussian_scale(1, rho), epsilon)

    assert losses.delta_of_zcdp(rho, epsilon) >= exact * (1 - 1e-9)


@settings(deadline=None, max_examples=25)
@given(st.floats(0.01, 8), DELTAS)
def test_an_epsilon_turned_into_rho_and_back_is_itself(epsilon: float, delta: float) -> None:
    assert losses.epsilon_of_zcdp(losses.rho_of_epsilon(epsilon, delta), delta) == pytest.approx(epsilon, rel=1e-6)


@pytest.mark.parametrize(("rho", "epsilon"), [(0.01, 0.5), (0.1, 2.0), (0.5, 1.0), (2.0, 12.0)])
def test_delta_is_the_least_over_all_orders(rho: float, epsilon: float) -> None:
    orders = [1 + 10 ** (place / 2000) for place in range(-8000, 8000)]
    least = min(
        math.exp(min(0.0, (a - 1) * (a * rho - epsilon) + a * math.log1p(-1 / a) - math.log(a - 1))) for a in orders
    )

    assert losses.delta_of_zcdp(rho, epsilon) == pytest.approx(least, rel=1e-5)


def test_pure_losses_turn_into_rho_as_the_papers_say() -> None:
    assert losses.rho_of_pure(0.3) == pytest.approx(0.045)
    assert losses.epsilon_of_choice(0.5**2 / 8) == pytest.approx(0.5)
    assert losses.laplace_scale(3, 0.25) == 12
    assert losses.gaussian_scale(2, 0.02) == 10


@pytest.mark.parametrize(("rho", "epsilon"), [(40.0, 0.0), (46.5, 1e-6), (600.0, 0.5), (351.0, 117.5)])
def test_a_loss_that_hides_nothing_is_reckoned_too(rho: float, epsilon: float) -> None:
    assert losses.delta_of_zcdp(rho, epsilon) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("epsilon", [40.0, 150.0, 900.0])
def test_a_large_epsilon_is_turned_into_rho_and_back(epsilon: float) -> None:
    rho = losses.rho_of_epsilon(epsilon, 1e-9)

    assert losses.epsilon_of_zcdp(rho, 1e-9) == pytest.approx(epsilon, rel=1e-6)
    assert losses.delta_of_zcdp(rho * 1.001, epsilon) > 1e-9


def test_the_analytic_scale_holds_for_the_smallest_delta() -> None:
    # Reckoned with 60 digits (mpmath): the difference of two nearly equal probabilities is all that there is.
    assert losses.analytic_gaussian_scale(
        0.03172076309084347, 79.58940706613573, 6.203202691546402e-12
    ) == pytest.approx(0.004176452943340121, rel=1e-12)
