"""The sweeper: removes what no receipt names, and only when it is told to."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone

import pytest

from domain.contract.fakes import fake_record
from domain.events import EVENTS
from domain.ingest.landing import data_key
from lambdas.ingest import sweep
from tests.domain.contract.strategies import NOW
from tests.lambdas.ingest.conftest import SHARD, STREAM, Lake

GOOD = fake_record(EVENTS["rating"], random.Random(1), NOW)
LOST_RACE = data_key("rating", STREAM, SHARD, 0, "2026-03-01-lost")
NO_RECEIPT = data_key("quarantine", STREAM, "shardId-000000000009", 7, "2026-03-01-crashed")


@pytest.fixture
def littered(lake: Lake) -> Lake:
    lake.consume([GOOD, b"broken"])
    lake.bucket.put(LOST_RACE, b"x")
    lake.bucket.put(NO_RECEIPT, b"x")
    return lake


def in_days(days: float) -> datetime:
    return datetime.now(timezone.utc) + timedelta(days=days)


def test_only_files_that_no_receipt_names_are_found(littered: Lake) -> None:
    assert set(sweep.orphans(littered.bucket, in_days(3))) == {LOST_RACE, NO_RECEIPT}


def test_a_file_that_may_still_be_landing_is_left(littered: Lake) -> None:
    assert list(sweep.orphans(littered.bucket, in_days(1.9))) == []


def test_a_file_is_judged_for_a_week(littered: Lake) -> None:
    assert len(list(sweep.orphans(littered.bucket, in_days(8.9)))) == 2
    assert list(sweep.orphans(littered.bucket, in_days(9.1))) == []


@pytest.mark.parametrize("remove", [False, True])
def test_nothing_is_removed_unless_told(littered: Lake, monkeypatch: pytest.MonkeyPatch, remove: bool) -> None:
    monkeypatch.setattr(sweep, "GRACE", timedelta(days=-1))
    before = set(littered.bucket.keys(""))

    answer = sweep.handler({"remove": True} if remove else {}, None)

    assert answer["orphans"] == 2
    assert answer["removed"] is remove
    assert before - set(littered.bucket.keys("")) == ({LOST_RACE, NO_RECEIPT} if remove else set())
