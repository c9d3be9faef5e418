"""What a comparison of an arm with the control says, or why it says nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

NOTHING = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """An effect in the outcome's units with its interval, and the same as a share of the control's.

    `why` is empty for a reading that can be made; else it says why not, and every number is nan.
    """

    effect: float = NOTHING
    standard_error: float = NOTHING
    low: float = NOTHING
    high: float = NOTHING
    p_value: float = NOTHING
    degrees: float = math.inf
    relative: float = NOTHING
    relative_low: float = NOTHING
    relative_high: float = NOTHING
    why: str = ""

    @property
    def is_estimable(self) -> bool:
        """Whether the reading can be made."""
        return not self.why

    def widened(self, half: float) -> Reading:
        """Return the reading with an interval of `half` to each side; the relative one is stretched alike."""
        stretch = 2 * half / (self.high - self.low)  # a score's interval is not even about the effect
        return replace(
            self,
            low=self.effect - half,
            high=self.effect + half,
            relative_low=self.relative - (self.relative - self.relative_low) * stretch,
            relative_high=self.relative + (self.relative_high - self.relative) * stretch,
        )


def not_estimable(why: str) -> Reading:
    """Say that there is no reading, and why."""
    return Reading(why=f"not estimable: {why}")
