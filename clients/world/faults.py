"""Break a record in each of the ways in which real producers break them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from domain.ingest.contract import Reason

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """A way to break an event, and the reason for which the platform must set the result aside."""

    name: str
    reason: Reason
    spoil: Callable[[Document], bytes]


def encode(event: Document) -> bytes:
    """Write JSON as Python's own encoder does, without white space."""
    return json.dumps(event, separators=(",", ":")).encode()


def without_last_field(event: Document) -> bytes:
    """Leave out the last required field."""
    required = [name for name in event if name != "referrer"]
    return encode({name: event[name] for name in required[:-1]})


def far_ahead(event: Document) -> bytes:
    """Put the event forty years later."""
    return encode({**event, "event_time": f"{int(event['event_time'][:4]) + 40}-01-01T00:00:00Z"})


FAULTS = (
    Fault("log line", Reason.NOT_JSON, lambda event: f"{event['event_time']} {event['event']}".encode()),
    Fault("truncated", Reason.NOT_JSON, lambda event: encode(event)[: 2 * len(encode(event)) // 3]),
    Fault("list", Reason.NOT_AN_OBJECT, lambda event: encode(event).join((b"[", b"]"))),
    Fault("latin-1", Reason.NOT_UTF8, lambda event: encode(event).replace(b'"user_id":"', b'"user_id":"\xe9')),
    Fault("key twice", Reason.DUPLICATE_KEY, lambda event: encode(event)[:-1] + b',"user_id":"u-other"}'),
    Fault("NUL in text", Reason.UNSAFE_TEXT, lambda event: encode({**event, "user_id": "u-\0"})),
    Fault("misspelt event", Reason.UNKNOWN_EVENT, lambda event: encode({**event, "event": "page_veiw"})),
    Fault("version to come", Reason.UNKNOWN_VERSION, lambda event: encode({**event, "version": 99})),
    Fault("field left out", Reason.MISSING_FIELD, without_last_field),
    Fault("null", Reason.MISSING_FIELD, lambda event: encode({**event, "event_id": None})),
    Fault("number for text", Reason.WRONG_TYPE, lambda event: encode({**event, "user_id": 12345})),
    Fault(
        "time without offset",
        Reason.WRONG_TYPE,
        lambda event: encode({**event, "event_time": event["event_time"].rstrip("Z")}),
    ),
    Fault("no time", Reason.WRONG_TYPE, lambda event: encode({**event, "event_time": "yesterday"})),
    Fault("too long", Reason.OUT_OF_BOUNDS, lambda event: encode({**event, "user_id": "u-" + "9" * 3_000})),
    Fault(
        "clock never set",
        Reason.BEFORE_TIME,
        lambda event: encode({**event, "event_time": "1969-12-31T23:59:59Z"}),
    ),
    Fault("clock far ahead", Reason.AHEAD_OF_TIME, far_ahead),
)
"""Every way that the ingestion names but one: Kinesis itself takes no record over the platform's size limit."""
