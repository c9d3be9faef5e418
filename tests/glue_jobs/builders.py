"""Events of shoppers that never were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from random import Random
from typing import Any

from domain.process.sessions import GAP

MORNING = datetime(2026, 3, 2, 9, tzinfo=timezone.utc)
Row = dict[str, Any]


def minutes(number: float) -> datetime:
    return MORNING + timedelta(minutes=number)


def any_event(event: str = "page_view", at: datetime = MORNING, **fields: Any) -> Row:
    """Make an event; what the caller does not care for is the same every time."""
    contents: Mapping[str, Row] = {
        "page_view": {"page": "/", "device": "mobile", "country": "DE"},
        "search": {"query": "shoes", "results": 3},
        "product_view": {"product_id": "p-1", "category": "shoes", "price": 10.0},
        "add_to_cart": {"product_id": "p-1", "quantity": 2, "price": 10.0},
        "purchase": {"order_id": "o-1", "items": 2, "amount": 20.0, "currency": "EUR"},
        "rating": {"product_id": "p-1", "stars": 5},
        "exposure": {"experiment": "x", "arm": "a", "propensity": 0.5},
        "reward": {"experiment": "x", "arm": "a", "value": 1.0},
    }
    known = {"event": event, "event_id": f"{event}-{at.timestamp()}", "event_time": at, "user_id": "u-1"}
    arrival = {"version": 1, "arrived_at": at, "shard": "s-0", "sequence": f"{int(at.timestamp() * 1e6):056d}"}
    return {**arrival, **known, **contents[event], **fields}


PAUSES = (0.0, 0.5, 20.0, 1799.999999, 1800.0, 7200.0)
HUMAN, HASTY = (1, 6, 8, 1, 1, 3), (1, 40, 0, 0, 0, 1)


OFTEN = {"page_view": 8, "search": 3, "product_view": 8, "add_to_cart": 3, "purchase": 1, "rating": 1}


def wander(
    random: Random, user_id: str, events: int, start: datetime = MORNING, pace: tuple[int, ...] = HUMAN
) -> list[Row]:
    """Let a user do things at a random pace, also with pauses of exactly and nearly half an hour."""
    rows, at = [], start
    for number in range(events):
        pause = random.choices(PAUSES, pace)[0]
        at += timedelta(seconds=pause * (random.random() if pause == 20.0 else 1))
        product = random.randrange(5)
        event = random.choices(list(OFTEN), list(OFTEN.values()))[0]
        rows.append(
            any_event(
                event,
                at,
                user_id=user_id,
                event_id=f"{user_id}-{random.randrange(10**9)}-{number}",
                **(_product(product) if event in ("product_view", "add_to_cart") else {}),
                **({"category": f"c-{product % 2}"} if event == "product_view" else {}),
                **({"device": random.choice(["mobile", "desktop"])} if event == "page_view" else {}),
            )
        )
    return rows


def _product(number: int) -> Row:
    return {"product_id": f"p-{number}", "price": 10.0 + number}


def wanderers(seed: int, users: int, events: int) -> list[Row]:
    """Let several users wander, each from a time of their own; the first is a machine."""
    random = Random(seed)
    return [
        row
        for number in range(users)
        for row in wander(
            random,
            f"u-{number}",
            events,
            MORNING + timedelta(minutes=random.randrange(5000)),
            HUMAN if number else HASTY,
        )
    ]


def kinds(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Sort rows by their event."""
    return {event: [row for row in rows if row["event"] == event] for event in {row["event"] for row in rows}}


def grouped(rows: list[Row]) -> list[list[Row]]:
    """Cut sessions by hand, in order."""
    groups: list[list[Row]] = []
    for row in sorted(rows, key=lambda row: (row["user_id"], row["event_time"], row["event_id"])):
        last = groups[-1][-1] if groups else None
        if last and last["user_id"] == row["user_id"] and row["event_time"] - last["event_time"] < GAP:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups
