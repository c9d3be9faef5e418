"""When machines crawl the shop: a bot comes once a day, at its own hour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clients.world.nature import DAY, HOUR
from clients.world.purchase import Ints

SHORTEST, LONGEST = 40, 160  # events of a run


@dataclass(frozen=True, slots=True)
class Runs:
    """One row a run of a bot: which bot, its start in ms since the epoch, how many events."""

    bot: Ints
    start: Ints
    events: Ints

    @classmethod
    def none(cls) -> Runs:
        """Say that there are no runs."""
        return cls(*np.zeros((3, 0), dtype=np.int64))


def draw(random: np.random.Generator, events: int, begin: int, end: int) -> Runs:
    """Draw runs of `events` events in all."""
    days = (end - begin) // DAY
    lengths = _lengths(random, events)
    number = np.arange(lengths.size)
    at = random.integers(0, DAY - HOUR, lengths.size // days + 1)
    return Runs(number // days, begin + number % days * DAY + at[number // days], lengths)


def _lengths(random: np.random.Generator, events: int) -> Ints:
    drawn = random.integers(SHORTEST, LONGEST + 1, events // SHORTEST + 1)
    whole = int(np.searchsorted(np.cumsum(drawn), events, side="right"))
    left = events - int(drawn[:whole].sum())
    if whole and left < SHORTEST:
        return np.concatenate([drawn[: whole - 1], [drawn[whole - 1] + left]])
    return np.concatenate([drawn[:whole], [left]]) if left else drawn[:whole]
