"""Draw out the points of the curves by which a model is judged."""

from __future__ import annotations

from math import sqrt

import numpy as np

from domain.train.measures import Array, bins_of

NORMAL_95 = 1.959963984540054  # 97.5 % quantile of the standard normal


def roc(scores: Array, labels: Array, points: int = 200) -> list[tuple[float, float]]:
    """List (false positive rate, true positive rate) from (0, 0) to (1, 1), at most `points` of them."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = np.cumsum(labels[order])[ends]
    curve = np.vstack([[0, 0], np.column_stack([(ends + 1 - hits), hits])])
    rates = curve / np.maximum(curve[-1], 1)
    # Even steps along the curve's length, not along its points: both ends are steep or flat somewhere.
    length = rates.sum(axis=1)
    kept = np.unique(np.searchsorted(length, np.linspace(0, length[-1], points)))
    return [(float(false), float(true)) for false, true in rates[kept]]


def calibration(scores: Array, labels: Array) -> list[dict[str, float]]:
    """List, for each bin of scores, the mean score beside the rate, the rate's interval and the rows."""
    bins = bins_of(scores)
    return [_bin(scores[bins == number], labels[bins == number]) for number in np.unique(bins)]


def _bin(scores: Array, labels: Array) -> dict[str, float]:
    low, high = wilson(int(labels.sum()), len(labels))
    return {
        "mean_score": float(scores.mean()),
        "rate": float(labels.mean()),
        "low": low,
        "high": high,
        "n": len(labels),
    }


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Give the 95 % score interval of a rate (Wilson 1927).

    >>> [round(end, 4) for end in wilson(0, 10)]
    [0.0, 0.2775]
    """
    share, square = successes / trials, NORMAL_95**2
    middle = (share + square / (2 * trials)) / (1 + square / trials)
    half = NORMAL_95 * sqrt(share * (1 - share) / trials + square / (4 * trials**2)) / (1 + square / trials)
    return max(0.0, middle - half), min(1.0, middle + half)


def histogram(scores: Array, labels: Array, bins: int = 40) -> list[dict[str, float]]:
    """Count rows with and without a purchase in equal steps of the score."""
    edges = np.linspace(0, 1, bins + 1)
    bought, _ = np.histogram(scores[labels == 1], edges)
    left, _ = np.histogram(scores[labels == 0], edges)
    return [
        {"from": float(start), "to": float(end), "bought": int(yes), "left": int(no)}
        for start, end, yes, no in zip(edges[:-1], edges[1:], bought, left, strict=True)
    ]
