"""Turn a unit's context into the numbers by which a contextual policy chooses, as the experiment declares them.

Numbers are whole millionths, so that what is learned from them is summed exactly, in any order.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MILLION = 10**6
LARGEST_ITEM = 380_000
"""Bytes that an item of the table may take for all arms; DynamoDB holds 400 KB."""

BYTES_A_NUMBER = 20
"""What a sum takes as text at most: a million million rewards of millionths of millionths."""

Value = str | float
"""What a context holds by a key."""


class InvalidContext(ValueError):
    """A context that lacks a feature or holds one that cannot be; says the key, the fault and the fix."""

    def __init__(self, key: str, fault: str, fix: str) -> None:
        super().__init__(f"context.{key} {fault}; {fix}")
        self.key, self.fault, self.fix = key, fault, fix


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number of the context, from `low` to `high`, which becomes 0 to 1."""

    key: str
    low: float
    high: float

    @property
    def size(self) -> int:
        """How many numbers it becomes."""
        return 1

    def millionths(self, value: object) -> tuple[int, ...]:
        """Scale it; raise InvalidContext for what is not a number of the range."""
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not self.low <= value <= self.high:  # type: ignore[operator]  # NaN is neither
            fix = f"send a number from {self.low:g} to {self.high:g}"
            raise InvalidContext(self.key, "is missing" if value is None else f"is {value!r}", fix)
        return (round((float(value) - self.low) / (self.high - self.low) * MILLION),)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A text of the context, one of `values`: each becomes a 1 in a place of its own."""

    key: str
    values: tuple[str, ...]

    @property
    def size(self) -> int:
        """How many numbers it becomes."""
        return len(self.values)

    def millionths(self, value: object) -> tuple[int, ...]:
        """Mark its place; raise InvalidContext for another value."""
        if value not in self.values:
            fault = "is missing" if value is None else f"is {value!r}"
            raise InvalidContext(self.key, fault, f"send one of {', '.join(self.values)}")
        return tuple(MILLION * (value == each) for each in self.values)


Feature = Number | Choice


def size(features: Sequence[Feature]) -> int:
    """Return how many numbers a context becomes, the constant among them."""
    return 1 + sum(feature.size for feature in features)


def vector(features: Sequence[Feature], context: Mapping[str, Value]) -> tuple[int, ...]:
    """Return a context's numbers in millionths, a constant one first; raise InvalidContext for the first fault.

    >>> age, device = Number(key="age", low=0, high=100), Choice(key="device", values=("tv", "web"))
    >>> vector([age, device], {"age": 25, "device": "web"})
    (1000000, 250000, 0, 1000000)
    """
    found = [MILLION]
    for feature in features:
        found += feature.millionths(context.get(feature.key))
    return tuple(found)


def fingerprint(features: Sequence[Feature]) -> str:
    """Name a declaration of features, so that what was learned of others is not taken for what was learned of these."""
    return hashlib.blake2b(repr(tuple(features)).encode(), digest_size=4).hexdigest()


def written(name: str, numbers: Sequence[int]) -> str:
    """Write a context's numbers as they are kept beside a decision, with the name of their features."""
    return f"{name}:{','.join(map(str, numbers))}"


def read(said: str) -> tuple[str, tuple[int, ...]]:
    """Read what was kept.

    >>> read(written("1f00ba44", (1_000_000, 250_000)))
    ('1f00ba44', (1000000, 250000))
    """
    name, _, numbers = said.partition(":")
    return name, tuple(map(int, numbers.split(","))) if numbers else ()


def fault(features: Sequence[Feature]) -> tuple[str, object, str] | None:
    """Say which declared feature cannot work: its place, its value and the fix; None where all can."""
    keys = [feature.key for feature in features]
    if len(set(keys)) < len(keys):
        return "features", keys, "name each key once"
    for feature in features:
        place = f"features.{feature.key}"
        if isinstance(feature, Number):
            if not (math.isfinite(feature.low) and math.isfinite(feature.high) and feature.low < feature.high):
                return place, (feature.low, feature.high), "give two finite numbers, the lower first"
        elif len(set(feature.values)) < len(feature.values) or len(feature.values) < 2:  # noqa: PLR2004
            return f"{place}.values", feature.values, "name at least two values, each once"
    return None


def largest(arms: int, size: int) -> int:
    """Return the bytes that evidence, or what is published of it, takes at most for contexts of `size` numbers."""
    evidence = arms * (size * (size + 1) // 2 + size) * BYTES_A_NUMBER
    return max(evidence, arms * (size * size + size) * 8)
