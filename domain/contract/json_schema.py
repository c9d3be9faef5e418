"""Write an event's contract as JSON Schema, for producers in other languages."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from domain.events import Event
from domain.schema import Column

DIALECT = "https://json-schema.org/draft/2020-12/schema"
LONGEST_INTEGER = 2**63
TYPES: dict[type, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer", "minimum": -LONGEST_INTEGER, "maximum": LONGEST_INTEGER - 1},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
    bytes: {"type": "string", "contentEncoding": "base64"},
}


def json_schema(event: type[Event]) -> dict[str, Any]:
    """Derive the schema of an event on the wire; fields that it does not know are allowed."""
    columns = event.columns()
    return {
        "$schema": DIALECT,
        "title": event.name,
        "description": event.__doc__,
        "type": "object",
        "properties": {
            "event": {"const": event.name},
            "version": {"const": event.version},
            **{column.name: _property(column) for column in columns},
        },
        "required": ["event", *(column.name for column in columns if column.required)],
    }


def envelope() -> dict[str, Any]:
    """Derive the schema of what every event has, in the words that draft 4 and 2020-12 share.

    >>> envelope()["required"]
    ['event', 'event_id', 'event_time', 'user_id']
    """
    bounds = {"minLength": "min_length", "maxLength": "max_length"}
    properties = {
        column.name: {
            "type": "string",
            **{word: limit for word, bound in bounds.items() if (limit := getattr(column.field, bound)) is not None},
        }
        for column in Event.columns()
    }
    names = {"event": {"type": "string", "minLength": 1}, **properties}
    return {"type": "object", "properties": names, "required": list(names)}


def _property(column: Column) -> dict[str, Any]:
    field = column.field
    limits = {
        "minimum": field.minimum,
        "exclusiveMinimum": field.above,
        "maximum": field.maximum,
        "minLength": field.min_length,
        "maxLength": field.max_length,
        "enum": list(field.choices) or None,
    }
    stated = {key: limit for key, limit in limits.items() if limit is not None}
    value = {**TYPES[column.kind], "description": field.doc, **stated}
    if column.required:
        return value
    return {"anyOf": [value, {"type": "null"}]}
