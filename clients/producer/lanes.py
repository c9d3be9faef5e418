"""Gather events in lanes, and decide when a lane's frame goes and how long a refused one waits."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

from clients.producer.batches import Batch, Parcel

LONGEST_PAUSE = 5.0
FIRST_PAUSE = 0.1
WORTH_WAITING = 2.0
"""Events that must be expected while a frame lingers: fewer, and waiting makes no record fewer."""

THROTTLES = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "LimitExceededException",
        "KMSThrottlingException",
        "ThrottlingException",
    }
)
"""Codes that ask for less, and say that nothing is broken."""


@dataclass(slots=True, eq=False)
class Lane:
    """Events that leave in the order in which they came, and what of them was packed and failed."""

    key: str | None = None
    hash_key: str | None = None
    batch: Batch = field(default_factory=Batch)
    since: float = 0.0
    ripe: deque[Batch] = field(default_factory=deque)
    waiting: deque[Parcel] = field(default_factory=deque)
    resume: float = 0.0
    throttles: int = 0
    failures: int = 0
    rate: float = 0.0
    taken_at: float = 0.0

    def ripen(self) -> Batch:
        """Close the batch that is being filled, and begin another."""
        batch, self.batch = self.batch, Batch()
        self.ripe.append(batch)
        return batch

    def due(self, now: float, linger: float, hurried: bool) -> float:
        """Say at what time this lane has something to send; infinity if it is empty."""
        if self.waiting:
            return self.resume
        if self.ripe:
            return max(now, self.resume)
        if not self.batch.size:
            return float("inf")
        return max(now if hurried else self.since + self.wait(linger), self.resume)

    def wait(self, linger: float) -> float:
        """Linger only where that brings more events into the frame, at the rate seen last."""
        return linger if self.rate * linger >= WORTH_WAITING or not self.taken_at else 0.0

    def take(self, now: float) -> list[Batch]:
        """Take out all that is ripe, and learn at what rate events came."""
        taken = list(self.ripe)
        if self.taken_at:
            latest = sum(batch.counted for batch in taken) / max(now - self.taken_at, 1e-3)
            self.rate = (self.rate + latest) / 2
        self.taken_at = now
        self.ripe.clear()
        return taken

    def settle(self, code: str | None, now: float, chance: random.Random) -> None:
        """Note what became of the latest frame: go on at once, or pause."""
        if code is None:
            self.throttles = self.failures = 0
        elif code in THROTTLES:
            self.throttles += 1
            self.resume = now + throttled_pause(self.throttles, chance)
        else:
            self.failures += 1
            self.resume = now + failed_pause(self.failures, chance)


def throttled_pause(times: int, chance: random.Random) -> float:
    """Choose how long a shard gets to recover: growing, never short, a little spread."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(times - 1, 10)) * chance.uniform(0.75, 1.0)


def failed_pause(times: int, chance: random.Random) -> float:
    """Choose how long to wait after an error: full jitter (AWS Builders' Library)."""
    return chance.uniform(0, min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(times - 1, 10)))
