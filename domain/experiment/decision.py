"""Decide what a unit gets, and say with which probability and why."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from domain.experiment.assignment import assign, is_eligible, is_held_out, is_in_span
from domain.experiment.declaration import Experiment
from domain.experiment.features import Value

ASSIGNED, KEPT = "assigned", "kept"
STALE = "stale_weights"
NOT_ELIGIBLE, HELD_OUT, OUT_OF_SPAN = "not_eligible", "held_out", "out_of_span"
PROMOTED = "promoted"
WITHDRAWN, UNAVAILABLE = "arm_withdrawn", "unavailable"
FALLBACKS = (STALE, UNAVAILABLE)
"""Reasons that say something of the platform, not of the unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a unit gets; without a `decision_id` it is the control for a unit that is not part of the experiment."""

    experiment: str
    unit: str
    arm: str
    propensity: float
    decision_id: str | None
    reason: str


def decide(
    experiment: Experiment, unit: str, context: Mapping[str, Value], published: Mapping[str, float] | None = None
) -> Decision:
    """Decide by a hash of the unit, with a bandit's `published` shares in the place of the declared ones.

    The propensity is the arm's share, exactly: over units the hash is uniform, and no unit is drawn twice.
    """
    if reason := excluded(experiment, unit, context):
        return control(experiment, unit, reason)
    shares = effective(experiment, published)
    arm = assign(experiment, unit, shares)
    return Decision(
        experiment=experiment.name,
        unit=unit,
        arm=arm,
        propensity=shares[arm],
        decision_id=decision_id(experiment.name, unit, arm),
        reason=ASSIGNED,
    )


def control(experiment: Experiment, unit: str, reason: str) -> Decision:
    """Give the control, or what was promoted, to a unit that is not part of it or of which nothing better is known."""
    return Decision(
        experiment=experiment.name,
        unit=unit,
        arm=experiment.promoted or experiment.control,
        propensity=1.0,
        decision_id=None,
        reason=reason,
    )


def kept(experiment: Experiment, unit: str, arm: str, propensity: float) -> Decision:
    """Repeat what was decided before, unless the arm has been frozen or taken away since."""
    if arm in experiment.frozen or arm not in {each.name for each in experiment.arms}:
        return control(experiment, unit, WITHDRAWN)
    return Decision(
        experiment=experiment.name,
        unit=unit,
        arm=arm,
        propensity=propensity,
        decision_id=decision_id(experiment.name, unit, arm),
        reason=KEPT,
    )


def because(decision: Decision, reason: str) -> Decision:
    """Give a decision another reason."""
    return replace(decision, reason=reason)


def known_as(decision: Decision, name: str) -> Decision:
    """Let a decision's own name, and so its exposure's, follow from what its unit is called where it rests."""
    if decision.decision_id is None:
        return decision
    return replace(decision, decision_id=decision_id(decision.experiment, name, decision.arm))


def excluded(experiment: Experiment, unit: str, context: Mapping[str, Value]) -> str | None:
    """Say why a unit is not part of the experiment, if it is not."""
    if experiment.promoted:
        return PROMOTED
    if is_held_out(experiment, unit):
        return HELD_OUT
    if not is_in_span(experiment, unit):
        return OUT_OF_SPAN
    return None if is_eligible(experiment, context) else NOT_ELIGIBLE


def effective(experiment: Experiment, published: Mapping[str, float] | None) -> dict[str, float]:
    """Return the shares by which units are assigned now; they sum to one.

    Arms that are frozen or no longer declared get nothing, even while what is published still knows them.
    """
    for shares in (published or {}, experiment.arm_to_share):
        free = {arm.name: shares.get(arm.name, 0.0) for arm in experiment.arms if arm.name not in experiment.frozen}
        total = math.fsum(free.values())
        if total > 0:
            return {arm: share / total for arm, share in free.items()}
    return {experiment.control: 1.0}  # all but the control are frozen, and it has no weight


def decision_id(experiment: str, unit: str, arm: str) -> str:
    """Name a decision, and its exposure: however often it is told, it is one event.

    >>> decision_id("ranking", "u-1", "recent") == decision_id("ranking", "u-1", "recent")
    True
    """
    said = "\x00".join((experiment, unit, arm)).encode("utf-8", "surrogatepass")
    return f"x-{hashlib.blake2b(said, digest_size=16).hexdigest()}"


def said_of(decision: Decision) -> dict[str, Any]:
    """Write a decision as an answer holds it."""
    said = asdict(decision)
    said["decision"] = said.pop("decision_id")
    return said


def exposure(decision: Decision, at: datetime) -> dict[str, Any]:
    """Write the exposure as the contract's event; raise ValueError for a decision that exposed nobody."""
    if decision.decision_id is None:
        raise ValueError(f"{decision.experiment}: {decision.unit} is not part of it ({decision.reason}); log nothing")
    return {
        "event": "exposure",
        "event_id": decision.decision_id,
        "event_time": at.isoformat(timespec="milliseconds"),
        "user_id": decision.unit,
        "experiment": decision.experiment,
        "arm": decision.arm,
        "propensity": decision.propensity,
    }
