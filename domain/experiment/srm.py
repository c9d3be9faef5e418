"""Check that arms got the units that they should have: sample-ratio mismatch."""

from __future__ import annotations

import math
from collections.abc import Mapping

from scipy.special import chdtrc


def mismatch(arm_to_count: Mapping[str, float], arm_to_share: Mapping[str, float]) -> float:
    """Return the chi-square p-value of the counts against the shares; an arm without a share must have no units.

    Such an arm takes no degree of freedom (a peer keeps it and answers 0.135 for 0.0455).  nan without any unit.
    Looked at more than once it alarms too often: `domain.experiment.sequential` has a test that does not.
    """
    units = math.fsum(arm_to_count.values())
    expected = {arm: units * share for arm, share in arm_to_share.items() if share > 0}
    if any(count for arm, count in arm_to_count.items() if arm not in expected):
        return 0.0
    if not units:
        return math.nan
    if len(expected) == 1:
        return 1.0
    statistic = math.fsum((arm_to_count.get(arm, 0.0) - count) ** 2 / count for arm, count in expected.items())
    return float(chdtrc(len(expected) - 1, statistic))
