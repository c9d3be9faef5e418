"""Compare beliefs: which arm is better, how probably, and what a wrong choice costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from domain.experiment.bayesian.belief import Belief, Normal, between, grid

CLOSE = 1e-12  # of what beliefs differ by: of one success in a billion units the whole interval is no wider than 1e-8


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What is believed of arm - control, in the outcome's units.

    `loss` is what is expected to be lost by choosing the arm where the control is better; `equivalent` is the
    probability that the difference lies within the region of practical equivalence (Kruschke 2013).
    """

    mean: float
    low: float
    high: float
    better: float
    loss: float
    equivalent: float


def compare(control: Belief, arm: Belief, *, rope: float = 0.0, level: float = 0.95) -> Comparison:
    """Compare an arm with the control: exactly for two normals, else by quadrature to about 1e-10.

    `rope` is half the width of the region of practical equivalence; the interval has `level`/2 to each side of its
    median.
    """
    if isinstance(control, Normal) and isinstance(arm, Normal):
        return _compare_normals(control, arm, rope, level)
    points, weights = grid([control, arm])
    marks, shifted = control.landmarks(), arm.landmarks()

    def below(difference: float) -> float:
        """Integrate between landmarks that move along: where the arm's density ends, its distribution has a kink."""
        at, widths = between(marks, np.clip(shifted - difference, marks[0], marks[-1]))
        mass = widths * control.density(at)
        return float(mass @ arm.below(at + difference) / mass.sum())

    mass = weights * control.density(points)
    reach = float(points[-1] - points[0])
    close = CLOSE * sum(belief.quantile(0.75) - belief.quantile(0.25) for belief in (control, arm))
    low, high = (
        float(brentq(lambda at, share=share: below(at) - share, -reach, reach, xtol=close))
        for share in ((1 - level) / 2, (1 + level) / 2)
    )
    return Comparison(
        mean=arm.mean - control.mean,
        low=low,
        high=high,
        better=float(mass @ arm.above(points) / mass.sum()),
        loss=float(weights @ (arm.below(points) * control.above(points))),
        equivalent=below(rope) - below(-rope) if rope else 0.0,
    )


def probabilities_of_best(beliefs: Sequence[Belief]) -> list[float]:
    """Return each arm's probability to have the highest mean: the integral of f_i times the others' F."""
    points, weights = grid(beliefs)
    found = [
        float((weights * belief.density(points)) @ others)
        for belief, others in zip(beliefs, _all_others_below(beliefs, points), strict=True)
    ]
    total = math.fsum(found)
    return [share / total for share in found]


def losses(beliefs: Sequence[Belief]) -> list[float]:
    """Return what choosing each arm instead of the best is expected to lose: the integral of F_i (1 - F of others)."""
    points, weights = grid(beliefs)
    with np.errstate(divide="ignore"):  # where one is surely above, so is the best
        short = [np.log1p(-belief.above(points)) for belief in beliefs]
    return [
        float(weights @ (belief.below(points) * -np.expm1(sum([*short[:place], *short[place + 1 :]], np.zeros(1)))))
        for place, belief in enumerate(beliefs)
    ]


def _all_others_below(beliefs: Sequence[Belief], points: np.ndarray) -> list[np.ndarray]:
    below = [belief.below(points) for belief in beliefs]
    return [
        np.prod([*below[:place], *below[place + 1 :], np.ones_like(points)], axis=0) for place in range(len(beliefs))
    ]


def _compare_normals(control: Normal, arm: Normal, rope: float, level: float) -> Comparison:
    mean = arm.mean - control.mean
    deviation = math.hypot(arm.deviation, control.deviation)
    scaled = mean / deviation
    half = -float(ndtri((1 - level) / 2)) * deviation
    density = math.exp(-0.5 * scaled**2) / math.sqrt(2 * math.pi)
    return Comparison(
        mean=mean,
        low=mean - half,
        high=mean + half,
        better=float(ndtr(scaled)),
        loss=max(deviation * density - mean * float(ndtr(-scaled)), 0.0),
        equivalent=float(ndtr((rope - abs(mean)) / deviation) - ndtr((-rope - abs(mean)) / deviation)),
    )
