"""Read the schedule expressions of EventBridge rules: `rate(5 minutes)` and `cron(0 3 ? * MON-FRI *)`, in UTC.

Source: Amazon EventBridge User Guide, "Setting a schedule pattern for scheduled rules (legacy)".
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

_RATE = re.compile(r"^rate\((\d+) (minute|hour|day)s?\)$")
_CRON = re.compile(r"^cron\((.+)\)$")
_MONTHS = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
_DAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), 1)}
_FIRST_YEAR, _LAST_YEAR = 1970, 2199
_WEEK, _SATURDAY, _SUNDAY = 7, 5, 6


class InvalidSchedule(ValueError):
    """An expression that EventBridge would refuse; the message shows it and a right one."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A schedule that recurs."""

    every: timedelta


@dataclass(frozen=True, slots=True)
class Cron:
    """A schedule of six fields: minutes, hours, days of month, months, days of week (SUN is 1), years."""

    minutes: frozenset[int]
    hours: frozenset[int]
    day: Callable[[date], bool]
    months: frozenset[int]
    weekday: Callable[[date], bool]
    years: frozenset[int]

    def matches(self, moment: datetime) -> bool:
        """Say whether the schedule is due in the minute of `moment` (UTC).

        >>> from datetime import UTC
        >>> schedule("cron(0 3 ? * MON-FRI *)").matches(datetime(2026, 3, 2, 3, 0, tzinfo=UTC))
        True
        >>> schedule("cron(0 3 ? * MON-FRI *)").matches(datetime(2026, 3, 1, 3, 0, tzinfo=UTC))
        False
        """
        day = moment.date()
        return (
            moment.minute in self.minutes
            and moment.hour in self.hours
            and moment.month in self.months
            and moment.year in self.years
            and self.day(day)
            and self.weekday(day)
        )


def schedule(expression: str) -> Rate | Cron:
    """Read an expression. Raises `InvalidSchedule`."""
    if rate := _RATE.match(expression):
        return _rate(expression, int(rate[1]), rate[2])
    if cron := _CRON.match(expression):
        return _cron(expression, cron[1].split())
    raise InvalidSchedule(f"{expression}: write rate(5 minutes) or cron(0 3 * * ? *)")


def _rate(expression: str, count: int, unit: str) -> Rate:
    if count < 1 or (count == 1) == expression.endswith("s)"):
        raise InvalidSchedule(f"{expression}: write a positive number, and {unit} for 1, {unit}s for more")
    return Rate(timedelta(**{f"{unit}s": count}))


def _cron(expression: str, fields: list[str]) -> Cron:
    if len(fields) != len(Cron.__slots__):
        raise InvalidSchedule(f"{expression}: has {len(fields)} fields; six are needed, as in cron(0 3 * * ? *)")
    minutes, hours, days, months, weekdays, years = fields
    if (days == "?") == (weekdays == "?"):
        raise InvalidSchedule(f"{expression}: exactly one of day-of-month and day-of-week must be ?")
    try:
        return Cron(
            _values(minutes, 0, 59),
            _values(hours, 0, 23),
            _day(days),
            _values(months, 1, 12, _MONTHS),
            _weekday(weekdays),
            _values(years, _FIRST_YEAR, _LAST_YEAR),
        )
    except ValueError as wrong:
        raise InvalidSchedule(f"{expression}: {wrong}") from wrong


def _values(field: str, least: int, most: int, names: dict[str, int] | None = None) -> frozenset[int]:
    """Read a list of values, ranges and steps: `1,5-10,*/15`, `MON-FRI`."""
    values: set[int] = set()
    for item in field.upper().split(","):
        span, _, step = item.partition("/")
        first, _, last = span.partition("-")
        start = least if first == "*" else _value(first, names)
        end = most if first == "*" or (step and not last) else _value(last or first, names)
        if not (least <= start <= most and least <= end <= most) or (step and int(step) < 1):
            raise ValueError(f"{item} is outside {least} to {most}")
        wrapped = range(start, end + 1) if start <= end else [*range(start, most + 1), *range(least, end + 1)]
        values.update(list(wrapped)[:: int(step or 1)])
    return frozenset(values)


def _value(written: str, names: dict[str, int] | None) -> int:
    return (names or {}).get(written) or int(written)


def _day(field: str) -> Callable[[date], bool]:
    """Read the days of a month, L the last, 15W the weekday nearest to the 15th, LW the last weekday."""
    if field == "?":
        return lambda day: True
    if field == "L":
        return lambda day: day.day == _last(day)
    if field.endswith("W"):
        aim = field[:-1]
        return lambda day: day == _nearest_weekday(day, _last(day) if aim == "L" else int(aim))
    values = _values(field, 1, 31)
    return lambda day: day.day in values


def _weekday(field: str) -> Callable[[date], bool]:
    """Read the days of a week, 6L the month's last Friday, 6#3 its third."""
    if field == "?":
        return lambda day: True
    if field == "L":
        field = "SAT"
    if field.endswith("L"):
        wanted = _value(field[:-1].upper(), _DAYS)
        return lambda day: _number(day) == wanted and day.day > _last(day) - _WEEK
    if "#" in field:
        name, _, turn = field.upper().partition("#")
        wanted, occurrence = _value(name, _DAYS), int(turn)
        return lambda day: _number(day) == wanted and (day.day - 1) // _WEEK + 1 == occurrence
    values = _values(field, 1, 7, _DAYS)
    return lambda day: _number(day) in values


def _number(day: date) -> int:
    return day.isoweekday() % _WEEK + 1


def _last(day: date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


def _nearest_weekday(month: date, aim: int) -> date:
    """Return the weekday nearest to a day of a month, within that month."""
    target = month.replace(day=min(aim, _last(month)))
    if target.weekday() == _SATURDAY:
        return target + timedelta(days=-1 if target.day > 1 else 2)
    if target.weekday() == _SUNDAY:
        return target + timedelta(days=1 if target.day < _last(month) else -2)
    return target
