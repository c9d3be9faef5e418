"""Contracts only grow: each forbidden change is found, named, and told how to mend."""

from types import NoneType
from typing import Annotated, Any, ClassVar, get_args

import pytest

from domain.contract.compatibility import breaches, golden_path, promises, read_golden
from domain.events import EVENTS, Event
from domain.schema import Field


class Stay(Event):
    """A user stayed on a page."""

    name: ClassVar[str] = "stay"

    page: Annotated[str, Field("The page.", max_length=100)]
    code: Annotated[str, Field("How it ended.", min_length=1)]
    kind: Annotated[str, Field("Why.", choices=("reading", "idle"))]
    seconds: Annotated[int, Field("How long.", minimum=0, maximum=100)]
    share: Annotated[float, Field("How much of it was read.", above=0)]
    note: Annotated[str | None, Field("Anything else.")] = None


GOLDEN = promises(Stay)
OLD = {name: Stay.__annotations__[name] for name in ("page", "code", "kind", "seconds", "share", "note")}


def changed(**hints: Any) -> type[Event]:
    """Declare the event anew: a field with another hint, without a field (None), or with one more at the end."""
    hints = {name: hint for name, hint in {**OLD, **hints}.items() if hint is not None}
    return declared(hints)


def declared(hints: dict[str, Any]) -> type[Event]:
    optional = {name: None for name, hint in hints.items() if NoneType in get_args(get_args(hint)[0])}
    body = {"__annotations__": {"name": ClassVar[str], **hints}, "name": "stay", "__module__": __name__, **optional}
    return type("Stay", (Event,), body)


Optional = Annotated[str | None, Field("New.")]
FORBIDDEN = {
    "a field is removed": (changed(note=None), "stay.note is gone"),
    "a field is renamed": (changed(seconds=None, duration=Optional), "stay.seconds is gone"),
    "a new field is required": (changed(scroll=Annotated[int, Field("New.")]), "stay.scroll is new and required"),
    "another type": (
        changed(seconds=Annotated[float, Field("How long.", minimum=0, maximum=100)]),
        "stay.seconds: type was 'long' and is 'double'",
    ),
    "a required field becomes optional": (
        changed(page=Annotated[str | None, Field("The page.", max_length=100)]),
        "stay.page: required was True and is False",
    ),
    "an optional field becomes required": (
        changed(note=Annotated[str, Field("Anything else.")]),
        "stay.note: required was False and is True",
    ),
    "a lower bound moves": (
        changed(seconds=Annotated[int, Field("How long.", minimum=1, maximum=100)]),
        "stay.seconds: minimum was 0 and is 1",
    ),
    "an upper bound goes": (
        changed(seconds=Annotated[int, Field("How long.", minimum=0)]),
        "stay.seconds: maximum was 100 and is None",
    ),
    "an open bound moves": (
        changed(share=Annotated[float, Field("How much.", above=1)]),
        "stay.share: above was 0 and is 1",
    ),
    "a text may be longer": (
        changed(page=Annotated[str, Field("The page.", max_length=200)]),
        "stay.page: max_length was 100 and is 200",
    ),
    "a text may be empty": (
        changed(code=Annotated[str, Field("How it ended.")]),
        "stay.code: min_length was 1 and is None",
    ),
    "a choice is added": (
        changed(kind=Annotated[str, Field("Why.", choices=("reading", "idle", "video"))]),
        "stay.kind: choices was ['reading', 'idle'] and is ['reading', 'idle', 'video']",
    ),
    "fields change places": (
        declared({name: Stay.__annotations__[name] for name in ("kind", "page", "code", "seconds", "share", "note")}),
        "stay.page was field 4 and is field 5 (new fields go last)",
    ),
    "a new field stands in the middle": (
        declared({"more": Optional, **OLD}),
        "stay.page was field 4 and is field 5 (new fields go last)",
    ),
}


@pytest.mark.parametrize(("event", "breach"), FORBIDDEN.values(), ids=FORBIDDEN.keys())
def test_a_forbidden_change_is_named_with_its_fix(event: type[Event], breach: str) -> None:
    [found] = breaches(event, GOLDEN)

    assert found.startswith(breach)
    assert "version" in found


def test_an_optional_field_may_be_added_at_the_end() -> None:
    assert breaches(changed(scroll=Optional), GOLDEN) == []


def test_meaning_and_privacy_may_be_told_better() -> None:
    assert breaches(changed(page=Annotated[str, Field("Path of the page.", max_length=100)]), GOLDEN) == []


@pytest.mark.parametrize("name", EVENTS)
def test_the_event_keeps_what_its_version_promised(name: str) -> None:
    event = EVENTS[name]
    assert golden_path(event).exists(), "a new event or version: run python -m domain.contract.generate"

    assert breaches(event, read_golden(event)) == []
