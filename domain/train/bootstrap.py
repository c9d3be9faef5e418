"""Put intervals round measures by drawing users, not rows, again and again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

import numpy as np

from domain.train.gate import Interval
from domain.train.measures import Array

DRAWS = 1_000
TAILS = (0.025, 0.975)
CELLS = 4_000_000  # weights held at once: 32 MB

Estimator = Callable[[Array], Array]
"""Turns weights (draws, rows) into one value a draw (draws,)."""


def intervals(
    estimators: Mapping[str, Estimator],
    users: Array,
    *,
    seed: int,
    draws: int = DRAWS,
    distances: Collection[str] = (),
) -> dict[str, Interval]:
    """Estimate each on the whole sample, between percentiles over redrawn users (cluster bootstrap, Field 2007).

    `users` (rows,) names whose row each is: the rows of one user come and go together, since they are not
    independent.  All estimators see the same draws, so an estimator of a difference is a paired comparison.
    Noise makes a distance from nought look larger, and a redraw adds as much again: for `distances` this is taken
    off, by the pivotal interval (Davison and Hinkley 1997, 5.2), cut at nought.
    """
    whole = np.ones((1, len(users)))
    drawn: dict[str, list[Array]] = {name: [] for name in estimators}
    for weights in redraws(users, draws, np.random.default_rng(seed)):
        for name, estimate in estimators.items():
            drawn[name].append(estimate(weights))
    found = {}
    for name, estimate in estimators.items():
        value, values = float(estimate(whole)[0]), np.concatenate(drawn[name])
        if name in distances:
            value, values = max(0.0, 2 * value - float(np.nanmean(values))), np.maximum(0.0, 2 * value - values)
        found[name] = _interval(value, values)
    return found


def redraws(users: Array, draws: int, random: np.random.Generator) -> Iterator[Array]:
    """Yield how often each row was drawn, in blocks (some draws, rows)."""
    names, row_to_user = np.unique(users, return_inverse=True)
    block = max(1, CELLS // max(1, len(users)))
    for start in range(0, draws, block):
        size = (min(block, draws - start), len(names))
        picks = random.integers(len(names), size=size) + np.arange(size[0])[:, None] * len(names)
        counts = np.bincount(picks.ravel(), minlength=size[0] * len(names)).reshape(size)
        yield counts[:, row_to_user].astype(float)


def _interval(estimate: float, drawn: Array) -> Interval:
    known = drawn[~np.isnan(drawn)]
    if not len(known):
        return Interval(float("nan"), estimate, float("nan"))
    low, high = np.quantile(known, TAILS)
    return Interval(float(low), estimate, float(high))
