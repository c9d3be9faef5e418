"""Sum up an arm's units so that every reading follows without them: counts, means, and products about the means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


class InvalidMoments(ValueError):
    """Sums that cannot be those of any rows; the message names which."""


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """The count, the means and the centred cross-products of `p` columns over the same units.

    `mean` has shape (p,) in the columns' units; `product` has shape (p, p) and is the sum over units of
    (x - mean)(x - mean)'.  Centred sums keep a variance exact where raw sums cancel (Chan, Golub and LeVeque 1983).
    `rest` is what rounding cut off the mean: doubles near 1e8 lie 1.5e-8 apart, and means of merged parts rounded so
    far would leave a variance of one eleven digits; with it (a double-double, Dekker 1971) it keeps fifteen.
    """

    columns: tuple[str, ...]
    count: float
    mean: Vector
    product: Matrix
    rest: Vector | float = 0.0

    def __add__(self, other: Moments) -> Moments:
        """Merge with the moments of other units (Chan, Golub and LeVeque 1983, in p dimensions).

        What is not finite stays so, without a warning: a reading of it says that it is not estimable.
        """
        if self.columns != other.columns:
            raise InvalidMoments(f"columns {other.columns} do not merge with {self.columns}: give the same, in order")
        if not (self.count and other.count):
            return self if self.count else other  # as it is: sums with nought would round its mean
        count = self.count + other.count
        with np.errstate(invalid="ignore"):
            away, cut = _sum(other.mean, -self.mean)
            away = away + (cut + (other.rest - self.rest))
            mean, cut = _sum(self.mean, away * (other.count / count))
            mean, rest = _sum(mean, cut + self.rest)
            product = self.product + other.product + np.outer(away, away) * (self.count * other.count / count)
        return Moments(self.columns, count, mean, product, rest)

    @property
    def covariance(self) -> Matrix:
        """The sample covariance, (p, p), with count - 1 in the denominator; nan below two units."""
        if self.count < 2:  # noqa: PLR2004 - a variance takes two
            return np.full_like(self.product, np.nan)
        return self.product / (self.count - 1)

    def variance(self, column: str) -> float:
        """Return one column's sample variance."""
        place = self.columns.index(column)
        return float(self.covariance[place, place])

    def of(self, column: str) -> float:
        """Return one column's mean."""
        return float(self.mean[self.columns.index(column)])


def empty(columns: Sequence[str]) -> Moments:
    """Return the moments of no units, which merge with any."""
    size = len(columns)
    return Moments(tuple(columns), 0.0, np.zeros(size), np.zeros((size, size)))


def of_rows(columns: Sequence[str], rows: Matrix) -> Moments:
    """Sum up rows of shape (n, p); raise InvalidMoments where a value is not finite."""
    if not np.isfinite(rows).all():
        raise InvalidMoments(f"a value of {', '.join(columns)} is not finite: leave such units out before summing")
    if not len(rows):
        return empty(columns)
    first = rows.mean(axis=0)
    centred = rows - first
    left = centred.mean(axis=0)  # what rounding left in the first mean
    centred = centred - left
    mean, rest = _sum(first, left)
    return Moments(tuple(columns), float(len(rows)), mean, centred.T @ centred, rest)


def of_shifted_sums(columns: Sequence[str], count: float, origin: Vector, sums: Vector, products: Matrix) -> Moments:
    """Turn sums of (x - origin) and of (x - origin)(x - origin)', as an engine makes them, into moments.

    The nearer `origin` lies to the mean, the more of a variance survives: it loses about 2·log10(|mean - origin|/sd) of
    double precision's 16 digits.  What is not finite stays so, without a warning.
    """
    if not count:
        return empty(columns)
    away = sums / count
    with np.errstate(invalid="ignore"):
        product = products - np.outer(away, away) * count
        mean, rest = _sum(origin, away)
    if (np.diag(product) < -1e-9 * np.abs(np.diag(products))).any():
        raise InvalidMoments(f"a sum of squares of {', '.join(columns)} is below what its sum implies")
    np.fill_diagonal(product, np.maximum(np.diag(product), 0.0))
    return Moments(tuple(columns), float(count), mean, product, rest)


def merge(parts: Iterable[Moments]) -> Moments:
    """Merge the moments of disjoint sets of units; at least one."""
    return reduce(Moments.__add__, parts)


def _sum(one: Vector, other: Vector) -> tuple[Vector, Vector]:
    """Return the rounded sum and exactly what rounding cut off (Knuth's two-sum; Shewchuk 1997, theorem 7)."""
    total = one + other
    added = total - one
    return total, (one - (total - added)) + (other - added)
