"""How the simulated world is: its rates, its calendar, its countries and what experiments do in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone

from domain.experiment.declaration import Experiment
from domain.experiments import CHECKOUT, COLOUR

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
class Trial:
    """A declared experiment, and what each arm does to whoever has been shown it: its pull to buy, in log odds."""

    experiment: Experiment
    arm_to_pull: Mapping[str, float] = field(default_factory=dict)

    def pull(self, arm: str) -> float:
        """Say how an arm moves the wish to buy; one that is not named leaves it as it is."""
        return self.arm_to_pull.get(arm, 0.0)


TRIALS = (Trial(CHECKOUT, {"one_page": 0.5}), Trial(COLOUR))
"""The A/B tests of the world: one page at checkout sells more, and the colour of a button does nothing."""


@dataclass(frozen=True, slots=True)
class Nature:
    """The shares and spans that a world keeps to; shares are of all records sent.

    A late record is sent `late_minutes` after its event, a very late one `very_late_days`; any other within seconds.
    `taste` is the standard deviation of what no one can see of a shopper (see `clients.world.purchase`).
    `exposed` is the share of decided sessions that show a shopper the `trials`, unless an earlier one did.
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
    exposed: float = 0.7
    trials: tuple[Trial, ...] = TRIALS


def window(until: date, days: int) -> tuple[int, int]:
    """Span the world's event times: from the first midnight to the end of `until`, in ms since the epoch, UTC."""
    end = datetime.combine(until + timedelta(days=1), time(), tzinfo=timezone.utc)
    stop = int(end.timestamp() * 1000)
    return stop - days * DAY, stop
