"""When people come: more in the evening than at night, more at the weekend than on a Tuesday."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clients.world.nature import COUNTRIES, DAY, HOUR

LAST_START = 2 * HOUR  # no session starts later than this before the end, so that all of it fits
BY_HOUR = np.asarray([3, 2, 1, 1, 1, 2, 4, 7, 9, 10, 10, 11, 12, 11, 10, 10, 11, 13, 16, 19, 21, 19, 13, 7], float)
BY_WEEKDAY = np.asarray([0.95, 0.9, 0.92, 0.95, 1.0, 1.2, 1.25])  # Monday first


def weekday(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Say the UTC day of the week of times in ms since the epoch; Monday is 0."""
    return np.asarray((times // DAY + 3) % 7)  # 1970-01-01 was a Thursday


def hour(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """Say the UTC hour of times in ms since the epoch."""
    return np.asarray(times // HOUR % 24)


def starts(random: np.random.Generator, countries: NDArray[np.int64], begin: int, end: int) -> NDArray[np.int64]:
    """Draw when each visit starts, in ms since the epoch, by the clock of its country."""
    days = np.arange((end - begin) // DAY)
    busy = BY_WEEKDAY[weekday(begin + days * DAY)]
    day = random.choice(days, countries.size, p=busy / busy.sum())
    local = random.choice(24, countries.size, p=BY_HOUR / BY_HOUR.sum()) * HOUR + random.integers(
        0, HOUR, countries.size
    )
    offsets = np.asarray([country.offset for country in COUNTRIES])[countries] * HOUR
    # What falls off one end of the window comes back at the other, so that no end of it is crowded.
    return np.asarray(begin + (day * DAY + local - offsets) % (end - begin - LAST_START))
