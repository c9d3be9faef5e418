"""What the simulated shop sells, and the words of its pages and searches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CATEGORIES = (
    "shoes",
    "coats",
    "shirts",
    "trousers",
    "bags",
    "watches",
    "books",
    "games",
    "lamps",
    "chairs",
    "tents",
    "bikes",
)
CENTRES = (70, 120, 30, 55, 80, 150, 16, 45, 40, 110, 130, 400)  # usual price of a category, in the shop's currency
PER_CATEGORY = 150
CURRENCY = "EUR"
PAGES = (
    "/",
    "/deals",
    "/new",
    "/help",
    "/account",
    *(f"/category/{name}" for name in CATEGORIES),
    "/checkout",
    "/thanks",
)
CHECKOUT, THANKS = len(PAGES) - 2, len(PAGES) - 1  # where an order is paid and confirmed
WORDS = ("red", "blue", "small", "large", "cheap", "best", "light", "warm")
QUERIES = tuple(f"{word} {category}" for category in CATEGORIES for word in WORDS)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The products: a category's stand together, `PER_CATEGORY` of them, the most looked at first."""

    prices: NDArray[np.float64]
    ids: tuple[str, ...]

    @classmethod
    def draw(cls, random: np.random.Generator) -> Catalogue:
        """Price every product around its category's centre."""
        centres = np.repeat(np.asarray(CENTRES, dtype=np.float64), PER_CATEGORY)
        prices = np.round(centres * random.lognormal(0.0, 0.5, centres.size), 2)
        return cls(prices, tuple(f"p-{index:05d}" for index in range(prices.size)))

    def pick(
        self, random: np.random.Generator, favourites: NDArray[np.int64], loyalty: float = 0.65
    ) -> NDArray[np.int64]:
        """Choose a product for each given favourite category: from it with chance `loyalty`, else from any."""
        elsewhere = random.integers(0, len(CATEGORIES), favourites.shape)
        categories = np.where(random.random(favourites.shape) < loyalty, favourites, elsewhere)
        # The square makes a few products popular and most rare.
        ranks = (random.random(favourites.shape) ** 2 * PER_CATEGORY).astype(np.int64)
        return categories * PER_CATEGORY + ranks
