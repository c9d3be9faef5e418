"""Say in words what a column takes, the same in docs and in the reason of a refusal."""

from __future__ import annotations

from datetime import date, datetime

from domain.schema import Column, Field

NOUNS: dict[type, str] = {
    str: "text",
    int: "a whole number of 64 bits, not in quotes",
    float: "a finite number, not in quotes",
    bool: "true or false",
    datetime: "a time as RFC 3339 with an offset, such as 2026-03-01T12:00:00.123Z",
    date: "a date such as 2026-03-01",
    bytes: "bytes",
}


def expectation(column: Column) -> str:
    """Say what would be right.

    >>> from domain.events import Rating
    >>> expectation(Rating.columns()[-1])
    'a whole number of 64 bits, not in quotes, at least 1, at most 5'
    """
    return ", ".join([NOUNS[column.kind], *bounds(column.field)])


def bounds(field: Field) -> list[str]:
    """List the bounds of a field in words."""
    limits = {
        "at least {:g}": field.minimum,
        "above {:g}": field.above,
        "at most {:g}": field.maximum,
    }
    words = [phrase.format(limit) for phrase, limit in limits.items() if limit is not None]
    return [*words, *_lengths(field), *([f"one of {', '.join(field.choices)}"] if field.choices else [])]


def _lengths(field: Field) -> list[str]:
    low, high = field.min_length, field.max_length
    if low is not None and low == high:
        return [f"exactly {low} characters"]
    least = [] if low is None else ["not empty" if low == 1 else f"at least {low} characters"]
    return least if high is None else [*least, f"at most {high} characters"]
