"""Say before it starts how long an experiment takes, and what looking early costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.optimize import brentq
from scipy.special import ndtri

from domain.experiment.declaration import SUREST, Design, Stopping
from domain.experiment.sequential import always, brownian, group

NEAR = 0.05  # standard errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a design needs and gives: units in all arms, days, power, and the expected share of units when it stops."""

    design: Design
    units: float
    days: float
    power: float
    expected_share: float


def look_bounds(stopping: Stopping) -> tuple[float, ...]:
    """Return the bounds on the standardised statistic at a design's equally spaced looks; a fixed design has one."""
    fractions = _fractions(stopping)
    if stopping.design is Design.GROUP_SEQUENTIAL:
        return group.bounds(fractions, stopping.alpha)
    if stopping.design is Design.ALWAYS_VALID:
        rho = always.tuned(1.0, stopping.alpha)  # for the end of the plan, whatever its units
        return tuple(always.widening(fraction, rho, stopping.alpha) for fraction in fractions)
    return (-float(ndtri(stopping.alpha / 2)),)


def power(stopping: Stopping, drift: float) -> float:
    """Return the chance of stopping for an effect of `drift` final standard errors, on either side."""
    return brownian.exits(_fractions(stopping), look_bounds(stopping), drift).total


def plan(
    stopping: Stopping, *, mean: float, deviation: float, shares: tuple[float, float], effect: float, units_a_day: float
) -> Plan:
    """Size an experiment for a relative `effect` on a control's `mean` (a proportion is a mean of 0 and 1).

    `shares` are those of control and arm among all units.  Raise ValueError where nothing can be sized.
    """
    for name, value in (
        ("mean", abs(mean)),
        ("deviation", deviation),
        ("effect", effect),
        ("units_a_day", units_a_day),
    ):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"plan: {name} is {value}; it takes a finite number above 0 to say how long it would run")
    noise = deviation**2 * (1 / shares[0] + 1 / shares[1])  # of the difference, times units
    drift = needed_drift(stopping)
    units = noise * (drift / (mean * effect)) ** 2
    exits = brownian.exits(_fractions(stopping), look_bounds(stopping), drift)
    return Plan(
        design=stopping.design,
        units=units,
        days=units / units_a_day,
        power=exits.total,
        expected_share=_expected(_fractions(stopping), exits),
    )


def needed_drift(stopping: Stopping) -> float:
    """Return how many final standard errors an effect must be for the design to have its power."""
    fractions, limits = _fractions(stopping), look_bounds(stopping)

    def missing(drift: float) -> float:
        return brownian.exits(fractions, limits, drift).total - stopping.power

    if not 0 < stopping.power <= 1 - SUREST:
        raise ValueError(f"plan: power is {stopping.power}; give a probability above 0, at most {1 - SUREST}")
    once = -float(ndtri(stopping.alpha / 2)) + float(ndtri(stopping.power))  # what one look needs: no design needs less
    low, step = max(once - NEAR, 0.0), 4 * NEAR
    if missing(low) >= 0:
        return 0.0 if low == 0 else float(brentq(missing, 0.0, low, xtol=1e-10))
    while missing(low + step) < 0:
        low, step = low + step, 2 * step
    return float(brentq(missing, low, low + step, xtol=1e-10))


def _fractions(stopping: Stopping) -> Sequence[float]:
    looks = 1 if stopping.design is Design.FIXED else stopping.looks
    return [(look + 1) / looks for look in range(looks)]


def _expected(fractions: Sequence[float], exits: brownian.Exits) -> float:
    stopped = [below + above for below, above in zip(exits.below, exits.above, strict=True)]
    return math.fsum(fraction * share for fraction, share in zip(fractions, stopped, strict=True)) + 1 - sum(stopped)
