"""Make up events that keep their contract, from a seed."""

from __future__ import annotations

import json
import random
import string
from datetime import datetime, timedelta
from typing import Any

from domain.events import Event
from domain.schema import Column

LETTERS = string.ascii_letters + string.digits + " -_/äß漢"
EVEN = 0.5  # odds of what may or may not be
LONGEST = 24
"""Characters of a made-up text at most, unless the contract asks for fewer."""


def fake(event: type[Event], chance: random.Random, now: datetime) -> dict[str, Any]:
    """Make up one event as it travels; its time is within the day before `now`.

    >>> from datetime import timezone
    >>> from domain.events import Rating
    >>> fake(Rating, random.Random(1), datetime(2026, 3, 1, tzinfo=timezone.utc))["event"]
    'rating'
    """
    columns = [column for column in event.columns() if column.required or chance.random() < EVEN]
    return {"event": event.name, **{column.name: fake_value(column, chance, now) for column in columns}}


def fake_record(event: type[Event], chance: random.Random, now: datetime) -> bytes:
    """Make up the bytes of one record."""
    return json.dumps(fake(event, chance, now), ensure_ascii=chance.random() < EVEN).encode()


def fake_value(column: Column, chance: random.Random, now: datetime) -> Any:
    """Make up a value that the column takes."""
    field = column.field
    if field.choices:
        return chance.choice(field.choices)
    if column.kind is datetime:
        return (now - timedelta(seconds=chance.uniform(0, 86_400))).isoformat()
    if column.kind is bool:
        return chance.random() < EVEN
    if column.kind in (int, float):
        return fake_number(column, chance)
    if column.kind is str:
        length = chance.randint(field.min_length or 1, min(LONGEST, field.max_length or LONGEST))
        return "".join(chance.choices(LETTERS, k=length))
    raise NotImplementedError(f"{column.name}: no value of type {column.kind.__name__} can be made up yet; add it here")


def fake_number(column: Column, chance: random.Random) -> float:
    """Make up a number within the column's bounds."""
    field = column.field
    low = next((bound for bound in (field.minimum, field.above) if bound is not None), -1_000)
    high = field.maximum if field.maximum is not None else low + 1_000
    if column.kind is int:
        first = int(low) + (field.above is not None)
        return chance.randint(first, int(high))
    return high - chance.random() * (high - low)  # random() is below 1, so an open lower bound is never met
