"""How the simulated world is: its rates, its calendar, its countries and its experiment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone

MINUTE = 60_000  # times inside the world are milliseconds
HOUR = 60 * MINUTE
DAY = 24 * HOUR


@dataclass(frozen=True, slots=True)
class Country:
    """A country: its code, its share of shoppers, its offset from UTC in hours (no summer time) and its pull to buy."""

    code: str
    share: float
    offset: int
    pull: float


COUNTRIES = (
    Country("US", 0.30, -6, 0.10),
    Country("DE", 0.22, 1, 0.20),
    Country("GB", 0.16, 0, 0.05),
    Country("IN", 0.14, 5, -0.25),
    Country("BR", 0.10, -3, -0.15),
    Country("JP", 0.08, 9, 0.00),
)


@dataclass(frozen=True, slots=True)
class Experiment:
    """A two-arm experiment with a known effect: how often an exposure in each arm is rewarded."""

    name: str = "recommendations"
    arms: tuple[str, str] = ("control", "treatment")
    reward_rates: tuple[float, float] = (0.10, 0.14)
    exposed: float = 0.7


@dataclass(frozen=True, slots=True)
class Nature:
    """The shares and spans that a world keeps to; shares are of all records sent.

    A late record is sent `late_minutes` after its event, a very late one `very_late_days`; any other within seconds.
    `taste` is the standard deviation of what no one can see of a shopper (see `clients.world.purchase`).
    """

    days: int = 14
    duplicates: float = 0.01
    malformed: float = 0.005
    bots: float = 0.03
    late: float = 0.03
    very_late: float = 0.004
    late_minutes: tuple[int, int] = (2, 180)
    very_late_days: tuple[float, float] = (1.0, 2.5)
    sessions_a_fortnight: float = 4.0
    scored: float = 0.8
    taste: float = 0.2
    experiment: Experiment = Experiment()


def window(until: date, days: int) -> tuple[int, int]:
    """Span the world's event times: from the first midnight to the end of `until`, in ms since the epoch, UTC."""
    end = datetime.combine(until + timedelta(days=1), time(), tzinfo=timezone.utc)
    stop = int(end.timestamp() * 1000)
    return stop - days * DAY, stop
