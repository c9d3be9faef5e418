"""Reckon what a noisy answer costs in privacy, and how much noise a budget asks for."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

NORMAL = NormalDist()
STEPS = 100  # halvings: to the last bit of a double
LARGEST_ORDER = 1e9
SMALLEST_LOG = -700.0  # of an order's distance from 1: a double still holds it


def laplace_scale(l1: float, epsilon: float) -> float:
    """Scale of Laplace noise for epsilon (Dwork, McSherry, Nissim, Smith 2006).

    >>> laplace_scale(1, 0.5)
    2.0
    """
    return l1 / epsilon


def gaussian_scale(l2: float, rho: float) -> float:
    """Standard deviation of Gaussian noise for rho-zCDP (Bun and Steinke 2016, proposition 1.6).

    >>> gaussian_scale(1, 0.125)
    2.0
    """
    return l2 / math.sqrt(2 * rho)


def classic_gaussian_scale(l2: float, epsilon: float, delta: float) -> float:
    """Standard deviation for (epsilon, delta) of Dwork and Roth 2014, theorem A.1; it holds for epsilon below 1 alone.

    >>> round(classic_gaussian_scale(1, 0.5, 1e-5), 4)
    9.6896
    """
    if not 0 < epsilon < 1:
        raise ValueError(
            f"epsilon is {epsilon!r}: the classic formula holds between 0 and 1; take analytic_gaussian_scale"
        )
    return l2 * math.sqrt(2 * math.log(1.25 / delta)) / epsilon


def gaussian_delta(l2: float, scale: float, epsilon: float) -> float:
    """Delta of Gaussian noise at epsilon, exactly (Balle and Wang 2018, theorem 8).

    >>> round(gaussian_delta(1, 1, 1), 6)
    0.126937
    """
    half, tilt = l2 / (2 * scale), epsilon * scale / l2
    return math.exp(_log_cdf(half - tilt)) - math.exp(epsilon + _log_cdf(-half - tilt))


def analytic_gaussian_scale(l2: float, epsilon: float, delta: float) -> float:
    """Least standard deviation for (epsilon, delta), any epsilon (Balle and Wang 2018, algorithm 1).

    >>> round(analytic_gaussian_scale(1, 1, 1e-5), 4)
    3.7306
    """
    return _least(lambda scale: gaussian_delta(l2, scale, epsilon) <= delta, l2)


def choice_scale(l_inf: float, epsilon: float) -> float:
    """Scale of the Gumbel noise of the exponential mechanism (McSherry and Talwar 2007).

    >>> choice_scale(1, 0.5)
    4.0
    """
    return 2 * l_inf / epsilon


def epsilon_of_choice(rho: float) -> float:
    """Epsilon of an exponential mechanism that costs rho: it is epsilon squared / 8 (Cesar and Rogers 2021).

    >>> epsilon_of_choice(0.005)
    0.2
    """
    return math.sqrt(8 * rho)


def rho_of_pure(epsilon: float) -> float:
    """Rho that every epsilon-private mechanism keeps (Bun and Steinke 2016, proposition 1.4).

    >>> rho_of_pure(1.0)
    0.5
    """
    return epsilon * epsilon / 2


def simple_epsilon(rho: float, delta: float) -> float:
    """Epsilon at delta of rho-zCDP by the closed form (Bun and Steinke 2016, proposition 1.3).

    >>> round(simple_epsilon(0.1, 1e-6), 4)
    2.4508
    """
    return rho + 2 * math.sqrt(rho * math.log(1 / delta))


def delta_of_zcdp(rho: float, epsilon: float) -> float:
    """Least delta at epsilon of rho-zCDP (Canonne, Kamath, Steinke 2020, corollary 13).

    >>> round(delta_of_zcdp(0.1, 2.0), 8)
    4.33e-06
    """
    if rho == 0:
        return 0.0
    low, high = SMALLEST_LOG, math.log(LARGEST_ORDER)  # the exponent's slope in alpha grows: halve it to its root
    for _ in range(STEPS):
        middle = (low + high) / 2
        beyond = math.exp(middle)
        if (1 + 2 * beyond) * rho - epsilon + _log_share(beyond) < 0:
            low = middle
        else:
            high = middle
    beyond = math.exp(high)
    exponent = beyond * ((1 + beyond) * rho - epsilon + _log_share(beyond)) - math.log1p(beyond)
    return min(1.0, math.exp(min(exponent, 0.0)))


def _log_share(beyond: float) -> float:
    """Logarithm of 1 - 1 / alpha of an order, told by how far it is beyond 1: alpha itself would round to 1."""
    return math.log1p(-1 / (1 + beyond)) if beyond > 1 else math.log(beyond) - math.log1p(beyond)


@lru_cache
def epsilon_of_zcdp(rho: float, delta: float) -> float:
    """Least epsilon at delta of rho-zCDP (Canonne, Kamath, Steinke 2020), below the closed form's.

    >>> round(epsilon_of_zcdp(0.045, 1e-6), 4)
    1.3904
    """
    if rho == 0 or delta_of_zcdp(rho, 0.0) <= delta:
        return 0.0
    return _least(lambda epsilon: delta_of_zcdp(rho, epsilon) <= delta, rho)


@lru_cache
def rho_of_epsilon(epsilon: float, delta: float) -> float:
    """Largest rho of which (epsilon, delta) follows.

    >>> round(rho_of_epsilon(1.3903837331851199, 1e-6), 9)
    0.045
    """
    low, high = 0.0, max(1.0, 4 * epsilon)
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if delta_of_zcdp(middle, epsilon) <= delta else (low, middle)
    return low


def _least(enough: Callable[[float], bool], guess: float) -> float:
    """Find the least value that is enough, where every larger one is too."""
    high = guess
    while not enough(high):
        high *= 2
    low = 0.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _log_cdf(at: float) -> float:
    """Logarithm of the normal distribution function, also far out where the function itself is nought."""
    if at > -30:  # noqa: PLR2004  # erfc still has all its digits there
        return math.log(math.erfc(-at / math.sqrt(2)) / 2)
    return -at * at / 2 - math.log(-at) - math.log(2 * math.pi) / 2 + math.log1p(-1 / (at * at))
