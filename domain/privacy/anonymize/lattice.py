"""Generalize whole columns alike: of all combinations of levels the one that loses least, few rows left out.

The search finds the same combination as ARX's Flash (Kohlmayer et al. 2012): the best of all, by looking at every one
that may be enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from domain.privacy.anonymize.hierarchy import ANY, Codes, Encoded, Hierarchy

ROOM = 1 << 31  # so that one more column, of as many values, still fits into 64 bits

Fit = Callable[[Codes], np.ndarray[Any, np.dtype[np.bool_]]]
"""Of rows numbered by group: which groups may be published."""


@dataclass(frozen=True, slots=True)
class Level:
    """A column at one level: what each known value becomes, as a number and as text, and what it loses."""

    codes: Codes
    labels: tuple[str, ...]
    loss: np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Ladder:
    """A combination of levels: the group of each row, -1 for those left out, and the average loss of all rows."""

    levels: tuple[int, ...]
    groups: Codes
    labels: tuple[tuple[str, ...], ...]
    suppressed: int
    loss: float


def levels(hierarchy: Hierarchy, field: Encoded) -> list[Level]:
    """Write a column at each level of its hierarchy.

    A value loses the share that its group of known values has of all of them (Iyengar 2002), nought if alone.
    """
    found = []
    for labels in hierarchy.ladder(field.known):
        distinct, codes, alike = np.unique(labels, return_inverse=True, return_counts=True)
        wide = len(field.known) > 1
        loss = (alike[codes] - 1) / (len(field.known) - 1) if wide else np.zeros(len(field.known))
        if labels and set(labels) == {ANY}:
            loss = np.ones(len(field.known))
        found.append(Level(codes.astype(np.int64), tuple(str(label) for label in distinct.tolist()), loss))
    return found


def best(
    hierarchies: Sequence[Hierarchy],
    fields: Sequence[Encoded],
    weights: Codes,
    fit: Fit,
    limit: int,
    *,
    monotone: bool = False,
) -> Ladder | None:
    """Find the levels that lose least while at most `limit` people are left out; None if none are enough.

    With `monotone`, groups made coarser never leave out more people, as for k alone: then what is finer than a
    combination that leaves out too many is not looked at (the predictive tagging of Kohlmayer et al.).
    """
    columns = [levels(hierarchy, field) for hierarchy, field in zip(hierarchies, fields, strict=True)]
    found: Ladder | None = None
    too_many: set[tuple[int, ...]] = set()
    for choice in sorted(product(*(range(len(column)) for column in columns)), key=sum, reverse=True):
        if monotone and any(coarser in too_many for coarser in _above(choice)):
            too_many.add(choice)
            continue
        tried = _apply(choice, columns, fields, weights, fit)
        if tried.suppressed > limit:
            too_many.add(choice)
        elif found is None or tried.loss < found.loss:
            found = tried
    return found


def _above(choice: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Name the combinations that are coarser by one level of one column."""
    for place, level in enumerate(choice):
        yield (*choice[:place], level + 1, *choice[place + 1 :])


def _apply(
    choice: tuple[int, ...],
    columns: Sequence[Sequence[Level]],
    fields: Sequence[Encoded],
    weights: Codes,
    fit: Fit,
) -> Ladder:
    chosen = [column[level] for column, level in zip(columns, choice, strict=True)]
    coded = np.zeros(len(weights), dtype=np.int64)
    for level, field in zip(chosen, fields, strict=True):  # one number a row: sorted ten times faster than rows
        coded = coded * len(level.labels) + level.codes[field.codes]
        if coded.max() > ROOM:
            coded = np.unique(coded, return_inverse=True)[1].astype(np.int64)
    _, first, groups = np.unique(coded, return_index=True, return_inverse=True)
    good = fit(groups)
    lost = sum(level.loss[field.codes] for level, field in zip(chosen, fields, strict=True)) / len(fields)
    lost = np.where(good[groups], lost, 1.0)
    codes = np.stack([level.codes[field.codes[first]] for level, field in zip(chosen, fields, strict=True)], axis=1)
    labels = [tuple(level.labels[code] for level, code in zip(chosen, row, strict=True)) for row in codes.tolist()]
    return Ladder(
        choice,
        np.where(good[groups], groups, -1),
        tuple(labels),
        int(weights[~good[groups]].sum()),
        float(weights @ lost) / float(weights.sum()),
    )
