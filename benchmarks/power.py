"""How often each design finds a planted effect, beside what the planner promised and what looking early costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.bars import Bar
from benchmarks.null import LOOKS, RUNS, SEED, paths
from domain.experiment.declaration import Design, Stopping
from domain.experiment.frequentist import compare
from domain.experiment.samples import Sample
from domain.experiment.sequential.plan import look_bounds, needed_drift, plan, power

PATHS = 40_000
NEAR = 2.0
"""Points of power that a design may lie from its promise."""

SAME_EFFECT = needed_drift(Stopping(design=Design.FIXED))
"""Standard errors at the end of an effect that a fixed design finds four times in five."""


def designs() -> Iterator[Stopping]:
    """Give each design at each number of looks."""
    yield Stopping(design=Design.FIXED, looks=1)
    for looks in LOOKS:
        yield Stopping(design=Design.GROUP_SEQUENTIAL, looks=looks)
        yield Stopping(design=Design.ALWAYS_VALID, looks=looks)


def bars() -> list[Bar]:
    """Hold promises to what is found on paths and on rows, and the cost of each design to what is known of it."""
    return [*on_paths(), *on_rows(), *costs()]


def on_paths() -> Iterator[Bar]:
    """Follow 40,000 paths with the drift that the planner says each design needs."""
    for stopping in designs():
        drift = needed_drift(stopping)
        found = np.abs(paths(1 if stopping.design is Design.FIXED else stopping.looks, drift, PATHS, 11))
        share = float((found > np.array(look_bounds(stopping))).any(axis=1).mean())
        yield _away(f"{named(stopping)}, paths", share, stopping.power)


def on_rows() -> Iterator[Bar]:
    """Run proportions with as many units as the planner says for a relative effect of a tenth, at 14 looks."""
    for stopping in designs():
        if stopping.looks > 14:
            continue
        promised = plan(stopping, mean=0.2, deviation=0.4, shares=(0.5, 0.5), effect=0.1, units_a_day=1_000)
        looks, limits = stopping.looks, look_bounds(stopping)
        hits, units = _hits((0.2, 0.22), promised.units / 2, looks, stopping)
        found = sum(_crosses(run, units, limits) for run in hits) / RUNS
        yield _away(f"{named(stopping)}, rows", found, promised.power)


def costs() -> Iterator[Bar]:
    """Say what is left of a fixed design's 80 points, and of its units, for the same effect."""
    print("| design | power for the same effect | units needed for 80 % | share of them used |\n|---|---|---|---|")
    for stopping in designs():
        kept = power(stopping, SAME_EFFECT)
        needed = (needed_drift(stopping) / SAME_EFFECT) ** 2
        share = plan(stopping, mean=0.2, deviation=0.4, shares=(0.5, 0.5), effect=0.1, units_a_day=1).expected_share
        print(f"| {named(stopping)} | {100 * kept:.1f} % | {needed:.3f} x | {share:.2f} |")
        if stopping.design is not Design.FIXED:
            # "about 78" and "about 50"
            wanted = 77.5 if stopping.design is Design.GROUP_SEQUENTIAL else 48.0
            yield Bar(f"kept of 80 points, {named(stopping)}", 100 * kept, wanted, unit="%")


def named(stopping: Stopping) -> str:
    """Name a design and its looks."""
    words = stopping.design.value.replace("_", " ")
    return words if stopping.design is Design.FIXED else f"{words}, {stopping.looks} looks"


def _away(name: str, found: float, promised: float) -> Bar:
    title = f"power, {name}: {100 * found:.1f} %, promised {100 * promised:.1f} %"
    return Bar(title, 100 * abs(found - promised), NEAR, False, "points")


def _hits(
    rates: Sequence[float], units: float, looks: int, stopping: Stopping
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw each arm's buyers so far at each look, (RUNS, looks, 2), and its units so far, (looks,)."""
    at = np.round(units * np.arange(1, looks + 1) / looks).astype(int)
    random = np.random.default_rng([SEED, 12, looks, len(stopping.design.value)])
    new = random.binomial(np.diff(at, prepend=0)[:, None], rates, (RUNS, looks, 2))
    return new.cumsum(axis=1), at


def _crosses(run: NDArray[np.int64], units: NDArray[np.int64], limits: Sequence[float]) -> bool:
    for (before, after), count, limit in zip(run.tolist(), units.tolist(), limits, strict=True):
        reading = compare(_coin(before, count), _coin(after, count))
        if reading.is_estimable and abs(reading.effect) > limit * reading.standard_error:
            return True
    return False


def _coin(hits: int, units: int) -> Sample:
    share = hits / units
    return Sample(units, share, share * (1 - share) * units / (units - 1))
