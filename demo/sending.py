"""Send records as producers do: most of them plain JSON, some in frames of our producer, as lines and as columns."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any
from zlib import crc32

from clients.producer import Producer, Refused
from clients.producer import Report as Framed
from clients.send import Record, Report, send

STREAM = "rivermill-events"
LINES, COLUMNS = 0, 1
USERS_OF = 8
"""Of so many users one's producer packs lines, and one's columns: whoever sends a user's events sends all of them."""

PATIENCE = 300.0


def send_all(records: Iterable[Record], *, client: Any = None, framed: bool = False) -> Report:
    """Send records, a quarter of the users' in frames if told; report what the stream accepted, event by event."""
    if not framed:
        return send(records, STREAM, client=client)
    with ExitStack() as stack:
        lines, columns = (
            stack.enter_context(Producer(STREAM, client=client, block=PATIENCE, columnar=columnar))
            for columnar in (False, True)
        )
        plain = send(apart(records, lines, columns), STREAM, client=client)
        return sum((told(producer.close(PATIENCE)) for producer in (lines, columns)), plain)


def apart(records: Iterable[Record], lines: Producer, columns: Producer) -> Iterator[Record]:
    """Give records of some users to producers that pack them, and pass the others on."""
    for key, payload in records:
        way = crc32(key.encode()) % USERS_OF
        event = as_written(payload) if way == COLUMNS else payload if way == LINES else None
        if event is None or not taken(columns if way == COLUMNS else lines, event, key):
            yield key, payload


def taken(producer: Producer, event: dict[str, Any] | bytes, key: str) -> bool:
    """Give an event to a producer, unless it is none that it takes: a broken record goes as it is."""
    try:
        producer.send(event, key)
    except Refused as refusal:
        if refusal.reason not in {"not_json", "empty"}:
            raise
        return False
    return True


def as_written(payload: bytes) -> dict[str, Any] | None:
    """Read an event that says just what its bytes say; None for others, such as one with a key twice."""
    try:
        event = json.loads(payload)
    except ValueError:
        return None
    same = isinstance(event, dict) and json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode() == payload
    return event if same else None


def told(report: Framed) -> Report:
    """Count a producer's report among the plain ones; what it gave back has gone as it is."""
    unsent = Counter({reason: n for reason, n in report.refused.items() if reason not in {"not_json", "empty"}})
    return Report(report.accepted, unsent, report.retried, report.requests)
