"""Meter a rate as AWS does: tokens that come back with the clock."""

from __future__ import annotations

import time
from collections.abc import Callable


class Bucket:
    """Holds at most one second's worth of tokens; not safe between threads, its owner locks."""

    __slots__ = ("_clock", "_level", "_seen", "rate")

    def __init__(self, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self._clock = clock
        self._level = rate
        self._seen = clock()

    def holds(self, amount: float) -> bool:
        """Say whether `amount` can be taken now; more than the bucket holds needs a full one, and leaves a debt."""
        now = self._clock()
        self._level = min(self.rate, self._level + (now - self._seen) * self.rate)
        self._seen = now
        return self._level >= min(amount, self.rate)

    def take(self, amount: float) -> None:
        """Take what `holds` allowed."""
        self._level -= amount
