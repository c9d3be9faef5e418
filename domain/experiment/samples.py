"""Turn the moments of an arm's units into the mean and the error that an outcome's reading compares."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain.experiment.moments import Matrix, Moments, Vector

Tensor = NDArray[np.float64]

CONSTANT = 1e-14
"""A column whose units deviate from its mean by this share of it, or less, differs by rounding alone."""


@dataclass(frozen=True, slots=True)
class Sample:
    """An arm's estimate: how many units, the estimate, and one unit's variance, so that the error is variance/count."""

    count: float
    mean: float
    variance: float

    @property
    def error(self) -> float:
        """The squared standard error of the mean."""
        return self.variance / self.count if self.count else math.nan


def of_mean(moments: Moments, value: str) -> Sample:
    """Estimate the mean of a column over units."""
    return Sample(moments.count, moments.of(value), moments.variance(value))


def of_ratio(moments: Moments, value: str, denominator: str) -> Sample:
    """Estimate the ratio of two columns' sums, with its variance by the delta method (Deng, Knoblich and Lu 2018).

    With a unit's rows summed as `value` and counted as `denominator`, this is the mean over rows whose error knows that
    rows of one unit go together: the cluster-robust reading of an outcome finer than the assignment.
    """
    gradient = _ratio_gradient(moments, value, denominator)
    return Sample(moments.count, _ratio(moments, value, denominator), _along(gradient, moments.covariance))


def adjusted(
    arms: Mapping[str, Moments], value: str, covariates: Sequence[str], denominator: str | None = None
) -> dict[str, Sample]:
    """Estimate each arm's mean, or ratio, less what the covariates before the experiment explain (CUPED).

    The coefficients are pooled within arms, so that they are the same in every arm and no arm's own effect enters them
    (Deng, Xu, Kohavi and Walker 2013; several covariates as in their regression form).  Covariates that do not vary
    together with nothing else are left out by the pseudo-inverse.
    """
    known = list(arms.values())
    places = [known[0].columns.index(covariate) for covariate in covariates]
    counts = np.array([moments.count for moments in known])
    products = np.array([moments.product for moments in known])
    away = np.array([moments.mean for moments in known])[:, places]
    gradients = np.array([_gradient(moments, value, denominator) for moments in known])
    least = counts @ np.square(CONSTANT * away)
    coefficients = _pooled_coefficients(products, np.where(counts[:, None] > 0, gradients, 0.0), places, least)
    away = away - counts @ away / (counts.sum() or math.nan)
    gradients[:, places] -= coefficients
    squares = ((products @ gradients[:, :, None])[:, :, 0] * gradients).sum(axis=1)
    shifts = np.where(counts > 0, away @ coefficients, 0.0)
    found = {}
    for (name, moments), shift, square in zip(arms.items(), shifts.tolist(), squares.tolist(), strict=True):
        plain = _ratio(moments, value, denominator) if denominator else moments.of(value)
        variance = max(square / (moments.count - 1), 0.0) if moments.count > 1 else math.nan
        found[name] = Sample(moments.count, plain - shift, variance)
    return found


def stratified(strata: Mapping[str, Mapping[str, Sample]]) -> dict[str, Sample]:
    """Estimate each arm's mean with every stratum at its share of all units (Miratrix, Sekhon and Yu 2013).

    `strata` maps a stratum to its arms' samples.  A stratum without two units in each arm has no variance there, and
    the arm's estimate is nan: merge small strata first.
    """
    totals = {stratum: sum(sample.count for sample in arms.values()) for stratum, arms in strata.items()}
    units = sum(totals.values())
    found = {}
    for name in next(iter(strata.values())):
        shares = [(totals[stratum] / units, arms[name]) for stratum, arms in strata.items() if totals[stratum]]
        count = sum(sample.count for _, sample in shares)
        mean = sum(share * sample.mean for share, sample in shares)
        error = sum(share**2 * sample.error for share, sample in shares)
        found[name] = Sample(count, mean, error * count)
    return found


def _ratio(moments: Moments, value: str, denominator: str) -> float:
    below = moments.of(denominator)
    return moments.of(value) / below if below else math.nan


def _gradient(moments: Moments, value: str, denominator: str | None) -> Vector:
    if denominator:
        return _ratio_gradient(moments, value, denominator)
    gradient = np.zeros(len(moments.columns))
    gradient[moments.columns.index(value)] = 1.0
    return gradient


def _ratio_gradient(moments: Moments, value: str, denominator: str) -> Vector:
    gradient = np.zeros(len(moments.columns))
    below = moments.of(denominator) or math.nan
    gradient[moments.columns.index(value)] = 1 / below
    gradient[moments.columns.index(denominator)] = -(moments.of(value) / below) / below  # a square may be nought
    return gradient


def _along(gradient: Vector, covariance: Matrix) -> float:
    return max(float(gradient @ covariance @ gradient), 0.0)


def _pooled_coefficients(products: Tensor, gradients: Matrix, places: list[int], least: Vector) -> Vector:
    """Regress the linearised outcome on the covariates, within arms: products are (arms, p, p), gradients (arms, p).

    Covariates are brought to one scale first: beside one in billions, one in ones would be taken for a linear
    combination.  One whose squares are `least` or fewer does not vary, and takes no coefficient.
    """
    whole = products.sum(axis=0)[places][:, places]
    outer: Vector = (products @ gradients[:, :, None]).sum(axis=0)[places, 0]
    if len(places) == 1:  # what least squares would say, in a twentieth of its time
        return outer / whole[0, 0] if whole[0, 0] > least[0] else np.zeros(1)
    squares = whole.diagonal()
    scale = np.where(squares > least, np.sqrt(squares), math.inf)
    return np.asarray(np.linalg.lstsq(whole / scale / scale[:, None], outer / scale, rcond=1e-12)[0] / scale)
