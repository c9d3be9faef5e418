"""How many digits survive: variances far from nought, tails, merges in any order, and bounds of sequential designs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from decimal import Decimal, getcontext
from functools import reduce

import numpy as np
from scipy.integrate import quad
from scipy.special import erfc, ndtr

from benchmarks.bars import Bar
from domain.experiment.frequentist import compare, compare_proportions
from domain.experiment.moments import Moments, merge, of_rows
from domain.experiment.samples import Sample
from domain.experiment.sequential import brownian, group

SEED = 20260301
ROWS = 1_000_000
PARTS = 1_000


def bars() -> list[Bar]:
    """Measure each."""
    return [*variances(), *tails(), *bounds()]


def variances() -> Iterator[Bar]:
    """Sum up a million rows of mean 1e8 and deviation 1, whole and in parts that merge in any order."""
    random = np.random.default_rng(SEED)
    rows = random.normal(1e8, 1.0, (ROWS, 1))
    true = exact_variance(rows[:, 0].tolist())
    whole = of_rows(("value",), rows)
    parts = [of_rows(("value",), part) for part in np.array_split(rows, PARTS)]
    orders = [parts, parts[::-1], [parts[place] for place in random.permutation(PARTS)]]
    merged = [merge(order) for order in orders] + [_pairwise(parts)]
    yield Bar(
        "variance of a million rows at 1e8, relative error", abs(whole.variance("value") / true - 1), 1e-9, False, ""
    )
    off = max(abs(each.variance("value") / true - 1) for each in merged)
    yield Bar("the same, 1,000 parts merged in four orders", off, 1e-9, False, "")
    off = max(abs(each.variance("value") / merged[0].variance("value") - 1) for each in merged)
    yield Bar("the four orders, off each other", off, 1e-12, False, "")
    plain = [of_rows(("value",), part) for part in np.array_split(random.lognormal(0.0, 1.0, (ROWS, 1)), PARTS)]
    ways = [merge(plain), merge(plain[::-1]), _pairwise(plain)]
    off = max(abs(each.variance("value") / ways[0].variance("value") - 1) for each in ways)
    yield Bar("variance, a million log-normal rows, parts merged in three orders", off, 1e-12, False, "")
    once, often = ways[0], _pairwise(plain * 1_000)
    off = abs(float(often.product[0, 0] / (1_000 * once.product[0, 0])) - 1)
    yield Bar("the same a thousand times over: 1e9 rows", off, 1e-12, False, "")


def exact_variance(values: list[float]) -> float:
    """Return the sample variance, in 60 digits."""
    getcontext().prec = 60
    total = sum(map(Decimal, values), Decimal(0))
    mean = total / len(values)
    return float(sum(((Decimal(value) - mean) ** 2 for value in values), Decimal(0)) / (len(values) - 1))


def tails() -> Iterator[Bar]:
    """Read p-values fourteen standard errors out, where 1 - Φ is nought."""
    true = float(erfc(14 / math.sqrt(2)))
    units = 10**12
    found = compare(Sample(units, 0.0, units / 2), Sample(units, 14.0, units / 2)).p_value
    yield Bar(f"Welch p at z = 14, {found:.3g}: relative error", abs(found / true - 1), 1e-6, False, "")
    hits = round(7 * math.sqrt(units / 2))
    scored = compare_proportions((units / 2 - hits, units), (units / 2 + hits, units))
    z = 2 * hits / units / math.sqrt(0.5 / units)
    error = abs(scored.p_value / float(erfc(z / math.sqrt(2))) - 1)
    yield Bar(f"score test p at z = {z:.2f}, {scored.p_value:.3g}: relative error", error, 1e-6, False, "")


def bounds() -> Iterator[Bar]:
    """Hold bounds to SciPy's adaptive quadrature at two looks, and to a trapezoid rule of the same law at five."""
    for name, spending in group.SPENDING.items():
        first, second = group.bounds((0.4, 1.0), 0.05, spending)
        one = abs(2 * float(ndtr(-first)) - spending(0.4, 0.05))
        two = abs(left_at_two(first, second) - (0.05 - spending(0.4, 0.05)))
        slope = 2 * math.exp(-(second**2) / 2) / math.sqrt(2 * math.pi)  # from chance to bound, nearly
        yield Bar(f"bounds at two looks, {name}, against adaptive quadrature", max(one, two) / slope, 1e-8, False, "")
    for looks in (5, 14):
        information = tuple((look + 1) / looks for look in range(looks))
        found = group.bounds(information)
        theirs = by_trapezoids(information, group.obrien_fleming)
        worst = max(abs(mine - other) for mine, other in zip(found, theirs, strict=True))
        yield Bar(f"bounds at {looks} looks, obrien_fleming, against a trapezoid rule", worst, 1e-8, False, "")
    spent = brownian.exits(information, found).total
    yield Bar("error that 14 looks spend, off 5 %", abs(spent - 0.05), 1e-10, False, "")


def left_at_two(first: float, second: float) -> float:
    """Return the chance to leave at the second look only, for information 0.4 and 1."""
    root, rest = math.sqrt(0.4), math.sqrt(0.6)

    def leaves(at: float) -> float:
        density = math.exp(-(at**2) / 0.8) / math.sqrt(0.8 * math.pi)
        return density * float(ndtr((-second - at) / rest) + ndtr((at - second) / rest))

    return float(quad(leaves, -first * root, first * root, epsabs=1e-14, epsrel=1e-13, limit=400)[0])


def by_trapezoids(information: tuple[float, ...], spending: Callable[[float, float], float]) -> list[float]:
    """Solve bounds by bisection over paths on an even grid of the whole line, mended at its ends (Romberg's step)."""
    coarse, fine = (_trapezoids(information, spending, nodes) for nodes in (2_000, 4_000))
    return [(4 * near - far) / 3 for near, far in zip(fine, coarse, strict=True)]


def _trapezoids(information: tuple[float, ...], spending: Callable[[float, float], float], nodes: int) -> list[float]:
    found, spent, before = [], 0.0, 0.0
    at, mass = np.zeros(1), np.ones(1)
    for reached in information:
        step, due = math.sqrt(reached - before), spending(reached, 0.05)
        low, high = 0.0, 40.0
        for _ in range(60):
            middle = (low + high) / 2
            limit = middle * math.sqrt(reached)
            leaves = float(mass @ (ndtr((-limit - at) / step) + ndtr((at - limit) / step)))
            low, high = (middle, high) if leaves > due - spent else (low, middle)
        limit = min(low, 9.0) * math.sqrt(reached)
        grid = np.linspace(-limit, limit, nodes + 1)
        density = np.exp(-0.5 * ((grid[:, None] - at) / step) ** 2) @ mass / (step * math.sqrt(2 * math.pi))
        weights = np.full(nodes + 1, 2 * limit / nodes)
        weights[[0, -1]] /= 2
        found.append(low)
        at, mass, spent, before = grid, density * weights, due, reached
    return found


def _pairwise(parts: list[Moments]) -> Moments:
    while len(parts) > 1:
        parts = [reduce(Moments.__add__, parts[place : place + 2]) for place in range(0, len(parts), 2)]
    return parts[0]
