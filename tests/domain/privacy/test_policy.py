"""A contract that would not protect is refused, and the field named."""

from __future__ import annotations

from typing import Annotated, ClassVar

import pytest

from domain.events import EVENTS, Event
from domain.privacy.policy import RefusedTreatment, check
from domain.schema import Field, Privacy, Treatment

IDENTIFIER, SENSITIVE, PLAIN = Privacy.IDENTIFIER, Privacy.SENSITIVE, Privacy.PLAIN


def event_with(note: Field, kind: type = str) -> type[Event]:
    """Declare an event with one more field."""
    return type("SignUp", (Event,), {"name": "sign_up", "__annotations__": {"detail": Annotated[kind, note]}})


def test_our_own_events_are_declared_whole() -> None:
    check(EVENTS.values())


@pytest.mark.parametrize(
    "note",
    [
        Field("A mail.", privacy=IDENTIFIER, treatment=Treatment.TOKENIZE, domain="email"),
        Field("A card.", min_length=12, privacy=IDENTIFIER, treatment=Treatment.PRESERVE, domain="account"),
        Field("A wish.", privacy=SENSITIVE, treatment=Treatment.ENCRYPT),
        Field("A wish.", privacy=SENSITIVE, treatment=Treatment.SHRED),
        Field("A size.", choices=("S", "M"), privacy=SENSITIVE, treatment=Treatment.ENCRYPT),
        Field("A place.", max_length=2, privacy=Privacy.QUASI_IDENTIFIER, treatment=Treatment.GENERALIZE),
    ],
)
def test_a_field_that_is_declared_well_is_taken(note: Field) -> None:
    check([event_with(note)])


@pytest.mark.parametrize(
    ("note", "kind", "fault"),
    [
        (Field("What?"), str, "privacy is not declared"),
        (Field("A mail.", privacy=IDENTIFIER), str, "names a person"),
        (Field("A mail.", privacy=IDENTIFIER, treatment=Treatment.TOKENIZE), str, "domain of tokens is None"),
        (
            Field("Sex.", choices=("f", "m"), privacy=IDENTIFIER, treatment=Treatment.TOKENIZE, domain="user"),
            str,
            "2 choices",
        ),
        (Field("Code.", max_length=3, privacy=PLAIN, treatment=Treatment.TOKENIZE, domain="user"), str, "at most 3"),
        (
            Field("Pin.", min_length=4, privacy=IDENTIFIER, treatment=Treatment.PRESERVE, domain="account"),
            str,
            "min_length=6",
        ),
        (Field("Sum.", privacy=SENSITIVE, treatment=Treatment.ENCRYPT), float, "declare it as str"),
    ],
)
def test_a_field_that_would_not_be_protected_is_refused_by_name(note: Field, kind: type, fault: str) -> None:
    with pytest.raises(RefusedTreatment, match=rf"SignUp\.detail: .*{fault}"):
        check([event_with(note, kind)])


def test_a_subject_in_clear_is_refused() -> None:
    class Visit(Event):
        """A visit."""

        name: ClassVar[str] = "visit"
        user_id: Annotated[str, Field("Who.", privacy=IDENTIFIER, treatment=Treatment.ENCRYPT)]

    with pytest.raises(RefusedTreatment, match=r"Visit\.user_id"):
        check([Visit])
