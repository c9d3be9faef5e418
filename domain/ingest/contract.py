"""Hold a record against the contract of the event that it claims to be."""

from __future__ import annotations

import functools
import json
import operator
from collections.abc import Iterator
from datetime import date, datetime
from enum import Enum
from typing import Annotated, Any, Literal

import msgspec

from domain.contract.json_schema import LONGEST_INTEGER
from domain.contract.wording import expectation
from domain.events import EVENTS, Event
from domain.ingest.limits import EARLIEST, LARGEST_RECORD, LEAD, LONGEST_VALUE
from domain.schema import Column

LARGEST_FLOAT = 1.7976931348623157e308  # IEEE 754 binary64: beyond it is infinity
MOST_DIGITS = 400
"""Digits of a whole number that are read: with more it is beyond all bounds, and Python reads 4,300 at most."""

WIDEST: dict[type, dict[str, Any]] = {
    int: {"ge": -LONGEST_INTEGER, "le": LONGEST_INTEGER - 1},
    float: {"ge": -LARGEST_FLOAT, "le": LARGEST_FLOAT},
}


class Reason(str, Enum):
    """Kinds of fault."""

    TOO_LARGE = "too_large"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    DUPLICATE_KEY = "duplicate_key"
    UNSAFE_TEXT = "unsafe_text"
    UNKNOWN_EVENT = "unknown_event"
    UNKNOWN_VERSION = "unknown_version"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    OUT_OF_BOUNDS = "out_of_bounds"
    BEFORE_TIME = "before_time"
    AHEAD_OF_TIME = "ahead_of_time"
    BAD_FRAME = "bad_frame"
    BAD_AGGREGATE = "bad_aggregate"


class BrokenContract(ValueError):
    """A record is not what its contract says; names the kind of fault, field, value, and what would be right."""

    def __init__(
        self,
        reason: Reason,
        detail: str,
        *,
        event: str | None = None,
        field: str | None = None,
        value: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.event = event
        self.field = field
        self.value = value


class Shape(msgspec.Struct, frozen=True):
    """What an event's values must look like, and how many quotation marks its required fields take on the wire."""

    event: type[Event]
    struct: type[msgspec.Struct]
    columns: dict[str, Column]
    times: tuple[str, ...]
    quotes: int
    optional_quotes: dict[str, int]


@functools.cache
def shapes() -> dict[str, Shape]:
    """Lay out what each event must look like, once there is a doubt: records that leave none ask for no shape."""
    return {name: _shape(event) for name, event in EVENTS.items()}


@functools.cache
def plain() -> Any:
    """Make the decoder of any event, which knows it by its name."""
    return msgspec.json.Decoder(functools.reduce(operator.or_, [shape.struct for shape in shapes().values()]))


class Valid(msgspec.Struct, frozen=True):
    """A record that keeps its contract, and which of its fields the contract does not declare."""

    event: str
    values: msgspec.Struct
    undeclared: tuple[str, ...]


ENVELOPE = frozenset({"event", "version"})


def check(payload: bytes, arrived_at: datetime) -> Valid:
    """Return the event's typed values, or raise BrokenContract."""
    valid = glance(payload) or study(payload)
    check_times(valid, arrived_at)
    return valid


def check_document(document: dict[str, Any], arrived_at: datetime) -> None:
    """Hold a document that was never JSON against its contract, or raise BrokenContract."""
    check_text(document)
    check_times(hold(document), arrived_at)


def glance(payload: bytes) -> Valid | None:
    """Read a plain record fast; None if there is any doubt about it.

    Without escapes every quotation mark opens or closes a key or a text.  So a record with no more of them than its
    values need has each key once and no key that is unknown, which the decoder does not check.
    """
    if b"\\" in payload or len(payload) > LARGEST_RECORD:
        return None
    try:
        values = plain().decode(payload)
    except (ValueError, RecursionError):  # study finds the fault and names it
        return None
    shape = shapes()[values.__struct_config__.tag]
    quotes = shape.quotes
    for name, more in shape.optional_quotes.items():
        if getattr(values, name) is not None:
            quotes += more
    return Valid(shape.event.name, values, ()) if payload.count(b'"') == quotes else None


def study(payload: bytes) -> Valid:
    """Read any record, and name the fault if it has one."""
    try:
        return hold(read(payload))
    except RecursionError as error:
        detail = "the record is nested too deep; send a flat object"
        raise BrokenContract(Reason.NOT_JSON, detail) from error


def hold(document: dict[str, Any]) -> Valid:
    """Hold a document against its contract."""
    shape = find_shape(document)
    try:
        values = msgspec.convert(document, shape.struct)
    except msgspec.ValidationError as error:
        raise explain(document, shape) from error
    undeclared = tuple(name for name in document if name not in shape.columns and name not in ENVELOPE)
    return Valid(shape.event.name, values, undeclared)


def read(payload: bytes) -> dict[str, Any]:
    """Parse the record, more strictly than JSON asks: keys once, text that every reader can hold."""
    if len(payload) > LARGEST_RECORD:
        detail = f"the record has {len(payload):,} bytes; send at most {LARGEST_RECORD:,}"
        raise BrokenContract(Reason.TOO_LARGE, detail)
    document = parse(decode(payload))
    if not isinstance(document, dict):
        detail = "the record is JSON, but no object; send one JSON object"
        raise BrokenContract(Reason.NOT_AN_OBJECT, detail, value=shown(document))
    if b"\\u" in payload:
        check_text(document)
    return document


def decode(payload: bytes) -> str:
    """Decode UTF-8 and nothing else."""
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        detail = f"byte {error.start} is not UTF-8; encode the record in UTF-8"
        value = payload[error.start : error.start + 4].hex()
        raise BrokenContract(Reason.NOT_UTF8, detail, value=value) from error


def parse(text: str) -> Any:
    """Parse JSON, each key once."""
    try:
        return DECODER.decode(text)
    except BrokenContract:
        raise
    except ValueError as error:
        raise BrokenContract(Reason.NOT_JSON, f"the record is not JSON ({error}); send one JSON object") from error


def find_shape(document: dict[str, Any]) -> Shape:
    """Find the contract that the record says it keeps."""
    name = document.get("event")
    shape = shapes().get(name) if isinstance(name, str) else None
    if shape is None:
        detail = f"'event' must be one of {', '.join(shapes())}"
        raise BrokenContract(Reason.UNKNOWN_EVENT, detail, field="event", value=shown(name))
    event, version = shape.event, document.get("version", 1)
    if type(version) is not int or version != event.version:
        detail = f"'version' must be the whole number {event.version}"
        raise BrokenContract(Reason.UNKNOWN_VERSION, detail, event=event.name, field="version", value=shown(version))
    return shape


def check_times(valid: Valid, arrived_at: datetime) -> None:
    """Refuse an event with a moment that a sound clock cannot have shown."""
    for name in shapes()[valid.event].times:
        moment = getattr(valid.values, name)
        if moment is not None:
            check_time(valid.event, name, moment, arrived_at)


def check_time(event: str, field: str, moment: datetime, arrived_at: datetime) -> None:
    """Refuse a moment that a sound clock cannot have shown."""
    if moment < EARLIEST:
        detail = f"{field!r} is before {EARLIEST:%Y-%m-%d}; set the producer's clock"
        raise BrokenContract(Reason.BEFORE_TIME, detail, event=event, field=field, value=moment.isoformat())
    if moment > arrived_at + LEAD:
        detail = f"{field!r} is more than {LEAD} after {arrived_at.isoformat()}, when it came; set the producer's clock"
        raise BrokenContract(Reason.AHEAD_OF_TIME, detail, event=event, field=field, value=moment.isoformat())


def explain(document: dict[str, Any], shape: Shape) -> BrokenContract:
    """Name the first field at fault, in the order in which they are declared."""
    faults = (fault_of(document, column, shape) for column in shape.columns.values())
    return next(fault for fault in faults if fault is not None)


def fault_of(document: dict[str, Any], column: Column, shape: Shape) -> BrokenContract | None:
    """Say what is wrong with one field, if anything is."""
    value = document.get(column.name)
    reason = reason_of(value, column)
    if reason is None:
        return None
    said = shown(value) if column.name in document else None
    detail = f"{column.name!r} is {'missing' if said is None else said or 'empty'}; it takes {expectation(column)}"
    return BrokenContract(reason, detail, event=shape.event.name, field=column.name, value=said)


def reason_of(value: object, column: Column) -> Reason | None:
    """Tell a missing value from one of another type and from one out of bounds."""
    if value is None:
        return Reason.MISSING_FIELD if column.required else None
    if not converts(value, bare_type(column)):
        return Reason.OUT_OF_BOUNDS if column.kind is float and type(value) is int else Reason.WRONG_TYPE
    return None if converts(value, value_type(column)) else Reason.OUT_OF_BOUNDS


def converts(value: object, kind: Any) -> bool:
    """Tell whether a JSON value is of the type."""
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def bare_type(column: Column) -> Any:
    """Give the type of a column's values, without bounds."""
    return Annotated[datetime, msgspec.Meta(tz=True)] if column.kind is datetime else column.kind


def value_type(column: Column) -> Any:
    """Give the type of a column's values, with the bounds that the contract and the lake set."""
    field = column.field
    if field.choices:
        return Literal[field.choices]
    limits = {"ge": field.minimum, "gt": field.above, "le": field.maximum}
    lengths = {"min_length": field.min_length, "max_length": field.max_length}
    stated: dict[str, Any] = {name: limit for name, limit in (limits | lengths).items() if limit is not None}
    bounds = {**WIDEST.get(column.kind, {}), **stated}
    if "gt" in bounds:
        bounds.pop("ge", None)
    return Annotated[bare_type(column), msgspec.Meta(**bounds)] if bounds else bare_type(column)


def check_text(document: dict[str, Any]) -> None:
    """Refuse escapes that make text no reader can hold: NUL, and half of a surrogate pair."""
    for text in texts(document):
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            detail = "text holds \\u0000 or half of a surrogate pair; leave it out"
            raise BrokenContract(Reason.UNSAFE_TEXT, detail, value=shown(text))


def texts(document: dict[str, Any]) -> Iterator[str]:
    """Walk over all text in a JSON value, keys included."""
    waiting: list[Any] = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting.extend((*value.keys(), *value.values()))
        elif isinstance(value, list):
            waiting.extend(value)


def shown(value: object) -> str:
    """Show a value as JSON, cut short, in text that every reader can hold."""
    if isinstance(value, str):
        text = value.encode(errors="backslashreplace").decode().replace("\0", "\\u0000")
    else:
        text = json.dumps(value)
    return text[:LONGEST_VALUE]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        field = shown(twice)
        raise BrokenContract(Reason.DUPLICATE_KEY, f"the key {field!r} is given twice; give it once", field=field)
    return document


def _whole(digits: str) -> int:
    return int(digits[:MOST_DIGITS])


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def quotes_of(column: Column) -> int:
    """Count the quotation marks that a column takes on the wire, those of its name included."""
    return 4 if column.kind in (str, datetime, date, bytes) else 2


def _version(event: type[Event]) -> tuple[Any, ...]:
    said = ("version", Literal[event.version])
    return said if event.version > 1 else (*said, event.version)


def _shape(event: type[Event]) -> Shape:
    columns = event.columns()
    fields: list[Any] = [
        (column.name, value_type(column)) if column.required else (column.name, value_type(column) | None, None)
        for column in columns
    ]
    return Shape(
        event=event,
        struct=msgspec.defstruct(
            event.__name__, [_version(event), *fields], kw_only=True, frozen=True, tag_field="event", tag=event.name
        ),
        columns={column.name: column for column in columns},
        times=tuple(column.name for column in columns if column.kind is datetime),
        quotes=(6 if event.version > 1 else 4) + sum(quotes_of(column) for column in columns if column.required),
        optional_quotes={column.name: quotes_of(column) for column in columns if not column.required},
    )


DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_int=_whole, parse_constant=_no_constant)
