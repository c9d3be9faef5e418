"""Events drawn from their declarations, as hypothesis strategies."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from hypothesis import strategies as st

from domain.events import EVENTS, Event
from domain.ingest.limits import EARLIEST
from domain.schema import Column

NOW = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
TEXT = st.characters(exclude_characters="\0", exclude_categories=["Cs"])


def documents(event: type[Event]) -> st.SearchStrategy[dict[str, Any]]:
    """Draw an event as it travels, valid as of NOW; its optional fields may be there, null or left out."""
    columns = event.columns()
    required = {column.name: values(column) for column in columns if column.required}
    optional = {column.name: st.none() | values(column) for column in columns if not column.required}
    return st.fixed_dictionaries({"event": st.just(event.name), **required}, optional=optional)


def any_documents() -> st.SearchStrategy[dict[str, Any]]:
    """Draw a valid event of any kind."""
    return st.one_of([documents(event) for event in EVENTS.values()])


def values(column: Column) -> st.SearchStrategy[Any]:
    """Draw a value that the column takes."""
    field = column.field
    if field.choices:
        return st.sampled_from(field.choices)
    if column.kind is datetime:
        return st.datetimes(EARLIEST.replace(tzinfo=None), NOW.replace(tzinfo=None)).map(
            lambda time: f"{time.isoformat()}Z"
        )
    if column.kind is int:
        return st.integers(_integer(field.minimum, -(2**63)), _integer(field.maximum, 2**63 - 1))
    if column.kind is float:
        low = field.minimum if field.above is None else field.above
        numbers = st.floats(
            low, field.maximum, exclude_min=field.above is not None, allow_nan=False, allow_infinity=False
        )
        return numbers
    if column.kind is str:
        return st.text(TEXT, min_size=field.min_length or 0, max_size=min(field.max_length or 20, 20))
    assert column.kind is bool, f"no value of {column.kind} can be drawn yet; add it here"
    return st.booleans()


def _integer(bound: float | None, widest: int) -> int:
    return widest if bound is None else int(bound)
