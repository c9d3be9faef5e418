"""Take what was posted to the REST front apart into records of the stream, each with the sender's own bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from domain.ingest.limits import LARGEST_RECORD
from domain.serve.request import InvalidRequest

LARGEST_POST = 4 * 1024 * 1024
"""Bytes of a request at most: quoted into the event of a function, which holds 6 MB, it still fits."""

MOST_EVENTS = 500
"""Events of a request at most: what one PutRecords takes."""

LONGEST_KEY = 256
"""Characters of a partition key at most (Kinesis, PutRecords)."""


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON's")


# The sender's digits are passed on as they are; Python refuses to read a whole number of 5,000 of them.
_DECODER = json.JSONDecoder(parse_int=float, parse_constant=_no_constant)
_BLANK = " \t\n\r"


@dataclass(frozen=True, slots=True)
class Record:
    """A record for the stream: the sender's bytes, and the key that keeps a user's events in order."""

    data: bytes
    key: str

    @property
    def fits(self) -> bool:
        """Whether the stream takes it."""
        return len(self.data) + len(self.key.encode()) <= LARGEST_RECORD


def one(body: str, spare: str) -> list[Record]:
    """Read one event, a JSON object; raise InvalidRequest for anything else. An event without user gets key `spare`.

    >>> one('{"event": "page_view", "user_id": "u-1"}', "r-1")
    [Record(data=b'{"event": "page_view", "user_id": "u-1"}', key='u-1')]
    """
    text = _within(body)
    value, end = _decode(text, _after_blanks(text, 0))
    if not isinstance(value, dict):
        raise InvalidRequest("is no event", field="body", value=_kind(value), fix="send one JSON object")
    if _after_blanks(text, end) != len(text):
        raise InvalidRequest("goes on after its end", field="body", value=text[end : end + 40], fix="send one object")
    return [Record(_bytes(text), _key(value, spare))]


def several(body: str, spare: str) -> list[Record]:
    """Read a list of events; raise InvalidRequest for what is no list of 1 to 500. What is in it is the consumer's.

    >>> [record.data for record in several('[{"user_id": "u-1", "n": 1.50}, 7]', "r-1")]
    [b'{"user_id": "u-1", "n": 1.50}', b'7']
    """
    text = _within(body)
    records = [Record(_bytes(text[start:end]), _key(value, spare)) for value, start, end in _items(text)]
    if not records:
        raise InvalidRequest("is empty", field="body", value=[], fix="send a list of at least one event")
    if len(records) > MOST_EVENTS:
        raise InvalidRequest(
            "holds too many events", field="body", value=len(records), fix=f"send at most {MOST_EVENTS}", status=413
        )
    return records


def _within(body: str) -> str:
    size = len(_bytes(body))
    if size > LARGEST_POST:
        raise InvalidRequest(
            "is too large", field="body", value=size, fix=f"send at most {LARGEST_POST} bytes", status=413
        )
    return body


def _items(text: str) -> Iterator[tuple[Any, int, int]]:
    """Cut a JSON list into its items: the value of each, and where its text begins and ends."""
    place = _after_blanks(text, 0)
    if text[place : place + 1] != "[":
        raise InvalidRequest("is no list", field="body", value=text[:40], fix="send a JSON list of events")
    place = _after_blanks(text, place + 1)
    closed = text[place : place + 1] == "]"
    while not closed:
        value, end = _decode(text, place)
        yield value, place, end
        place = _after_blanks(text, end)
        closed = _closes(text, place)
        place = place if closed else _after_blanks(text, place + 1)
    if _after_blanks(text, place + 1) != len(text):
        raise InvalidRequest("goes on after its end", field="body", value=text[place + 1 :][:40], fix="send one list")


def _closes(text: str, place: int) -> bool:
    found = text[place : place + 1]
    if found not in {",", "]"}:
        raise InvalidRequest("is not JSON", field="body", value=found, fix=f"put , or ] at character {place}")
    return found == "]"


def _decode(text: str, place: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, place)
    except RecursionError:
        raise InvalidRequest("is nested too deeply", field="body", value=text[:40], fix="send flat objects") from None
    except ValueError as broken:
        raise InvalidRequest("is not JSON", field="body", value=str(broken), fix="send UTF-8 JSON") from None


def _after_blanks(text: str, place: int) -> int:
    while text[place : place + 1] and text[place] in _BLANK:
        place += 1
    return place


def _key(value: object, spare: str) -> str:
    user = value.get("user_id") if isinstance(value, dict) else None
    # A lone surrogate is not printable, and no partition key.
    return user if isinstance(user, str) and 0 < len(user) <= LONGEST_KEY and user.isprintable() else spare


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _kind(value: object) -> str:
    return {list: "a list", str: "text", bool: "true or false", type(None): "null"}.get(type(value), "a number")
