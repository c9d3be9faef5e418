"""Say at each readout how far an experiment has come, and how far out a statistic must lie to be acted upon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from scipy.special import ndtr, ndtri

from domain.experiment.declaration import Design, Experiment
from domain.experiment.sequential import always, group
from domain.experiment.statistics import Snapshot

NEWS = 1.001  # so many times the units must have come since the last look for another to spend any error


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A readout's day: the days and the share of the plan that are over, the units so far, and the bound.

    `bound` is in standard errors; `planned` units are what the plan comes to at the first look's pace.
    """

    as_of: date
    elapsed: int
    fraction: float
    units: int
    bound: float
    planned: float

    @property
    def level(self) -> float:
        """The two-sided level that the bound leaves to this look."""
        return 2 * float(ndtr(-self.bound))

    @property
    def is_last(self) -> bool:
        """Whether the plan is over."""
        return self.fraction >= 1


def looks(experiment: Experiment, known: Sequence[Snapshot]) -> list[Look]:
    """Make a look of every readout there was; each is one, since a page was there to be acted upon.

    Error is spent by the calendar and bounds follow from the units, so that neither hangs on outcomes (Lan and DeMets
    1989).  A look that brings hardly a new unit spends nothing and has the bound of the one before.
    """
    seen = [snapshot for snapshot in known if snapshot.units]
    if not seen:
        return []
    stopping = experiment.stopping
    start = min(day for snapshot in seen for day, _ in snapshot.units)
    elapsed = [(snapshot.as_of - start).days + 1 for snapshot in seen]
    fractions = [min(days / stopping.days, 1.0) for days in elapsed]
    units = [sum(snapshot.units.values()) for snapshot in seen]
    planned = units[0] / fractions[0]
    bounds = _bounds(experiment, units, fractions, planned)
    return [
        Look(as_of=snapshot.as_of, elapsed=days, fraction=fraction, units=count, bound=bound, planned=planned)
        for snapshot, days, fraction, count, bound in zip(seen, elapsed, fractions, units, bounds, strict=True)
    ]


def _bounds(
    experiment: Experiment, units: Sequence[int], fractions: Sequence[float], planned: float
) -> Sequence[float]:
    stopping = experiment.stopping
    if stopping.design is Design.FIXED:
        return [-float(ndtri(stopping.alpha / 2))] * len(units)
    if stopping.design is Design.ALWAYS_VALID:
        rho = always.tuned(planned, stopping.alpha)
        return [always.widening(count, rho, stopping.alpha) for count in units]
    return _spent(units, fractions, stopping.alpha)


def _spent(units: Sequence[int], fractions: Sequence[float], alpha: float) -> Sequence[float]:
    """Spend the error by the days that are over, over looks that stand apart by their units."""
    kept: list[int] = []
    for place, count in enumerate(units):
        if not kept or count > NEWS * units[kept[-1]]:
            kept.append(place)
    reached = [units[place] / units[kept[-1]] for place in kept]
    days = [fractions[place] for place in kept]

    def spend(share: float, level: float) -> float:
        return group.obrien_fleming(float(np.interp(share, reached, days)), level)

    found = group.bounds(reached, alpha, spend)
    return [found[sum(other <= place for other in kept) - 1] for place in range(len(units))]
