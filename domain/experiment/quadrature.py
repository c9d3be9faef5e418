"""Integrate by points and weights (Gauss and Legendre), which are found once."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@functools.cache
def legendre(nodes: int) -> tuple[Vector, Vector]:
    """Return points from -1 to 1 and their weights, which integrate what has a degree below twice the nodes exactly.

    >>> points, weights = legendre(2)
    >>> round(float(weights @ points**2), 12)
    0.666666666667
    """
    points, weights = np.polynomial.legendre.leggauss(nodes)
    return points, weights
