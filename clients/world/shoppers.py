"""The people of the simulated world: where they live, what they like, what they hold in their hands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clients.world.catalogue import CATEGORIES
from clients.world.nature import COUNTRIES, Nature
from domain.events import DEVICES

DEVICE_SHARES = (0.40, 0.50, 0.10)  # in the order of DEVICES


@dataclass(frozen=True, slots=True)
class Shoppers:
    """One row each: ids and arrays of equal length.

    `other_chance` is how often a shopper takes the second device; `pace` multiplies the time between clicks;
    `taste` is the hidden part of the wish to buy.
    """

    ids: tuple[str, ...]
    country: NDArray[np.int64]
    favourite: NDArray[np.int64]
    device: NDArray[np.int64]
    other_device: NDArray[np.int64]
    other_chance: NDArray[np.float64]
    pace: NDArray[np.float64]
    taste: NDArray[np.float64]
    arm: NDArray[np.int64]
    visits: NDArray[np.int64]

    @classmethod
    def draw(cls, random: np.random.Generator, count: int, nature: Nature) -> Shoppers:
        """Draw `count` shoppers."""
        shares = np.asarray([country.share for country in COUNTRIES])
        mean = nature.sessions_a_fortnight * nature.days / 14 - 1
        return cls(
            ids=tuple(f"u-{number:07d}" for number in range(count)),
            country=random.choice(len(COUNTRIES), count, p=shares),
            favourite=random.integers(0, len(CATEGORIES), count),
            device=random.choice(len(DEVICES), count, p=DEVICE_SHARES),
            other_device=random.choice(len(DEVICES), count, p=DEVICE_SHARES),
            other_chance=random.beta(1, 4, count),
            pace=random.lognormal(0.0, 0.3, count),
            taste=random.normal(0.0, nature.taste, count),
            arm=random.integers(0, 2, count),
            visits=1 + random.poisson(random.gamma(1.2, mean / 1.2, count)),
        )
