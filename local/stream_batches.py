"""Decide, as an event source mapping does, what a batch of stream records is and what follows when it fails.

Source: AWS Lambda Developer Guide, "Using Lambda with Kinesis" and its pages on batching, error handling, partial batch
responses and filtering.
"""

from __future__ import annotations

import json
import zlib
from binascii import b2a_base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

MOST_PAYLOAD_BYTES = 6 << 20
ENVELOPE_BYTES = len(b'{"Records":[]}')


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings of a mapping over a stream, with AWS's defaults."""

    batch_size: int = 100
    window_seconds: float = 0.0
    parallelization: int = 1
    retries: int = -1
    most_age_seconds: int = -1
    bisect: bool = False
    partial: bool = False
    on_failure: str | None = None

    @classmethod
    def of(cls, mapping: Any) -> Rules:
        """Read moto's mapping."""
        destination = (mapping.destination_config or {}).get("OnFailure", {}).get("Destination")
        return cls(
            batch_size=int(mapping.batch_size),
            window_seconds=float(mapping.max_batch_window or 0),
            parallelization=int(mapping.parallelization_factor or 1),
            retries=-1 if mapping.max_retry_attempts is None else int(mapping.max_retry_attempts),
            most_age_seconds=-1 if mapping.max_record_age is None else int(mapping.max_record_age),
            bisect=str(mapping.bisect_on_error).lower() == "true",
            partial="ReportBatchItemFailures" in (mapping.function_response_types or ()),
            on_failure=destination,
        )


class Item(NamedTuple):
    """One record on its way to a function: its number in the shard, its sequence number, arrival in ms, JSON."""

    number: int
    sequence: str
    arrived: int
    encoded: bytes


@dataclass(frozen=True, slots=True)
class Part:
    """Records that are delivered together, and how often they have failed as they are."""

    items: Sequence[Item]
    failures: int = 0


def payload(items: Sequence[Item]) -> bytes:
    """Return the event of a batch."""
    return b'{"Records":[' + b",".join(item.encoded for item in items) + b"]}"


def encoder(shard_id: str, stream_arn: str, role: str, region: str) -> Callable[[str, str, int, bytes], bytes]:
    """Return a function that writes (partition key, sequence number, arrival in ms, data) as Lambda's record."""
    tail = json.dumps(
        {
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": role,
            "awsRegion": region,
            "eventSourceARN": stream_arn,
        }
    )[1:]

    form = (
        b'{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":%b,"sequenceNumber":"%b","data":"%b",'
        b'"approximateArrivalTimestamp":%b},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"%b:%b",%b'
    )
    encode_json, shard, tail_bytes = msgspec.json.encode, shard_id.encode(), tail.encode()

    def encode(key: str, sequence: str, arrived: int, data: bytes) -> bytes:
        number, moment = sequence.encode(), encode_json(arrived / 1000)
        text = b2a_base64(data, newline=False)
        return form % (encode_json(key), number, text, moment, shard, number, tail_bytes)

    return encode


def lane(key: str, lanes: int) -> int:
    """Return which of a shard's parallel lanes a partition key belongs to, always the same."""
    return zlib.crc32(key.encode()) % lanes if lanes > 1 else 0


def first_failure(items: Sequence[Item], answer: bytes) -> int | None:
    """Return the position of the first record that a partial batch response calls failed; None where none did.

    An answer that is not of the documented form, or names no record of the batch, fails the whole batch.
    """
    try:
        answered = json.loads(answer)
        failures = (answered or {}).get("batchItemFailures") or []
        named = [failure["itemIdentifier"] for failure in failures]
    except (ValueError, AttributeError, KeyError, TypeError):
        return 0
    places = {item.sequence: place for place, item in enumerate(items)}
    if any(name not in places for name in named):
        return 0
    return min((places[name] for name in named), default=None)


def after_failure(part: Part, failed_at: int, rules: Rules) -> list[Part]:
    """Return what is delivered next, in order; nothing means that the retries are used up."""
    if failed_at > 0:
        return [Part(part.items[failed_at:])]
    if rules.bisect and len(part.items) > 1:
        middle = len(part.items) // 2
        return [Part(half, part.failures) for half in (part.items[:middle], part.items[middle:])]
    if rules.retries >= 0 and part.failures >= rules.retries:
        return []
    return [Part(part.items, part.failures + 1)]


def expired(items: Sequence[Item], rules: Rules, retention_seconds: float, now: float) -> int:
    """Return how many records at the start are too old to deliver at `now` (seconds)."""
    most = retention_seconds if rules.most_age_seconds < 0 else min(retention_seconds, rules.most_age_seconds)
    oldest = (now - most) * 1000
    return next((place for place, item in enumerate(items) if item.arrived >= oldest), len(items))


def matches(patterns: Sequence[Any], record: dict[str, Any], content: bytes, name: str = "data") -> bool:
    """Say whether a record passes filter criteria: any of the patterns, over its content as JSON and its metadata."""
    if not patterns:
        return True
    try:
        record = {**record, name: json.loads(content)}
    except ValueError:
        record = {**record, name: content.decode(errors="replace")}
    return any(pattern.matches_event(record) for pattern in patterns)
