"""Say how a field's values are made coarser: numbers into ranges, words up a tree, texts by masking their ends."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

Codes = np.ndarray[Any, np.dtype[np.int64]]
ANY = "*"
"""What a value becomes when nothing of it is left."""


ROUNDING = 1e-9  # of quotients of widths


class UnknownValue(ValueError):
    """A value is in no branch or range of its field's hierarchy; the message names it."""


@dataclass(frozen=True)
class Numbers:
    """Numbers in order, generalized to the range that a group spans; `widths` are the steps of a full-domain ladder."""

    widths: tuple[float, ...] = ()
    start: float = 0.0

    def encode(self, values: Sequence[Any]) -> Encoded:
        """Number the distinct values in order; raise UnknownValue for what lies in no range."""
        distinct, codes = np.unique(np.asarray(values, dtype=np.float64), return_inverse=True)
        if not np.isfinite(distinct).all():
            raise UnknownValue(f"{distinct[~np.isfinite(distinct)][0]} is in no range: leave out who has it")
        return Encoded(tuple(distinct.tolist()), codes.astype(np.int64), distinct, None)

    @property
    def fault(self) -> str | None:
        """Say what keeps the ladder from being one, if anything does."""
        steps = (*self.widths, self.start)
        if not all(map(math.isfinite, steps)) or any(width <= 0 for width in self.widths):
            return "widths are finite numbers above 0, and the start is finite"
        times = [wide / narrow for narrow, wide in pairwise(self.widths)]
        if any(each < 1 or abs(each - round(each)) > ROUNDING for each in times):
            return "each width is a multiple of the one before, so that ranges lie within wider ones"
        return None

    def ladder(self, known: Sequence[Any]) -> list[list[str]]:
        """Write each value at each level, the finest first."""
        rungs = [[number(value) for value in known]]
        for width in self.widths:
            low = [self.start + (value - self.start) // width * width for value in known]
            rungs.append([f"[{number(each)}, {number(each + width)})" for each in low])
        return [*rungs, [ANY] * len(known)]


@dataclass(frozen=True)
class Tree:
    """Words under broader ones: each inner node names its children, the root is the node that is nobody's child.

    Words that are not in it, and nothing at all, count as `other`, a leaf of it; without one they are refused.
    """

    children: Mapping[str, tuple[str, ...]] = field(hash=False)
    other: str | None = None

    @cached_property
    def root(self) -> str:
        """The node that stands for every value."""
        below = {child for children in self.children.values() for child in children}
        [top] = [node for node in self.children if node not in below] or [ANY]
        return top

    @property
    def fault(self) -> str | None:
        """Say what keeps the tree from being one, if anything does."""
        below = [child for children in self.children.values() for child in children]
        tops = [node for node in self.children if node not in set(below)]
        if len(tops) != 1:
            return f"a tree has one root, this has {len(tops)}"
        twice = [node for node, times in Counter(below).items() if times > 1]
        if twice or any(not children for children in self.children.values()):
            return f"{twice[0]!r} is below two nodes" if twice else "an inner node has no children"
        # Each node has one parent, so what the root does not reach runs in a circle.
        if len(list(self._walk(tops[0]))) != len(below) + 1:
            return "some nodes are not below its root"
        if self.other is not None and self.other not in self.leaves:
            return f"`other` is {self.other!r}, which is no leaf of it"
        return None

    @cached_property
    def leaves(self) -> tuple[str, ...]:
        """The values themselves, those of a branch side by side."""
        return tuple(self._below(self.root))

    @cached_property
    def nodes(self) -> tuple[tuple[str, int, int], ...]:
        """Each node with the first of its leaves and the one after its last, parents before children."""
        place = {leaf: number for number, leaf in enumerate(self.leaves)}
        found = [(node, [place[leaf] for leaf in self._below(node)]) for node in self._walk(self.root)]
        return tuple((node, places[0], places[-1] + 1) for node, places in found)

    @cached_property
    def paths(self) -> dict[str, tuple[str, ...]]:
        """For each leaf the nodes above it, itself first."""
        spans = self.nodes
        return {
            leaf: tuple(node for node, low, high in reversed(spans) if low <= place < high)
            for place, leaf in enumerate(self.leaves)
        }

    def encode(self, values: Sequence[Any]) -> Encoded:
        """Number values by their place among the leaves."""
        place = {leaf: number for number, leaf in enumerate(self.leaves)}
        distinct, inverse = np.unique(np.asarray(values, dtype=object).astype(str), return_inverse=True)
        unknown = [value for value in distinct.tolist() if value not in place]
        if unknown and self.other is None:
            raise UnknownValue(f"{unknown[0]!r} is in no branch of the tree of {self.root!r}: add it, or an `other`")
        codes = np.array([place[value if value in place else str(self.other)] for value in distinct.tolist()])[inverse]
        return Encoded(self.leaves, codes.astype(np.int64), np.arange(len(self.leaves), dtype=np.float64), self)

    def ladder(self, known: Sequence[Any]) -> list[list[str]]:
        """Write each value at each level; a shallow branch stays at its top while deeper ones climb."""
        deepest = max(len(path) for path in self.paths.values())
        return [
            [self.paths[str(value)][min(level, len(self.paths[str(value)]) - 1)] for value in known]
            for level in range(deepest)
        ]

    @cached_property
    def _met(self) -> dict[tuple[int, int], tuple[str, int, int]]:
        return {}

    def above(self, low: int, high: int) -> tuple[str, int, int]:
        """Find the lowest node over the leaves from one to another; with it, its first leaf and one after its last."""
        if (low, high) not in self._met:
            self._met[low, high] = [node for node in self.nodes if node[1] <= low and high < node[2]][-1]
        return self._met[low, high]

    def _below(self, node: str) -> Iterator[str]:
        if node not in self.children:
            yield node
        for child in self.children.get(node, ()):
            yield from self._below(child)

    def _walk(self, node: str) -> Iterator[str]:
        yield node
        for child in self.children.get(node, ()):
            yield from self._walk(child)


def masked(values: Sequence[str], levels: int) -> Tree:
    """Make the tree in which each level hides one more character from the end; of a short text all is soon hidden.

    >>> masked(["13053", "13068"], 2).paths["13053"]
    ('13053', '1305*', '130**')
    >>> masked(["13053", "7"], 2).paths["7"]
    ('7', '*')
    """
    children: dict[str, dict[str, None]] = {}
    tops: dict[str, None] = {}
    for value in dict.fromkeys(values):
        if ANY in value:
            raise UnknownValue(f"{value!r} has a {ANY!r}, which stands for what is hidden")
        path = [value] + [value[:-hidden] + ANY * hidden for hidden in range(1, min(levels, len(value) - 1) + 1)]
        tops[path[-1]] = None
        for child, parent in pairwise(path):
            children.setdefault(parent, {})[child] = None
    if len(tops) > 1 or not children or any(len(value) <= levels for value in values):
        children[ANY] = tops
    return Tree({node: tuple(below) for node, below in children.items()})


Hierarchy = Numbers | Tree


@dataclass(frozen=True)
class Encoded:
    """A field's values as whole numbers in an order in which neighbours are alike, and what each stands for."""

    known: tuple[Any, ...]
    codes: Codes
    at: np.ndarray[Any, np.dtype[np.float64]]
    tree: Tree | None

    @property
    def span(self) -> float:
        """How far the values lie apart at most."""
        return float(self.at[self.codes.max()] - self.at[self.codes.min()]) if len(self.codes) else 0.0

    def label(self, low: int, high: int) -> str:
        """Write the narrowest generalization of the values from one code to another."""
        if low == high:
            return number(self.known[low])
        if self.tree is None:
            return f"[{number(self.known[low])}, {number(self.known[high])}]"
        return self._above(low, high)[0]

    def loss(self, low: int, high: int) -> float:
        """Normalized certainty penalty of such a generalization, from 0 to 1 (Xu et al. 2006).

        A number loses its range's share of the span, a word the share of leaves that it could be.
        """
        if low == high:
            return 0.0
        if self.tree is None:
            return float(self.at[high] - self.at[low]) / self.span
        _, first, after = self._above(low, high)
        return (after - first) / len(self.known)

    def cuts(self, low: int, high: int) -> Sequence[int] | None:
        """List the codes before which the values may be cut; None for any."""
        if self.tree is None:
            return None
        above = self._above(low, high)
        return [start for name, start, _ in self.tree.nodes if name in self.tree.children[above[0]] and start > low]

    def _above(self, low: int, high: int) -> tuple[str, int, int]:
        assert self.tree is not None
        return self.tree.above(low, high)


def number(value: Any) -> str:
    """Write a number without a fraction that it has not got."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
