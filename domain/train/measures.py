"""Measure how good scores are, for many weightings of the same rows at once.

Every measure takes scores (rows,), labels (rows,) of 0 and 1, and weights (draws, rows), and gives (draws,);
a draw that lacks what the measure needs gives NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
CALIBRATION_BINS = 10


def auc(scores: Array, labels: Array, weights: Array) -> Array:
    """Measure the probability that a positive row outranks a negative one, ties counting half (Hanley 1982)."""
    positive, negative = _by_score(scores, labels, weights)
    below = np.cumsum(negative, axis=1) - negative
    wins = (positive * (below + negative / 2)).sum(axis=1)
    return _ratio(wins, positive.sum(axis=1) * negative.sum(axis=1))


def average_precision(scores: Array, labels: Array, weights: Array) -> Array:
    """Measure precision averaged over recall, in steps: no interpolation (as scikit-learn defines it)."""
    positive, negative = _by_score(-scores, labels, weights)
    found = np.cumsum(positive, axis=1)
    precision = np.nan_to_num(_ratio(found, found + np.cumsum(negative, axis=1)))
    return _ratio((positive * precision).sum(axis=1), positive.sum(axis=1))


def log_loss(scores: Array, labels: Array, weights: Array) -> Array:
    """Measure the mean surprise at the labels, in nats."""
    certain = np.finfo(float).eps
    kept = np.clip(scores, certain, 1 - certain)
    return _mean(-np.where(labels == 1, np.log(kept), np.log1p(-kept)), weights)


def brier(scores: Array, labels: Array, weights: Array) -> Array:
    """Measure the mean squared distance of scores from labels (Brier 1950)."""
    return _mean((scores - labels) ** 2, weights)


def calibration_error(scores: Array, labels: Array, weights: Array) -> Array:
    """Measure how far scores are from rates, on average over ten bins of about equal size (Naeini 2015)."""
    bins = bins_of(scores)
    order = np.argsort(bins, kind="stable")
    starts = np.flatnonzero(np.diff(bins[order], prepend=-1))
    gaps = np.add.reduceat(weights[:, order] * (scores - labels)[order], starts, axis=1)
    return _ratio(np.abs(gaps).sum(axis=1), weights.sum(axis=1))


def rate(labels: Array, weights: Array) -> Array:
    """Measure the share of positive rows."""
    return _mean(labels.astype(float), weights)


def bins_of(scores: Array, bins: int = CALIBRATION_BINS) -> Array:
    """Number each score's bin, (rows,); bins hold about as many rows each, and equal scores share one."""
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.asarray(np.searchsorted(edges, scores, side="right"), dtype=np.int64)


def _by_score(scores: Array, labels: Array, weights: Array) -> tuple[Array, Array]:
    """Sum positive and negative weight over each distinct score, ascending: two of (draws, distinct)."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    ordered = weights[:, order].astype(float)
    total = np.add.reduceat(ordered, starts, axis=1)
    positive = np.add.reduceat(ordered * labels[order], starts, axis=1)
    return positive, total - positive


def _mean(values: Array, weights: Array) -> Array:
    return _ratio(weights @ values, weights.sum(axis=1))


def _ratio(part: Array, whole: Array) -> Array:
    unknown: Array = np.full(np.shape(part), np.nan)
    np.divide(part, whole, out=unknown, where=np.asarray(whole) > 0)
    return unknown
