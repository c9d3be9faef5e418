"""The probability that each of several independent posteriors is the highest, with numpy alone.

`domain.experiment.bayesian` has the same by SciPy's special functions, which are too large for the function that
refreshes a bandit; this one integrates the densities itself.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
LogDensity = Callable[[Vector], Vector]

NODES = 16
STEEP = 4.0  # beyond, what is left of a fraction of a power is below 1e-9
GRADES = 20
NONE = np.zeros(0)
NEARLY_ALL = 2.0**-53 - 1  # as far below nought as a logarithm of one more is finite
SPREADS = np.array([-38, -12, -8, -6, -4, -3, -2, -1, -0.5, 0, 0.5, 1, 2, 3, 4, 6, 8, 12, 38], dtype=float)


def probabilities_of_best(
    log_densities: Sequence[LogDensity],
    means: Vector,
    deviations: Vector,
    support: tuple[float, float],
    landmarks: Vector = NONE,
) -> tuple[float, ...]:
    """Return each posterior's probability to be the highest, from log densities that need no normalising.

    Panels of Gauss-Legendre points lie at multiples of each posterior's deviation; distribution functions are the
    densities' running integrals over the same panels.  Exact to about 1e-9 for posteriors with one hump; `landmarks`
    are further ends of panels.
    """
    edges = np.union1d(_edges(means, deviations, support), landmarks)
    points, rule, running = _rule()
    half = np.diff(edges)[:, None] / 2
    at = edges[:-1, None] + half * (1 + points)
    found, below = [], []
    for log_density in log_densities:
        height = log_density(at)
        density = np.exp(height - height.max())
        panels = (half * rule * density).sum(axis=1)
        before = np.concatenate([[0.0], np.cumsum(panels)[:-1]])
        total = panels.sum()
        below.append(np.clip((before[:, None] + half * (density @ running.T)) / total, 0.0, 1.0))
        found.append(half * rule * density / total)
    shares = [
        float((mass * np.prod(below[:place] + below[place + 1 :], axis=0)).sum()) for place, mass in enumerate(found)
    ]
    total = sum(shares)
    return tuple(min(share / total, 1.0) for share in shares)


def best_of_betas(shapes: Sequence[tuple[float, float]]) -> tuple[float, ...]:
    """Return each of several Beta posteriors' probability to be the highest."""
    a, b = np.array(shapes, dtype=float).T
    total = a + b
    means = a / total
    deviations = np.sqrt(a * b / (total**2 * (total + 1)))

    def log_density(place: int) -> LogDensity:
        mean = means[place]

        def from_mean(at: Vector) -> Vector:  # logarithms of the points themselves leave few digits of many units
            away = at - mean
            above, below = (np.log1p(np.maximum(part, NEARLY_ALL)) for part in (away / mean, -away / (1 - mean)))
            fallen: Vector = (a[place] - 1) * above + (b[place] - 1) * below
            return fallen

        return from_mean

    densities = [log_density(place) for place in range(len(a))]
    return probabilities_of_best(densities, means, deviations, (0.0, 1.0), np.concatenate([_graded(a), 1 - _graded(b)]))


def _graded(powers: Vector) -> Vector:
    """Return points that near the end of the support where a density goes with a fraction of a power, as no panel's."""
    steep: NDArray[np.bool_] = (powers < STEEP) & (powers % 1 > 0)
    return np.power(0.25, np.arange(1.0, GRADES)) if steep.any() else NONE


def best_of_normals(means: Sequence[float] | Vector, deviations: Sequence[float] | Vector) -> tuple[float, ...]:
    """Return each of several normal posteriors' probability to be the highest."""
    middle, spread = np.asarray(means, dtype=float), np.asarray(deviations, dtype=float)

    def log_density(place: int) -> LogDensity:
        return lambda at: -0.5 * ((at - middle[place]) / spread[place]) ** 2

    densities = [log_density(place) for place in range(len(middle))]
    return probabilities_of_best(densities, middle, spread, (-np.inf, np.inf))


def _edges(means: Vector, deviations: Vector, support: tuple[float, float]) -> Vector:
    low, high = support
    spread = (means[:, None] + deviations[:, None] * SPREADS).ravel()
    inside = spread[(spread > low) & (spread < high)]
    ends = [end for end in support if np.isfinite(end)]
    return np.unique(np.concatenate([inside, ends]))


@functools.cache
def _rule() -> tuple[Vector, Vector, Vector]:
    """Return Gauss-Legendre points, weights, and the matrix that integrates from -1 to each point."""
    points, weights = np.polynomial.legendre.leggauss(NODES)
    values = np.polynomial.legendre.legvander(points, NODES)
    orders = np.arange(NODES)
    to_coefficients = (2 * orders[:, None] + 1) / 2 * (values[:, :NODES] * weights[:, None]).T
    integrals = np.empty((NODES, NODES))  # of each Legendre polynomial from -1 to each point
    integrals[:, 0] = points + 1
    integrals[:, 1:] = (values[:, 2:] - values[:, : NODES - 1]) / (2 * orders[1:] + 1)
    return points, weights, integrals @ to_coefficients
