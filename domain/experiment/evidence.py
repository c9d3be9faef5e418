"""Sum up what rewards say of contexts, in whole numbers: exact, in any order, all that a linear policy learns from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from domain.experiment.learning import Count, Kept, counted


@dataclass(frozen=True, slots=True)
class Evidence:
    """Sums over an arm's rewards of context x (d,) and reward r: the upper triangle of xx', and rx.

    In millionths of millionths, and in millionths of billionths.
    """

    products: tuple[int, ...]
    responses: tuple[int, ...]

    def __add__(self, other: Evidence) -> Evidence:
        """Merge with the sums of other rewards."""
        products = tuple(map(int.__add__, self.products, other.products))
        return Evidence(products, tuple(map(int.__add__, self.responses, other.responses)))


def of(features: Sequence[int], billionths: int) -> Evidence:
    """Return what one reward says.

    >>> of((1_000_000, 500_000), 1_000_000_000).products
    (1000000000000, 500000000000, 250000000000)
    """
    size = range(len(features))
    products = tuple(features[row] * features[column] for row in size for column in range(row, len(features)))
    return Evidence(products, tuple(billionths * feature for feature in features))


def text(arm_to_evidence: Mapping[str, Evidence]) -> str:
    """Write evidence by arm."""
    return json.dumps(
        {arm: [each.products, each.responses] for arm, each in arm_to_evidence.items()}, separators=(",", ":")
    )


def of_text(said: str) -> dict[str, Evidence]:
    """Read evidence by arm."""
    return {arm: Evidence(tuple(products), tuple(responses)) for arm, (products, responses) in json.loads(said).items()}


def together(one: Mapping[str, Evidence], other: Mapping[str, Evidence]) -> dict[str, Evidence]:
    """Merge evidence by arm."""
    found = dict(one)
    for arm, evidence in other.items():
        found[arm] = found[arm] + evidence if arm in found else evidence
    return found


@dataclass(slots=True)
class Sums:
    """What a receipt adds to one counter: how many rewards of each arm and, of a contextual policy, of which contexts.

    `fingerprint` names the features by which its experiment chooses now; empty for one that chooses by none.
    """

    fingerprint: str = ""
    counts: dict[str, Count] = field(default_factory=dict)
    evidence: dict[str, Evidence] = field(default_factory=dict)

    def add(self, arm: str, value: float, kept: Kept) -> None:
        """Add a reward; what was decided by other features than those of now says nothing of these."""
        count = counted(value)
        self.counts[arm] = self.counts.get(arm, Count()) + count
        if self.fingerprint and kept.fingerprint == self.fingerprint:
            self.evidence = together(self.evidence, {arm: of(kept.features, count.total)})
