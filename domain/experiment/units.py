"""Sum an experiment up from a table with a row for each unit, in one scan by whatever SQL engine holds it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Any

import numpy as np

from domain.experiment.declaration import Experiment, Kind, Outcome
from domain.experiment.moments import of_shifted_sums
from domain.experiment.statistics import EVERYONE, MEASURES, PRODUCTS, Cell, Snapshot, Summary

Ask = Callable[[str], Sequence[Sequence[Any]]]

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
    shifted = ", ".join(f'{_filled(column)} - {middle!r}::DOUBLE AS "{column}"' for column, middle in origin.items())
    sums = ", ".join(sum_ for outcome in experiment.outcomes for sum_ in _sums(outcome))
    found = ask(f"SELECT arm, count(*), {sums} FROM (SELECT arm, {shifted} FROM {source}) GROUP BY arm")  # noqa: S608
    cells: dict[Cell, Summary] = {}
    known = [row for row in found if row[0] in experiment.arm_to_share]
    for arm, count, *row in known:
        sums_left = iter(row)
        for outcome in experiment.outcomes:
            cells[Cell(outcome.name, EVERYONE, as_of, arm)] = _summary(outcome, count, origin, sums_left)
    return Snapshot(as_of, {(as_of, row[0]): row[1] for row in known}, 0, cells)


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
