"""What a record may declare, and what is read from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar

import pytest

from domain.schema import Field, Record, UnusableField


class Moment(Record):
    """What has a time."""

    kind: ClassVar[str] = "moment"

    at: Annotated[datetime, Field("When.")]
    place: Annotated[str | None, Field("Where.")] = None


class Visit(Moment):
    """What has a page too, and must say where."""

    page: Annotated[str, Field("The page.", max_length=9)]
    place: Annotated[str | None, Field("Where, as a country.")] = None


def declared(hint: Any, **default: object) -> type[Record]:
    """Declare a record of one field."""
    return type("Visit", (Record,), {"__annotations__": {"page": hint}, **default})


def test_ancestors_fields_come_first_and_one_declared_anew_keeps_its_place() -> None:
    assert [(column.name, column.kind, column.required) for column in Visit.columns()] == [
        ("at", datetime, True),
        ("place", str, False),
        ("page", str, True),
    ]
    assert Visit.columns()[1].field.doc == "Where, as a country."
    assert Moment.columns()[1].field.doc == "Where."


@pytest.mark.parametrize("make", [dataclass(kw_only=True), dataclass(frozen=True, slots=True, kw_only=True)])
def test_a_record_that_someone_makes_a_dataclass_of_is_read_alike(make: Callable[[type], type[Record]]) -> None:
    assert make(type("Visit", (Moment,), dict(vars(Visit)))).columns() == Visit.columns()


@pytest.mark.parametrize(
    ("record", "fix"),
    [
        (declared(str), r"declare it as Annotated\[type"),
        (declared(Annotated[list, Field("Pages.")]), "is none of bool, bytes"),
        (declared(Annotated[str | None, Field("The page.")]), "an optional field has the default None"),
        (declared(Annotated[str, Field("The page.")], page="/"), "a required one has none"),
        (declared(Annotated[str, Field("The page.")], page=None), "a required one has none"),
    ],
)
def test_a_field_that_the_lake_cannot_hold_is_refused_by_name(record: type[Record], fix: str) -> None:
    with pytest.raises(UnusableField, match=rf"Visit\.page: .*{fix}"):
        record.columns()
