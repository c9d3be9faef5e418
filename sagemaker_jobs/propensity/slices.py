"""Say how a model does for each group of shoppers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from domain.train import measures
from domain.train.bootstrap import intervals
from domain.train.measures import Array
from sagemaker_jobs.propensity.examples import Examples

Row = Mapping[str, Any]

SLICES: dict[str, Callable[[Row], str]] = {
    "device": lambda row: row["device"] or "unknown",
    "country": lambda row: row["country"] or "unknown",
    "returning": lambda row: "yes" if row["sessions_before"] else "no",
    "hour": lambda row: f"{row['hour'] // 6 * 6:02d}-{row['hour'] // 6 * 6 + 5:02d}",
}
MOST_VALUES = 12  # of one slice, the most frequent
DRAWS = 500


def slices_of(test: Examples, scores: Array, seed: int) -> list[dict[str, Any]]:
    """Measure every value of every slice: its rows, rate, mean score, and AUC and log loss with intervals."""
    found = []
    for name, value_of in SLICES.items():
        values = np.array([value_of(row) for row in test.rows], dtype=object)
        for value, _ in sorted(Counter(values).most_common(MOST_VALUES)):
            found.append({"slice": name, "value": value, **_measured(test, scores, values == value, seed)})
    return found


def _measured(test: Examples, scores: Array, chosen: Array, seed: int) -> dict[str, Any]:
    scores, labels = scores[chosen], test.labels[chosen]
    found = intervals(
        {
            "auc": lambda weights: measures.auc(scores, labels, weights),
            "log_loss": lambda weights: measures.log_loss(scores, labels, weights),
        },
        test.users[chosen],
        seed=seed,
        draws=DRAWS,
    )
    return {
        "n": len(labels),
        "positives": int(labels.sum()),
        "rate": float(labels.mean()),
        "mean_score": float(scores.mean()),
        **{name: interval.as_json() for name, interval in found.items()},
    }
