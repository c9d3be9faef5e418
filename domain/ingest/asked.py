"""Read what a person asks of redrive, replay and account; refuse by field, value and fix what cannot be done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from typing import Any

MOMENT = "write a day, 2026-11-21, or a moment with its offset, 2026-11-21T06:00:00Z"


class Refused(ValueError):
    """A request that cannot be carried out: names the field, its value and what would be right."""

    def __init__(self, field: str, value: object, fix: str) -> None:
        super().__init__(f"{field} is {value!r}: {fix}")
        self.field = field
        self.value = value
        self.fix = fix

    def report(self) -> dict[str, Any]:
        """Say it in JSON."""
        return {"refused": {"field": self.field, "value": self.value, "fix": self.fix}}


@dataclass(frozen=True, slots=True)
class Window:
    """The time from `start` up to, and without, `end`; None leaves a side open."""

    start: datetime | None
    end: datetime | None

    @classmethod
    def read(cls, asked: Mapping[str, Any]) -> Window:
        """Read `from` and `to`; raise Refused where one is no moment or they leave no time between them."""
        start, end = moment(asked, "from"), moment(asked, "to")
        if start is not None and end is not None and start >= end:
            raise Refused("from", asked["from"], f"it must come before 'to', which is {asked['to']!r}")
        return cls(start, end)

    def report(self) -> dict[str, str | None]:
        """Say it in JSON."""
        sides = {"from": self.start, "to": self.end}
        return {name: side.isoformat() if side else None for name, side in sides.items()}


def moment(asked: Mapping[str, Any], name: str) -> datetime | None:
    """Read a moment: a day is its first instant in UTC.

    >>> moment({"from": "2026-11-21"}, "from").isoformat()
    '2026-11-21T00:00:00+00:00'
    """
    said = asked.get(name)
    if said in (None, ""):
        return None
    try:
        found = datetime.fromisoformat(said)
    except (TypeError, ValueError):
        raise Refused(name, said, MOMENT) from None
    if len(said) == len("2026-11-21"):
        return datetime.combine(found.date(), time(), timezone.utc)
    if found.tzinfo is None:
        raise Refused(name, said, MOMENT)
    try:
        return found.astimezone(timezone.utc)
    except OverflowError:  # in UTC it is beyond the calendar
        raise Refused(name, said, MOMENT) from None


def day(asked: Mapping[str, Any], now: datetime) -> date:
    """Read `day`, a day that is over; yesterday if nobody says."""
    said = asked.get("day")
    yesterday = now.date() - timedelta(days=1)
    if said in (None, ""):
        return yesterday
    try:
        found = date.fromisoformat(said)
    except (TypeError, ValueError):
        raise Refused("day", said, "write a day, YYYY-MM-DD") from None
    if found > yesterday:
        raise Refused("day", said, f"it is not over; the last whole day is {yesterday}")
    return found


def choice(asked: Mapping[str, Any], name: str, choices: Iterable[str]) -> str:
    """Read a field that takes one of several words."""
    known, said = list(choices), asked.get(name)
    if said not in known:
        raise Refused(name, said, f"write one of {', '.join(known)}")
    return str(said)


def switch(asked: Mapping[str, Any], name: str) -> bool:
    """Read a field that is true or false; false if nobody says."""
    said = asked.get(name, False)
    if not isinstance(said, bool):
        raise Refused(name, said, "write true or false")
    return said


def only(asked: Mapping[str, Any], fields: Iterable[str]) -> None:
    """Refuse a field that nobody reads: a misspelt switch must not pass for one left out."""
    known = list(fields)
    for name, value in asked.items():
        if name not in known:
            raise Refused(name, value, f"there is no such field; write {', '.join(known)}")
