"""The committer: every landed row in its table once, whatever is lost, whoever else commits."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from moto.core.exceptions import JsonRESTError
from pyiceberg.exceptions import CommitFailedException

from domain.contract.fakes import fake_record
from domain.events import EVENTS
from domain.ingest.commits import WITNESS, position_property
from domain.ingest.receipts import BrokenChain, receipt_key
from lambdas.ingest import commit, registration
from lambdas.ingest.commit import unregistered
from lambdas.privacy.purge import purge
from lambdas.privacy.table import erase_table
from tests.domain.contract.strategies import NOW
from tests.lambdas.ingest.conftest import BUCKET, FIRST, SHARD, STREAM, Lake

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tables")]

TABLES = ("raw.rating", "raw.search", WITNESS)


def any_payloads(count: int, seed: int = 1) -> list[bytes]:
    chance = random.Random(seed)
    kinds = [EVENTS["rating"], EVENTS["search"]]
    return [b"broken" if number % 3 == 2 else fake_record(kinds[number % 3], chance, NOW) for number in range(count)]


def fill(lake: Lake, batches: int = 3, size: int = 6, shard: str = SHARD) -> int:
    """Land batches of ratings, searches and broken records in turn; return how many records."""
    for batch in range(batches):
        lake.consume(any_payloads(size, seed=batch), start=batch * size, shard=shard)
    return batches * size


def assert_exactly_once(lake: Lake, records: int) -> None:
    for remainder, name in enumerate(TABLES):
        assert lake.sequences(name) == list(range(remainder, records, 3)), name
    [position] = {lake.table(name).properties[position_property(STREAM, SHARD)] for name in TABLES}
    assert position == str(FIRST + records - 1)


class Fault(JsonRESTError):  # type: ignore[misc]  # moto has no types
    """Glue answers with a fault of its own, which clients take for worth another try."""

    code = 500

    def __init__(self) -> None:
        super().__init__("InternalServiceException", "a fault asked for")


def failing(*numbers: int) -> Callable[[], None]:
    """Make a fault that strikes at the given calls, counted from 1."""
    calls = 0

    def strike() -> None:
        nonlocal calls
        calls += 1
        if calls in numbers:
            raise Fault

    return strike


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registration, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(registration, "ATTEMPTS", 3)


def test_landed_rows_are_in_their_tables(lake: Lake) -> None:
    records = fill(lake)

    report = lake.commit()

    assert_exactly_once(lake, records)
    assert report["committed"] == {name: {"files": 3, "rows": 6} for name in TABLES}
    assert report["more"] is False
    assert 0 < report["lag_seconds"] < 120


def test_every_table_is_reached_by_one_client_of_s3(lake: Lake) -> None:
    ways = {id(lake.table(name).io.fs_by_scheme("s3", BUCKET)) for name in TABLES for _ in range(2)}  # type: ignore[attr-defined]

    assert len(ways) == 1


def test_the_size_of_files_and_late_events_are_counted(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    """The records arrive at noon of 2026-03-01."""
    chance = random.Random(1)
    before = datetime(2026, 2, 27, tzinfo=timezone.utc)
    lake.consume([fake_record(EVENTS["rating"], chance, before) for _ in range(3)])
    [receipt] = lake.chain()
    capsys.readouterr()

    lake.commit()

    said = {name: value for line in capsys.readouterr().out.splitlines() for name, value in json.loads(line).items()}
    assert (said["Late"], said["FileBytes"], said["FilesCommitted"]) == (3, receipt.files[0].bytes, 1)
    days = lake.table("raw.rating").scan().to_arrow()["event_time"].to_pylist()
    assert all(moment <= before for moment in days)


def test_committing_again_changes_nothing(lake: Lake) -> None:
    fill(lake)
    lake.commit()
    before = {name: lake.table(name).metadata_location for name in TABLES}

    report = lake.commit()

    assert report == {"committed": {}, "lag_seconds": 0.0, "more": False}
    assert {name: lake.table(name).metadata_location for name in TABLES} == before


def test_a_table_without_new_files_is_left_alone(lake: Lake) -> None:
    before = lake.table("raw.purchase").metadata_location
    fill(lake)

    lake.commit()

    assert lake.table("raw.purchase").metadata_location == before


@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_commit_whose_answer_is_lost_is_not_made_twice(lake: Lake, call: int) -> None:
    records = fill(lake)
    lake.after = failing(call)

    report = lake.commit()

    assert_exactly_once(lake, records)
    assert sum(done["files"] for done in report["committed"].values()) == 9


def test_a_lost_answer_never_removes_the_files_of_a_commit_that_stands(lake: Lake) -> None:
    """A table may forbid repeated commits; a call that the client repeats by itself would then look like a conflict."""
    records = fill(lake, batches=1)
    for name in TABLES:
        lake.table(name).transaction().set_properties({"commit.retry.num-retries": "0"}).commit_transaction()
    lake.after = failing(1, 2, 3)

    lake.commit()

    assert_exactly_once(lake, records)


@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_commit_that_fails_is_made_again(lake: Lake, call: int) -> None:
    records = fill(lake)
    lake.before = failing(call)

    lake.commit()

    assert_exactly_once(lake, records)


@pytest.mark.parametrize("table", [0, 1, 2])
def test_a_crash_between_tables_is_mended_by_the_next_invocation(lake: Lake, table: int) -> None:
    records = fill(lake, batches=2)
    calls = [call for call in range(1, 100) if call > table]
    lake.before = failing(*calls)
    with pytest.raises(Exception, match="a fault asked for"):
        lake.commit()
    lake.before = lambda: None
    lake.consume(any_payloads(6, seed=9), start=records)

    lake.commit()

    assert_exactly_once(lake, records + 6)


@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_second_committer_by_accident_adds_nothing_twice(lake: Lake, call: int) -> None:
    records = fill(lake)
    calls = 0

    def intrude() -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            lake.commit()

    lake.before = intrude
    lake.commit()

    assert calls > call
    assert_exactly_once(lake, records)


def test_an_overtaken_committer_never_moves_a_position_back(lake: Lake) -> None:
    records = fill(lake, batches=1)
    calls = 0

    def overtake() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            lake.consume(any_payloads(6, seed=9), start=records)
            lake.commit()

    lake.before = overtake
    lake.commit()

    assert_exactly_once(lake, records + 6)


def test_a_change_by_others_that_moves_no_position_is_built_upon(lake: Lake) -> None:
    """A compaction or a property set in between makes the commit start again from the table as it is."""
    records = fill(lake)
    calls = 0

    def tidy() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            lake.table("raw.rating").transaction().set_properties({"tidied": "yes"}).commit_transaction()

    lake.before = tidy
    lake.commit()

    assert_exactly_once(lake, records)
    assert lake.table("raw.rating").properties["tidied"] == "yes"


def test_a_commit_whose_snapshot_is_forgotten_meanwhile_is_made_once(lake: Lake) -> None:
    """As an erasure does it: a commit of its own, after which nothing names the one that this one was to follow."""
    chance, calls = random.Random(1), 0
    lake.consume([fake_record(EVENTS["rating"], chance, NOW) for _ in range(3)])
    lake.commit()
    gone = lake.table("raw.rating").scan().to_arrow().to_pylist()[0]

    def erase() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            erase_table(commit.catalog(), "raw.rating", [gone["user_id"]], "user_id")
            purge(commit.catalog(), "raw.rating", timedelta(hours=24))

    lake.consume([fake_record(EVENTS["rating"], chance, NOW) for _ in range(3)], start=3)
    lake.before = erase
    lake.commit()

    assert lake.sequences("raw.rating") == [n for n in range(6) if n != int(gone["sequence"]) - FIRST]


@pytest.mark.parametrize("seed", range(3))
def test_any_mixture_of_faults_ends_in_the_same_rows(lake: Lake, seed: int) -> None:
    """Seeds 0 to 2: faults before and after writes, second committers, more records in between."""
    chance = random.Random(seed)
    records, busy = fill(lake, batches=2, size=3), False

    def trouble() -> None:
        nonlocal records, busy
        draw = chance.random()
        if draw < 0.35:
            raise Fault
        if draw < 0.5 and not busy:
            busy = True
            lake.consume(any_payloads(3, seed=records), start=records)
            records += 3
            quietly(lake)
            busy = False

    lake.before = lake.after = trouble
    for _ in range(5):
        quietly(lake)
    lake.before = lake.after = lambda: None
    lake.commit()

    assert_exactly_once(lake, records)


def quietly(lake: Lake) -> None:
    """Commit as Lambda would: an invocation may fail."""
    try:
        lake.commit()
    except Exception as error:  # whatever it is, it must be the fault that was asked for
        assert "asked for" in str(error) or isinstance(error, CommitFailedException)


def test_shards_are_committed_together_each_from_its_own_position(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "RECEIPTS_AT_ONCE", 2)
    fill(lake, batches=3, size=3)
    fill(lake, batches=2, size=3, shard="shardId-000000000001")

    lake.commit()

    for remainder, name in enumerate(TABLES):
        assert lake.sequences(name) == sorted([*range(remainder, 9, 3), *range(remainder, 6, 3)])
    properties = lake.table(WITNESS).properties
    assert properties[position_property(STREAM, SHARD)] == str(FIRST + 8)
    assert properties[position_property(STREAM, "shardId-000000000001")] == str(FIRST + 5)


def test_a_broken_chain_stops_the_committer_by_name(lake: Lake) -> None:
    fill(lake, batches=3)
    gone = receipt_key(STREAM, SHARD, FIRST + 5)
    lake.bucket.delete([gone])

    with pytest.raises(BrokenChain, match=f"{STREAM}/{SHARD}: no receipt follows position {FIRST + 5}"):
        lake.commit()

    assert lake.sequences("raw.rating") == []


def test_no_round_begins_when_time_is_short(lake: Lake) -> None:
    fill(lake)

    assert lake.commit(seconds=60) == {"committed": {}, "lag_seconds": 0.0, "more": True}


def test_an_empty_lake_is_committed_in_peace(lake: Lake) -> None:
    assert lake.commit() == {"committed": {}, "lag_seconds": 0.0, "more": False}


def test_old_receipts_are_not_listed() -> None:
    class Listing:
        read: list[str]

        def keys(self, prefix: str) -> Any:
            self.read = []
            for follows in range(100_000, 0, -1):
                self.read.append(receipt_key(STREAM, SHARD, follows))
                yield self.read[-1]

    listing = Listing()
    found = unregistered(listing, STREAM, SHARD, 99_998)  # type: ignore[arg-type]  # as much of a bucket as it needs

    assert found == [receipt_key(STREAM, SHARD, follows) for follows in (100_000, 99_999, 99_998)]
    assert len(listing.read) == 4
