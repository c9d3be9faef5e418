"""The true wish to buy: a known, smooth function of what the platform can see, and one thing that nobody can.

Everything in `Seen` can be computed from the events before and at the decision, with the meaning that
`domain.tables.Opening` and `History` give to it; times are the session's own.  Hidden is only the shopper's `taste`,
drawn once from a normal distribution with the standard deviation `Nature.taste`; past orders reveal some of it.
A session is decided at its fifth event: the outcome is one draw with the probability `1 / (1 + exp(-logit - taste))`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clients.world.nature import COUNTRIES

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BY_DEVICE = np.asarray([0.5, -0.4, 0.0])  # in the order of domain.events.DEVICES
PEAK_HOUR = 19  # UTC
USUAL_PRICE = 60.0
BASE = -5.7


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known at the decision, one row a session; `nan` is "never" or "none"."""

    device: Ints
    country: Ints
    hour: Ints
    weekday: Ints
    elapsed: Floats
    page_views: Ints
    searches: Ints
    product_views: Ints
    carts: Ints
    distinct_products: Ints
    distinct_categories: Ints
    mean_price: Floats
    cart_value: Floats
    sessions_before: Ints
    purchases_before: Ints
    days_since_session: Floats
    days_since_purchase: Floats


def logit(seen: Seen) -> Floats:
    """Say how much each session leans to a purchase, as far as can be seen, in log odds."""
    return BASE + _who(seen) + _when(seen) + _what(seen) + _past(seen)


def probability(logits: Floats) -> Floats:
    """Turn log odds into a probability."""
    return 1.0 / (1.0 + np.exp(-logits))


def _who(seen: Seen) -> Floats:
    pulls = np.asarray([country.pull for country in COUNTRIES])
    return np.asarray(BY_DEVICE[seen.device] + pulls[seen.country])


def _when(seen: Seen) -> Floats:
    rhythm = 0.3 * np.cos(2 * np.pi * (seen.hour - PEAK_HOUR) / 24)
    return np.asarray(rhythm + 0.2 * (seen.weekday >= 5))  # noqa: PLR2004  # Saturday and Sunday


def _what(seen: Seen) -> Floats:
    dear = np.where(np.isnan(seen.mean_price), 0.0, np.log(np.nan_to_num(seen.mean_price, nan=1.0) / USUAL_PRICE))
    return np.asarray(
        1.9 * seen.carts
        + 1.0 * seen.product_views
        + 0.6 * seen.searches
        - 0.45 * np.maximum(seen.distinct_categories - 1, 0)
        - 0.4 * dear
        + 0.15 * np.log1p(seen.cart_value / 50)
        + 0.5 * np.log(np.maximum(seen.elapsed, 1.0) / 120)
    )


def _past(seen: Seen) -> Floats:
    back = np.where(np.isnan(seen.days_since_session), 0.0, np.exp(-np.nan_to_num(seen.days_since_session) / 3))
    sated = np.where(np.isnan(seen.days_since_purchase), 0.0, np.exp(-np.nan_to_num(seen.days_since_purchase) / 2))
    return np.asarray(
        0.9 * np.log1p(seen.purchases_before) + 0.2 * np.log1p(seen.sessions_before) + 0.3 * back - 0.6 * sated
    )
