"""Describe a record once, as a class; derive from it whatever each runtime needs.

A record is declared and never made, so it is a bare class, and what is told of it are named tuples: each dataclass
would add a millisecond to a consumer's start.
Runs on Python 3.10, the oldest runtime that imports it (SageMaker's scikit-learn container 1.4-2).
"""

from __future__ import annotations

from datetime import date, datetime
from enum import Enum
from functools import cache
from types import MemberDescriptorType, NoneType, UnionType
from typing import Annotated, Any, ClassVar, NamedTuple, Union, get_args, get_origin, get_type_hints


class Privacy(str, Enum):
    """How much a field says about the person whose data it is."""

    IDENTIFIER = "identifier"
    QUASI_IDENTIFIER = "quasi_identifier"
    SENSITIVE = "sensitive"
    PLAIN = "plain"


class Treatment(str, Enum):
    """What is done to a field before it rests, once the privacy capability is on."""

    KEEP = "keep"
    TOKENIZE = "tokenize"  # one token a value, so that joins survive; the steward alone turns it back
    PRESERVE = "preserve"  # as that, in as many digits
    ENCRYPT = "encrypt"  # another text each time
    SHRED = "shred"  # as that, under a key of the subject's own, with which it goes
    GENERALIZE = "generalize"  # kept, and coarse in what analysts see


class Field(NamedTuple):
    """What is true of a field beyond its type: meaning, bounds (inclusive, but `above` is not), privacy.

    A `domain` of tokens (domain.privacy.domains) has the same token for the same value; those of two never join.  An
    event's field without a privacy class is refused at synth (domain.privacy.policy).
    """

    doc: str
    minimum: float | None = None
    above: float | None = None
    maximum: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    choices: tuple[str, ...] = ()
    privacy: Privacy | None = None
    treatment: Treatment = Treatment.KEEP
    domain: str | None = None


class Kind(NamedTuple):
    """A kind of value, as Glue and as Iceberg name it."""

    glue: str
    iceberg: str


KINDS: dict[type, Kind] = {
    str: Kind("string", "string"),
    int: Kind("bigint", "long"),
    float: Kind("double", "double"),
    bool: Kind("boolean", "boolean"),
    datetime: Kind("timestamp", "timestamptz"),
    date: Kind("date", "date"),
    bytes: Kind("binary", "binary"),
}


class Column(NamedTuple):
    """A column of a record: its name, the Python type of its values, and what is true of it."""

    name: str
    kind: type
    required: bool
    field: Field

    @property
    def glue_type(self) -> str:
        """Name the type as the Glue catalogue does."""
        return KINDS[self.kind].glue

    @property
    def iceberg_type(self) -> str:
        """Name the type as the Iceberg specification does (times are UTC, in microseconds)."""
        return KINDS[self.kind].iceberg


class Record:
    """Ancestor of every record; a subclass annotates each of its fields with a type and what is true of it.

    >>> class Visit(Record):
    ...     page: Annotated[str, Field("Path of the page.")]
    ...     referrer: Annotated[str | None, Field("URL that led here.")] = None
    >>> [(column.name, column.required) for column in Visit.columns()]
    [('page', True), ('referrer', False)]
    """

    @classmethod
    def columns(cls) -> tuple[Column, ...]:
        """List the record's columns, in order, its ancestors' first."""
        return _columns(cls)  # type: ignore[arg-type]  # mypy takes a class for unhashable


class UnusableField(TypeError):
    """A record declares a field that the lake cannot hold."""


@cache
def _columns(record: type[Record]) -> tuple[Column, ...]:
    hints = get_type_hints(record, include_extras=True)  # in the order of declaration, ancestors' first
    return tuple(_column(record, name, hint) for name, hint in hints.items() if get_origin(hint) is not ClassVar)


def _column(record: type[Record], name: str, hint: Any) -> Column:
    if get_origin(hint) is not Annotated:
        raise UnusableField(f"{record.__name__}.{name}: declare it as Annotated[type, Field('what it means')]")
    declared, *notes = get_args(hint)
    kind, optional = _unwrap(declared)
    if kind not in KINDS:
        allowed = ", ".join(sorted(known.__name__ for known in KINDS))
        raise UnusableField(f"{record.__name__}.{name}: {kind!r} is none of {allowed}")
    if not _fits(record, name, optional):
        raise UnusableField(
            f"{record.__name__}.{name}: an optional field has the default None, a required one has none"
        )
    note = next(note for note in notes if isinstance(note, Field))
    return Column(name=name, kind=kind, required=not optional, field=note)


def _fits(record: type[Record], name: str, optional: bool) -> bool:
    if isinstance(getattr(record, name, None), MemberDescriptorType):
        return True  # of whoever makes a slotted dataclass of a record, which sees to defaults itself
    return hasattr(record, name) == optional


def _unwrap(declared: Any) -> tuple[Any, bool]:
    if get_origin(declared) in (Union, UnionType):
        kinds = [kind for kind in get_args(declared) if kind is not NoneType]
        return kinds[0], True
    return declared, False
