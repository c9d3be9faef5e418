"""Follow a Brownian motion through looks at which it stops: the exact law of every group sequential statistic.

A standardised statistic at look k, times the square root of its information, is a Brownian motion with drift at that
information (Jennison and Turnbull 1999, chapter 3).  Between looks the density of the paths that go on is carried by
Gauss-Legendre quadrature (Armitage, McPherson and Rowe 1969, with their grid made exact).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from domain.experiment.quadrature import legendre

Vector = NDArray[np.float64]

FAR = 38.5  # standard deviations beyond which no double holds a tail; a first bound may lie at 30
NODES_A_PANEL = 16
PANEL = 3.0  # widths of the step's deviation that a panel spans; sixteen nodes then err by less than 1e-13


@dataclass(frozen=True, slots=True)
class Exits:
    """The chances of leaving first at each look, below and above."""

    below: tuple[float, ...]
    above: tuple[float, ...]

    @property
    def total(self) -> float:
        """The chance of leaving at any look."""
        return math.fsum((*self.below, *self.above))


@dataclass(frozen=True, slots=True)
class Paths:
    """The paths that have not stopped: where they are (nodes), how many (density times quadrature weight)."""

    information: float
    nodes: Vector
    mass: Vector

    def exits(self, information: float, bound: float, drift: float = 0.0) -> tuple[float, float]:
        """Return the chances that a path is below -bound, or above bound, at the next look."""
        step = math.sqrt(information - self.information)
        moved = self.nodes + drift * (information - self.information)
        below = float(self.mass @ ndtr((-bound - moved) / step))
        return below, float(self.mass @ ndtr((moved - bound) / step))

    def carried(self, information: float, bound: float, drift: float = 0.0) -> Paths:
        """Return the paths within the bound at the next look."""
        step = math.sqrt(information - self.information)
        moved = self.nodes + drift * (information - self.information)
        reach = FAR * math.sqrt(information) + abs(drift) * information
        nodes, weights = _grid(min(bound, reach), step)
        distances = (nodes[:, None] - moved[None, :]) / step
        density = np.exp(-0.5 * distances**2) @ self.mass / (step * math.sqrt(2 * math.pi))
        return Paths(information, nodes, density * weights)


def start() -> Paths:
    """Return all paths where they begin: at nought, before any information."""
    return Paths(0.0, np.zeros(1), np.ones(1))


def exits(information: Sequence[float], bounds: Sequence[float], drift: float = 0.0) -> Exits:
    """Return the chances of leaving at each look, for symmetric `bounds` on the standardised statistic.

    `information` ascends from above nought; `drift` is the expected statistic at information one.
    """
    paths, found = start(), []
    for reached, bound in zip(information, bounds, strict=True):
        limit = bound * math.sqrt(reached)
        found.append(paths.exits(reached, limit, drift))
        paths = paths.carried(reached, limit, drift)
    return Exits(tuple(below for below, _ in found), tuple(above for _, above in found))


def _grid(bound: float, step: float) -> tuple[Vector, Vector]:
    """Lay Gauss-Legendre panels over (-bound, bound), none wider than the step lets them be exact."""
    panels = max(1, math.ceil(2 * bound / (PANEL * step)))
    points, weights = legendre(NODES_A_PANEL)
    edges = np.linspace(-bound, bound, panels + 1)
    half = bound / panels
    nodes = (edges[:-1, None] + half * (1 + points[None, :])).ravel()
    return nodes, np.tile(weights * half, panels)
