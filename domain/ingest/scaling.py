"""Decide how many shards a stream should have, within what Kinesis allows: out at once, in slowly, never stuck."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction
from math import ceil

from domain.ingest.shards import SHARD_BYTES, SHARD_RECORDS

# Amazon Kinesis Data Streams, "Quotas and limits", and API Reference, UpdateShardCount.
MOST_CHANGES = 10
DAY = timedelta(hours=24)
COUNTED = DAY + timedelta(minutes=1)
"""How long a change counts against the ten: clocks differ, and a change is written down before it is asked for."""

STEP = Fraction(1, 4)
"""A count that is a multiple of a quarter of the present one is reached fastest."""

MINUTE_SECONDS = 60


class InvalidPolicy(ValueError):
    """A policy that cannot be kept: names the field, its value and what is allowed."""


@dataclass(frozen=True, slots=True)
class Minute:
    """What a stream took in a minute, and how many records it refused; a minute that is not known is left out."""

    at: datetime
    bytes: float
    records: float
    refused: float = 0


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the shard count, done or tried."""

    at: datetime
    before: int
    after: int
    skewed: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """The shards wanted, or None to leave them, and why; `starved` if load asks for more than may be had."""

    target: int | None
    reason: str
    starved: bool = False
    skewed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The bounds of a stream's shards, and how eager its scaling is.

    Above `high` of its limits a stream grows, to a size at which the load is `aim` of them; it shrinks once the load of
    the whole of `calm` would be below `aim` with fewer.  `skew`: refusals below this load come from a hot key, which
    more shards hardly help, so that they are tried once in 24 hours.  `fresh`: load that old still speaks for growth.
    `settle`: so long after a change refusals may be of the time before it.
    """

    floor: int
    ceiling: int
    high: float = 0.75
    aim: float = 0.6
    skew: float = 0.4
    calm: timedelta = timedelta(minutes=90)
    fresh: timedelta = timedelta(minutes=5)
    settle: timedelta = timedelta(minutes=5)

    def __post_init__(self) -> None:
        """Refuse bounds that ten changes a day cannot span, and thresholds that would make the count flap."""
        if not 1 <= self.floor <= self.ceiling:
            raise InvalidPolicy(f"Policy.floor is {self.floor}; allowed: from 1 to the ceiling, {self.ceiling}")
        if doublings(self.floor, self.ceiling) > MOST_CHANGES:
            most = self.floor << MOST_CHANGES
            raise InvalidPolicy(f"Policy.ceiling is {self.ceiling}; allowed: to {most}, ten doublings of the floor")
        if not 0 < self.skew < self.aim < self.high < 1:
            raise InvalidPolicy(f"Policy.aim is {self.aim}; allowed: between skew {self.skew} and high {self.high}")


def doublings(shards: int, target: int) -> int:
    """Count the changes that lead from one count up to another.

    >>> doublings(3, 24), doublings(3, 25), doublings(4, 4)
    (3, 4, 0)
    """
    return max(0, (ceil(Fraction(target, shards)) - 1).bit_length())


def load(minute: Minute) -> float:
    """Say how many whole shards a minute asked for.

    What was refused would have weighed what the rest did; producers ask again and again, so that it counts at most as
    much as what was taken.
    """
    asked = minute.records + (min(minute.refused, minute.records) or minute.refused)
    size = minute.bytes * asked / minute.records if minute.records else 0.0
    return max(asked / SHARD_RECORDS, size / SHARD_BYTES) / MINUTE_SECONDS


def left(now: datetime, changes: Sequence[Change]) -> int:
    """Count the changes that the last 24 hours leave."""
    return MOST_CHANGES - sum(now - change.at <= COUNTED for change in changes)


def bounded(policy: Policy, shards: int, room: int) -> Policy:
    """Lower a policy's ceiling to what the account has room for, so many shards beyond the stream's own."""
    ceiling = min(policy.ceiling, shards + max(0, room))
    return replace(policy, floor=min(policy.floor, ceiling), ceiling=ceiling)


def decide(
    now: datetime, shards: int, history: Sequence[Minute], changes: Sequence[Change], policy: Policy
) -> Decision:
    """Decide the count of shards.

    `history` is the load of at least the last `calm`, in any order, `changes` those of at least the last 24 hours.  At
    any time the changes left suffice to reach the ceiling, doubling: a change that would break this is not made, and a
    step out is as large as keeps it.
    """
    if not policy.floor <= shards <= policy.ceiling:
        return _within(now, shards, changes, policy)
    since = changes[-1].at + policy.settle if changes else now - DAY
    recent = [
        minute if minute.at >= since else replace(minute, refused=0.0)
        for minute in history
        if now - policy.fresh < minute.at <= now
    ]
    peak = max(map(load, recent), default=0.0)
    if peak > policy.high * shards:
        return _out(now, shards, peak, changes, policy, why=f"is above {policy.high:.0%}")
    if any(minute.refused for minute in recent):
        return _refused(now, shards, peak, changes, policy)
    return _in(now, shards, history, changes, policy)


def _within(now: datetime, shards: int, changes: Sequence[Change], policy: Policy) -> Decision:
    if not left(now, changes):
        return Decision(None, f"{shards} shards are out of bounds, and ten changes are made", starved=True)
    target = min(2 * shards, policy.floor) if shards < policy.floor else max(-(-shards // 2), policy.ceiling)
    return Decision(target, f"{shards} shards are outside {policy.floor} to {policy.ceiling}")


def _out(now: datetime, shards: int, peak: float, changes: Sequence[Change], policy: Policy, *, why: str) -> Decision:
    said = f"load {peak:.2f} of {shards} shards"
    if shards == policy.ceiling:
        return Decision(None, f"{said}, at the ceiling", starved=peak > shards)
    spare = left(now, changes)
    if not spare:
        return Decision(None, f"{said}, but ten changes are made", starved=True)
    wanted = max(stepped(shards, peak / policy.aim), _reaching(policy.ceiling, spare - 1))
    return Decision(min(wanted, 2 * shards, policy.ceiling), f"{said} {why}")


def _refused(now: datetime, shards: int, peak: float, changes: Sequence[Change], policy: Policy) -> Decision:
    if peak > policy.skew * shards:
        return _out(now, shards, max(peak, policy.high * shards), changes, policy, why="with records refused")
    said = f"records refused at load {peak:.2f} of {shards} shards: a hot key"
    tried = any(change.skewed and now - change.at <= DAY for change in changes)
    if tried or shards == policy.ceiling or not left(now, changes):
        return Decision(None, f"{said}, for which salting helps, not shards", skewed=True)
    return Decision(min(2 * shards, policy.ceiling), f"{said}, or several that a split parts", skewed=True)


def _in(now: datetime, shards: int, history: Sequence[Minute], changes: Sequence[Change], policy: Policy) -> Decision:
    if shards == policy.floor:
        return Decision(None, "at the floor")
    if changes and now - changes[-1].at < policy.calm:
        return Decision(None, f"changed less than {policy.calm} ago")
    peak = max((load(minute) for minute in history if now - policy.calm < minute.at <= now), default=0.0)
    target = max(stepped(shards, peak / policy.aim), -(-shards // 2), policy.floor)
    if target >= shards:
        return Decision(None, f"load {peak:.2f} of {shards} shards fits")
    if left(now, changes) - 1 < doublings(target, policy.ceiling):
        return Decision(None, f"{target} shards would do, but the changes left are kept for growth")
    return Decision(target, f"load of {policy.calm} at most {peak:.2f}, which {target} shards hold at {policy.aim:.0%}")


def stepped(shards: int, wanted: float) -> int:
    """Round a wish up to a multiple of a quarter of the present count.

    >>> stepped(8, 9.1), stepped(8, 8.0), stepped(3, 3.1), stepped(8, 3.3)
    (10, 8, 4, 4)
    """
    return ceil(ceil(Fraction(wanted) / shards / STEP) * STEP * shards)


def _reaching(ceiling: int, changes: int) -> int:
    """Say from how many shards so many doublings reach the ceiling."""
    return -(-ceiling // (1 << changes))
