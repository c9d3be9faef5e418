"""The contract: every fault is found and named, and nothing sound is refused."""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.contract.fakes import fake, fake_record
from domain.events import EVENTS
from domain.ingest.contract import BrokenContract, Reason, Valid, check, glance, shapes, study
from domain.ingest.limits import LARGEST_RECORD, LEAD, LONGEST_VALUE
from tests.domain.contract.strategies import NOW, any_documents
from tests.domain.ingest.reference import keeps_contract

GOOD = {
    "event": "rating",
    "event_id": "e-1",
    "event_time": "2026-03-01T12:00:00.123Z",
    "user_id": "u-1",
    "product_id": "p-1",
    "stars": 3,
}
VIEW = {
    "event": "page_view",
    "event_id": "e-1",
    "event_time": "2026-03-01T12:00:00Z",
    "user_id": "u-1",
    "page": "/",
    "device": "mobile",
    "country": "DE",
}
SEARCH = {**VIEW, "event": "search", "query": "q"}
EXPOSURE = {**VIEW, "event": "exposure", "experiment": "x", "arm": "a", "propensity": 0.5}


def write(document: Any = None, **changes: Any) -> bytes:
    return json.dumps({**(document or GOOD), **changes}).encode()


def without(name: str) -> bytes:
    return json.dumps({key: value for key, value in GOOD.items() if key != name}).encode()


def raw(name: str, text: str) -> bytes:
    """Write the good event with the value of one field replaced by raw JSON text."""
    return write(**{name: "@"}).replace(b'"@"', text.encode())


FAULTS = [
    ("invalid UTF-8", write().replace(b"u-1", b"\xff\xfe"), Reason.NOT_UTF8, None),
    ("UTF-16", json.dumps(GOOD).encode("utf-16"), Reason.NOT_UTF8, None),
    ("byte order mark", b"\xef\xbb\xbf" + write(), Reason.NOT_JSON, None),
    ("NUL byte", write().replace(b"u-1", b"\0"), Reason.NOT_JSON, None),
    ("NUL after the record", write() + b"\0", Reason.NOT_JSON, None),
    ("escaped NUL", raw("user_id", r'"\u0000"'), Reason.UNSAFE_TEXT, None),
    ("lone high surrogate", raw("user_id", r'"\ud800"'), Reason.UNSAFE_TEXT, None),
    ("lone low surrogate", raw("user_id", r'"\udc00x"'), Reason.UNSAFE_TEXT, None),
    ("lone surrogate in a key", raw("user_id", r'"u", "\ud800": 1'), Reason.UNSAFE_TEXT, None),
    ("lone surrogate in an unknown field", raw("user_id", r'"u", "more": ["\udfff"]'), Reason.UNSAFE_TEXT, None),
    ("control character", raw("user_id", '"a\nb"'), Reason.NOT_JSON, None),
    ("nothing", b"", Reason.NOT_JSON, None),
    ("blank", b" \n ", Reason.NOT_JSON, None),
    ("null", b"null", Reason.NOT_AN_OBJECT, None),
    ("a list", b"[" + write() + b"]", Reason.NOT_AN_OBJECT, None),
    ("a text", b'"rating"', Reason.NOT_AN_OBJECT, None),
    ("cut short", write()[:-2], Reason.NOT_JSON, None),
    ("two objects", write() + write(), Reason.NOT_JSON, None),
    ("single quotes", write().replace(b'"', b"'"), Reason.NOT_JSON, None),
    ("trailing comma", write().replace(b"}", b",}"), Reason.NOT_JSON, None),
    ("nested too deep", raw("user_id", "[" * 100_000), Reason.NOT_JSON, None),
    ("key twice", raw("user_id", '"a", "user_id": "b"'), Reason.DUPLICATE_KEY, "user_id"),
    ("key twice, same value", raw("user_id", '"a", "user_id": "a"'), Reason.DUPLICATE_KEY, "user_id"),
    ("key twice, once escaped", raw("user_id", r'"a", "user_i\u0064": "a"'), Reason.DUPLICATE_KEY, "user_id"),
    ("event twice", raw("user_id", '"a", "event": "rating"'), Reason.DUPLICATE_KEY, "event"),
    ("unknown field twice", raw("user_id", '"a", "more": 1, "more": 1'), Reason.DUPLICATE_KEY, "more"),
    ("no event", without("event"), Reason.UNKNOWN_EVENT, "event"),
    ("unknown event", write(event="page_vew"), Reason.UNKNOWN_EVENT, "event"),
    ("event is a list", write(event=["rating"]), Reason.UNKNOWN_EVENT, "event"),
    ("unknown version", write(version=2), Reason.UNKNOWN_VERSION, "version"),
    ("version is text", write(version="1"), Reason.UNKNOWN_VERSION, "version"),
    ("version is true", write(version=True), Reason.UNKNOWN_VERSION, "version"),
    ("version is null", write(version=None), Reason.UNKNOWN_VERSION, "version"),
    ("version is a fraction", write(version=1.0), Reason.UNKNOWN_VERSION, "version"),
    ("required missing", without("product_id"), Reason.MISSING_FIELD, "product_id"),
    ("required null", write(stars=None), Reason.MISSING_FIELD, "stars"),
    ("fraction for a whole number", write(stars=1.5), Reason.WRONG_TYPE, "stars"),
    ("3.0 for a whole number", raw("stars", "3.0"), Reason.WRONG_TYPE, "stars"),
    ("text for a whole number", write(stars="3"), Reason.WRONG_TYPE, "stars"),
    ("true for a whole number", write(stars=True), Reason.WRONG_TYPE, "stars"),
    ("number for a text", write(product_id=7), Reason.WRONG_TYPE, "product_id"),
    ("object for a text", write(product_id={"id": 7}), Reason.WRONG_TYPE, "product_id"),
    ("over 64 bits", write(SEARCH, results=2**63), Reason.OUT_OF_BOUNDS, "results"),
    ("under 64 bits", raw("stars", str(-(2**63) - 1)), Reason.OUT_OF_BOUNDS, "stars"),
    ("5,000 digits", raw("stars", "9" * 5_000), Reason.OUT_OF_BOUNDS, "stars"),
    ("5,000 digits for a fraction", write(EXPOSURE).replace(b"0.5", b"9" * 5_000), Reason.OUT_OF_BOUNDS, "propensity"),
    ("NaN", write(EXPOSURE, propensity=float("nan")), Reason.NOT_JSON, None),
    ("infinity", write(EXPOSURE, propensity=float("inf")), Reason.NOT_JSON, None),
    ("1e999", write(EXPOSURE).replace(b"0.5", b"1e999"), Reason.OUT_OF_BOUNDS, "propensity"),
    ("400 digits for a fraction", write(EXPOSURE, propensity=10**400), Reason.OUT_OF_BOUNDS, "propensity"),
    ("309 digits for a fraction", write(EXPOSURE, propensity=-2 * 10**308), Reason.OUT_OF_BOUNDS, "propensity"),
    ("an offset of 60 minutes", write(event_time="2026-03-01T11:00:00+00:60"), Reason.WRONG_TYPE, "event_time"),
    ("at an open bound", write(EXPOSURE, propensity=0), Reason.OUT_OF_BOUNDS, "propensity"),
    ("above a bound", write(EXPOSURE, propensity=1.01), Reason.OUT_OF_BOUNDS, "propensity"),
    ("below a bound", write(stars=0), Reason.OUT_OF_BOUNDS, "stars"),
    ("no choice", write(VIEW, device="watch"), Reason.OUT_OF_BOUNDS, "device"),
    ("too long", write(VIEW, country="DEU"), Reason.OUT_OF_BOUNDS, "country"),
    ("an id that is empty", write(event_id=""), Reason.OUT_OF_BOUNDS, "event_id"),
    ("an empty text, written with a space before it", raw("user_id", ' ""'), Reason.OUT_OF_BOUNDS, "user_id"),
    ("too short", write(VIEW, country="D"), Reason.OUT_OF_BOUNDS, "country"),
    ("optional of another type", write(VIEW, referrer=5), Reason.WRONG_TYPE, "referrer"),
    ("time without offset", write(event_time="2026-03-01T12:00:00"), Reason.WRONG_TYPE, "event_time"),
    ("date only", write(event_time="2026-03-01"), Reason.WRONG_TYPE, "event_time"),
    ("time as a number", write(event_time=1772366400), Reason.WRONG_TYPE, "event_time"),
    ("no such day", write(event_time="2026-02-30T12:00:00Z"), Reason.WRONG_TYPE, "event_time"),
    ("leap second", write(event_time="2026-03-01T11:59:60Z"), Reason.WRONG_TYPE, "event_time"),
    ("far in the future", write(event_time="2026-03-01T13:00:00.000001Z"), Reason.AHEAD_OF_TIME, "event_time"),
    ("before computers", write(event_time="1969-12-31T23:59:59Z"), Reason.BEFORE_TIME, "event_time"),
    ("before the calendar", write(event_time="0001-01-01T00:00:00+05:00"), Reason.BEFORE_TIME, "event_time"),
    ("after the calendar", write(event_time="9999-12-31T23:59:59-05:00"), Reason.AHEAD_OF_TIME, "event_time"),
    ("over 1 MiB", write(more="x" * LARGEST_RECORD), Reason.TOO_LARGE, None),
]
SOUND = {
    "as simple as can be": write(),
    "with spaces": json.dumps(GOOD, indent=4).encode(),
    "with its version": write(version=1),
    "an hour ahead": write(event_time="2026-03-01T13:00:00Z"),
    "with another offset": write(event_time="2026-03-01T14:30:00+05:30"),
    "with an offset without a colon": write(event_time="2026-03-01T12:00:00+0000"),
    "with nanoseconds": write(event_time="2026-03-01T12:00:00.123456789Z"),
    "with 5,000 digits of a second": write(event_time=f"2026-03-01T12:00:00.{'1' * 5_000}Z"),
    "with escapes": write(user_id='ünï\u2028\U0001f600 " \\'),
    "with the text of an escape": raw("user_id", r'"\\u0000"'),
    "whole number for a fraction": write(EXPOSURE, propensity=1),
    "optional null": write(VIEW, referrer=None),
    "optional given": write(VIEW, referrer="https://example.com/?a=1:2"),
    "an unknown field": write(more={"a": [1, "x"]}),
    "an unknown field that is null": write(more=None),
    "an unknown field of 5,000 digits": raw("user_id", '"u", "more": ' + "9" * 5_000),
    "exactly 1 MiB": write(more="x" * (LARGEST_RECORD - len(write(more="")))),
    "largest whole number": write(SEARCH, results=2**63 - 1),
    "an empty text where one may be": write(SEARCH, query="", results=0),
    "an optional text that is empty": write(VIEW, referrer=""),
    "one character outside the first plane": write(user_id="\U0001f600"),
    "text full of quotes": write(user_id='""""'),
}
FAULT_NAMES = [fault[0] for fault in FAULTS]


def values_of(valid: Valid) -> dict[str, Any]:
    found = {name: getattr(valid.values, name) for name in shapes()[valid.event].columns}
    return {"event": valid.event, **found}


def fast(payload: bytes) -> dict[str, Any] | None:
    try:
        return values_of(check(payload, NOW))
    except BrokenContract:
        return None


@pytest.mark.parametrize(("payload", "reason", "field"), [fault[1:] for fault in FAULTS], ids=FAULT_NAMES)
def test_a_fault_is_named_with_its_field(payload: bytes, reason: Reason, field: str | None) -> None:
    with pytest.raises(BrokenContract) as broken:
        check(payload, NOW)

    assert (broken.value.reason, broken.value.field) == (reason, field)
    assert keeps_contract(payload, NOW) is None


@pytest.mark.parametrize("payload", SOUND.values(), ids=SOUND.keys())
def test_a_sound_record_keeps_its_contract(payload: bytes) -> None:
    assert fast(payload) == keeps_contract(payload, NOW) is not None


def test_a_fault_says_what_would_be_right() -> None:
    with pytest.raises(BrokenContract) as broken:
        check(write(stars=9), NOW)

    fault = broken.value
    assert (fault.event, fault.field, fault.value) == ("rating", "stars", "9")
    assert fault.detail == "'stars' is 9; it takes a whole number of 64 bits, not in quotes, at least 1, at most 5"


IDENTITIES = {"event_id", "user_id", "product_id", "order_id", "experiment", "arm"}


@pytest.mark.parametrize(
    ("event", "name"),
    [(event, column.name) for event in EVENTS for column in EVENTS[event].columns() if column.name in IDENTITIES],
)
def test_what_names_something_is_never_empty(event: str, name: str) -> None:
    """Seed 5. An empty id would make one user, or one product, of all who sent it."""
    document = fake(EVENTS[event], random.Random(5), NOW)

    check(write(document), NOW)
    with pytest.raises(BrokenContract, match=f"'{name}' is empty; it takes text, not empty, at most 128 characters"):
        check(write(document, **{name: ""}), NOW)


def test_a_long_value_is_shown_cut() -> None:
    with pytest.raises(BrokenContract) as broken:
        check(write(VIEW, country="D" * 100_000), NOW)

    assert broken.value.value == "D" * LONGEST_VALUE


def test_fields_that_no_contract_knows_are_counted() -> None:
    assert check(write(more=1, again="x"), NOW).undeclared == ("more", "again")
    assert check(write(version=1), NOW).undeclared == ()


@pytest.mark.parametrize("depth", [100, 500, 900, 950, 980, 1_000, 10_000])
def test_a_deep_value_never_stops_the_batch(depth: int) -> None:
    lists, objects = "[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth
    for payload in (raw("user_id", f'"u", "more": {lists}'), raw("stars", objects)):
        try:
            assert len(check(payload, NOW).undeclared) == 1
        except BrokenContract as broken:
            assert broken.reason in {Reason.NOT_JSON, Reason.WRONG_TYPE}


def test_a_clock_may_lead_by_an_hour_of_its_own_arrival() -> None:
    payload = write(event_time="2026-03-01T12:00:00Z")
    noon = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)

    check(payload, noon - LEAD)
    with pytest.raises(BrokenContract):
        check(payload, noon - LEAD - timedelta(microseconds=1))


@given(any_documents(), st.booleans(), st.sampled_from([None, 1]))
def test_every_event_that_is_allowed_is_taken(document: dict[str, Any], ascii_only: bool, indent: int | None) -> None:
    payload = json.dumps(document, ensure_ascii=ascii_only, indent=indent).encode()

    assert fast(payload) == keeps_contract(payload, NOW) is not None


PIECES = [b'"', b"\\", b"{", b"}", b"[", b",", b":", b" ", b"0", b"9", b"-", b".", b"e", b"null", b"true", b"\\u0000"]
PIECES += [b"\\ud83d", b"\\ude00", b"\xc3", b"\xbc", b'"event":', b'"version":1,', b'"stars":3,', b"\n", b"Z", b"+"]


@settings(max_examples=400)
@given(any_documents(), st.data())
def test_mutated_bytes_are_judged_as_the_reference_judges_them(document: dict[str, Any], data: st.DataObject) -> None:
    payload = json.dumps(document, ensure_ascii=data.draw(st.booleans())).encode()
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(payload)))
        piece = data.draw(st.sampled_from(PIECES) | st.binary(max_size=2))
        payload = payload[:place] + piece + payload[place + data.draw(st.integers(0, 2)) :]

    assert fast(payload) == keeps_contract(payload, NOW)


TIMES = ["2026-03-01T12:00:00.5+01:00", "2026-03-01T12:00:00.0000005Z", "1970-01-01T00:00:00Z"]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([*TIMES, "mobile"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=300)
@given(any_documents(), st.data())
def test_swapped_values_are_judged_as_the_reference_judges_them(document: dict[str, Any], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(document)))
    payload = json.dumps({**document, name: data.draw(JSON)}).encode()

    assert fast(payload) == keeps_contract(payload, NOW)


@given(any_documents())
def test_the_fast_reading_agrees_with_the_thorough_one(document: dict[str, Any]) -> None:
    payload = json.dumps(document, ensure_ascii=False).encode()
    glanced = glance(payload)

    if glanced is not None:
        assert msgspec.structs.astuple(glanced.values) == msgspec.structs.astuple(study(payload).values)


@pytest.mark.parametrize("name", EVENTS)
def test_plain_records_take_the_fast_reading(name: str) -> None:
    """Seed 7."""
    chance = random.Random(7)
    payloads = [fake_record(EVENTS[name], chance, NOW) for _ in range(200)]
    plain = [payload for payload in payloads if b"\\" not in payload]

    assert len(plain) > 50
    assert all(glance(payload) for payload in plain)
