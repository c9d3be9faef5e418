"""Break a record in each of the ways in which real producers break them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Fault = Callable[[dict[str, Any]], bytes]


def _encode(event: dict[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()


def _without_last_field(event: dict[str, Any]) -> bytes:
    required = [name for name in event if name != "referrer"]
    return _encode({name: event[name] for name in required[:-1]})


def _of_wrong_type(event: dict[str, Any]) -> bytes:
    return _encode({**event, "user_id": 12345})


def _twice(event: dict[str, Any]) -> bytes:
    return _encode(event)[:-1] + b',"user_id":"u-other"}'


FAULTS: dict[str, Fault] = {
    "not_json": lambda event: f"{event['event_time']} {event['event']} user={event['user_id']}".encode(),
    "not_an_object": lambda event: _encode(event).join((b"[", b"]")),
    "not_utf8": lambda event: _encode(event).replace(b'"user_id":"', b'"user_id":"\xff\xfe'),
    "truncated": lambda event: _encode(event)[: 2 * len(_encode(event)) // 3],
    "key_twice": _twice,
    "unknown_event": lambda event: _encode({**event, "event": "page_veiw"}),
    "unknown_version": lambda event: _encode({**event, "version": 99}),
    "missing_field": _without_last_field,
    "null_field": lambda event: _encode({**event, "event_id": None}),
    "wrong_type": _of_wrong_type,
    "too_long": lambda event: _encode({**event, "user_id": "u-" + "9" * 3_000}),
    "time_without_offset": lambda event: _encode({**event, "event_time": event["event_time"].rstrip("Z")}),
    "not_a_time": lambda event: _encode({**event, "event_time": "yesterday"}),
    "far_future": lambda event: _encode(
        {**event, "event_time": f"{int(event['event_time'][:4]) + 40}-01-01T00:00:00Z"}
    ),
}
"""How to break an event, by the name of the fault; none of the results keeps the contract."""
