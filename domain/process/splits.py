"""Which rows teach a model, which calibrate it and which judge it: by user and by time at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

TRAINING_WINDOW = timedelta(days=90)
"""How far back from its day a training set reaches."""

LATE_SHARE = 0.25
"""The last part of the time that a training set covers, in which models are judged."""

DIGITS = 8
"""Hexadecimal digits of the user's digest that place the user."""


@dataclass(frozen=True, slots=True)
class Split:
    """The rows of users placed from `low` up to `high` (of 100), from before the cut or from after it."""

    name: str
    low: int
    high: int
    late: bool


SPLITS = (
    Split("test", 0, 20, late=True),
    Split("calibrate", 20, 35, late=False),
    Split("train", 35, 100, late=False),
)
HELD_OUT_EARLY = "held-out user before the cut"
LEARNING_LATE = "learning user after the cut"


def place(user_id: str) -> int:
    """Place a user among 100, for ever the same.

    >>> place("u-1")
    53
    """
    return int(sha256(user_id.encode()).hexdigest()[:DIGITS], 16) % 100


def split(user_id: str, late: bool) -> str | None:
    """Name the split of a user's row from before or after the cut; None where it would let the future or a user leak.

    >>> split("u-1", late=False), split("u-1", late=True)
    ('train', None)
    """
    at = place(user_id)
    return next((part.name for part in SPLITS if part.low <= at < part.high and part.late == late), None)
