"""Turn the moments of an arm's units into the mean and the error that an outcome's reading compares."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from domain.experiment.moments import Matrix, Moments, Vector


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
    below = moments.of(denominator)
    ratio = moments.of(value) / below if below else math.nan
    return Sample(moments.count, ratio, _along(gradient, moments.covariance))


def adjusted(
    arms: Mapping[str, Moments], value: str, covariates: Sequence[str], denominator: str | None = None
) -> dict[str, Sample]:
    """Estimate each arm's mean, or ratio, less what the covariates before the experiment explain (CUPED).

    The coefficients are pooled within arms, so that they are the same in every arm and no arm's own effect enters them
    (Deng, Xu, Kohavi and Walker 2013; several covariates as in their regression form).  Covariates that do not vary
    together with nothing else are left out by the pseudo-inverse.
    """
    gradients = {name: _gradient(moments, value, denominator) for name, moments in arms.items()}
    places = [next(iter(arms.values())).columns.index(covariate) for covariate in covariates]
    coefficients = _pooled_coefficients(arms, gradients, places)
    centre = _overall(arms)[places]
    found = {}
    for name, moments in arms.items():
        plain = of_ratio(moments, value, denominator) if denominator else of_mean(moments, value)
        gradient = gradients[name].copy()
        gradient[places] -= coefficients
        shift = float(coefficients @ (moments.mean[places] - centre)) if moments.count else 0.0
        found[name] = Sample(moments.count, plain.mean - shift, _along(gradient, moments.covariance))
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
    gradient[moments.columns.index(denominator)] = -moments.of(value) / below**2
    return gradient


def _along(gradient: Vector, covariance: Matrix) -> float:
    return max(float(gradient @ covariance @ gradient), 0.0)


def _pooled_coefficients(arms: Mapping[str, Moments], gradients: Mapping[str, Vector], places: list[int]) -> Vector:
    """Regress the linearised outcome on the covariates, within arms."""
    filled = {name: moments for name, moments in arms.items() if moments.count}
    size = len(next(iter(arms.values())).columns)
    whole = sum((moments.product for moments in filled.values()), np.zeros((size, size)))[places]
    outer = sum((moments.product @ gradients[name] for name, moments in filled.items()), np.zeros(size))[places]
    return np.asarray(np.linalg.lstsq(whole[:, places], outer, rcond=1e-12)[0])


def _overall(arms: Mapping[str, Moments]) -> Vector:
    units = sum(moments.count for moments in arms.values())
    return np.asarray(sum(moments.mean * moments.count for moments in arms.values()) / (units or math.nan))
