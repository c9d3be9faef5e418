"""Choose by what the context says: policies over one ridge regression an arm (disjoint models, Li et al. 2010).

Who only declares one takes no numpy along.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from domain.experiment.policies.policy import InvalidPolicy, check_numbers

if TYPE_CHECKING:
    from domain.experiment.policies.regressions import Chance, Regressions, Vector


@dataclass(frozen=True, slots=True)
class LinUCB:
    """The highest predicted reward plus `width` deviations, and with `epsilon` any arm (Li, Chu et al. 2010).

    The index alone is deterministic: what it never chose could not be evaluated later, so a little chance is kept.
    """

    width: float = 1.0
    epsilon: float = 0.05
    ridge: float = 1.0

    def __post_init__(self) -> None:
        check_numbers(self)
        if self.width < 0:
            raise InvalidPolicy(f"LinUCB.width is {self.width}; give a finite number of at least 0")
        if not 0 < self.epsilon <= 1:
            raise InvalidPolicy(f"LinUCB.epsilon is {self.epsilon}; give a probability above 0, at most 1")
        _check_ridge("LinUCB", self.ridge)

    def choose(self, learnt: Regressions, context: Vector, chance: Chance) -> int:
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
    ridge: float = 1.0

    def __post_init__(self) -> None:
        check_numbers(self)
        if self.noise <= 0:
            raise InvalidPolicy(f"LinThompson.noise is {self.noise}; give a finite number above 0")
        _check_ridge("LinThompson", self.ridge)

    def choose(self, learnt: Regressions, context: Vector, chance: Chance) -> int:
        """Choose one arm for a context of shape (d,), by its place."""
        means, deviations = learnt.scores(context)
        return int((means + self.noise * deviations * chance.standard_normal(len(means))).argmax())

    def propensities(self, learnt: Regressions, context: Vector) -> tuple[float, ...]:
        """Return each arm's probability to be chosen for this context, to about 1e-9.

        It takes some tenths of a millisecond: ask once the decision is answered.
        """
        from domain.experiment.policies.best import best_of_normals  # noqa: PLC0415 - numpy: as said above

        means, deviations = learnt.scores(context)
        return best_of_normals(means, (self.noise * deviations).clip(1e-12))


def _check_ridge(policy: str, ridge: float) -> None:
    if ridge <= 0:
        raise InvalidPolicy(f"{policy}.ridge is {ridge}; give a finite number above 0")
