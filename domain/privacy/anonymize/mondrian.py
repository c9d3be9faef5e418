"""Cut the space of quasi-identifiers into boxes as small as anonymity allows (LeFevre, DeWitt, Ramakrishnan 2006)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from domain.privacy.anonymize.hierarchy import Codes, Encoded

Allowed = Callable[[Codes], bool]
"""Whether the rows of these numbers may be a group."""

NEIGHBOURS = 3
"""So many cuts on either side of the middle are tried where the middle one is not allowed."""


@dataclass(frozen=True, slots=True)
class Box:
    """A group: its rows, and for each field the lowest and the highest code."""

    rows: Codes
    low: Codes
    high: Codes

    def labels(self, fields: Sequence[Encoded]) -> tuple[str, ...]:
        """Write what is published for the group's fields."""
        spans = zip(fields, self.low.tolist(), self.high.tolist(), strict=True)
        return tuple(field.label(low, high) for field, low, high in spans)

    def loss(self, fields: Sequence[Encoded]) -> float:
        """Average the certainty penalty of the group's fields."""
        spans = zip(fields, self.low.tolist(), self.high.tolist(), strict=True)
        return sum(field.loss(low, high) for field, low, high in spans) / len(fields)


class Space:
    """Rows as points, as many people at each as its weight says."""

    def __init__(self, fields: Sequence[Encoded], weights: Codes, allowed: Allowed) -> None:
        self.fields, self.weights, self.allowed = fields, weights, allowed
        self.codes = np.stack([field.codes for field in fields], axis=1)

    def boxes(self) -> list[Box]:
        """Cut until no cut is allowed, each time where least is lost.

        Cuts are strict: rows with the same values stay together, so that a value is published one way alone.
        """
        waiting, done = [self.box(np.arange(len(self.codes)))], []
        while waiting:
            found = waiting.pop()
            halves = self._best_cut(found)
            if halves is None:
                done.append(found)
            else:
                waiting.extend(halves)
        return done

    def box(self, rows: Codes) -> Box:
        """Draw the smallest box around rows."""
        inside = self.codes[rows]
        return Box(rows, inside.min(axis=0), inside.max(axis=0))

    def _best_cut(self, whole: Box) -> tuple[Box, Box] | None:
        """Return the halves of the cut that loses least over the people, of one cut a field; None if there is none."""
        found = [self._first_allowed(whole, place) for place in np.flatnonzero(whole.low < whole.high).tolist()]
        possible = [halves for halves in found if halves is not None]
        return min(possible, key=self._lost, default=None)

    def _lost(self, halves: tuple[Box, Box]) -> float:
        return sum(half.loss(self.fields) * float(self.weights[half.rows].sum()) for half in halves)

    def _first_allowed(self, whole: Box, place: int) -> tuple[Box, Box] | None:
        """Cut a field nearest to the middle of the people where both halves are allowed."""
        values = self.codes[whole.rows, place]
        for cut in cuts(values, self.weights[whole.rows], self.fields[place]):
            left = values < cut
            one, other = whole.rows[left], whole.rows[~left]
            if self.allowed(one) and self.allowed(other):
                return self.box(one), self.box(other)
        return None


def cuts(values: Codes, weights: Codes, field: Encoded) -> Iterator[int]:
    """Name the codes before which to cut, those that halve the rows best first."""
    order = np.argsort(values, kind="stable")
    there, first = np.unique(values[order], return_index=True)
    below = np.concatenate(([0], np.cumsum(weights[order])))[first[1:]]
    places = there[1:]
    possible = field.cuts(int(there[0]), int(there[-1]))
    if possible is not None:
        # Between two branches any value that is there will do; the first of the next branch is one.
        starts = np.searchsorted(places, np.asarray(possible, dtype=np.int64))
        kept = np.unique(starts[starts < len(places)])
        places, below = places[kept], below[kept]
    nearest = np.argsort(np.abs(below - weights.sum() / 2), kind="stable")[: 2 * NEIGHBOURS + 1]
    yield from (int(place) for place in places[nearest])
