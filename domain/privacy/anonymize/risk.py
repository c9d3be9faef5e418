"""Say how likely a person is found again in what is published: the prosecutor's, the journalist's, the marketer's view.

Source: El Emam, Guide to the De-Identification of Personal Health Information (2013), chapters 15 and 16.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from domain.privacy.anonymize.hierarchy import Codes
from domain.privacy.anonymize.models import sizes

AT_RISK = 0.2
"""Records found with a greater probability than this count as at risk: groups of less than five."""


@dataclass(frozen=True, slots=True)
class Risk:
    """The probability with which a record is found, at most and on average, and the share of records at risk."""

    highest: float
    average: float
    at_risk: float


def prosecutor(groups: Codes, weights: Codes | None = None) -> Risk:
    """Look for somebody who is known to be in the table: one over the size of the group.

    >>> prosecutor(np.array([0, 0, 1, 1, 1, 1]))
    Risk(highest=0.5, average=0.3333333333333333, at_risk=1.0)
    """
    return journalist(groups, sizes(groups, weights), weights)


def journalist(groups: Codes, population: Codes, weights: Codes | None = None) -> Risk:
    """Look for anybody, the table being a sample: one over how many of the population look like the group."""
    count = sizes(groups, weights)
    found = 1 / np.maximum(population, count)
    share = count / count.sum()
    return Risk(float(found.max()), float((found * share).sum()), float(share[found > AT_RISK].sum()))


def marketer(groups: Codes, population: Codes | None = None, weights: Codes | None = None) -> float:
    """Look for as many as possible: the share of all records that is found on average.

    >>> marketer(np.array([0, 0, 1, 1, 1, 1]))
    0.3333333333333333
    """
    return journalist(groups, sizes(groups, weights) if population is None else population, weights).average
