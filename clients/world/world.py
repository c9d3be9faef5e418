"""Make a world from a seed, and let its records out in the order in which they are sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from itertools import pairwise

import numpy as np
import pyarrow as pa

from clients.world import bots, encode, events, stream, trials, truth
from clients.world.columns import join, take
from clients.world.nature import Nature, window
from clients.world.plan import Plan, make
from clients.world.purchase import Ints
from clients.world.stream import Batch, Sending
from clients.world.visits import KINDS

FEWEST_EVENTS = 1_000
CHUNK_EVENTS = 40_000  # events spelt out at once: bounds the memory, and is part of what makes a world


class TooSmallAWorld(ValueError):
    """A world has too few events to hold its proportions."""


@dataclass(frozen=True)  # no slots: the plan is kept once made
class World:
    """A world of exactly `events` records about the `nature.days` days up to the end of `until` (UTC).

    The same arguments make the same world, byte for byte.
    """

    seed: int
    events: int
    until: date
    nature: Nature = field(default_factory=Nature)

    def __post_init__(self) -> None:
        if self.events < FEWEST_EVENTS:
            raise TooSmallAWorld(f"events={self.events}: take at least {FEWEST_EVENTS}")

    @property
    def duplicates(self) -> int:
        """Say how many records are sent again."""
        return round(self.nature.duplicates * self.events)

    @property
    def malformed(self) -> int:
        """Say how many records break their contract."""
        return round(self.nature.malformed * self.events)

    @property
    def valid(self) -> int:
        """Say how many distinct valid events there are."""
        return self.events - self.duplicates - self.malformed

    @cached_property
    def plan(self) -> Plan:
        """Decide all that happens."""
        people = self.valid - round(self.nature.bots * self.events)
        return make(self.seed, window(self.until, self.nature.days), self.nature, people, self.valid)

    def sessions(self) -> pa.Table:
        """Tell the truth about every session (columns: `truth.session_table`), by start."""
        people, machines = truth.session_table(self.plan), truth.bot_table(self.plan)
        table = pa.concat_tables([people, machines], promote_options="default")
        return table.sort_by([("started_at", "ascending"), ("user_id", "ascending")])

    def effects(self) -> list[trials.Effect]:
        """Tell the truth about every experiment: what each arm does to the share of those who buy."""
        return trials.effects(self.plan, self.nature, window(self.until, self.nature.days)[1])

    def batches(self) -> Iterator[Batch]:
        """Let out all records in sending order, some tens of thousands at a time."""
        waiting: list[Sending] = []
        position = 0
        for sendings, until in self._stretches():
            waiting = sorted([*waiting, *sendings], key=lambda sending: sending.at)
            ready = len(waiting) if until is None else sum(sending.at < until for sending in waiting)
            yield stream.batch(waiting[:ready], position)
            waiting, position = waiting[ready:], position + ready

    def _stretches(self) -> Iterator[tuple[list[Sending], int | None]]:
        """Spell out one stretch of time after another; what is sent before the moment beside it is then complete."""
        made = 0
        edges: list[int | None] = [None, *_edges(self.plan), None]
        for number, (begin, end) in enumerate(pairwise(edges)):
            random = np.random.default_rng([self.seed, 1, number])
            once = self._once(random, begin, end)
            again = self._choose(random, once, self.duplicates, made)
            spoilt = self._choose(random, once, self.malformed, made)
            made += len(once)
            yield [*once, *stream.resend(random, again), *stream.spoil(random, spoilt)], end

    def _choose(self, random: np.random.Generator, once: list[Sending], due: int, made: int) -> list[Sending]:
        """Choose this stretch's share of the `due` in all, so that the shares add up exactly."""
        count = due * (made + len(once)) // self.valid - due * made // self.valid
        return [once[index] for index in random.choice(len(once), count, replace=False).tolist()]

    def _once(self, random: np.random.Generator, begin: int | None, end: int | None) -> list[Sending]:
        plan = self.plan
        people = events.spell_out(random, plan, _between(plan.sessions.start, begin, end))
        runs = take(plan.runs, _between(plan.runs.start, begin, end))
        machines = bots.spell_out(random, runs, plan.catalogue, len(plan.shoppers.ids))
        spelt = join([people, machines])
        users = np.asarray(plan.users, dtype=object)[spelt.user].tolist()
        ids = encode.event_ids(random, spelt, users, self.nature.trials)
        payloads = encode.encode(spelt, ids, users, plan.catalogue, self.nature.trials)
        at = stream.send_times(random, spelt.time, self.nature).tolist()
        names = np.asarray(KINDS, dtype=object)[spelt.kind].tolist()
        columns = zip(at, users, payloads, ids, names, spelt.time.tolist(), strict=True)
        return [Sending(*column) for column in columns]


def _edges(plan: Plan) -> list[int]:
    """Cut time into stretches of about `CHUNK_EVENTS` events."""
    starts = np.concatenate([plan.sessions.start, plan.runs.start])
    order = np.argsort(starts, kind="stable")
    total = np.cumsum(np.concatenate([plan.sessions.events, plan.runs.events])[order])
    marks = np.arange(CHUNK_EVENTS, total[-1], CHUNK_EVENTS)
    return sorted(set(starts[order][np.searchsorted(total, marks)].tolist()))


def _between(times: Ints, begin: int | None, end: int | None) -> Ints:
    low = times.min(initial=0) if begin is None else begin
    high = times.max(initial=0) + 1 if end is None else end
    return np.flatnonzero((times >= low) & (times < high))
