"""The fast path: whole batches are judged just as each record alone."""

from __future__ import annotations

import json
import random
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.contract.fakes import fake_record
from domain.events import EVENTS
from domain.ingest import batch, bulk
from domain.ingest.batch import Arrived, sort
from domain.ingest.contract import BrokenContract, check
from domain.tables import QUARANTINE, UNDECLARED
from tests.domain.contract.strategies import NOW, any_documents
from tests.domain.ingest.reference import keeps_contract
from tests.domain.ingest.test_contract import FAULTS, GOOD, raw, write

Judged = dict[str, list[dict[str, Any]]]


def judged(payloads: list[bytes]) -> Judged:
    """Sort payloads as one batch."""
    parts = sort([Arrived(number, NOW, payload) for number, payload in enumerate(payloads, start=1)], "s").parts
    return {part.table.name: part.rows.to_pylist() for part in parts if part.table is not UNDECLARED}


def alone(payloads: list[bytes]) -> Judged:
    """Judge each payload alone: landed as the reference reads it, set aside for the reason that `check` gives."""
    rows: Judged = {}
    for number, payload in enumerate(payloads, start=1):
        came = {"arrived_at": NOW, "shard": "s", "sequence": f"{number:056d}"}
        try:
            event = check(payload, NOW).event
        except BrokenContract as fault:
            said = {name: getattr(fault, name) for name in ("event", "field", "value", "detail")}
            row = {"reason": fault.reason.value, **said, "payload": payload, **came}
            rows.setdefault("quarantine", []).append(row)
        else:
            values = keeps_contract(payload, NOW) or {}
            del values["event"]
            rows.setdefault(event, []).append({**values, "version": 1, **came})
    return rows


def good(number: int) -> bytes:
    return fake_record(list(EVENTS.values())[number % len(EVENTS)], random.Random(number), NOW)


PRICED = {**{name: value for name, value in GOOD.items() if name != "stars"}, "event": "product_view", "category": "c"}

SOUND = [
    ("spaced", json.dumps(GOOD).encode()),
    ("pretty-printed", json.dumps(GOOD, indent=2).encode()),
    ("version given", write(version=1)),
    ("null for an optional", write(json.loads(good(0)), referrer=None)),
    ("unknown field", write(more={"a": [1, {"b": None}]})),
    ("unknown field with a brace", write(more="}{")),
    ("escapes", write(product_id='a"b\\c\u00e9\U0001f600')),
    ("not escaped", json.dumps({**GOOD, "product_id": "é\U0001f600"}, ensure_ascii=False).encode()),
    ("offset", write(event_time="2026-03-01T13:00:00+01:00")),
    ("offset without colon", write(event_time="2026-03-01T13:00:00+0100")),
    ("small letters", write(event_time="2026-03-01t12:00:00z")),
    ("space for T", write(event_time="2026-03-01 12:00:00Z")),
    ("nanoseconds", write(event_time="2026-03-01T11:00:00.123456789Z")),
    ("text across the line's end", write(product_id="x},{")),
    ("keys in escapes", write().replace(b'"stars"', b'"st\\u0061rs"')),
    ("the event's name in escapes", write().replace(b'"rating"', b'"r\\u0061ting"')),
    ("an escaped solidus", write().replace(b'"p-1"', b'"p\\/1"')),
    ("a pair of surrogates in escapes", write().replace(b'"p-1"', b'"\\ud83d\\ude00"')),
    ("control characters in escapes", write().replace(b'"p-1"', b'"a\\u0001\\tb"')),
    ("minus nought", json.dumps({**PRICED, "price": 0}).replace('"price": 0', '"price": -0').encode()),
    ("minus nought as a fraction", json.dumps({**PRICED, "price": 0}).replace('"price": 0', '"price": -0.0').encode()),
    ("an exponent", json.dumps({**PRICED, "price": 0}).replace('"price": 0', '"price": 1.25E+2').encode()),
    ("the largest fraction", json.dumps({**PRICED, "price": 1.7976931348623157e308}).encode()),
    ("the smallest fraction", json.dumps({**PRICED, "price": 5e-324}).encode()),
    ("a fraction that vanishes", json.dumps({**PRICED, "price": 0}).replace('"price": 0', '"price": 1e-400').encode()),
    ("a whole number for a fraction", json.dumps({**PRICED, "price": 9007199254740993}).encode()),
    ("seventeen digits", json.dumps({**PRICED, "price": 0.30000000000000004}).encode()),
    ("spaces and tabs around", b" \t" + write() + b"\t "),
    ("a carriage return at its end", write() + b"\r"),
    ("an unknown field that is deep", write(more=json.loads("[" * 90 + "]" * 90))),
    ("an unknown field that is empty", write(**{"": ""})),
    ("a byte order mark within text", write(product_id="\ufeffp")),
    ("six digits of a second", write(event_time="2026-03-01T11:00:00.000001Z")),
    ("a tenth of a second", write(event_time="2026-03-01T11:00:00.1Z")),
    ("the earliest moment", write(event_time="1970-01-01T00:00:00Z")),
]

UNSOUND = [
    ("a key twice, one in escapes", write().replace(b'"stars"', b'"st\\u0061rs": 3, "stars"')),
    ("a required key twice, one null", write().replace(b'"stars"', b'"stars": null, "stars"')),
    ("an unknown key twice beneath", write(more=1).replace(b'"more": 1', b'"more": {"a": 1, "a": 2}')),
    ("1e400", json.dumps({**PRICED, "price": 0}).replace('"price": 0', '"price": 1e400').encode()),
    ("-1e400", json.dumps({**PRICED, "price": 0}).replace('"price": 0', '"price": -1e400').encode()),
    ("a huge exponent", json.dumps({**PRICED, "price": 0}).replace('"price": 0', '"price": 1e99999999999').encode()),
    ("a whole number with an exponent", raw("stars", "3e0")),
    ("minus nought below a bound", raw("stars", "-0")),
    ("a leading nought", raw("stars", "03")),
    ("a leading plus", raw("stars", "+3")),
    ("a hexadecimal number", raw("stars", "0x3")),
    ("a number with a point at its end", raw("stars", "3.")),
    ("infinity with a sign", raw("stars", "-Infinity")),
    ("one above 64 bits", raw("stars", "9223372036854775808")),
    ("one above 64 bits, unsigned", raw("stars", "18446744073709551616")),
    ("half of a surrogate pair, raw", write().replace(b"u-1", b"\xed\xa0\x80")),
    ("UTF-8 that is too long", write().replace(b"u-1", b"\xc0\xaf")),
    ("invalid UTF-8 in an unknown key", write(more=1).replace(b'"more"', b'"m\xffre"')),
    ("invalid UTF-8 in an unknown value", write(more="@").replace(b"@", b"\xff")),
    ("a raw tab in text", write().replace(b"u-1", b"u\t1")),
    ("an escape that is none", write().replace(b"u-1", b"\\x41")),
    ("an escape cut short", write().replace(b"u-1", b"\\u00")),
    ("a brace too many", write() + b"}"),
    ("a comment", write()[:-1] + b"/* */}"),
    ("a comma at the end", write()[:-1] + b",}"),
    ("a list of the event", b"[" + write() + b"]"),
    ("no quotation marks around a key", write().replace(b'"stars"', b"stars")),
    ("True", raw("stars", "True")),
    ("brackets without end", b'{"event":"rating","more":' + b"[" * 100_000),
    ("braces without end", b'{"a":' * 100_000),
    ("an offset of 25 hours", write(event_time="2026-03-01T12:00:00+25:00")),
    ("a time without seconds", write(event_time="2026-03-01T12:00Z")),
    ("a time in a form Arrow reads and RFC 3339 has not", write(event_time="2026-03-01T12:00:00.Z")),
    ("a day that is none", write(event_time="2026-02-30T12:00:00Z")),
    ("nine digits of a second and no offset", write(event_time="2026-03-01T12:00:00.123456789")),
    ("a time with a blank after it", write(event_time="2026-03-01T11:00:00Z ")),
]


@pytest.mark.parametrize(("name", "payload"), [*SOUND, *UNSOUND, *((name, payload) for name, payload, *_ in FAULTS)])
def test_each_edge_case_is_judged_among_neighbours_as_it_is_alone(name: str, payload: bytes) -> None:
    payloads = [good(0), payload, good(1), good(5), payload, *map(good, range(20))]

    assert judged(payloads) == alone(payloads)


def test_sound_cases_land() -> None:
    assert "quarantine" not in judged([payload for _, payload in SOUND])


def test_unsound_cases_are_set_aside_each_and_nothing_else() -> None:
    found = judged([each for _, payload in UNSOUND for each in (payload, good(5))])

    assert [row["payload"] for row in found["quarantine"]] == [payload for _, payload in UNSOUND]
    assert len(found["rating"]) == len(UNSOUND)


def test_marks_saved_by_no_record_hide_none_spent_by_another() -> None:
    """A key given twice beside a record cut short must not add up to two sound ones."""
    twice = raw("user_id", '"a", "user_id": "b"')
    payloads = [twice, write(user_id=None), good(5), b'{"event":"rating"}', twice]

    assert judged(payloads) == alone(payloads)


@given(st.lists(any_documents() | st.integers(0, 40), max_size=12))
def test_any_documents_are_judged_together_as_alone(picks: list[Any]) -> None:
    payloads = [good(pick) if isinstance(pick, int) else json.dumps(pick).encode() for pick in picks]

    assert judged(payloads) == alone(payloads)


@pytest.mark.parametrize("seed", range(6))
def test_mutated_bytes_are_judged_together_as_alone(seed: int) -> None:
    """500 mutations a seed, in batches of 25 among as many sound records."""
    chance = random.Random(seed)
    for _ in range(20):
        payloads = [mutated(good(chance.randrange(999)), chance) for _ in range(25)] + [good(i) for i in range(25)]
        chance.shuffle(payloads)

        assert judged(payloads) == alone(payloads)


def mutated(payload: bytes, chance: random.Random) -> bytes:
    body, place = bytearray(payload), chance.randrange(len(payload))
    change = chance.randrange(5)
    if change == 0:
        body[place] ^= 1 << chance.randrange(8)
    elif change == 1:
        del body[place : place + chance.randrange(1, 6)]
    elif change == 2:
        body[place:place] = bytes(chance.choices(b'\x00"{}[],:\\0129eE+-.tnu \xc3\xff', k=chance.randrange(1, 4)))
    elif change == 3:
        body[place:place] = body[chance.randrange(len(body)) :][:30]
    else:
        body[place] = chance.randrange(256)
    return bytes(body).replace(b"\n", b" ")


@settings(max_examples=300)
@given(st.binary(max_size=60))
def test_no_bytes_raise_or_harm_a_neighbour(payload: bytes) -> None:
    found = judged([good(5), payload, good(5)])

    assert len(found["rating"]) == 2
    assert found.keys() == {"rating", "quarantine"}


@given(
    st.datetimes(NOW.replace(tzinfo=None) - timedelta(days=365 * 57), NOW.replace(tzinfo=None) + timedelta(days=1)),
    st.sampled_from(["Z", "z", "+00:00", "-05:30", "+23:59", "+24:00", "+99:00", "+01", "", "+1:00", " Z"]),
    st.sampled_from([" ", "T", "t", "_"]),
)
def test_any_time_is_read_as_the_contract_reads_it(moment: datetime, offset: str, between: str) -> None:
    payloads = [good(5), write(event_time=moment.isoformat(sep=between) + offset), good(6)]

    assert judged(payloads) == alone(payloads)


def test_a_clean_batch_leaves_no_doubt() -> None:
    payloads = [write(stars=1 + number % 5, event_id=f"e-{number}") for number in range(200)]

    _, doubts = bulk.read(payloads, batch.arrivals([Arrived(1, NOW, payload) for payload in payloads], "s").moments)

    assert doubts == []


def test_rows_of_a_day_keep_the_order_of_arrival() -> None:
    late = datetime(2026, 3, 1, 23, 59, tzinfo=timezone.utc)
    moments = [late + timedelta(seconds=30 * (number % 4)) for number in range(9)]
    payloads = [raw("stars", "3") if number % 3 else write(more=1) for number in range(9)]
    records = [Arrived(n, moment, payload) for n, (moment, payload) in enumerate(zip(moments, payloads, strict=True))]

    parts = [part for part in sort(records, "s").parts if part.table is not UNDECLARED]

    sequences = [[int(text) for text in part.rows["sequence"].to_pylist()] for part in parts]
    assert sequences == [[0, 1, 4, 5, 8], [2, 3, 6, 7]]
    assert all(part.table is not QUARANTINE for part in parts)


def test_a_batch_read_in_slices_is_judged_as_one_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    payloads = [*map(good, range(11)), b"poison", write(more=1), write(event_time="2026-03-01T13:00:00+01:00")]
    at_once = judged(payloads)
    monkeypatch.setattr(batch, "BATCH", 4)

    assert judged(payloads) == at_once == alone(payloads)
