"""Machines that crawl the shop: many events, a pace that no hand keeps, no purchase."""

from __future__ import annotations

import numpy as np

from clients.world.catalogue import CHECKOUT, Catalogue
from clients.world.events import Events
from clients.world.runs import Runs
from clients.world.visits import PAGE_VIEW, PRODUCT_VIEW

SLOWEST = 900  # ms from one event to the next


def spell_out(random: np.random.Generator, runs: Runs, catalogue: Catalogue, first_user: int) -> Events:
    """Spell the runs out, event by event; the bots' user numbers begin at `first_user`."""
    row = np.repeat(np.arange(runs.events.size), runs.events)
    gaps = random.integers(SLOWEST // 3, SLOWEST + 1, row.size)
    ends = np.cumsum(gaps)
    first = (np.cumsum(runs.events) - runs.events)[row]
    nothing = np.zeros(row.size, dtype=np.int64)
    looks = random.random(row.size) < 0.8  # noqa: PLR2004  # the rest are pages
    return Events(
        kind=np.where(looks & (np.arange(row.size) > first), PRODUCT_VIEW, PAGE_VIEW),
        time=runs.start[row] + ends - ends[first] if row.size else nothing,
        user=first_user + runs.bot[row],
        device=nothing,
        country=nothing,
        page=random.integers(0, CHECKOUT, row.size),
        referred=nothing.astype(bool),
        query=nothing,
        results=nothing,
        product=random.integers(0, catalogue.prices.size, row.size),
        quantity=nothing + 1,
        order=nothing,
        items=nothing,
        amount=nothing.astype(float),
        stars=nothing + 1,
        trial=nothing,
        arm=nothing,
    )
