"""Spell sessions out, event by event, as columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from clients.world.catalogue import CHECKOUT, QUERIES, THANKS
from clients.world.columns import take
from clients.world.plan import Plan
from clients.world.purchase import Floats, Ints
from clients.world.sessions import Sessions
from clients.world.visits import (
    ADD_TO_CART,
    EXPOSURE,
    PAGE_VIEW,
    PRODUCT_VIEW,
    PURCHASE,
    RATING,
    SEARCH,
    Bools,
    Visits,
)

BROWSE = (PAGE_VIEW, SEARCH, PRODUCT_VIEW, ADD_TO_CART, RATING)
BROWSE_SHARES = (0.35, 0.15, 0.43, 0.05, 0.02)
LEAST_GAP = 1_000


@dataclass(frozen=True, slots=True)
class Events:
    """One row an event: its kind, its time in ms since the epoch, and all that a field of any kind could need.

    Integers point into the lists of `catalogue`, `nature` and `shoppers`; only what belongs to the kind has a meaning.
    `trial` is the place of an exposure's experiment, `arm` that of its arm there.
    """

    kind: Ints
    time: Ints
    user: Ints
    device: Ints
    country: Ints
    page: Ints
    referred: Bools
    query: Ints
    results: Ints
    product: Ints
    quantity: Ints
    order: Ints
    items: Ints
    amount: Floats
    stars: Ints
    trial: Ints
    arm: Ints


@dataclass(frozen=True, slots=True)
class Places:
    """Where each event stands: the row of its session, its place in it, and its place after the opening (negative)."""

    row: Ints
    within: Ints
    after: Ints
    first: Ints

    @classmethod
    def of(cls, visits: Visits, sessions: Sessions) -> Places:
        """Number the events of the sessions."""
        row = np.repeat(np.arange(sessions.events.size), sessions.events)
        first = (np.cumsum(sessions.events) - sessions.events)[row]
        within = np.arange(row.size) - first
        return cls(row, within, within - visits.length[row], first)


def spell_out(random: np.random.Generator, plan: Plan, rows: Ints) -> Events:
    """Spell out the sessions in the given rows of the plan."""
    visits, sessions, catalogue = take(plan.visits, rows), take(plan.sessions, rows), plan.catalogue
    places = Places.of(visits, sessions)
    row = places.row
    kind, page = _kinds(random, visits, sessions, places)
    product = _products(random, plan, visits, places, kind)
    carted = kind == ADD_TO_CART
    quantity = 1 + (carted & (places.after >= 0) & (random.random(row.size) < 0.15))  # noqa: PLR2004  # a few take two
    value = np.bincount(row, quantity * catalogue.prices[product] * carted, sessions.events.size).astype(np.float64)
    items = np.bincount(row, quantity * carted, sessions.events.size).astype(np.int64)
    shopper = visits.shopper[row]
    trial = _trials(plan.shoppers.arms, shopper, places.after)
    return Events(
        kind=kind,
        time=_times(random, visits, sessions, places),
        user=shopper,
        device=visits.device[row],
        country=plan.shoppers.country[shopper],
        page=page,
        referred=(places.within == 0) & (random.random(row.size) < 0.6),  # noqa: PLR2004  # most come from a search
        query=random.integers(0, len(QUERIES), row.size),
        results=random.geometric(0.05, row.size) - 1,
        product=product,
        quantity=quantity,
        order=rows[row],
        items=items[row],
        amount=value.round(2)[row],
        stars=np.minimum(1 + random.binomial(4, 0.75, row.size), 5),
        trial=trial,
        arm=plan.shoppers.arms[shopper, trial],
    )


def _kinds(random: np.random.Generator, visits: Visits, sessions: Sessions, places: Places) -> tuple[Ints, Ints]:
    row, after = places.row, places.after
    shown = sessions.shown[row]
    browsed = shown + visits.browse[row]
    carted = browsed + visits.carts[row]
    stages = [after < 0, after < shown, after < browsed, after < carted, after == carted + 1]
    opening = visits.kinds[row, np.clip(places.within, 0, visits.kinds.shape[1] - 1)]
    browse = random.choice(BROWSE, row.size, p=BROWSE_SHARES)
    kind = np.select(stages, [opening, EXPOSURE, browse, ADD_TO_CART, PURCHASE], PAGE_VIEW)
    page = np.minimum((random.random(row.size) ** 2 * CHECKOUT).astype(np.int64), CHECKOUT - 1)
    ending = (after >= carted) & sessions.purchased[row]
    page[ending] = np.where(after == carted, CHECKOUT, THANKS)[ending]
    return kind, page


def _trials(arms: Ints, shopper: Ints, after: Ints) -> Ints:
    """Say which trial each place after the opening would show: those that the shopper is part of, in turn."""
    parts = np.argsort(arms < 0, axis=1, kind="stable")
    return np.asarray(parts[shopper, np.clip(after, 0, arms.shape[1] - 1)])


def _products(random: np.random.Generator, plan: Plan, visits: Visits, places: Places, kind: Ints) -> Ints:
    favourites = plan.shoppers.favourite[visits.shopper[places.row]]
    drawn = plan.catalogue.pick(random, favourites)
    opening = visits.products[places.row, np.clip(places.within, 0, visits.products.shape[1] - 1)]
    product = np.where(places.after < 0, opening, drawn)
    looked = np.maximum.accumulate(np.where(kind == PRODUCT_VIEW, np.arange(kind.size), -1))
    follows = (kind == ADD_TO_CART) & (looked >= places.first)
    return np.where(follows, product[looked], product)


def _times(random: np.random.Generator, visits: Visits, sessions: Sessions, places: Places) -> Ints:
    row, after = places.row, places.after
    count = (sessions.events - visits.length - sessions.purchased)[row]  # the last page thanks, after the rest
    resting = (after >= 0) & (after < count)
    weight = np.where(resting, random.exponential(1.0, row.size), 0.0)
    total = np.cumsum(weight)
    base = total[places.first] - weight[places.first]
    sums = np.bincount(row, weight, sessions.events.size)[row]
    share = np.where(after == count - 1, 1.0, (total - base) / np.where(sums > 0, sums, 1.0))
    spare = sessions.rest[row] - LEAST_GAP * count
    passed = LEAST_GAP * (after + 1) + np.round(spare * np.minimum(share, 1.0)).astype(np.int64)
    opening = visits.offsets[row, np.clip(places.within, 0, visits.length[row] - 1)]
    later = np.where(resting, passed, sessions.rest[row] + sessions.thanks[row])
    return np.asarray(sessions.start[row] + opening + np.where(after < 0, 0, later), dtype=np.int64)
