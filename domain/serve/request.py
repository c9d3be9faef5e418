"""Check a request for predictions against the features that models see."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from domain.schema import Column
from domain.serve.refusal import InvalidRequest
from domain.tables import PROPENSITY_FEATURES

ROWS_MAX = 1_000
BYTES_MAX = 1_048_576  # a row is about 400 bytes of JSON

Row = dict[str, Any]

__all__ = ["BYTES_MAX", "ROWS_MAX", "Asked", "InvalidRequest", "Row", "check", "read", "read_for"]


def read(text: str | bytes, rows_max: int | None = None) -> list[Row]:
    """Read `{"instances": [{feature: value, …}, …]}`; raise InvalidRequest for the first fault found.

    >>> read('{"instances": [{"hour": 25}]}')
    Traceback (most recent call last):
    domain.serve.refusal.InvalidRequest: instances[0].hour: is above 23; send at most 23
    """
    body = _parse(text)
    if not isinstance(body, dict) or set(body) != {"instances"}:
        found = sorted(body) if isinstance(body, dict) else type(body).__name__
        raise InvalidRequest("is not a request", field="body", value=found, fix='send {"instances": [{…}, …]} alone')
    return check(body["instances"], rows_max)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person's request asks: rows to score and, for an experiment of models, for whom and in which context."""

    rows: list[Row]
    unit: object = None
    context: object = None


def read_for(text: str | bytes, rows_max: int | None = None) -> Asked:
    """Read `{"instances": […], "unit": "u-1", "context": {…}}`, where unit and context may be left out.

    These two are as they came; raises InvalidRequest as `read` does.
    """
    body = _parse(text)
    if not isinstance(body, dict) or not {"instances"} <= set(body) <= {"instances", "unit", "context"}:
        found = sorted(body) if isinstance(body, dict) else type(body).__name__
        fix = 'send {"instances": [{…}, …]}, with "unit" and "context" if you like'
        raise InvalidRequest("is not a request", field="body", value=found, fix=fix)
    return Asked(check(body["instances"], rows_max), body.get("unit"), body.get("context"))


def check(instances: object, rows_max: int | None = None) -> list[Row]:
    """Check rows and give each all of its features, those left out as None."""
    if not isinstance(instances, list) or not instances:
        raise InvalidRequest(
            "is not a list of rows", field="instances", value=instances, fix="send a list of at least one row"
        )
    if rows_max is not None and len(instances) > rows_max:
        raise InvalidRequest(
            "holds too many rows", field="instances", value=len(instances), fix=f"send at most {rows_max}", status=413
        )
    return [_row(row, f"instances[{place}]") for place, row in enumerate(instances)]


def _parse(text: str | bytes) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as broken:  # UnicodeDecodeError is one too; another is nesting without an end
        raise InvalidRequest("is not JSON", field="body", value=str(broken), fix="send UTF-8 JSON") from None


def _row(row: object, place: str, columns: Sequence[Column] = PROPENSITY_FEATURES) -> Row:
    if not isinstance(row, dict):
        raise InvalidRequest("is not an object", field=place, value=row, fix="send {feature: value, …}")
    names = [column.name for column in columns]
    for name in row:
        if name not in names:
            raise InvalidRequest(
                "is no feature", field=f"{place}.{name}", value=row[name], fix=f"send only {', '.join(names)}"
            )
    return {column.name: _value(column, row.get(column.name), f"{place}.{column.name}") for column in columns}


def _value(column: Column, value: Any, place: str) -> Any:
    if value is None:
        if column.required:
            raise InvalidRequest("is missing", field=place, value=None, fix=f"send {WANTED[column.kind]}")
        return None
    if not _is_a(column.kind, value):
        raise InvalidRequest("has the wrong type", field=place, value=value, fix=f"send {WANTED[column.kind]}")
    fault = _text_fault(column, value) if column.kind is str else _number_fault(column, value)
    if fault:
        raise InvalidRequest(fault[0], field=place, value=value, fix=fault[1])
    return value


WANTED = {str: "text", int: "a whole number", float: "a finite number"}
LARGEST = 2**63 - 1
"""What the lake holds in a whole number, and more than any feature comes to; JSON has no limit, nor has Python."""


def _is_a(kind: type, value: Any) -> bool:
    if isinstance(value, bool):  # JSON's true is Python's 1
        return False
    if kind is str:
        return isinstance(value, str)
    numbers = (int, float) if kind is float else (int,)
    return isinstance(value, numbers) and abs(value) <= LARGEST  # NaN is not


def _text_fault(column: Column, value: str) -> tuple[str, str] | None:
    field = column.field
    if field.choices and value not in field.choices:
        return "is none of its values", f"send one of {', '.join(field.choices)}"
    if field.min_length is not None and len(value) < field.min_length:
        return f"is shorter than {field.min_length}", f"send at least {field.min_length} characters"
    if field.max_length is not None and len(value) > field.max_length:
        return f"is longer than {field.max_length}", f"send at most {field.max_length} characters"
    return None


def _number_fault(column: Column, value: float) -> tuple[str, str] | None:
    field = column.field
    if field.minimum is not None and value < field.minimum:
        return f"is below {field.minimum:g}", f"send at least {field.minimum:g}"
    if field.maximum is not None and value > field.maximum:
        return f"is above {field.maximum:g}", f"send at most {field.maximum:g}"
    return None
