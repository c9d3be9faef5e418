"""Decide all that happens in a world, session by session, before anything is spelt out."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from clients.world import rhythm, runs, sessions, visits
from clients.world.catalogue import Catalogue
from clients.world.columns import take
from clients.world.nature import Nature
from clients.world.purchase import Seen
from clients.world.runs import Runs
from clients.world.sessions import Sessions
from clients.world.shoppers import Shoppers
from clients.world.visits import Visits

EVENTS_A_SHOPPER = 36  # a first guess; more shoppers are drawn if they fall short


@dataclass(frozen=True, slots=True)
class Plan:
    """The shop, its shoppers, their sessions (three tables of equal length) and the runs of the bots."""

    catalogue: Catalogue
    shoppers: Shoppers
    visits: Visits
    sessions: Sessions
    seen: Seen
    runs: Runs

    @property
    def users(self) -> list[str]:
        """Name everyone: the shoppers first, then the bots, whose names do not give them away."""
        first = len(self.shoppers.ids)
        machines = int(self.runs.bot.max(initial=-1)) + 1
        return [*self.shoppers.ids, *(f"u-{first + bot:07d}" for bot in range(machines))]


def make(seed: int, span: tuple[int, int], nature: Nature, people: int, total: int) -> Plan:
    """Plan exactly `total` events within `span`: as nearly `people` as whole shoppers give, the rest by bots."""
    count = people // EVENTS_A_SHOPPER + 10
    while (plan := _populate(seed, span, nature, count)).sessions.events.sum() < people:
        count += count // 5
    kept = _keep(plan, people)
    left = total - int(kept.sessions.events.sum())
    return replace(kept, runs=runs.draw(np.random.default_rng([seed, 2]), left, *span))


def _populate(seed: int, span: tuple[int, int], nature: Nature, count: int) -> Plan:
    random = np.random.default_rng([seed, 0])
    catalogue = Catalogue.draw(random)
    shoppers = Shoppers.draw(random, count, nature)
    planned = rhythm.starts(random, np.repeat(shoppers.country, shoppers.visits), *span)
    drawn = visits.draw(random, shoppers, catalogue, nature, planned)
    return Plan(catalogue, shoppers, *sessions.live(drawn, shoppers, catalogue, span[1]), Runs.none())


def _keep(plan: Plan, people: int) -> Plan:
    a_shopper = np.bincount(plan.visits.shopper, plan.sessions.events, len(plan.shoppers.ids))
    kept = int(np.searchsorted(np.cumsum(a_shopper), people, side="right"))
    rows = np.flatnonzero(plan.visits.shopper < kept)
    return replace(plan, visits=take(plan.visits, rows), sessions=take(plan.sessions, rows), seen=take(plan.seen, rows))
