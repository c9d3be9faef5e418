"""What is settled about a visit before anyone knows how it ends: its first five events, its device, its length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clients.world.catalogue import PER_CATEGORY, Catalogue
from clients.world.nature import MINUTE, Nature
from clients.world.purchase import Floats, Ints
from clients.world.shoppers import Shoppers
from domain.tables import PREFIX_EVENTS

Bools = NDArray[np.bool_]

KINDS = ("page_view", "search", "product_view", "add_to_cart", "purchase", "rating", "exposure")
PAGE_VIEW, SEARCH, PRODUCT_VIEW, ADD_TO_CART, PURCHASE, RATING, EXPOSURE = range(len(KINDS))

MOODS = (0.45, 0.30, 0.25)  # strolling, seeking, shopping
NEXT_KIND = np.cumsum(  # by mood: page_view, search, product_view, add_to_cart
    [[0.52, 0.14, 0.32, 0.02], [0.20, 0.32, 0.41, 0.07], [0.14, 0.14, 0.44, 0.28]], axis=1
)
SHORTEST_GAP, LONGEST_GAP = 1_500, 15 * MINUTE
LONGEST_REST = 28 * MINUTE  # all that follows the opening; less than 30 minutes, so that it never splits


@dataclass(frozen=True, slots=True)
class Visits:
    """One row a visit, sorted by shopper and by `planned` start; times in ms.

    `kinds`, `products` and `offsets` are of shape (n, 5); only the first `length` of a row count, and a product only
    where the event has one.  A visit of fewer than five events is never decided; a decided one with a probability above
    its `luck` ends in a purchase.  `exposed` ones show the experiments to whoever has not seen them.
    `browse` counts what follows the opening whatever the outcome: at least one, so that a session ends with something
    that its shopper does.
    """

    shopper: Ints
    planned: Ints
    device: Ints
    length: Ints
    kinds: Ints
    products: Ints
    offsets: Ints
    exposed: Bools
    browse: Ints
    carts: Ints
    step: Floats
    luck: Floats
    thanks: Ints

    @property
    def decided(self) -> Bools:
        """Say which visits come to their fifth event."""
        return np.asarray(self.length == PREFIX_EVENTS)


def draw(
    random: np.random.Generator, shoppers: Shoppers, catalogue: Catalogue, nature: Nature, planned: Ints
) -> Visits:
    """Draw everything about the visits that does not depend on their outcome.

    `planned` holds a start for each visit of each shopper, the shoppers in order.
    """
    shopper = np.repeat(np.arange(len(shoppers.ids)), shoppers.visits)
    order = np.lexsort((planned, shopper))
    count = shopper.size
    second = random.random(count) < shoppers.other_chance[shopper]
    length = np.where(random.random(count) < nature.scored, PREFIX_EVENTS, random.integers(1, PREFIX_EVENTS, count))
    kinds = _kinds(random, count)
    decided = length == PREFIX_EVENTS
    return Visits(
        shopper=shopper,
        planned=planned[order],
        device=np.where(second, shoppers.other_device[shopper], shoppers.device[shopper]),
        length=length,
        kinds=kinds,
        products=_products(random, kinds, catalogue, shoppers.favourite[shopper]),
        offsets=_offsets(random, shoppers.pace[shopper]),
        exposed=decided & (random.random(count) < nature.exposed),
        browse=np.where(decided, random.geometric(1 / 5, count), 0),
        carts=1 + (random.random(count) < 0.4),  # noqa: PLR2004  # additions to the cart on the way to an order
        step=random.gamma(4.0, 9_000.0, count) * shoppers.pace[shopper],
        luck=random.random(count),
        thanks=random.integers(2_000, 20_000, count),
    )


def categories_of(products: Ints) -> Ints:
    """Say which category each product is of."""
    return products // PER_CATEGORY


def _kinds(random: np.random.Generator, count: int) -> Ints:
    mood = random.choice(len(MOODS), count, p=MOODS)
    chance = random.random((count, PREFIX_EVENTS, 1))
    kinds = np.minimum((chance > NEXT_KIND[mood][:, None, :]).sum(axis=2), ADD_TO_CART)
    kinds[:, 0] = PAGE_VIEW
    return np.asarray(kinds, dtype=np.int64)


def _products(random: np.random.Generator, kinds: Ints, catalogue: Catalogue, favourites: Ints) -> Ints:
    products = catalogue.pick(random, np.repeat(favourites[:, None], PREFIX_EVENTS, axis=1))
    seen = np.zeros(kinds.shape[0], dtype=bool)
    for place in range(1, PREFIX_EVENTS):  # what goes into the cart is what was last looked at
        follows = (kinds[:, place] != PRODUCT_VIEW) & seen
        products[follows, place] = products[follows, place - 1]
        seen |= kinds[:, place] == PRODUCT_VIEW
    return products


def _offsets(random: np.random.Generator, pace: Floats) -> Ints:
    gaps = random.lognormal(np.log(25_000.0), 0.9, (pace.size, PREFIX_EVENTS - 1)) * pace[:, None]
    offsets = np.zeros((pace.size, PREFIX_EVENTS), dtype=np.int64)
    offsets[:, 1:] = np.cumsum(np.clip(gaps, SHORTEST_GAP, LONGEST_GAP).astype(np.int64), axis=1)
    return offsets
