"""Assign units to arms by a hash: the same unit gets the same arm, with nothing stored."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Mapping

from domain.experiment.declaration import Experiment
from domain.experiment.features import Value

RESOLUTION = 2.0**-53  # the spacing of doubles below one
WORD = 2**64 - 1


def place(salt: str, unit: str) -> float:
    """Map a unit to a number in (0, 1), uniform over units and independent between salts.

    >>> place("layer", "u-1") == place("layer", "u-1") != place("other", "u-1")
    True
    """
    return _uniform(_digest(salt, unit))


def is_held_out(experiment: Experiment, unit: str) -> bool:
    """Tell whether the unit is one that no experiment of the layer touches."""
    return place(f"holdout/{experiment.layer}", unit) < experiment.holdout


def is_in_span(experiment: Experiment, unit: str) -> bool:
    """Tell whether the unit falls into the experiment's own share of its layer."""
    low, high = experiment.span
    return low <= place(f"layer/{experiment.layer}", unit) < high


def is_eligible(experiment: Experiment, context: Mapping[str, Value]) -> bool:
    """Tell whether the context meets every condition of the experiment."""
    return all(context.get(condition.key) in condition.values for condition in experiment.eligibility)


def assign(experiment: Experiment, unit: str, arm_to_share: Mapping[str, float] | None = None) -> str:
    """Choose the unit's arm by weighted rendezvous hashing: a new weight moves only the units that must move.

    `arm_to_share` stands in the place of the declared weights, as a bandit's shares do.

    An arm's score is -ln(u)/weight with u uniform for (unit, arm), and the least score wins: an arm wins with
    probability weight over the sum of weights, and raising one arm's weight only brings units to it (Thaler and
    Ravishankar 1998; weights as Schindelhauer and Schomaker 2005).
    """
    drawn = _digest(f"arms/{experiment.salt or experiment.name}", unit)
    chosen, least = experiment.control, math.inf
    for arm in experiment.arms:
        weight = arm.weight if arm_to_share is None else arm_to_share.get(arm.name, 0.0)
        if weight > 0:
            score = -math.log(_uniform(_mix(drawn ^ _arm_word(arm.name)))) / weight
            if score < least:
                chosen, least = arm.name, score
    return chosen


def _digest(salt: str, unit: str) -> int:
    """Hash to 64 bits (BLAKE2b, RFC 7693, keyed by the salt)."""
    hashed = hashlib.blake2b(unit.encode("utf-8", "surrogatepass"), digest_size=8, key=_key(salt))
    return int.from_bytes(hashed.digest(), "big")


@functools.cache
def _key(salt: str) -> bytes:
    return hashlib.blake2b(salt.encode()).digest()


@functools.cache
def _arm_word(name: str) -> int:
    return _digest("arm", name)


def _mix(word: int) -> int:
    """Spread every bit of a 64-bit word over all (SplitMix64's finalizer, Steele, Lea and Flood 2014)."""
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & WORD
    return word ^ (word >> 31)


def _uniform(word: int) -> float:
    return ((word >> 11) + 0.5) * RESOLUTION
