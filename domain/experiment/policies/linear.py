"""Choose by what the context says: one ridge regression an arm (disjoint models, Li et al. 2010), with numpy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from domain.experiment.policies.best import best_of_normals
from domain.experiment.policies.policy import InvalidPolicy

Vector = NDArray[np.float64]
Tensor = NDArray[np.float64]


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


@dataclass(frozen=True, slots=True)
class LinUCB:
    """The highest predicted reward plus `width` deviations, and with `epsilon` any arm (Li, Chu et al. 2010).

    The index alone is deterministic: what it never chose could not be evaluated later, so a little chance is kept.
    """

    width: float = 1.0
    epsilon: float = 0.05

    def __post_init__(self) -> None:
        if not (math.isfinite(self.width) and self.width >= 0):
            raise InvalidPolicy(f"LinUCB.width is {self.width}; give a finite number of at least 0")
        if not 0 < self.epsilon <= 1:
            raise InvalidPolicy(f"LinUCB.epsilon is {self.epsilon}; give a probability above 0, at most 1")

    def choose(self, learnt: Regressions, context: Vector, chance: np.random.Generator) -> int:
        """Choose one arm for a context of shape (d,), by its place."""
        if chance.random() < self.epsilon:
            return int(chance.integers(len(learnt.coefficients)))
        return self._best(learnt, context)

    def propensities(self, learnt: Regressions, context: Vector) -> tuple[float, ...]:
        """Return each arm's exact probability to be chosen for this context."""
        arms, best = len(learnt.coefficients), self._best(learnt, context)
        return tuple(self.epsilon / arms + (1 - self.epsilon) * (place == best) for place in range(arms))

    def _best(self, learnt: Regressions, context: Vector) -> int:
        means, deviations = learnt.scores(context)
        return int((means + self.width * deviations).argmax())


@dataclass(frozen=True, slots=True)
class LinThompson:
    """The highest reward drawn from each arm's posterior at the context (Agrawal and Goyal 2013).

    Only the drawn score matters to one decision, so a scalar is drawn for each arm instead of its coefficients.
    """

    noise: float = 0.5

    def __post_init__(self) -> None:
        if not (math.isfinite(self.noise) and self.noise > 0):
            raise InvalidPolicy(f"LinThompson.noise is {self.noise}; give a finite number above 0")

    def choose(self, learnt: Regressions, context: Vector, chance: np.random.Generator) -> int:
        """Choose one arm for a context of shape (d,), by its place."""
        means, deviations = learnt.scores(context)
        return int((means + self.noise * deviations * chance.standard_normal(len(means))).argmax())

    def propensities(self, learnt: Regressions, context: Vector) -> tuple[float, ...]:
        """Return each arm's probability to be chosen for this context, to about 1e-9.

        It takes some tenths of a millisecond: ask once the decision is answered.
        """
        means, deviations = learnt.scores(context)
        return best_of_normals(means, np.maximum(self.noise * deviations, 1e-12))


def as_context(values: Sequence[float]) -> Vector:
    """Return numbers as a context of shape (d,); raise InvalidPolicy where one is not finite."""
    found = np.asarray(values, dtype=float)
    if not np.isfinite(found).all():
        raise InvalidPolicy(f"context is {list(values)}; give finite numbers")
    return found
