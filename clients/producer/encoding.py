"""Write events as lines of JSON, and lines as frames that fit a record."""

from __future__ import annotations

import importlib
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Protocol, cast

from clients.producer.report import Refused
from domain.ingest.frames import HEAD, LARGEST_PAYLOAD, Codec, Kind, seal

KEY_ROOM = 256
"""Bytes that a record's key takes at most: a record's limit counts them."""

LEVELS: dict[Kind, int] = {"ndjson": 1, "arrow": 3}
"""Lines repeat what is near, so that level 1 finds as much as 3, sooner; columns repeat what is far."""

NEAR = {"compression_level": LEVELS["ndjson"], "window_log": 18, "hash_log": 14}
"""For lines: a window of 256 KB and a table of 64 KB stay in a core's cache, at the same size 7 % sooner (measured)."""

ZSTD = ("compression.zstd", "backports.zstd")  # the standard library's from Python 3.14 on, and its backport


@dataclass(frozen=True, slots=True)
class Load:
    """A packed frame, and how many events it holds."""

    data: bytes
    count: int


class Lines(Protocol):
    """Lines of JSON, one after another as a frame holds them, and how many they are."""

    payload: bytearray
    lines: int


@cache
def appender() -> Callable[[dict[str, Any], Lines], None]:
    """Make what writes an event as one more line, with its end.

    It raises Refused for what has no JSON, and leaves whole lines, and their number right, whatever happens.
    """
    encode = _encoder()

    def append(event: dict[str, Any], batch: Lines) -> None:
        payload = batch.payload
        start = len(payload)
        try:
            encode(event, payload, -1)
            payload += b"\n"
            batch.lines += 1  # counted here: counting a payload's ends takes as long as a third of its compression
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            del payload[start:]
            raise Refused("not_json", f"the event cannot be written as JSON: {error}") from error
        except BaseException:  # half a line would spoil the frame; Python sees to an interrupt when a call returns
            del payload[start:]
            raise

    return append


def last_line(payload: bytearray, end: int) -> int:
    """Say where the line begins that ends here."""
    return payload.rfind(b"\n", 0, end) + 1


def line_of(event: dict[str, Any] | bytes, largest: int) -> bytes:
    """Write an event as one line, without its end; raises Refused for what is none or is too large."""
    if isinstance(event, dict):
        line = _written(event)
    elif isinstance(event, bytes):
        line = _line(event)
    else:
        raise Refused("not_an_object", f"the event is a {type(event).__name__}; send a dict, or its JSON as bytes")
    return checked(line, largest)


def checked(line: bytes, largest: int) -> bytes:
    """Return the line; raises Refused if it is too large for a record."""
    if len(line) > largest:
        raise Refused("too_large", f"the event has {len(line):,} bytes; send at most {largest:,}")
    return line


def largest_event(record_limit: int) -> int:
    """Say how many bytes an event may have, so that its frame fits a record even if nothing can be compressed."""
    return min(record_limit - KEY_ROOM - HEAD - 1, LARGEST_PAYLOAD - 1)


def framed(payload: bytes | bytearray, count: int, record_limit: int) -> list[Load]:
    """Pack so many lines, each with its end, into as few frames as fit, in their order."""
    if load := sealed("ndjson", payload, count, record_limit):
        return [load]
    middle = payload.find(b"\n", len(payload) // 2, len(payload) - 1) + 1
    middle = middle or payload.rfind(b"\n", 0, len(payload) - 1) + 1
    first = payload.count(b"\n", 0, middle)
    return framed(payload[:middle], first, record_limit) + framed(payload[middle:], count - first, record_limit)


def fitted(kind: Kind, rows: Sequence[Any], record_limit: int, write: Callable[[Sequence[Any]], bytes]) -> list[Load]:
    """Pack rows into one frame, or into those of either half if it is too large."""
    if load := sealed(kind, write(rows), len(rows), record_limit):
        return [load]
    half = len(rows) // 2
    return fitted(kind, rows[:half], record_limit, write) + fitted(kind, rows[half:], record_limit, write)


def sealed(kind: Kind, payload: bytes | bytearray, count: int, record_limit: int) -> Load | None:
    """Make a frame; None if it can be made smaller and must be."""
    if len(payload) <= LARGEST_PAYLOAD or count == 1:
        codec, body = compressed(payload, kind)
        if HEAD + len(body) + KEY_ROOM <= record_limit or count == 1:
            return Load(seal(kind, cast(bytes, payload), count, codec, body), count)
    return None


def compressed(payload: bytes | bytearray, kind: Kind) -> tuple[Codec, bytes]:
    """Compress with the best codec at hand, unless that makes it larger."""
    codec, compress = _codec()
    body = compress(payload, kind)
    return (codec, body) if len(body) < len(payload) else (Codec.NONE, bytes(payload))


@cache
def _codec() -> tuple[Codec, Callable[[bytes | bytearray, Kind], bytes]]:
    for name in ZSTD:
        try:
            return Codec.ZSTD, _zstd(importlib.import_module(name))
        except ImportError:
            continue
    return Codec.DEFLATE, lambda payload, kind: zlib.compress(payload, LEVELS[kind])


def _zstd(zstd: Any) -> Callable[[bytes | bytearray, Kind], bytes]:
    named = {parameter.name: parameter for parameter in zstd.CompressionParameter}
    near = {named[name]: value for name, value in NEAR.items()}
    options = {"ndjson": near, "arrow": {named["compression_level"]: LEVELS["arrow"]}}
    compress: Callable[..., bytes] = zstd.compress
    return lambda payload, kind: compress(payload, options=options[kind])


def _encoder() -> Callable[[Any, bytearray, int], None]:
    """Find what appends an event's JSON to a buffer."""
    try:
        into: Callable[[Any, bytearray, int], None] = importlib.import_module("msgspec.json").Encoder().encode_into
    except ImportError:  # six times slower, the same JSON
        text = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain).encode
        return lambda event, payload, _: payload.extend(text(event).encode())
    return into


@dataclass(slots=True)
class One:
    """A line by itself."""

    payload: bytearray
    lines: int = 0


def _written(event: dict[str, Any]) -> bytes:
    one = One(bytearray())
    appender()(event, one)
    return bytes(memoryview(one.payload)[:-1])


def _line(event: bytes) -> bytes:
    if b"\n" not in event and b"\r" not in event:
        if event.strip():
            return event
        raise Refused("empty", "the event is blank; send one JSON object")
    try:
        json.loads(event, parse_int=float)  # digits may be more than Python reads as a whole number
    except (ValueError, RecursionError) as error:
        raise Refused("not_json", f"the event has line breaks and is not JSON: {error}") from error
    return event.replace(b"\n", b" ").replace(b"\r", b" ")  # in JSON they can only be white space


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON")
