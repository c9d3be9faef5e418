"""Choose by optimism: arms whose mean may yet be the highest.

A deterministic index sends every decision between two refreshes to one arm, and learns nothing from a thousand.  These
choose at random between refreshes, with the shares that the index would give the arms over the next `batch` decisions,
were their means to stay: each arm gets pulls until its index falls to a common level.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from domain.experiment.policies.policy import InvalidPolicy, Tally, check_numbers, draw

HALVINGS = 60  # a level to 2^-60 of its range
CLOSE = 1e-12


@dataclass(frozen=True, slots=True)
class UCB1:
    """Mean plus sqrt(width · ln t / pulls), rewards in 0 to 1, width 2 (Auer, Cesa-Bianchi and Fischer 2002)."""

    batch: int = 1_000
    width: float = 2.0

    def __post_init__(self) -> None:
        check_numbers(self)
        _check_batch("UCB1", self.batch)
        if self.width <= 0:
            raise InvalidPolicy(f"UCB1.width is {self.width}; give a finite number above 0")

    def weights(self, tallies: Sequence[Tally]) -> tuple[float, ...]:
        """Return each arm's share of the next batch."""
        confidence = self.width * math.log(_horizon(tallies, self.batch))

        def pulls_at(mean: float, level: float) -> float:
            return confidence / max(level - mean, CLOSE) ** 2

        return _shares(tallies, self.batch, pulls_at, 1.0 + math.sqrt(confidence / CLOSE))

    def choose(self, tallies: Sequence[Tally], chance: random.Random) -> int:
        """Choose one arm, by its place."""
        return draw(self.weights(tallies), chance.random())


@dataclass(frozen=True, slots=True)
class KLUCB:
    """The highest mean that diverges from the arm's by ln t / pulls, rewards in 0 to 1 (Garivier and Cappé 2011)."""

    batch: int = 1_000

    def __post_init__(self) -> None:
        check_numbers(self)
        _check_batch("KLUCB", self.batch)

    def weights(self, tallies: Sequence[Tally]) -> tuple[float, ...]:
        """Return each arm's share of the next batch."""
        confidence = math.log(_horizon(tallies, self.batch))

        def pulls_at(mean: float, level: float) -> float:
            return confidence / max(divergence(mean, level), CLOSE)

        return _shares(tallies, self.batch, pulls_at, 1.0)

    def choose(self, tallies: Sequence[Tally], chance: random.Random) -> int:
        """Choose one arm, by its place."""
        return draw(self.weights(tallies), chance.random())


def divergence(mean: float, other: float) -> float:
    """Return the Kullback-Leibler divergence of two coins where `other` is the higher, else nought.

    >>> round(divergence(0.5, 0.75), 6)
    0.143841
    """
    if other <= mean:
        return 0.0
    if other >= 1.0:
        return math.inf
    below = mean * math.log(mean / other) if mean > 0 else 0.0
    above = (1 - mean) * math.log((1 - mean) / (1 - other)) if mean < 1 else 0.0
    return max(below + above, 0.0)


def _horizon(tallies: Sequence[Tally], batch: int) -> float:
    return max(math.fsum(tally.pulls for tally in tallies) + batch, 2.0)


def _shares(
    tallies: Sequence[Tally], batch: int, pulls_at: Callable[[float, float], float], ceiling: float
) -> tuple[float, ...]:
    """Share a batch so that the arms that get pulls end with one index, and the others have a lower one already."""

    def wanted(level: float) -> list[float]:
        return [max(pulls_at(tally.mean, level) - tally.pulls, 0.0) for tally in tallies]

    low, high = max(tally.mean for tally in tallies), ceiling
    for _ in range(HALVINGS):
        level = (low + high) / 2
        low, high = (level, high) if math.fsum(wanted(level)) > batch else (low, level)
    pulls = wanted(high)
    total = math.fsum(pulls)
    return tuple(pull / total for pull in pulls) if total > 0 else _evenly(len(tallies))


def _evenly(arms: int) -> tuple[float, ...]:
    return (1 / arms,) * arms


def _check_batch(policy: str, batch: int) -> None:
    if batch < 1:
        raise InvalidPolicy(
            f"{policy}.batch is {batch}; give how many decisions fall between two refreshes, at least 1"
        )
