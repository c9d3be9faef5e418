"""When a user's events are one session, and when its pace is a machine's."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from domain.events import EVENTS

INTERACTIONS = tuple(name for name, event in EVENTS.items() if event.by_user)
"""What a person does; exposures and rewards are the platform's own doing and cut no session."""

GAP = timedelta(minutes=30)
"""A pause this long ends a session, as web analytics has it since Catledge and Pitkow (1995)."""

BOT_EVENTS = 1_000
"""A session with more events than this is a machine's, whatever its pace."""

BOT_PACE = 30 / 60
"""Events a second that nobody keeps up by hand: 30 a minute."""

BOT_LEAST = 20
"""Events that it takes to call a pace sustained; fewer can be a double click."""


def is_machine(events: Any, seconds: Any) -> Any:
    """Say whether so many events within so many seconds are a machine's; takes numbers, arrays and Spark columns.

    >>> is_machine(25, 30.0), is_machine(25, 300.0), is_machine(5, 0.5)
    (True, False, False)
    """
    return (events > BOT_EVENTS) | ((events >= BOT_LEAST) & (events > seconds * BOT_PACE))
