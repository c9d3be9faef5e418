"""One ridge regression an arm, of rewards on contexts (disjoint models, Li et al. 2010), with numpy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from domain.experiment.policies.policy import InvalidPolicy

Vector = NDArray[np.float64]
Tensor = NDArray[np.float64]
Chance = np.random.Generator


@dataclass(slots=True, eq=False)
class Regressions:
    """Every arm's ridge regression: `inverse` (arms, d, d) of I·ridge + Σxx', and `coefficients` (arms, d)."""

    inverse: Tensor
    coefficients: Tensor
    responses: Tensor = field(repr=False)

    def learn(self, arm: int, context: Vector, reward: float) -> None:
        """Add one reward in place, by Sherman and Morrison's rank-one update: d² operations instead of d³."""
        inverse = self.inverse[arm]
        carried = inverse.dot(context)
        inverse -= carried[:, None] * (carried / (1.0 + float(context.dot(carried))))
        self.responses[arm] += reward * context
        self.coefficients[arm] = inverse.dot(self.responses[arm])

    def scores(self, context: Vector) -> tuple[Vector, Vector]:
        """Return each arm's predicted reward and its deviation (of coefficients alone), both of shape (arms,)."""
        arms, features = self.coefficients.shape
        carried = self.inverse.reshape(-1, features).dot(context).reshape(arms, features)  # all arms as one matrix
        return self.coefficients.dot(context), np.sqrt(carried.dot(context))


def nothing_learnt(arms: int, features: int, ridge: float = 1.0) -> Regressions:
    """Return the regressions of `arms` over contexts of `features` numbers before any reward."""
    if not (math.isfinite(ridge) and ridge > 0):
        raise InvalidPolicy(f"ridge is {ridge}; give a finite number above 0")
    inverse = np.repeat(np.eye(features)[None] / ridge, arms, axis=0)
    return Regressions(inverse, np.zeros((arms, features)), np.zeros((arms, features)))


def as_context(values: Sequence[float]) -> Vector:
    """Return numbers as a context of shape (d,); raise InvalidPolicy where one is not finite."""
    found = np.asarray(values, dtype=float)
    if not np.isfinite(found).all():
        raise InvalidPolicy(f"context is {list(values)}; give finite numbers")
    return found
