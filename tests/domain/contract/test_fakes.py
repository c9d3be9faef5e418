"""Made-up events keep their contract."""

from __future__ import annotations

import random

import pytest

from domain.contract.fakes import fake, fake_record
from domain.events import EVENTS
from domain.ingest.contract import check
from tests.domain.contract.strategies import NOW


@pytest.mark.parametrize("name", EVENTS)
def test_made_up_events_keep_their_contract(name: str) -> None:
    """Seed 11."""
    chance = random.Random(11)

    for _ in range(500):
        assert check(fake_record(EVENTS[name], chance, NOW), NOW).event == name


def test_the_seed_decides_what_is_made_up() -> None:
    first, second = ([fake(event, random.Random(3), NOW) for event in EVENTS.values()] for _ in range(2))

    assert first == second
