"""Choose each arm as often as it is probably the best (Thompson 1933)."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import exp, log, sqrt

from domain.experiment.policies.policy import InvalidPolicy, Tally, check_numbers, draw

TINY = 2.0**-54  # the least uniform above nought is twice that
LOG_4 = log(4)
LOG_5 = log(5)


def beta(a: float, b: float, uniform: Callable[[], float]) -> float:
    """Draw from Beta(a, b), both at least 1, by rejection from a log-logistic (Cheng 1978, algorithm BB).

    `random.betavariate` draws two gammas for it, which takes half as long again.
    """
    if a <= 1 or b <= 1:
        return math.pow(uniform(), 1 / a) if b <= 1 else 1 - math.pow(uniform(), 1 / b)
    total = a + b
    least, most = (a, b) if a < b else (b, a)
    shape = sqrt((total - 2) / (2 * a * b - total))
    tilt = least + 1 / shape
    while True:
        first = uniform() or TINY
        logit = shape * log(first / (1 - first))
        odds = least * exp(logit)
        height = tilt * logit - LOG_4
        below = first * first * (uniform() or TINY)
        # The line 5·below - 1 - ln 5 lies above ln(below), and spares most logarithms.
        if height + least - odds >= 5 * below - 1 - LOG_5 or height + total * log(total / (most + odds)) >= log(below):
            return (odds if a == least else most) / (most + odds)


@dataclass(frozen=True, slots=True)
class BetaThompson:
    """Rewards in 0 to 1, believed Beta: `successes` and `failures` before any data (Agrawal and Goyal 2012).

    >>> BetaThompson().weights([Tally(0, 0), Tally(0, 0)])
    (0.5, 0.5)
    """

    successes: float = 1.0
    failures: float = 1.0

    def __post_init__(self) -> None:
        check_numbers(self)
        for name, value in (("successes", self.successes), ("failures", self.failures)):
            if value < 1:
                raise InvalidPolicy(f"BetaThompson.{name} is {value}; give a finite number of at least 1")

    def choose(self, tallies: Sequence[Tally], chance: random.Random) -> int:
        """Choose the arm with the highest draw from its posterior."""
        uniform, hits, misses = chance.random, self.successes, self.failures
        drawn = []
        for tally in tallies:  # not by _posterior: calls are a fifth of the time
            missed = tally.pulls - tally.total
            drawn.append(beta(hits + tally.total, misses + missed if missed > 0 else misses, uniform))
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
        check_numbers(self)
        for name, value in (("deviation", self.deviation), ("noise", self.noise)):
            if value <= 0:
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
        check_numbers(self)
        if not isinstance(self.base, BetaThompson):
            raise InvalidPolicy(f"TopTwoThompson.base is {self.base!r}; give a BetaThompson")
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
