"""Choose the best so far, and now and then any (Sutton and Barto 2018, section 2.2)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from domain.experiment.policies.policy import InvalidPolicy, Tally, check_numbers, draw


@dataclass(frozen=True, slots=True)
class EpsilonGreedy:
    """With probability `epsilon` any arm, else one of the best mean; an arm never rewarded counts as the best.

    >>> EpsilonGreedy(0.5).weights([Tally(10, 5), Tally(10, 4)])
    (0.75, 0.25)
    """

    epsilon: float = 0.1

    def __post_init__(self) -> None:
        check_numbers(self)
        if not 0 <= self.epsilon <= 1:
            raise InvalidPolicy(f"EpsilonGreedy.epsilon is {self.epsilon}; give a probability from 0 to 1")

    def weights(self, tallies: Sequence[Tally]) -> tuple[float, ...]:
        """Return each arm's probability to be chosen."""
        means = [tally.mean if tally.pulls else float("inf") for tally in tallies]
        best = [mean == max(means) for mean in means]
        return tuple(self.epsilon / len(means) + (1 - self.epsilon) * is_best / sum(best) for is_best in best)

    def choose(self, tallies: Sequence[Tally], chance: random.Random) -> int:
        """Choose one arm, by its place."""
        return draw(self.weights(tallies), chance.random())
