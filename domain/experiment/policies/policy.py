"""What a policy knows of an arm, and what it must answer."""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any, Protocol


class InvalidPolicy(ValueError):
    """A policy that cannot choose as it is declared; the message names the field, the value and the fix."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How often an arm was chosen and its reward is known, the sum of these rewards, and the sum of their squares.

    A choice whose reward is still to come is in none of the three: no reward yet is not a nought.  Fractions are
    choices that were discounted.
    """

    pulls: float = 0.0
    total: float = 0.0
    squares: float = 0.0

    @property
    def mean(self) -> float:
        """The mean reward; nought before any."""
        return self.total / self.pulls if self.pulls else 0.0

    def rewarded(self, reward: float) -> Tally:
        """Return the tally with one more reward."""
        return Tally(self.pulls + 1, self.total + reward, self.squares + reward * reward)

    def discounted(self, factor: float) -> Tally:
        """Return the tally with its past weighing `factor` of what it did (Garivier and Moulines 2011)."""
        return Tally(self.pulls * factor, self.total * factor, self.squares * factor)


def check_numbers(policy: Any) -> None:
    """Raise InvalidPolicy for a policy's field that is declared as a number and is none that is finite."""
    for field in fields(policy):
        value, kind = getattr(policy, field.name), {"float": Real, "int": Integral}.get(str(field.type))
        if kind and not (isinstance(value, kind) and _is_finite(value)):
            what = "whole" if kind is Integral else "finite"
            raise InvalidPolicy(f"{type(policy).__name__}.{field.name} is {value!r}; give a {what} number")


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value) and not isinstance(value, bool)
    except OverflowError:  # a whole number that no double holds
        return False


class Policy(Protocol):
    """A rule that chooses arms; both answers are of one distribution."""

    def choose(self, tallies: Sequence[Tally], chance: random.Random) -> int:
        """Choose one arm, by its place."""

    def weights(self, tallies: Sequence[Tally]) -> tuple[float, ...]:
        """Return each arm's exact probability to be chosen; they sum to one."""


def with_floor(weights: Sequence[float], floor: float) -> tuple[float, ...]:
    """Give each arm at least `floor`, the others' shares shrunk alike, so that every arm goes on being explored."""
    if not 0 <= floor * len(weights) <= 1:
        raise InvalidPolicy(f"floor is {floor} for {len(weights)} arms; give at most {1 / len(weights):.4g}")
    return tuple(floor + (1 - floor * len(weights)) * weight for weight in weights)


def without(weights: Sequence[float], frozen: Collection[int]) -> tuple[float, ...]:
    """Give frozen arms nothing and the others their shares of the rest; all frozen but none to choose is refused."""
    kept = [0.0 if place in frozen else weight for place, weight in enumerate(weights)]
    total = math.fsum(kept)
    if total <= 0:
        raise InvalidPolicy(f"every arm with a share is frozen: {sorted(frozen)}; thaw one, or end the experiment")
    return tuple(weight / total for weight in kept)


def draw(weights: Sequence[float], uniform: float) -> int:
    """Choose the place whose share of [0, 1) holds `uniform`; a place without a share is never chosen.

    >>> draw((0.25, 0.0, 0.75), 0.25)
    2
    """
    reached = 0.0
    for place, weight in enumerate(weights):
        reached += weight
        if uniform < reached:
            return place
    return max(range(len(weights)), key=weights.__getitem__)  # rounding left the last share short of one
