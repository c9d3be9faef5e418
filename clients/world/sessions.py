"""Live the visits in order of time: what each shopper has done before bears on what the shopper does next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clients.world import purchase, rhythm
from clients.world.catalogue import Catalogue
from clients.world.columns import join, take
from clients.world.nature import DAY, MINUTE
from clients.world.purchase import Floats, Ints, Seen
from clients.world.shoppers import Shoppers
from clients.world.visits import (
    ADD_TO_CART,
    LONGEST_REST,
    PAGE_VIEW,
    PRODUCT_VIEW,
    SEARCH,
    Bools,
    Visits,
    categories_of,
)
from domain.tables import PREFIX_EVENTS

BETWEEN = 45 * MINUTE  # from one session's end to the next one's start, at least; 30 minutes would merge them


@dataclass(frozen=True, slots=True)
class Sessions:
    """What came of the visits, one row each; times in ms since the epoch, `nan` where a visit was never decided.

    `shown` counts the exposures that follow the opening.  `rest` is the time from the opening's last event to the order
    (or to the last event, if there is no order), `thanks` from the order to the page that confirms it.
    """

    start: Ints
    logit: Floats
    probability: Floats
    purchased: Bools
    shown: Ints
    rest: Ints
    thanks: Ints
    events: Ints


@dataclass(frozen=True, slots=True)
class Past:
    """What has become of each shopper so far; times in ms since the epoch, -1 is never."""

    sessions: Ints
    purchases: Ints
    ended: Ints
    bought: Ints
    exposed: Bools

    @classmethod
    def none(cls, count: int) -> Past:
        """Say that nothing has happened yet."""
        nothing, never = np.zeros(count, int), np.full(count, -1)
        return cls(nothing, nothing.copy(), never, never.copy(), np.zeros(count, dtype=bool))


def live(visits: Visits, shoppers: Shoppers, catalogue: Catalogue, end: int) -> tuple[Visits, Sessions, Seen]:
    """Live every shopper's first visit, then every second one, and so on; leave out what starts too late to fit."""
    count = visits.shopper.size
    first = np.searchsorted(visits.shopper, np.arange(len(shoppers.ids)))
    rank = np.arange(count) - first[visits.shopper]
    past = Past.none(len(shoppers.ids))
    rounds = []
    for number in range(int(rank.max()) + 1):
        rows = np.flatnonzero(rank == number)
        start = np.maximum(visits.planned[rows], past.ended[visits.shopper[rows]] + BETWEEN)
        rows, start = (kept[start <= end - rhythm.LAST_START] for kept in (rows, start))
        rounds.append((rows, *_live(take(visits, rows), shoppers, catalogue, past, start)))
    rows = np.concatenate([lived[0] for lived in rounds])
    return take(visits, rows), join([lived[1] for lived in rounds]), join([lived[2] for lived in rounds])


def _live(visits: Visits, shoppers: Shoppers, catalogue: Catalogue, past: Past, start: Ints) -> tuple[Sessions, Seen]:
    seen = look(visits, shoppers, catalogue, past, start)
    logit = np.where(visits.decided, purchase.logit(seen), np.nan)
    first = visits.exposed & ~past.exposed[visits.shopper]
    past.exposed[visits.shopper] |= visits.exposed
    pull = np.where(past.exposed[visits.shopper], shoppers.pull[visits.shopper], 0.0)
    probability = purchase.probability(logit + shoppers.taste[visits.shopper] + pull)
    purchased = np.asarray(visits.luck < probability)
    shown = np.where(first, (shoppers.arms >= 0).sum(axis=1)[visits.shopper], 0)
    after = shown + visits.browse + np.where(purchased, visits.carts + 2, 0)
    rest = np.minimum(after * np.clip(visits.step, 4_000, None), LONGEST_REST).astype(np.int64)
    thanks = np.where(purchased, visits.thanks, 0)
    bought = start + visits.offsets[np.arange(start.size), visits.length - 1] + rest
    past.sessions[visits.shopper] += 1
    past.purchases[visits.shopper] += purchased
    past.ended[visits.shopper] = bought + thanks
    past.bought[visits.shopper[purchased]] = bought[purchased]
    return Sessions(start, logit, probability, purchased, shown, rest, thanks, visits.length + after + purchased), seen


def look(visits: Visits, shoppers: Shoppers, catalogue: Catalogue, past: Past, start: Ints) -> Seen:
    """See what a session's first five events and the shopper's past tell; meaningless where they are fewer."""
    viewed, carted = visits.kinds == PRODUCT_VIEW, visits.kinds == ADD_TO_CART
    prices = catalogue.prices[visits.products]
    views = viewed.sum(axis=1)
    return Seen(
        device=visits.device,
        country=shoppers.country[visits.shopper],
        hour=rhythm.hour(start),
        weekday=rhythm.weekday(start),
        elapsed=visits.offsets[:, PREFIX_EVENTS - 1] / 1000,
        page_views=(visits.kinds == PAGE_VIEW).sum(axis=1),
        searches=(visits.kinds == SEARCH).sum(axis=1),
        product_views=views,
        carts=carted.sum(axis=1),
        distinct_products=_distinct(visits.products, viewed),
        distinct_categories=_distinct(categories_of(visits.products), viewed),
        mean_price=np.where(views > 0, (prices * viewed).sum(axis=1) / np.maximum(views, 1), np.nan),
        cart_value=(prices * carted).sum(axis=1),
        sessions_before=past.sessions[visits.shopper],
        purchases_before=past.purchases[visits.shopper],
        days_since_session=_days_since(past.ended[visits.shopper], start),
        days_since_purchase=_days_since(past.bought[visits.shopper], start),
    )


def _distinct(values: Ints, counted: Bools) -> Ints:
    ordered = np.sort(np.where(counted, values, -1), axis=1)
    fresh = np.diff(ordered, axis=1, prepend=-1) > 0
    return np.asarray(fresh.sum(axis=1), dtype=np.int64)


def _days_since(then: Ints, now: Ints) -> Floats:
    return np.where(then < 0, np.nan, (now - then) / DAY)
