"""Whoever was erased does not come in again: late, replayed, redriven or broken, and every record is still counted."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from itertools import count
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from domain.ingest.batch import Arrived, Sorted, sort
from domain.ingest.landing import Lander
from domain.ingest.receipts import read_receipt, shard_prefix
from domain.privacy.denial import ERASED, admitted, owner_of
from domain.privacy.erasures import DENIED_HEX, Denied, digest
from domain.tables import QUARANTINE
from tests.domain.ingest.faulty import MemoryBucket

KEY = b"k" * 32
NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
GONE = "u-gone"


def denied(*people: str) -> Denied:
    return Denied(KEY, frozenset(digest(KEY, person)[:DENIED_HEX] for person in people))


def record(number: int, user: str, **changed: Any) -> Arrived:
    body: dict[str, Any] = {
        "event": "search",
        "event_id": f"e-{number}",
        "event_time": "2026-03-01T12:00:00Z",
        "user_id": user,
    }
    body |= {"query": f"of {user}", "results": 1, **changed}
    return Arrived(10 + number, NOON + timedelta(hours=number), json.dumps(body).encode())


def any_batch() -> list[Arrived]:
    """Two days; the one who is gone sends good records and a broken one, as others do."""
    return [
        record(0, "u-stays"),
        record(1, GONE),
        record(2, f" {GONE}\t"),
        record(3, GONE, results=-1),
        record(4, "u-gone-not", results=-1),
        record(5, "u-stays"),
        record(18, GONE),
        Arrived(40, NOON, b"broken"),
    ]


def rows(batch: Sorted, name: str) -> list[dict[str, Any]]:
    return [row for part in batch.parts if part.table.name == name for row in part.rows.to_pylist()]


def test_nothing_of_a_denied_person_is_left_and_all_others_stay_as_they_were() -> None:
    before = sort(any_batch(), "shard-0")
    after = admitted(before, denied(GONE))

    assert [row["user_id"] for row in rows(after, "search")] == ["u-stays", "u-stays"]
    assert rows(after, "search") == [row for row in rows(before, "search") if row["user_id"] == "u-stays"]
    assert GONE not in str([row for part in after.parts for row in part.rows.to_pylist()]).replace("u-gone-not", "")


def test_a_denied_record_keeps_its_place_so_that_every_event_is_still_accounted_for() -> None:
    before = sort(any_batch(), "shard-0")
    after = admitted(before, denied(GONE))

    assert before.events == after.events == sum(after.landed.values()) + sum(after.quarantined.values())
    assert after.quarantined[ERASED] == 4
    places = [row for row in rows(after, "quarantine") if row["reason"] == ERASED]
    assert [int(row["sequence"]) for row in sorted(places, key=lambda row: row["sequence"])] == [11, 12, 13, 28]
    assert {(row["payload"], row["value"], row["field"]) for row in places} == {(b"", None, None)}
    assert sum(part.rows.num_rows for part in after.parts) == after.events
    assert len({(part.table.name, part.day) for part in after.parts}) == len(after.parts)


def test_without_anybody_denied_a_batch_is_left_as_it_is() -> None:
    batch = sort(any_batch(), "shard-0")

    assert admitted(batch, denied()) is batch
    assert admitted(batch, denied("somebody else")).landed == batch.landed


def test_a_batch_that_holds_only_denied_people_lands_nothing_but_places() -> None:
    after = admitted(sort([record(0, GONE), record(1, GONE)], "shard-0"), denied(GONE))

    assert (after.landed, after.quarantined) == ({}, {ERASED: 2})
    assert {part.table for part in after.parts} == {QUARANTINE}


def test_what_the_denied_said_beyond_a_contract_is_not_kept_either() -> None:
    before = sort([record(0, GONE, mood="sad"), record(1, "u-stays", mood="glad")], "shard-0")
    after = admitted(before, denied(GONE))

    assert [row["value"] for row in rows(before, "undeclared")] == ['"sad"', '"glad"']
    assert [row["value"] for row in rows(after, "undeclared")] == ['"glad"']
    assert (after.landed, after.quarantined) == ({"search": 1}, {ERASED: 1})


class Told:
    """A door at which news comes in only after a number of looks."""

    def __init__(self, *news: frozenset[str]) -> None:
        self.news = list(news)
        self.denied = Denied(KEY)

    def admit(self, batch: Sorted) -> Sorted:
        return admitted(batch, self.denied)

    def has_news(self) -> bool:
        new = self.news.pop(0) if self.news else frozenset()
        self.denied = replace(self.denied, digests=frozenset(self.denied.digests) | new)
        return bool(new)


def test_a_person_who_is_denied_while_a_batch_lands_is_not_in_what_counts() -> None:
    """The list is looked at again between the files and the receipt: from there on a request finds all that landed."""
    bucket, names = MemoryBucket(), count()
    door = Told(frozenset(denied("u-stays").digests), frozenset(denied(GONE).digests))
    lander = Lander(bucket, "clicks", "shard-0", lambda: f"a{next(names)}", lambda: NOON, door=door)

    landing = lander.land(any_batch())

    [receipt] = [read_receipt(bucket.get(key)) for key in bucket.keys(shard_prefix("clicks", "shard-0"))]
    landed = [pq.read_table(pa.BufferReader(bucket.get(file.key))).to_pylist() for file in receipt.files]
    assert landing.account.imbalance == 0
    assert not [row for file in landed for row in file if row.get("user_id")]
    assert next(names) == 3, "it was written again after each news"


@pytest.mark.parametrize("spelled", ["u-gone", "u-gone ", "\uff55-gone"])
def test_a_denied_person_is_known_however_the_name_is_spelled(spelled: str) -> None:
    assert admitted(sort([record(0, spelled)], "shard-0"), denied(GONE)).quarantined == {ERASED: 1}


NOBODYS = {
    "a list without an end": b"[" * 200_000,
    "a name without an end": b'{"user_id":' + b"[" * 200_000,
    "half a character": b'{"user_id":"\\ud800"}',
    "no text": b"\xff",
    "nothing": b"",
}


@pytest.mark.parametrize("payload", NOBODYS)
def test_whose_a_record_is_that_nobody_can_read_is_not_known(payload: str) -> None:
    """A nesting without an end would else stop its shard, as soon as anybody is denied."""
    assert owner_of(pa.scalar(NOBODYS[payload])) is None
