from datetime import timedelta

import pytest

from domain.events import EVENTS
from domain.process.sessions import BOT_EVENTS, BOT_LEAST, GAP, INTERACTIONS, is_machine


def test_a_session_ends_with_a_pause_of_thirty_minutes() -> None:
    assert timedelta(minutes=30) == GAP


def test_interactions_are_events_and_the_platforms_own_doing_is_none() -> None:
    assert set(EVENTS) - set(INTERACTIONS) == {"exposure", "reward"}


@pytest.mark.parametrize(
    ("events", "seconds", "machine"),
    [
        (BOT_LEAST, 1.0, True),
        (BOT_LEAST - 1, 1.0, False),
        (40, 80.0, False),
        (41, 80.0, True),
        (BOT_EVENTS, 86_400.0, False),
        (BOT_EVENTS + 1, 86_400.0, True),
    ],
)
def test_a_machine_keeps_up_a_pace_that_no_hand_does_or_never_tires(events: int, seconds: float, machine: bool) -> None:
    assert is_machine(events, seconds) is machine
