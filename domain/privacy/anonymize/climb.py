"""Generalize people step by step, each only until there are enough who look the same: local recoding over the lattice.

All combinations of levels are walked from the one that loses least; whoever is in a group that may be published there
stays in it, and the others climb on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from typing import Any

import numpy as np

from domain.privacy.anonymize.hierarchy import Codes, Encoded, Hierarchy
from domain.privacy.anonymize.lattice import ROOM, levels

Fit = Callable[[Codes, Codes], np.ndarray[Any, np.dtype[np.bool_]]]
"""Of rows, numbered by group, and of their places: which groups may be published."""


def groups(
    hierarchies: Sequence[Hierarchy], fields: Sequence[Encoded], weights: Codes, fit: Fit
) -> tuple[list[Codes], Codes]:
    """Put rows into groups; return the rows of each, those that lose least first, and the rows that no group took."""
    columns = [
        [(level.codes[field.codes], len(level.labels), float(weights @ level.loss[field.codes])) for level in found]
        for found, field in zip((levels(*pair) for pair in zip(hierarchies, fields, strict=True)), fields, strict=True)
    ]
    left, made = np.arange(len(weights)), []
    for choice in walk([[loss for *_, loss in column] for column in columns]):
        coded = np.zeros(len(left), dtype=np.int64)
        for column, level in zip(columns, choice, strict=True):
            codes, width, _ = column[level]
            coded = coded * width + codes[left]
            if coded.max() > ROOM:
                coded = np.unique(coded, return_inverse=True)[1].astype(np.int64)
        alike = np.unique(coded, return_inverse=True)[1].reshape(-1)
        good = fit(alike, left)
        if good.any():
            made += _split(left[good[alike]], alike[good[alike]])
            left = left[~good[alike]]
        if not len(left):
            break
    return made, left


def walk(losses: Sequence[Sequence[float]]) -> Iterator[tuple[int, ...]]:
    """Walk all combinations of levels in the order of what they lose; each only once those below it were.

    >>> list(walk([[0, 2], [0, 1, 4]]))
    [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (1, 2)]
    """
    lowest = (0,) * len(losses)
    waiting, seen = [(0.0, lowest)], {lowest}
    while waiting:
        _, choice = heappop(waiting)
        yield choice
        for place, column in enumerate(losses):
            above = (*choice[:place], choice[place] + 1, *choice[place + 1 :])
            if above[place] < len(column) and above not in seen:
                seen.add(above)
                heappush(waiting, (sum(each[level] for each, level in zip(losses, above, strict=True)), above))


def _split(rows: Codes, group: Codes) -> list[Codes]:
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order])) + 1
    return np.split(rows[order], starts)
