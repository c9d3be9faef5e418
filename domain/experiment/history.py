"""Ask the lake what an outcome was like before: as if units had come to the experiment in a window that is over.

A unit comes in with its first page view of the window, as it would with its first exposure; what it did from then to
the window's end is its value, and what it did before is the covariate.  So units come in ever more slowly, as they do.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from domain.experiment.declaration import Experiment, Kind, Outcome
from domain.experiment.moments import Moments, empty, merge
from domain.experiment.samples import Sample, adjusted, of_mean, of_ratio
from domain.experiment.statistics import MEASURES, PRODUCTS, of_row
from domain.tables import CURATED

PACE_DAYS = 7
"""The last days of the window whose newcomers say how many come each day after it: a week has all weekdays."""

Row = Mapping[str, Any]


class NoHistory(ValueError):
    """The lake holds nothing from which an outcome could be planned; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Window:
    """Days that are over, from a midnight on."""

    start: datetime
    days: int

    @property
    def end(self) -> datetime:
        """The midnight at which they are over."""
        return self.start + timedelta(days=self.days)


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """An outcome over a window: how many units came in on each day of it, and the moments of all."""

    outcome: Outcome
    newcomers: Sequence[int]
    moments: Moments

    @property
    def plain(self) -> Sample:
        """The outcome without its covariate."""
        if self.outcome.kind is Kind.RATIO:
            return of_ratio(self.moments, "value", "denominator")
        return of_mean(self.moments, "value")

    @property
    def sample(self) -> Sample:
        """The outcome as it will be read: less what its covariate explains."""
        if not self.outcome.lookback_days:
            return self.plain
        below = "denominator" if self.outcome.kind is Kind.RATIO else None
        return adjusted({"all": self.moments}, "value", ["covariate"], below)["all"]

    @property
    def correlation(self) -> float:
        """The correlation that the variance's reduction comes to: nought without a covariate."""
        return math.sqrt(max(1 - self.sample.variance / self.plain.variance, 0.0)) if self.plain.variance > 0 else 0.0

    def units(self, day: float) -> float:
        """Say how many units have come by the end of a day, beyond the window at the pace of its last week."""
        days = len(self.newcomers)
        whole = min(int(day), days)
        found = float(sum(self.newcomers[:whole]))
        if day <= days:
            return found + (self.newcomers[whole] * (day - whole) if whole < days else 0.0)
        return found + (day - days) * self.pace

    @property
    def pace(self) -> float:
        """The newcomers of a day after the window."""
        last = self.newcomers[-PACE_DAYS:]
        return sum(last) / len(last)

    def days(self, units: float) -> float:
        """Say how many days it takes until so many units have come; infinite if they never do."""
        known = sum(self.newcomers)
        if units > known:
            return len(self.newcomers) + (units - known) / self.pace if self.pace > 0 else math.inf
        reached = 0.0
        for day, count in enumerate(self.newcomers):
            if reached + count >= units:
                return day + (units - reached) / count if count else float(day)
            reached += count
        return float(len(self.newcomers))


def last_day() -> str:
    """Ask for the last moment at which anybody opened a page, and the first."""
    return f"SELECT max(event_time) AS last, min(event_time) AS first FROM {CURATED['page_view'].full_name}"  # noqa: S608


def question(experiment: Experiment, outcome: Outcome, window: Window) -> str:
    """Ask for an outcome's moments by the day of the window on which units came in, in Athena's SQL.

    Raise NoHistory for a quantile: its error follows from its density, which moments do not hold.
    """
    if outcome.kind is Kind.QUANTILE:
        raise NoHistory(f"outcome {outcome.name!r} is a quantile, which no moments plan: plan with a mean beside it")
    measures = ", ".join(f"avg({name}) AS {name}" for name in MEASURES)
    products = ", ".join(f"covar_pop({one}, {two}) * count(*) AS {one}_{two}" for one, two in PRODUCTS)
    return (
        f"WITH entered AS ({_entered(experiment, window)}), "  # noqa: S608 - of declarations alone
        f"above AS ({_summed(experiment, outcome.event, outcome.field, outcome.lookback_days, window)}), "
        f"below AS ({_below(experiment, outcome, window)}), "
        f"units AS (SELECT e.day, {_settled(outcome, 'a.value')} AS value, "
        f"{_settled(outcome, 'a.covariate')} AS covariate, coalesce(b.value, 0.0) AS denominator "
        "FROM entered e LEFT JOIN above a ON a.unit = e.unit LEFT JOIN below b ON b.unit = e.unit) "
        f"SELECT day, count(*) AS count, {measures}, {products} FROM units GROUP BY day ORDER BY day"
    )


def history(outcome: Outcome, rows: Iterable[Row], days: int) -> History:
    """Read the answer; raise NoHistory where nobody came in."""
    by_day = {int(row["day"]): of_row({**row, "histogram": None}).moments for row in rows}
    if not by_day:
        raise NoHistory(f"outcome {outcome.name!r}: nobody opened a page in the last {days} days of the lake")
    newcomers = [int(by_day[day].count) if day in by_day else 0 for day in range(days)]
    return History(outcome, newcomers, merge([empty(MEASURES), *by_day.values()]))


def _entered(experiment: Experiment, window: Window) -> str:
    """Select the units of the window, and when and on which of its days each came in."""
    where = "".join(f" AND {condition}" for condition in _conditions(experiment))
    return (
        f"SELECT {experiment.unit} AS unit, min(event_time) AS exposed_at, "  # noqa: S608
        f"date_diff('day', {_moment(window.start)}, min(event_time)) AS day FROM {CURATED['page_view'].full_name} "
        f"WHERE event_time >= {_moment(window.start)} AND event_time < {_moment(window.end)}{where} "
        f"GROUP BY {experiment.unit}"
    )


def _conditions(experiment: Experiment) -> list[str]:
    """Write conditions that the page view knows of; others cannot be asked of the past."""
    known = {column.name for column in CURATED["page_view"].columns}
    return [
        f"{condition.key} IN ({', '.join(_text(value) for value in condition.values)})"
        for condition in experiment.eligibility
        if condition.key in known
    ]


def unknown_conditions(experiment: Experiment) -> list[str]:
    """Name the keys of conditions that the lake's past does not know."""
    known = {column.name for column in CURATED["page_view"].columns}
    return [condition.key for condition in experiment.eligibility if condition.key not in known]


def _summed(experiment: Experiment, event: str, field: str | None, lookback_days: int, window: Window) -> str:
    """Sum up an event by unit, after it came in and in the days before."""
    amount = "1.0" if field is None else f"CAST(v.{field} AS double)"
    since = window.start - timedelta(days=lookback_days)
    early = f"v.event_time < e.exposed_at AND v.event_time >= date_add('day', -{lookback_days}, e.exposed_at)"
    return (
        f"SELECT e.unit, sum(CASE WHEN v.event_time > e.exposed_at THEN {amount} END) AS value, "  # noqa: S608
        f"sum(CASE WHEN {early} THEN {amount} END) AS covariate "
        f"FROM entered e JOIN {CURATED[event].full_name} v ON v.{experiment.unit} = e.unit "
        f"WHERE v.event_time >= {_moment(since)} AND v.event_time < {_moment(window.end)} GROUP BY e.unit"
    )


def _below(experiment: Experiment, outcome: Outcome, window: Window) -> str:
    if outcome.denominator_event is None:
        return "SELECT unit, 0.0 AS value FROM entered"
    return _summed(experiment, outcome.denominator_event, outcome.denominator_field, 0, window)


def _settled(outcome: Outcome, column: str) -> str:
    """Make a sum the unit's measure, as the readout's job does."""
    value = f"coalesce({column}, 0.0)"
    if outcome.kind is Kind.PROPORTION:
        return f"CASE WHEN {value} > 0 THEN 1.0 ELSE 0.0 END"
    return value if outcome.cap is None else f"least({value}, CAST({outcome.cap!r} AS double))"


def _moment(moment: datetime) -> str:
    return f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S} UTC'"


def _text(value: str) -> str:
    quoted = value.replace("'", "''")
    return f"'{quoted}'"
