"""Sum an experiment up from a table with a row for each unit, in one scan by whatever SQL engine holds it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from itertools import repeat
from typing import Any

import numpy as np

from domain.experiment.declaration import Experiment, Kind, Outcome
from domain.experiment.moments import of_shifted_sums
from domain.experiment.statistics import EVERYONE, MEASURES, PRODUCTS, Cell, Snapshot, Summary

Ask = Callable[[str], Sequence[Sequence[Any]]]

ROUNDED = 1e-12  # of a mean; nearer no origin lies
FEW = 1e-6  # of the squares about an origin; a variance of less has lost six of its digits
FIRST = 4096
"""Rows whose averages are the origin about which all are summed, so that no variance cancels."""


class InvalidUnits(ValueError):
    """An outcome that a table of units does not hold; the message names it."""


def snapshot(ask: Ask, source: str, experiment: Experiment, as_of: date) -> Snapshot:
    """Ask for what readings take; `source` is what follows FROM, and `ask` answers rows.

    The table has a column `arm`, for each outcome one of its name, for a ratio `<outcome>_denominator`, and with
    `lookback_days` `<outcome>_covariate`.  What is null counts as nought.  Raise InvalidUnits for a quantile, which
    is of events.
    """
    columns = [column for outcome in experiment.outcomes for column in _columns(outcome)]
    averages = ", ".join(f"avg({_filled(column)}) FILTER (isfinite({_filled(column)}))" for column in columns)
    first = ask(f"SELECT {averages} FROM (SELECT * FROM {source} LIMIT {FIRST})")[0]  # noqa: S608 - of a declaration
    origin = {column: float(middle or 0.0) for column, middle in zip(columns, first, strict=True)}
    cells: dict[Cell, Summary] = {}
    units: dict[tuple[date, str], int] = {}
    for arm, (count, summaries) in _scanned(ask, source, experiment, origin).items():
        if any(map(_is_lost, summaries, experiment.outcomes, repeat(origin))):
            quoted = arm.replace("'", "''")
            of_arm = f"(SELECT * FROM {source} WHERE arm = '{quoted}')"  # noqa: S608 - of a declaration
            count, summaries = _scanned(ask, of_arm, experiment, _means(experiment, summaries))[arm]  # noqa: PLW2901
        units[as_of, arm] = count
        for outcome, summary in zip(experiment.outcomes, summaries, strict=True):
            cells[Cell(outcome.name, EVERYONE, as_of, arm)] = summary
    return Snapshot(as_of, units, 0, cells)


def _scanned(
    ask: Ask, source: str, experiment: Experiment, origin: dict[str, float]
) -> dict[str, tuple[int, list[Summary]]]:
    """Sum up every arm's outcomes about an origin, in one scan."""
    shifted = ", ".join(f'{_filled(column)} - {middle!r}::DOUBLE AS "{column}"' for column, middle in origin.items())
    sums = ", ".join(sum_ for outcome in experiment.outcomes for sum_ in _sums(outcome))
    rows = ask(f"SELECT arm, count(*), {sums} FROM (SELECT arm, {shifted} FROM {source}) GROUP BY arm")  # noqa: S608
    found = {}
    for arm, count, *row in (row for row in rows if row[0] in experiment.arm_to_share):
        left = iter(row)
        found[arm] = count, [_summary(outcome, count, origin, left) for outcome in experiment.outcomes]
    return found


def _means(experiment: Experiment, summaries: Sequence[Summary]) -> dict[str, float]:
    """Return an arm's mean of each column."""
    return {
        column: summary.moments.of(measure)
        for outcome, summary in zip(experiment.outcomes, summaries, strict=True)
        for measure, column in _measures(outcome).items()
    }


def _is_lost(summary: Summary, outcome: Outcome, origin: dict[str, float]) -> bool:
    """Tell whether the origin, in a table in order, lies so far off an arm's units that few digits are left."""
    moments = summary.moments
    for measure, column in _measures(outcome).items():
        away = moments.of(measure) - origin[column]
        place = MEASURES.index(measure)
        if (
            abs(away) > ROUNDED * abs(moments.of(measure))
            and moments.product[place, place] < FEW * moments.count * away * away
        ):
            return True
    return False


def _measures(outcome: Outcome) -> dict[str, str]:
    """Name the columns of an outcome by what they measure."""
    if outcome.kind is Kind.QUANTILE:
        raise InvalidUnits(f"outcome {outcome.name!r} is a quantile of events: a row for each unit does not hold it")
    found = {"value": outcome.name}
    if outcome.denominator_event:
        found["denominator"] = f"{outcome.name}_denominator"
    if outcome.lookback_days:
        found["covariate"] = f"{outcome.name}_covariate"
    return found


def _columns(outcome: Outcome) -> list[str]:
    return list(_measures(outcome).values())


def _filled(column: str) -> str:
    return f'coalesce("{column}", 0)'


def _sums(outcome: Outcome) -> list[str]:
    """Ask for the sums of an outcome's columns, and for those of their products."""
    of = _measures(outcome)
    products = [f'sum("{of[one]}" * "{of[other]}")' for one, other in PRODUCTS if one in of and other in of]
    return [*(f'sum("{column}")' for column in of.values()), *products]


def _summary(outcome: Outcome, count: int, origin: dict[str, float], row: Iterator[float]) -> Summary:
    """Take an outcome's sums off a row, in the order in which `_sums` asks for them."""
    of = _measures(outcome)
    places = {measure: MEASURES.index(measure) for measure in of}
    middle, sums, products = np.zeros(len(MEASURES)), np.zeros(len(MEASURES)), np.zeros((len(MEASURES),) * 2)
    for measure, place in places.items():
        middle[place], sums[place] = origin[of[measure]], next(row)
    for one, other in PRODUCTS:
        if one in of and other in of:
            products[places[one], places[other]] = products[places[other], places[one]] = next(row)
    return Summary(of_shifted_sums(MEASURES, count, middle, sums, products))
