"""Take the lake's table of statistics apart: what was known of every arm at the end of each day."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import combinations_with_replacement
from typing import Any

import numpy as np

from domain.experiment import histogram
from domain.experiment.histogram import Histogram
from domain.experiment.moments import Moments
from domain.tables import STATISTICS

MEASURES = ("value", "denominator", "covariate")
PRODUCTS = tuple(combinations_with_replacement(MEASURES, 2))
EVERYONE = "all"
"""The slice that holds all units."""

Row = Mapping[str, Any]
COLUMNS = tuple(column.name for column in STATISTICS.columns)


@dataclass(frozen=True, slots=True, eq=False)
class Summary:
    """What is known of an outcome over some units: the moments of MEASURES and, of a quantile, its events' values."""

    moments: Moments
    histogram: Histogram | None = None

    def __add__(self, other: Summary) -> Summary:
        """Merge with other units."""
        return Summary(self.moments + other.moments, (self.histogram or _NONE) + (other.histogram or _NONE))


_NONE = Histogram({})


@dataclass(frozen=True, slots=True)
class Cell:
    """Which units a summary is of."""

    outcome: str
    slice: str
    day: date
    arm: str


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """An experiment as known at the end of a day: units by arm and day, how many saw several arms, and the cells."""

    as_of: date
    units: Mapping[tuple[date, str], int]
    excluded: int
    cells: Mapping[Cell, Summary]

    @property
    def arm_to_units(self) -> dict[str, int]:
        """How many units each arm was shown to."""
        found: dict[str, int] = {}
        for (_, arm), count in self.units.items():
            found[arm] = found.get(arm, 0) + count
        return found

    @property
    def slices(self) -> list[str]:
        """Name the slices that there are beside all."""
        return sorted({cell.slice for cell in self.cells} - {EVERYONE})

    def arms(self, outcome: str, slice_: str = EVERYONE) -> dict[str, Summary]:
        """Merge an outcome's units by arm."""
        return _merged(self.cells, lambda cell: cell.arm, outcome, slice_)

    def strata(self, outcome: str) -> dict[str, dict[str, Summary]]:
        """Merge an outcome's units by day of first exposure, and there by arm."""
        found: dict[str, dict[str, Summary]] = {}
        for cell, summary in self.cells.items():
            if (cell.outcome, cell.slice) == (outcome, EVERYONE):
                arms = found.setdefault(cell.day.isoformat(), {})
                arms[cell.arm] = arms[cell.arm] + summary if cell.arm in arms else summary
        return dict(sorted(found.items()))


def _merged(cells: Mapping[Cell, Summary], key: Callable[[Cell], str], outcome: str, slice_: str) -> dict[str, Summary]:
    found: dict[str, Summary] = {}
    for cell, summary in cells.items():
        if (cell.outcome, cell.slice) == (outcome, slice_):
            found[key(cell)] = found[key(cell)] + summary if key(cell) in found else summary
    return found


def question(experiment: str) -> str:
    """Ask in SQL for an experiment's rows, the columns in the table's own order."""
    columns = ", ".join(f'"{name}"' for name in COLUMNS)
    quoted = experiment.replace("'", "''")
    return f"SELECT {columns} FROM {STATISTICS.full_name} WHERE experiment = '{quoted}'"  # noqa: S608 - quoted above


def answered(rows: Iterable[Sequence[str]]) -> list[Row]:
    """Name the columns of rows that a `question` brought, as text; null is an empty text."""
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]


def of_row(row: Row) -> Summary:
    """Read the summary of a row of the table."""
    mean = np.array([float(row[measure]) for measure in MEASURES])
    product = np.zeros((len(MEASURES), len(MEASURES)))
    for first, second in PRODUCTS:
        i, j = MEASURES.index(first), MEASURES.index(second)
        product[i, j] = product[j, i] = float(row[f"{first}_{second}"])
    counted = histogram.of_text(row["histogram"]) if row.get("histogram") else None
    return Summary(Moments(MEASURES, float(row["count"]), mean, product), counted)


def as_row(summary: Summary) -> dict[str, Any]:
    """Write a summary as the table's columns."""
    moments = summary.moments
    places = {measure: place for place, measure in enumerate(MEASURES)}
    return {
        "count": int(moments.count),
        **{measure: float(moments.mean[places[measure]]) for measure in MEASURES},
        **{f"{one}_{two}": float(moments.product[places[one], places[two]]) for one, two in PRODUCTS},
        "histogram": summary.histogram.text() if summary.histogram else None,
    }


def snapshots(rows: Iterable[Row]) -> list[Snapshot]:
    """Sort an experiment's rows by the day as of which they are, the earliest first."""
    grouped: dict[date, list[Row]] = {}
    for row in rows:
        grouped.setdefault(_day(row["as_of"]), []).append(row)
    return [_snapshot(as_of, grouped[as_of]) for as_of in sorted(grouped)]


def _snapshot(as_of: date, rows: Iterable[Row]) -> Snapshot:
    units: dict[tuple[date, str], int] = {}
    cells: dict[Cell, Summary] = {}
    excluded = 0
    for row in rows:
        day = date.fromisoformat(row["day"])
        if not row["arm"]:
            excluded += int(row["count"])
        elif not row["outcome"]:
            units[day, row["arm"]] = units.get((day, row["arm"]), 0) + int(row["count"])
        else:
            cell = Cell(row["outcome"], row["slice"], day, row["arm"])
            cells[cell] = cells[cell] + of_row(row) if cell in cells else of_row(row)
    return Snapshot(as_of, units, excluded, cells)


def _day(moment: datetime | date | str) -> date:
    """Read the day of a moment, which Athena writes as text."""
    if isinstance(moment, str):
        return date.fromisoformat(moment[:10])
    return moment.date() if isinstance(moment, datetime) else moment
