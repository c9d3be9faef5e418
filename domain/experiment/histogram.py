"""Count values in buckets whose width is a thousandth of the value, so that quantiles of parts merge."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from domain.experiment.samples import Sample

WIDTH = 1e-3
"""A bucket's upper edge is so much above its lower one; a quantile read from the middle is off by half of it."""

OFFSET = 1_000_000  # above the bucket of any double, so that codes of positive values are positive
STEP = math.log1p(WIDTH)
LAST = 709.782712893  # the logarithm of the greatest double
ROUNDING = 1e-12  # 0.07 of 100 values are 7, whatever their product in doubles
LEVEL = 0.95  # of the interval that a quantile's standard error is taken from


class InvalidHistogram(ValueError):
    """Values or counts that no histogram has; the message names which."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many values fell into each bucket; codes ascend with the values, nought has its own."""

    counts: Mapping[int, int]

    def __add__(self, other: Histogram) -> Histogram:
        """Merge with the values of other rows; exact in any order."""
        return Histogram(dict(Counter(self.counts) + Counter(other.counts)))

    @property
    def total(self) -> int:
        """How many values there are."""
        return sum(self.counts.values())

    def quantile(self, share: float) -> float:
        """Return the value below which `share` of all lie, right to WIDTH/2 of itself; nan without any value."""
        low, high = self._edges(math.ceil(share * self.total * (1 - ROUNDING)))
        return math.copysign(math.sqrt(abs(low)) * math.sqrt(abs(high)), low)

    def interval(self, share: float, design_effect: float = 1.0, level: float = LEVEL) -> tuple[float, float]:
        """Return a confidence interval of a quantile, between two order statistics (Woodruff 1952).

        `design_effect` is how many times the variance of independent values theirs is.  The outer edges of the buckets
        are taken, so that the width of a bucket never makes the interval too narrow.  nan where there are so few
        that all of them may well lie on one side of the quantile.
        """
        reach = -float(ndtri((1 - level) / 2)) * math.sqrt(self.total * share * (1 - share) * design_effect)
        first, last = math.floor(share * self.total - reach), math.ceil(share * self.total + reach) + 1
        values, tail = self.total / design_effect, (1 - level) / 2
        if (first < 1 and (1 - share) ** values > tail) or (last > self.total and share**values > tail):
            return math.nan, math.nan
        return self._edges(first)[0], self._edges(last)[1]

    def text(self) -> str:
        """Write the counts as the JSON object that the lake keeps."""
        return json.dumps({str(code): count for code, count in sorted(self.counts.items())})

    def _edges(self, rank: int) -> tuple[float, float]:
        """Return the edges of the bucket that holds the value of a rank, counted from 1."""
        if not self.counts:
            return math.nan, math.nan
        codes = sorted(self.counts)
        seen = np.cumsum([self.counts[code] for code in codes])
        place = int(np.searchsorted(seen, min(max(rank, 1), int(seen[-1]))))
        return edges(codes[place])


def edges(code: int) -> tuple[float, float]:
    """Return the lower and the upper edge of a bucket.

    >>> edges(0)
    (0.0, 0.0)
    """
    if not code:
        return 0.0, 0.0
    near, far = (math.exp(min((abs(code) - OFFSET + step) * STEP, LAST)) for step in (0, 1))
    return (near, far) if code > 0 else (-far, -near)


def codes(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return each value's bucket; raise InvalidHistogram where one is not finite."""
    if not np.isfinite(values).all():
        raise InvalidHistogram("a value is not finite: leave it out before counting")
    filled = values != 0
    found = np.zeros(values.shape, np.int64)
    magnitude = np.floor(np.log(np.abs(values[filled])) / STEP).astype(np.int64) + OFFSET
    found[filled] = np.where(values[filled] > 0, magnitude, -magnitude)
    return found


def of_values(values: Iterable[float]) -> Histogram:
    """Count values."""
    found, counts = np.unique(codes(np.asarray(list(values), np.float64)), return_counts=True)
    return Histogram(dict(zip(found.tolist(), counts.tolist(), strict=True)))


def of_text(text: str) -> Histogram:
    """Read counts as `Histogram.text` writes them."""
    counts = {int(code): int(count) for code, count in json.loads(text).items()}
    if any(count < 0 for count in counts.values()):
        raise InvalidHistogram(f"a bucket of {text[:80]!r} has a count below nought")
    return Histogram(counts)


def sample(histogram: Histogram, share: float, units: float, design_effect: float = 1.0) -> Sample:
    """Estimate a quantile as a sample of `units`, its standard error read off its interval (Woodruff 1952)."""
    low, high = histogram.interval(share, design_effect)
    width = high - low if len(histogram.counts) > 1 else 0.0 if histogram.counts else math.nan
    error = width / (-2 * float(ndtri((1 - LEVEL) / 2)))
    return Sample(units, histogram.quantile(share), error * error * units)
