"""Turn rewards into a bandit's shares: what counts, in whole numbers, and what follows from the sums.

Rewards are counted in billionths, so that their sums and those of their squares are whole numbers: exact, in any order.
A reward counts to the hour of its decision, whenever it comes: how much it still weighs depends on nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from domain.experiment.declaration import Experiment
from domain.experiment.policies.policy import Tally, with_floor

BILLION = 10**9
ALWAYS = "always"
HOUR = "%Y-%m-%dT%H:00+00:00"
FORGOTTEN = 30
"""Half-lives after which a reward weighs a billionth, and is left out."""

UNKNOWN_EXPERIMENT, UNKNOWN_ARM = "unknown_experiment", "unknown_arm"
NO_DECISION, OTHER_ARM, OUT_OF_RANGE = "no_decision", "other_arm", "out_of_range"


class Feedback(NamedTuple):
    """An exposure or a reward as it came in from the stream; an exposure has no value."""

    event_id: str
    unit: str
    experiment: str
    arm: str
    value: float | None = None


class Kept(NamedTuple):
    """What was decided for a unit, when, and of a contextual policy by which numbers: a fingerprint and millionths."""

    arm: str
    propensity: float
    at: datetime
    fingerprint: str = ""
    features: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Count:
    """How many rewards, their sum in billionths and the sum of their squares in billionths squared."""

    pulls: int = 0
    total: int = 0
    squares: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.pulls + other.pulls, self.total + other.total, self.squares + other.squares)

    def tally(self, weight: float = 1.0) -> Tally:
        """Return it as policies know it."""
        return Tally(self.pulls * weight, self.total / BILLION * weight, self.squares / BILLION**2 * weight)


def counted(value: float) -> Count:
    """Count one reward.

    >>> counted(0.5) + counted(0.5)
    Count(pulls=2, total=1000000000, squares=500000000000000000)
    """
    billionths = round(value * BILLION)
    return Count(1, billionths, billionths * billionths)


def refusal(feedback: Feedback, decision: Kept | None, experiments: Mapping[str, Experiment]) -> str | None:
    """Say why a reward cannot count, or why an exposure is none of ours; None for what is sound."""
    experiment = experiments.get(feedback.experiment)
    if experiment is None:
        return UNKNOWN_EXPERIMENT
    if feedback.arm not in {arm.name for arm in experiment.arms}:
        return UNKNOWN_ARM
    if feedback.value is not None and not 0 <= feedback.value <= 1:  # NaN is not
        return OUT_OF_RANGE
    if decision is None:
        return NO_DECISION
    return OTHER_ARM if decision.arm != feedback.arm else None


def bucket(experiment: Experiment, decided_at: datetime) -> str:
    """Name the counter to which a decision's rewards belong."""
    return ALWAYS if experiment.half_life_hours is None else decided_at.strftime(HOUR)


def oldest_bucket(experiment: Experiment, now: datetime) -> str:
    """Name the oldest counter that still weighs anything."""
    if experiment.half_life_hours is None:
        return ""
    return (now - timedelta(hours=experiment.half_life_hours * FORGOTTEN)).strftime(HOUR)


def tallies(
    experiment: Experiment, counts: Iterable[tuple[str, Mapping[str, Count]]], now: datetime
) -> dict[str, Tally]:
    """Sum counters, pairs of a bucket and its arms' counts, into what each arm has earned as of now."""
    arm_to_tally = {arm.name: Tally() for arm in experiment.arms}
    for name, arm_to_count in counts:
        weighs = weight(experiment, name, now)
        for arm in arm_to_tally.keys() & arm_to_count.keys():
            more, before = arm_to_count[arm].tally(weighs), arm_to_tally[arm]
            arm_to_tally[arm] = Tally(
                before.pulls + more.pulls, before.total + more.total, before.squares + more.squares
            )
    return arm_to_tally


def weight(experiment: Experiment, name: str, now: datetime) -> float:
    """Return how much a bucket's rewards still weigh."""
    if experiment.half_life_hours is None:
        return 1.0
    if name == ALWAYS:
        return 0.0  # earned before a half-life was declared, nobody knows when
    age = max((now - datetime.fromisoformat(name)).total_seconds(), 0.0)
    return float(0.5 ** (age / 3600 / experiment.half_life_hours))


def shares(experiment: Experiment, arm_to_tally: Mapping[str, Tally]) -> dict[str, float]:
    """Ask the policy for each arm's share: its exact probability, with the floor, and nothing for frozen arms."""
    free = [arm.name for arm in experiment.arms if arm.name not in experiment.frozen]
    chosen = experiment.policy.weights([arm_to_tally[arm] for arm in free]) if len(free) > 1 else (1.0,)
    return floored(experiment, free, chosen)


def floored(experiment: Experiment, free: Sequence[str], chosen: Sequence[float]) -> dict[str, float]:
    """Give each of the free arms its floor, and every other arm nothing."""
    found = with_floor(chosen, experiment.floor)
    total = math.fsum(found)
    arm_to_share = {arm: share / total for arm, share in zip(free, found, strict=True)}
    return {arm.name: arm_to_share.get(arm.name, 0.0) for arm in experiment.arms}
