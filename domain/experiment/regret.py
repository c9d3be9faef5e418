"""Say what it has cost not to have chosen the best arm each time, as far as is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from domain.experiment.bayesian.belief import Belief
from domain.experiment.bayesian.compare import losses


@dataclass(frozen=True, slots=True, kw_only=True)
class Regret:
    """What is expected to be lost so far, in sums of the outcome, and at most, with the probability of `level`."""

    units: float
    expected: float
    at_most: float
    level: float


def regret(arm_to_units: Mapping[str, float], arm_to_belief: Mapping[str, Belief], level: float = 0.95) -> Regret:
    """Weigh each arm's units by what the best arm is believed to bring beyond it.

    The expectation is exact (the integral of the best mean less the arm's).  The bound takes an upper end for each
    other arm and a lower one for the arm itself, which hold all at once with the probability of `level` (Bonferroni).
    """
    arms = list(arm_to_belief)
    expected = zip(arms, losses([arm_to_belief[arm] for arm in arms]), strict=True)
    tail = (1 - level) / (2 * len(arms))
    low, high = ({arm: float(arm_to_belief[arm].quantile(at)) for arm in arms} for at in (tail, 1 - tail))
    worst = {
        arm: max(0.0, max((high[other] for other in arms if other != arm), default=0.0) - low[arm]) for arm in arms
    }
    return Regret(
        units=sum(arm_to_units.get(arm, 0) for arm in arms),
        expected=sum(loss * arm_to_units.get(arm, 0) for arm, loss in expected),
        at_most=sum(cost * arm_to_units.get(arm, 0) for arm, cost in worst.items()),
        level=level,
    )
