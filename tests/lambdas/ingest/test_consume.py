"""The consumer: lands what Lambda hands over, once, and fails only for what a retry can mend."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from botocore.exceptions import ClientError
from moto.s3.models import S3Backend

from domain.contract.fakes import fake_record
from domain.events import EVENTS
from lambdas.ingest import consume
from tests.domain.contract.strategies import NOW
from tests.lambdas.ingest.conftest import FIRST, SHARD, STREAM, Lake, kinesis_event

GOOD = fake_record(EVENTS["rating"], random.Random(1), NOW)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the S3 operations that the function asks for."""
    found: list[str] = []
    make = consume.client

    def watched(service: str) -> Any:
        client = make(service)
        client.meta.events.register("before-call.s3", lambda model, **_: found.append(model.name), unique_id="watch")
        return client

    watched.cache_clear = make.cache_clear  # type: ignore[attr-defined]  # as the cached function has
    monkeypatch.setattr(consume, "client", watched)
    return found


def test_a_batch_is_answered_with_no_failures(lake: Lake) -> None:
    answer = consume.handler(kinesis_event([GOOD, b"broken"]), None)

    [receipt] = lake.chain()
    assert answer == {"batchItemFailures": []}
    assert receipt.account.landed == {"rating": 1}
    assert receipt.account.quarantined == {"not_json": 1}
    assert (receipt.stream, receipt.shard, receipt.first, receipt.last) == (STREAM, SHARD, FIRST, FIRST + 1)
    assert all(len(lake.bucket.get(file.key)) == file.bytes for file in receipt.files)


def test_a_batch_handed_over_again_writes_nothing(lake: Lake) -> None:
    lake.consume([GOOD] * 3)
    before = list(lake.bucket.keys(""))

    lake.consume([GOOD] * 3)
    consume.positions.cache_clear()
    lake.consume([GOOD] * 2, start=1)

    assert list(lake.bucket.keys("")) == before


def test_a_batch_cut_anew_lands_only_what_is_new(lake: Lake) -> None:
    lake.consume([GOOD] * 3)
    consume.positions.cache_clear()
    lake.consume([GOOD] * 4, start=1)

    assert [(receipt.account.received, receipt.account.duplicates) for receipt in lake.chain()] == [(3, 0), (4, 2)]


def test_a_cold_process_lists_once_and_a_warm_one_never(lake: Lake, calls: list[str]) -> None:
    lake.consume([GOOD])
    cold = list(calls)
    calls.clear()
    lake.consume([GOOD], start=1)

    assert cold == ["ListObjectsV2", "PutObject", "PutObject"]
    assert calls == ["PutObject", "PutObject"]


def test_a_warm_process_that_was_overtaken_lands_only_the_rest(lake: Lake) -> None:
    lake.consume([GOOD])
    remembered = dict(consume.positions())
    lake.consume([GOOD] * 2, start=1)
    consume.positions().update(remembered)

    lake.consume([GOOD] * 3, start=1)

    assert [(receipt.first - FIRST, receipt.last - FIRST) for receipt in lake.chain()] == [(0, 0), (1, 2), (3, 3)]


def test_shards_have_chains_of_their_own(lake: Lake) -> None:
    lake.consume([GOOD], shard="shardId-000000000001")
    lake.consume([GOOD], shard="shardId-000000000002")

    assert [len(lake.chain(f"shardId-00000000000{number}")) for number in (0, 1, 2)] == [0, 1, 1]


def test_a_batch_of_two_shards_is_refused() -> None:
    records = kinesis_event([GOOD])["Records"] + kinesis_event([GOOD], shard="shardId-000000000001")["Records"]

    with pytest.raises(consume.MixedBatch, match="shardId-000000000001"):
        consume.origin(records)


def test_every_record_is_counted(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    lake.consume([GOOD, GOOD, b"broken"])
    lake.consume([GOOD, b"broken", GOOD], start=1)

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    sums: dict[str, float] = {}
    for line in lines:
        for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]:
            sums[metric["Name"]] = sums.get(metric["Name"], 0) + line[metric["Name"]]
    expected = {"Received": 6, "Landed": 3, "Quarantined": 1, "Duplicates": 2, "Imbalance": 0}
    assert {name: sums[name] for name in expected} == expected
    assert all(line["Shard"] == SHARD for line in lines)
    assert [line["Quarantined"] for line in lines if line.get("Reason") == "not_json"] == [1]


@pytest.mark.parametrize("failing", [1, 2, 3, 4])
def test_a_store_that_fails_makes_lambda_try_again(lake: Lake, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    put, puts = S3Backend.put_object, 0

    def break_down(self: S3Backend, *arguments: Any, **named: Any) -> Any:
        nonlocal puts
        puts += 1
        if puts == failing:
            raise RuntimeError("a fault asked for")
        return put(self, *arguments, **named)

    monkeypatch.setattr(S3Backend, "put_object", break_down)
    payloads = [GOOD, fake_record(EVENTS["search"], random.Random(2), NOW), b"broken"]
    if failing <= 4:
        with pytest.raises(ClientError):
            lake.consume(payloads)
    lake.consume(payloads)

    [receipt] = lake.chain()
    assert receipt.account.received == 3
    assert len(receipt.files) == 3


def test_a_receipt_whose_answer_was_lost_counts_as_written(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 repeats a write that got an error for an answer; the second meets the first with 412."""
    put, lost = S3Backend.put_object, 0

    def lose_answer(self: S3Backend, bucket: str, key: str, *arguments: Any, **named: Any) -> Any:
        nonlocal lost
        answer = put(self, bucket, key, *arguments, **named)
        if key.startswith("receipts/") and not lost:
            lost += 1
            raise RuntimeError("a fault asked for")
        return answer

    monkeypatch.setattr(S3Backend, "put_object", lose_answer)
    lake.consume([GOOD] * 2)

    assert lost == 1
    [receipt] = lake.chain()
    assert receipt.account.duplicates == 0
