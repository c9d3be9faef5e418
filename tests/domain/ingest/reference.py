"""A slow and simple reading of the contract, by JSON Schema and the standard library: the oracle of the fast one."""

from __future__ import annotations

import json
import math
import re
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from jsonschema import Draft202012Validator

from domain.contract.json_schema import json_schema
from domain.events import EVENTS

SCHEMAS = {name: Draft202012Validator(json_schema(event)) for name, event in EVENTS.items()}
TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:?[0-5]\d)", re.ASCII)
BEYOND = Decimal("1e400")


def keeps_contract(payload: bytes, arrived_at: datetime) -> dict[str, Any] | None:
    """Return the event's values, times in whole microseconds; None if the record breaks its contract."""
    if len(payload) > 1_048_576:
        return None
    try:
        text = payload.decode("utf-8", "strict")
        document = json.loads(text, object_pairs_hook=unique, parse_constant=refuse, parse_int=whole)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or not sound(document):
        return None
    event = EVENTS.get(document["event"]) if isinstance(document.get("event"), str) else None
    if event is None or not SCHEMAS[event.name].is_valid(document):
        return None
    if isinstance(document.get("version", 1), bool | float):
        return None
    return values(document, event.columns(), arrived_at)


def values(document: dict[str, Any], columns: Any, arrived_at: datetime) -> dict[str, Any] | None:
    """Type the values, where JSON Schema is too lenient."""
    found: dict[str, Any] = {}
    for column in columns:
        value = document.get(column.name)
        if value is not None and column.kind is int and not isinstance(value, int):
            return None  # JSON Schema takes 3.0 for an integer
        if value is not None and column.kind is float:
            value = finite(value)
            if value is None:
                return None
        if value is not None and column.kind is datetime:
            value = moment(value, arrived_at)
            if value is None:
                return None
        found[column.name] = value
    return {"event": document["event"], **found}


def finite(value: float) -> float | None:
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def moment(text: str, arrived_at: datetime) -> datetime | None:
    """Read RFC 3339, digits after the sixth rounded half up."""
    if not TIME.fullmatch(text):
        return None
    whole, _, rest = text.replace(" ", "T").upper().partition(".")
    digits = re.match(r"\d*", rest)
    fraction = digits.group() if digits else ""
    seven = f"{fraction:0<7}"[:7]  # the seventh alone says whether to round up
    try:
        time = datetime.fromisoformat(whole if not rest else whole + rest[len(fraction) :])
        time += timedelta(microseconds=(int(seven) + 5) // 10)
        early = time < datetime(1970, 1, 1, tzinfo=timezone.utc)
    except (ValueError, OverflowError):
        return None
    return None if early or time > arrived_at + timedelta(hours=1) else time


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key twice")
    return dict(pairs)


def whole(digits: str) -> int:
    """Read a whole number of any length; Python reads 4,300 digits, and what is beyond all bounds is so at 400."""
    return int(max(-BEYOND, min(BEYOND, Decimal(digits))))


def refuse(name: str) -> None:
    raise ValueError(name)


def sound(value: Any) -> bool:
    """Tell whether all text is without NUL and without half of a surrogate pair."""
    if isinstance(value, str):
        return "\0" not in value and not any(0xD800 <= ord(character) < 0xE000 for character in value)
    if isinstance(value, dict):
        return all(sound(key) and sound(item) for key, item in value.items())
    return all(sound(item) for item in value) if isinstance(value, list) else True
