"""Measure how anonymous groups are: k-anonymity, l-diversity in three readings, t-closeness."""

from __future__ import annotations

from typing import Any

import numpy as np

from domain.privacy.anonymize.hierarchy import Codes

Floats = np.ndarray[Any, np.dtype[np.float64]]


def sizes(groups: Codes, weights: Codes | None = None) -> Codes:
    """Count the rows of each group; `groups` numbers them from nought."""
    return np.asarray(np.bincount(groups, weights), dtype=np.int64)


def k_anonymity(groups: Codes, weights: Codes | None = None) -> int:
    """Size of the smallest group (Sweeney 2002)."""
    return int(sizes(groups, weights).min())


def contingency(groups: Codes, sensitive: Codes, weights: Codes | None = None) -> Codes:
    """Count the sensitive values of each group: a row for a group, a column for a value."""
    width = int(sensitive.max()) + 1
    counted = np.bincount(groups * width + sensitive, weights, minlength=(int(groups.max()) + 1) * width)
    return np.asarray(counted.reshape(-1, width), dtype=np.int64)


def distinct_diversity(table: Codes) -> Codes:
    """Count the different sensitive values of each group (Machanavajjhala et al. 2007)."""
    return np.asarray(np.count_nonzero(table, axis=1), dtype=np.int64)


def entropy_diversity(table: Codes) -> Floats:
    """Exponential of each group's entropy: as many equally frequent values would be as diverse (definition 4.1).

    >>> round(float(entropy_diversity(np.array([[1, 1, 2]]))[0]), 4)
    2.8284
    """
    share = table / table.sum(axis=1, keepdims=True)
    logs = np.log(np.where(share > 0, share, 1.0))
    return np.asarray(np.exp(-(share * logs).sum(axis=1)))


def recursive_diversity(table: Codes, least: int) -> Floats:
    """Return the least c for which each group is recursively (c, l)-diverse, so above it: r1 < c (rl + … + rm).

    >>> recursive_diversity(np.array([[4, 2, 1, 1]]), 3).tolist()
    [2.0]
    """
    ordered = -np.sort(-table, axis=1)
    tail = ordered[:, least - 1 :].sum(axis=1)
    return np.asarray(np.divide(ordered[:, 0], tail, out=np.full(len(table), np.inf), where=tail > 0))


def closeness(table: Codes, *, ordered: bool, whole: Codes | None = None) -> Floats:
    """Earth mover's distance of each group's sensitive values from all rows' (Li, Li, Venkatasubramanian 2007).

    `ordered` moves values of numbers along their ranks; else every value is as far from every other.  All rows are
    those of the table, unless `whole` counts their values.
    """
    everyone = table.sum(axis=0) if whole is None else whole
    away = table / table.sum(axis=1, keepdims=True) - everyone / everyone.sum()
    if not ordered:
        return np.asarray(np.abs(away).sum(axis=1) / 2)
    if table.shape[1] == 1:
        return np.zeros(len(table))
    return np.asarray(np.abs(np.cumsum(away, axis=1)).sum(axis=1) / (table.shape[1] - 1))
