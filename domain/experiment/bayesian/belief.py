"""What is believed of an arm's mean: a posterior with its density, distribution and quantiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincc, betaincinv, betaln, ndtr, ndtri

from domain.experiment.quadrature import legendre
from domain.experiment.samples import Sample

Vector = NDArray[np.float64]

LANDMARKS = np.array([1e-14, 1e-9, 1e-5, 1e-2, 0.25, 0.75, 1 - 1e-2, 1 - 1e-5, 1 - 1e-9, 1 - 1e-14])
RESOLVED = 1e-12  # of a mean; quadrature needs some thousand doubles in a deviation
MANY = 100.0  # of both outcomes; beyond, a Beta's density is taken from its mean
NODES = 16  # between two landmarks; with these, comparisons are exact to about 1e-10


class InvalidBelief(ValueError):
    """A prior or data that make no posterior; the message names the field, the value and the fix."""


class Belief(Protocol):
    """A posterior of one arm's mean."""

    @property
    def mean(self) -> float:
        """The expected mean."""

    def density(self, at: Vector) -> Vector:
        """Return the density at each point."""

    def below(self, at: Vector) -> Vector:
        """Return the probability of less than each point."""

    def above(self, at: Vector) -> Vector:
        """Return the probability of more than each point, small ones not rounded to nought."""

    def quantile(self, share: float) -> float:
        """Return the point below which the mean lies with the probability `share`."""

    def landmarks(self) -> Vector:
        """Return points between which the density is smooth enough for one quadrature panel."""


@dataclass(frozen=True, slots=True)
class Beta:
    """A proportion's posterior, Beta(a, b), a and b above 0; from a half on, comparisons are exact to about 1e-8."""

    a: float
    b: float

    def __post_init__(self) -> None:
        for name, value in (("a", self.a), ("b", self.b)):
            if not (math.isfinite(value) and value > 0):
                raise InvalidBelief(f"Beta.{name} is {value}; give a finite number above 0")

    @property
    def mean(self) -> float:
        """The expected proportion."""
        return self.a / (self.a + self.b)

    def density(self, at: Vector) -> Vector:
        """Return the density at each point."""
        inside = np.clip(at, 1e-300, 1 - 1e-16)
        if min(self.a, self.b) < MANY:
            return np.asarray(
                np.exp((self.a - 1) * np.log(inside) + (self.b - 1) * np.log1p(-inside) - betaln(self.a, self.b))
            )
        away = inside - self.mean  # of a billion units logarithms of the points themselves would leave seven digits
        with np.errstate(divide="ignore"):  # at the ends, where the density is nought
            fallen = (self.a - 1) * np.log1p(away / self.mean) + (self.b - 1) * np.log1p(-away / (1 - self.mean))
        return np.asarray(np.exp(fallen) * self._height())

    def _height(self) -> float:
        """Return the density at the mean, by Stirling's series (NIST DLMF 5.11.1)."""
        total = self.a + self.b
        rest = _stirling_rest(total) - _stirling_rest(self.a) - _stirling_rest(self.b)
        return total * math.sqrt(total / (2 * math.pi * self.a) / self.b) * math.exp(rest)

    def below(self, at: Vector) -> Vector:
        """Return the probability of less than each point."""
        return np.asarray(betainc(self.a, self.b, np.clip(at, 0.0, 1.0)))

    def above(self, at: Vector) -> Vector:
        """Return the probability of more than each point."""
        return np.asarray(betaincc(self.a, self.b, np.clip(at, 0.0, 1.0)))

    def quantile(self, share: float) -> float:
        """Return the point below which the proportion lies with the probability `share`."""
        return float(betaincinv(self.a, self.b, share))

    def landmarks(self) -> Vector:
        """Return quantiles, and towards an end where the density has no bound a geometric sequence."""
        points = betaincinv(self.a, self.b, LANDMARKS)
        to_nought = 0.25 ** np.arange(1, 45 if self.a < 1 else 1)
        to_one = 1 - 0.25 ** np.arange(1, 26 if self.b < 1 else 1)
        return np.concatenate([points, to_nought, to_one])


def _stirling_rest(at: float) -> float:
    """Return what Stirling's formula lacks of the logarithm of Gamma, right to 1e-16 from MANY on."""
    square = at * at
    return (1 / 12 - (1 / 360 - (1 / 1260 - 1 / (1680 * square)) / square) / square) / at


@dataclass(frozen=True, slots=True)
class Normal:
    """A mean's posterior, normal with a deviation above 0, in the outcome's units."""

    mean: float
    deviation: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.mean):
            raise InvalidBelief(f"Normal.mean is {self.mean}; give a finite number")
        if not (math.isfinite(self.deviation) and self.deviation > 0):
            raise InvalidBelief(f"Normal.deviation is {self.deviation}; give a finite number above 0")
        if self.deviation < abs(self.mean) * RESOLVED / 10:
            raise InvalidBelief(
                f"Normal.deviation is {self.deviation} at the mean {self.mean}, where doubles leave no points between; "
                f"give at least {RESOLVED:g} of the mean"
            )

    def density(self, at: Vector) -> Vector:
        """Return the density at each point."""
        scaled = (at - self.mean) / self.deviation
        return np.asarray(np.exp(-0.5 * scaled**2) / (self.deviation * math.sqrt(2 * math.pi)))

    def below(self, at: Vector) -> Vector:
        """Return the probability of less than each point."""
        return np.asarray(ndtr((at - self.mean) / self.deviation))

    def above(self, at: Vector) -> Vector:
        """Return the probability of more than each point."""
        return np.asarray(ndtr((self.mean - at) / self.deviation))

    def quantile(self, share: float) -> float:
        """Return the point below which the mean lies with the probability `share`."""
        return float(self.mean + self.deviation * ndtri(share))

    def landmarks(self) -> Vector:
        """Return quantiles."""
        return np.asarray(self.mean + self.deviation * ndtri(LANDMARKS))


def of_proportion(successes: float, units: float, prior: Beta = Beta(1, 1)) -> Beta:
    """Update a Beta prior by `successes` of `units`; the uniform prior by default."""
    if not 0 <= successes <= units:
        raise InvalidBelief(f"successes is {successes} of {units} units; give a number between 0 and {units}")
    return Beta(prior.a + successes, prior.b + units - successes)


def of_mean(sample: Sample, prior: Normal | None = None) -> Normal:
    """Update a normal prior by a sample's mean and error; without a prior all means were as likely.

    A ratio or an adjusted mean is a sample like any other (`domain.experiment.samples`).  What rounding alone makes
    units differ by is no knowledge: a deviation is at least RESOLVED of the mean.
    """
    if not 0 < sample.error < math.inf:
        raise InvalidBelief(f"the sample's squared error is {sample.error}; give one that is finite and above 0")
    if prior is None:
        return Normal(sample.mean, max(math.sqrt(sample.error), RESOLVED * abs(sample.mean)))
    precision = 1 / prior.deviation**2 + 1 / sample.error
    mean = (prior.mean / prior.deviation**2 + sample.mean / sample.error) / precision
    return Normal(mean, 1 / math.sqrt(precision))


def grid(beliefs: Sequence[Belief]) -> tuple[Vector, Vector]:
    """Lay Gauss-Legendre points and weights wherever any of the beliefs has mass."""
    return between(*(belief.landmarks() for belief in beliefs))


def between(*landmarks: Vector) -> tuple[Vector, Vector]:
    """Lay Gauss-Legendre points and weights between each of the landmarks and the next."""
    edges = np.unique(np.concatenate(landmarks))
    points, weights = legendre(NODES)
    half = np.diff(edges) / 2
    return (edges[:-1, None] + half[:, None] * (1 + points)).ravel(), (half[:, None] * weights).ravel()
