"""Choose each arm as often as it is probably the best (Thompson 1933)."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from domain.experiment.policies.policy import InvalidPolicy, Tally, draw


@dataclass(frozen=True, slots=True)
class BetaThompson:
    """Rewards in 0 to 1, believed Beta: `successes` and `failures` before any data (Agrawal and Goyal 2012).

    >>> BetaThompson().weights([Tally(0, 0), Tally(0, 0)])
    (0.5, 0.5)
    """

    successes: float = 1.0
    failures: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("successes", self.successes), ("failures", self.failures)):
            if not (math.isfinite(value) and value >= 1):
                raise InvalidPolicy(f"BetaThompson.{name} is {value}; give a finite number of at least 1")

    def choose(self, tallies: Sequence[Tally], chance: random.Random) -> int:
        """Choose the arm with the highest draw from its posterior."""
        drawn = [chance.betavariate(*self._posterior(tally)) for tally in tallies]
        return drawn.index(max(drawn))

    def weights(self, tallies: Sequence[Tally]) -> tuple[float, ...]:
        """Return each arm's probability to be the best."""
        from domain.experiment.policies.best import best_of_betas  # noqa: PLC0415 - numpy: who only declares has none

        return best_of_betas([self._posterior(tally) for tally in tallies])

    def _posterior(self, tally: Tally) -> tuple[float, float]:
        return self.successes + tally.total, self.failures + max(tally.pulls - tally.total, 0.0)


@dataclass(frozen=True, slots=True)
class NormalThompson:
    """Rewards of any size, believed normal around the arm's mean, with the tally's own variance.

    Before data an arm is believed to have `mean` and `deviation`, a reward to vary by `noise`; each counts as one
    observation (Honda and Takemura 2014 on why the variance needs one).
    """

    mean: float = 0.5
    deviation: float = 1.0
    noise: float = 0.5

    def __post_init__(self) -> None:
        for name, value in (("deviation", self.deviation), ("noise", self.noise)):
            if not (math.isfinite(value) and value > 0):
                raise InvalidPolicy(f"NormalThompson.{name} is {value}; give a finite number above 0")

    def choose(self, tallies: Sequence[Tally], chance: random.Random) -> int:
        """Choose the arm with the highest draw from its posterior."""
        drawn = [chance.gauss(*self._posterior(tally)) for tally in tallies]
        return drawn.index(max(drawn))

    def weights(self, tallies: Sequence[Tally]) -> tuple[float, ...]:
        """Return each arm's probability to be the best."""
        from domain.experiment.policies.best import best_of_normals  # noqa: PLC0415 - as above

        return best_of_normals(*zip(*map(self._posterior, tallies), strict=True))

    def _posterior(self, tally: Tally) -> tuple[float, float]:
        around = tally.squares - tally.pulls * tally.mean**2
        variance = (self.noise**2 + max(around, 0.0)) / (tally.pulls + 1)
        precision = 1 / self.deviation**2 + tally.pulls / variance
        return (self.mean / self.deviation**2 + tally.total / variance) / precision, 1 / math.sqrt(precision)


@dataclass(frozen=True, slots=True)
class TopTwoThompson:
    """Identify the best arm: half of the choices go to another arm than the one drawn first (Russo 2020)."""

    leader: float = 0.5
    base: BetaThompson = field(default_factory=BetaThompson)

    def __post_init__(self) -> None:
        if not 0 < self.leader <= 1:
            raise InvalidPolicy(f"TopTwoThompson.leader is {self.leader}; give a share above 0, at most 1")

    def weights(self, tallies: Sequence[Tally]) -> tuple[float, ...]:
        """Return each arm's probability to be chosen, over all pairs of a leader and a challenger."""
        best = self.base.weights(tallies)
        others = [math.fsum(best[:place] + best[place + 1 :]) for place in range(len(best))]
        if not all(others):
            return best  # so sure of one arm that no draw would name another
        return tuple(
            self.leader * share
            + (1 - self.leader) * math.fsum(best[i] * (share / others[i]) for i in range(len(best)) if i != place)
            for place, share in enumerate(best)
        )

    def choose(self, tallies: Sequence[Tally], chance: random.Random) -> int:
        """Choose one arm by the weights: drawing until another arm wins may take for ever."""
        return draw(self.weights(tallies), chance.random())
