"""Adjust p-values for how many questions were asked at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust so that the chance of any false alarm stays below alpha (Holm 1979); nan stays nan and counts for none.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = sorted(_asked(p_values), key=p_values.__getitem__)
    steps = [p_values[place] * (len(order) - rank) for rank, place in enumerate(order)]
    return _in_place(len(p_values), order, [min(1.0, step) for step in accumulate(steps, max)])


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjust so that the expected share of false alarms stays below alpha (Benjamini and Hochberg 1995); nan as above.

    >>> [round(p, 3) for p in benjamini_hochberg([0.01, 0.04, 0.03])]
    [0.03, 0.04, 0.04]
    """
    order = sorted(_asked(p_values), key=p_values.__getitem__, reverse=True)
    steps = [p_values[place] * len(order) / (len(order) - rank) for rank, place in enumerate(order)]
    return _in_place(len(p_values), order, [min(1.0, step) for step in accumulate(steps, min)])


def _asked(p_values: Sequence[float]) -> list[int]:
    """Return the places of p-values that there are; among nan the others would not even be sorted."""
    return [place for place, value in enumerate(p_values) if not math.isnan(value)]


def _in_place(size: int, order: Sequence[int], adjusted: Sequence[float]) -> list[float]:
    found = [math.nan] * size
    for place, value in zip(order, adjusted, strict=True):
        found[place] = value
    return found
