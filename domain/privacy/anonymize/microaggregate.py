"""Put near people together and their mean in the place of each (MDAV: Domingo-Ferrer and Torra 2005)."""

from __future__ import annotations

import numpy as np

from domain.privacy.anonymize.hierarchy import Codes
from domain.privacy.anonymize.models import Floats


def groups(points: Floats, weights: Codes, k: int) -> tuple[Codes, Floats, float]:
    """Group points of so many people each into groups of at least `k`; return groups, means and the loss.

    The loss is the share of the variance that goes, SSE / SST.  The work grows with the square of the points.
    """
    far = np.abs(points).max(axis=0)
    unit = points / np.where(far > 0, far, 1)  # whose squares a double holds, also of the largest numbers
    spread = unit.std(axis=0)
    scaled = (unit - np.average(unit, axis=0, weights=weights)) / np.where(spread > 0, spread, 1)
    of, number = np.full(len(points), -1), 0
    left = np.arange(len(points))
    while len(left):
        center = np.average(scaled[left], axis=0, weights=weights[left])
        first = left[np.argmax(_distance(scaled[left], center))]
        for start in (first, left[np.argmax(_distance(scaled[left], scaled[first]))]):
            if weights[left].sum() < 2 * k:  # the rest is one group, or it would be too small
                break
            near = left[np.argsort(_distance(scaled[left], scaled[start]), kind="stable")]
            enough = int(np.searchsorted(np.cumsum(weights[near]), k)) + 1
            if weights[near[enough:]].sum() < k:
                break
            of[near[:enough]], number = number, number + 1
            left = left[of[left] < 0]
        else:
            continue
        of[left], number = number, number + 1
        break
    return of, *_means(points, scaled, weights, of)


def _distance(points: Floats, center: Floats) -> Floats:
    return np.asarray(((points - center) ** 2).sum(axis=1))


def _means(points: Floats, scaled: Floats, weights: Codes, of: Codes) -> tuple[Floats, float]:
    count = np.bincount(of, weights)

    def mean(values: Floats) -> Floats:
        return np.stack([np.bincount(of, weights * column) / count for column in values.T], axis=1)

    within = float(weights @ ((scaled - mean(scaled)[of]) ** 2).sum(axis=1))
    whole = float(weights @ (scaled**2).sum(axis=1))
    return mean(points), within / whole if whole else 0.0
