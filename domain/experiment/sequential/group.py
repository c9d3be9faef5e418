"""Stop at planned looks: bounds that spend the error between them (Lan and DeMets 1983)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from domain.experiment.reading import Reading
from domain.experiment.sequential import brownian

Spending = Callable[[float, float], float]

CLOSEST = 9e-4
"""Looks this near, as a share of the information, are one: a grid between them would take gigabytes."""

UNREACHABLE = 38.0  # a deviate whose tail is the least that a double holds


class InvalidLooks(ValueError):
    """Looks that no experiment can have had; the message says which and why."""


def obrien_fleming(fraction: float, alpha: float) -> float:
    """Spend almost nothing early: 2 - 2Φ(z/√t) in each tail, z its own deviate (Lan and DeMets 1983)."""
    return 4 * float(ndtr(ndtri(alpha / 4) / math.sqrt(fraction))) if fraction > 0 else 0.0


def pocock(fraction: float, alpha: float) -> float:
    """Spend evenly, as Pocock's bounds nearly do: alpha ln(1 + (e - 1)t) (Lan and DeMets 1983)."""
    return alpha * math.log1p((math.e - 1) * fraction)


def power_family(exponent: float) -> Spending:
    """Spend alpha t^exponent (Kim and DeMets 1987)."""

    def spend(fraction: float, alpha: float) -> float:
        return float(alpha * fraction**exponent)

    return spend


SPENDING: Mapping[str, Spending] = {"obrien_fleming": obrien_fleming, "pocock": pocock, "linear": power_family(1.0)}


def bounds(
    information: Sequence[float], alpha: float = 0.05, spending: Spending = obrien_fleming, planned: float | None = None
) -> tuple[float, ...]:
    """Return the two-sided bound on the standardised statistic at each look, exact to about 1e-10.

    `information` (1/variance of the estimate, in any unit) ascends; `planned` is what the last look was to have, by
    default what it has.  Looks beyond the plan spend what is left at the first of them, by the information they have.
    """
    _check(information, alpha, planned)
    full = information[-1] if planned is None else planned
    paths, spent, found = brownian.start(), 0.0, []
    for reached in information:
        due = spending(min(reached / full, 1.0), alpha)
        bound = _solve(paths, reached / full, due - spent)
        paths = paths.carried(reached / full, bound * math.sqrt(reached / full))
        spent = max(spent, due)
        found.append(bound)
    return tuple(found)


def repeated(reading: Reading, bound: float) -> Reading:
    """Widen a reading's interval to the look's bound, to hold at every look (Jennison and Turnbull 1989)."""
    return reading.widened(bound * reading.standard_error)


def p_value(information: Sequence[float], crossed: Sequence[float], statistic: float) -> float:
    """Return the two-sided p-value of having stopped at the last of `information` with `statistic`.

    Stopping earlier counts as more extreme (stagewise ordering, Tsiatis, Rosner and Mehta 1984); `crossed` are the
    bounds of the looks before.
    """
    return brownian.exits(information, (*crossed, abs(statistic))).total


def _solve(paths: brownian.Paths, information: float, due: float) -> float:
    """Find the bound that a path passes now with chance `due`."""
    root = math.sqrt(information)

    def excess(bound: float) -> float:
        return sum(paths.exits(information, bound * root)) - due

    if due <= 0 or excess(UNREACHABLE) >= 0:
        return UNREACHABLE
    return float(brentq(excess, 0.0, UNREACHABLE, xtol=1e-13, rtol=1e-14)) if excess(0.0) > 0 else 0.0


def _check(information: Sequence[float], alpha: float, planned: float | None) -> None:
    if not 0 < alpha < 1:
        raise InvalidLooks(f"alpha is {alpha}; give a probability between 0 and 1")
    if planned is not None and not 0 < planned < math.inf:
        raise InvalidLooks(f"planned is {planned}; give the information that the last look was to have, above 0")
    if not information or not all(math.isfinite(reached) for reached in information):
        raise InvalidLooks(f"information is {list(information)}; give a finite number for each look, at least one")
    if any(later <= earlier * (1 + CLOSEST) for earlier, later in zip((0.0, *information), information, strict=False)):
        raise InvalidLooks(
            f"information is {list(information)}; each look must have {CLOSEST:.2%} more than the one before"
        )
