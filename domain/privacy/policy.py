"""Refuse a contract that says too little of a field's privacy, or asks for a treatment that would not protect it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from domain.events import Event
from domain.privacy.domains import DOMAINS
from domain.schema import Column, Privacy, Treatment

SMALLEST_DOMAIN = 1_000_000
"""Values that a field must be able to take at least before equal tokens may stand for equal values."""

CHARACTERS = 36
"""Letters and digits: what a short code is made of."""

TOKENS = (Treatment.TOKENIZE, Treatment.PRESERVE)
SEALS = (Treatment.ENCRYPT, Treatment.SHRED)


class RefusedTreatment(TypeError):
    """A field whose privacy is not declared, or whose treatment would not protect it; names it and what to declare."""


def check(events: Iterable[type[Event]]) -> None:
    """Raise RefusedTreatment for the first field that no platform should run with."""
    for event in events:
        for column in event.columns():
            if fault := fault_of(column, event):
                raise RefusedTreatment(f"{event.__name__}.{column.name}: {fault}")


def fault_of(column: Column, event: type[Event]) -> str | None:
    """Say what is wrong with a field's privacy and what would be right, if anything is."""
    faults = (rule(column, event) for rule in RULES)
    return next((fault for fault in faults if fault), None)


def unannotated(column: Column, event: type[Event]) -> str | None:
    """Ask for a class of each field."""
    if column.field.privacy is not None:
        return None
    return f"its privacy is not declared; give its Field privacy=Privacy.{' or '.join(each.name for each in Privacy)}"


def clear_identifier(column: Column, event: type[Event]) -> str | None:
    """Let no field that names a person rest as it is."""
    field = column.field
    if column.name == event.subject and field.treatment is not Treatment.TOKENIZE:
        return "it names the subject, by which rows join; give it treatment=Treatment.TOKENIZE"
    if field.privacy is Privacy.IDENTIFIER and field.treatment in (Treatment.KEEP, Treatment.GENERALIZE):
        return "it names a person; give it treatment=Treatment.TOKENIZE, PRESERVE, ENCRYPT or SHRED"
    return None


def not_text(column: Column, event: type[Event]) -> str | None:
    """Ask for text where a token or a sealed text must go."""
    if column.field.treatment not in (*TOKENS, *SEALS) or column.kind is str:
        return None
    return f"{column.field.treatment.value} gives text, the field holds {column.kind.__name__}; declare it as str"


def lost_domain(column: Column, event: type[Event]) -> str | None:
    """Ask for the domain in which tokens join."""
    field = column.field
    if field.treatment not in TOKENS or field.domain in DOMAINS:
        return None
    return f"its domain of tokens is {field.domain!r}; name one of {', '.join(DOMAINS)} (domain/privacy/domains.py)"


def few_values(column: Column, event: type[Event]) -> str | None:
    """Refuse tokens where there are few values: equal tokens tell how frequent each is, and so which it is."""
    field = column.field
    if field.treatment not in TOKENS:
        return None
    if field.choices or CHARACTERS ** (field.max_length or SMALLEST_DOMAIN) < SMALLEST_DOMAIN:
        said = f"{len(field.choices)} choices" if field.choices else f"at most {field.max_length} characters"
        return f"it takes {said}: equal tokens would tell them by how often they come; encrypt or generalize it"
    return None


def few_digits(column: Column, event: type[Event]) -> str | None:
    """Refuse to keep the format of what is so short that all can be tried."""
    field = column.field
    if field.treatment is not Treatment.PRESERVE or 10 ** (field.min_length or 0) >= SMALLEST_DOMAIN:
        return None
    return f"fewer than {SMALLEST_DOMAIN:,} numbers are so short; give it min_length=6 or more, or another treatment"


Rule = Callable[[Column, type[Event]], str | None]
RULES: tuple[Rule, ...] = (unannotated, clear_identifier, not_text, lost_domain, few_values, few_digits)
