"""Write events as lines of JSON, and lines as frames that fit a record."""

from __future__ import annotations

import importlib
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from clients.producer.report import Refused
from domain.ingest.frames import HEAD, LARGEST_PAYLOAD, Codec, Kind, seal

KEY_ROOM = 256
"""Bytes that a record's key takes at most: a record's limit counts them."""

LEVELS: dict[Kind, int] = {"ndjson": 1, "arrow": 3}
"""Lines repeat what is near, so that level 1 finds as much as 3, sooner; columns repeat what is far."""

ZSTD = ("compression.zstd", "backports.zstd")  # the standard library's from Python 3.14 on, and its backport


@dataclass(frozen=True, slots=True)
class Load:
    """A packed frame, and how many events it holds."""

    data: bytes
    count: int


def line_of(event: dict[str, Any] | bytes, largest: int) -> bytes:
    """Write an event as one line; raises Refused for what is none or is too large."""
    if isinstance(event, dict):
        try:
            line = _encoder()(event)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise Refused("not_json", f"the event cannot be written as JSON: {error}") from error
    elif isinstance(event, bytes):
        line = _line(event)
    else:
        raise Refused("not_an_object", f"the event is a {type(event).__name__}; send a dict, or its JSON as bytes")
    if len(line) > largest:
        raise Refused("too_large", f"the event has {len(line):,} bytes; send at most {largest:,}")
    return line


def largest_event(record_limit: int) -> int:
    """Say how many bytes an event may have, so that its frame fits a record even if nothing can be compressed."""
    return min(record_limit - KEY_ROOM - HEAD - 1, LARGEST_PAYLOAD - 1)


def framed(lines: Sequence[bytes], record_limit: int) -> list[Load]:
    """Pack lines into as few frames as fit, in their order."""
    return fitted("ndjson", lines, record_limit, lambda some: b"\n".join((*some, b"")))


def fitted(kind: Kind, rows: Sequence[Any], record_limit: int, write: Callable[[Sequence[Any]], bytes]) -> list[Load]:
    """Pack rows into one frame, or into those of either half if it is too large."""
    payload = write(rows)
    if len(payload) <= LARGEST_PAYLOAD or len(rows) == 1:
        codec, body = compressed(payload, LEVELS[kind])
        if HEAD + len(body) + KEY_ROOM <= record_limit or len(rows) == 1:
            return [Load(seal(kind, payload, len(rows), codec, body), len(rows))]
    half = len(rows) // 2
    return fitted(kind, rows[:half], record_limit, write) + fitted(kind, rows[half:], record_limit, write)


def compressed(payload: bytes, level: int) -> tuple[Codec, bytes]:
    """Compress with the best codec at hand, unless that makes it larger."""
    codec, compress = _codec()
    body = compress(payload, level)
    return (codec, body) if len(body) < len(payload) else (Codec.NONE, payload)


@cache
def _codec() -> tuple[Codec, Callable[[bytes, int], bytes]]:
    for name in ZSTD:
        try:
            return Codec.ZSTD, importlib.import_module(name).compress
        except ImportError:
            continue
    return Codec.DEFLATE, zlib.compress


@cache
def _encoder() -> Callable[[Any], bytes]:
    try:
        encode: Callable[[Any], bytes] = importlib.import_module("msgspec.json").Encoder().encode
    except ImportError:  # six times slower, the same JSON
        text = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain).encode
        return lambda event: text(event).encode()
    return encode


def _line(event: bytes) -> bytes:
    if b"\n" not in event and b"\r" not in event:
        if event.strip():
            return event
        raise Refused("empty", "the event is blank; send one JSON object")
    try:
        json.loads(event)
    except ValueError as error:
        raise Refused("not_json", f"the event has line breaks and is not JSON: {error}") from error
    return event.replace(b"\n", b" ").replace(b"\r", b" ")  # in JSON they can only be white space


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON")
