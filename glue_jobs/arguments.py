"""What the state machine tells a Spark job."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone


@dataclass(frozen=True, slots=True)
class Arguments:
    """The day to consider up to its end (UTC), the name of the run, the lake's bucket."""

    day: date
    run: str
    bucket: str

    @property
    def until(self) -> datetime:
        """Say when the day ends; nothing from then on is considered."""
        return datetime.combine(self.day + timedelta(days=1), time(), timezone.utc)

    @classmethod
    def read(cls, argv: Sequence[str] | None = None) -> Arguments:
        """Read the command line; Glue adds arguments of its own, which are left alone."""
        parser = ArgumentParser(allow_abbrev=False)
        parser.add_argument("--day", type=_day, required=True)
        parser.add_argument("--run", required=True)
        parser.add_argument("--bucket", required=True)
        known, _ = parser.parse_known_args(argv)
        return cls(day=known.day, run=known.run, bucket=known.bucket)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as fault:
        raise ArgumentTypeError(f"{text!r} is no day; write YYYY-MM-DD") from fault
