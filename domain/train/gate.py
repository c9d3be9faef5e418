"""Let a model through to the endpoint, or say why not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan

SPLITS = ("train", "calibrate", "test")


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate between the ends of its 95 % interval; NaN where the sample does not say."""

    low: float
    estimate: float
    high: float

    def __str__(self) -> str:
        return f"{self.estimate:.4f} [{self.low:.4f}, {self.high:.4f}]"

    def as_json(self) -> dict[str, float | None]:
        """Write it as JSON can: null where the sample does not say."""
        ends = {"value": self.estimate, "low": self.low, "high": self.high}
        return {name: None if isnan(value) else value for name, value in ends.items()}


@dataclass(frozen=True, slots=True)
class Demands:
    """What is asked of a training set and of a model."""

    rows: Mapping[str, int]  # by split
    of_each_class: int  # in every split
    calibration_error: float  # expected calibration error that must not be exceeded for certain


DEMANDS = Demands(
    # Below these, an interval of log loss is wider than the gain that any model of ours has brought.
    rows={"train": 1_000, "calibrate": 200, "test": 200},
    of_each_class=20,
    calibration_error=0.05,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the test split says of a candidate; a gain is the other's log loss less the candidate's, in nats."""

    gain_over_trivial: Interval
    gain_over_champion: Interval
    auc_over_champion: Interval
    calibration_error: Interval


def shortages(rows: Mapping[str, int], positives: Mapping[str, int], demands: Demands = DEMANDS) -> list[str]:
    """Say what a training set lacks, by split; nothing means that it will do.

    >>> shortages({"train": 5000, "calibrate": 900, "test": 40}, {"train": 700, "calibrate": 99, "test": 0})
    ['test: 40 rows, at least 200 are needed', 'test: 0 rows with a purchase, at least 20 are needed']
    """
    if not any(rows.values()):
        return ["there is nothing to train on: the dataset has no rows"]
    return [
        lack for split in SPLITS for lack in _shortages(split, rows.get(split, 0), positives.get(split, 0), demands)
    ]


def _shortages(split: str, rows: int, positives: int, demands: Demands) -> list[str]:
    counts = {
        "rows": (rows, demands.rows[split]),
        "rows with a purchase": (positives, demands.of_each_class),
        "rows without a purchase": (rows - positives, demands.of_each_class),
    }
    return [
        f"{split}: {found} {what}, at least {needed} are needed"
        for what, (found, needed) in counts.items()
        if found < needed
    ]


def refusals(evidence: Evidence, demands: Demands = DEMANDS) -> list[str]:
    """Say why a candidate is refused; nothing means that it may serve.

    It must beat the champion, not equal it: a change of model has a cost and a risk, so noise must not cause one.
    Log loss decides, since it is a proper score; the rank of shoppers (AUC) must not be worse for certain.
    """
    reasons = []
    if not evidence.gain_over_trivial.low > 0:
        reasons.append(
            f"not better than a constant: log loss gain {evidence.gain_over_trivial} must lie wholly above 0"
        )
    if not evidence.gain_over_champion.low > 0:
        reasons.append(
            f"not better than the champion: log loss gain {evidence.gain_over_champion} must lie wholly above 0"
        )
    if evidence.auc_over_champion.high < 0:
        reasons.append(
            f"ranks worse than the champion: AUC difference {evidence.auc_over_champion} lies wholly below 0"
        )
    if not evidence.calibration_error.low <= demands.calibration_error:
        reasons.append(
            f"miscalibrated: expected calibration error {evidence.calibration_error} lies wholly above "
            f"{demands.calibration_error}"
        )
    return reasons
