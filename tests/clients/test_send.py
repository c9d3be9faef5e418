"""Sending: everything is accounted for, and each key's records arrive in their order."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import given
from hypothesis import strategies as st

from clients.send import BYTES_A_RECORD, BYTES_A_REQUEST, RECORDS_A_REQUEST, Waiting, send
from local.cloud import Cloud

SEED = 20260301


class Stream:
    """A stream that takes each entry with a given probability and keeps what it took."""

    def __init__(self, *, failing: float = 0.0, seed: int = SEED) -> None:
        self.failing = failing
        self.chance = random.Random(seed)
        self.taken: list[tuple[str, bytes]] = []
        self.requests: list[int] = []

    def put_records(self, *, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]:  # boto3's
        self.requests.append(len(Records))
        assert len(Records) <= RECORDS_A_REQUEST
        assert sum(len(entry["Data"]) + len(entry["PartitionKey"].encode()) for entry in Records) <= BYTES_A_REQUEST
        answers = []
        for entry in self.chance.sample(Records, len(Records)) if self.failing else Records:
            entry["answer"] = self.take(entry)
        answers = [entry["answer"] for entry in Records]
        return {"FailedRecordCount": sum("ErrorCode" in answer for answer in answers), "Records": answers}

    def take(self, entry: dict[str, Any]) -> dict[str, str]:
        if self.chance.random() < self.failing:
            return {"ErrorCode": "ProvisionedThroughputExceededException"}
        self.taken.append((entry["PartitionKey"], entry["Data"]))
        return {"SequenceNumber": str(len(self.taken))}

    def by_key(self) -> dict[str, list[bytes]]:
        return by_key(self.taken)


def by_key(records: list[tuple[str, bytes]]) -> dict[str, list[bytes]]:
    found: dict[str, list[bytes]] = defaultdict(list)
    for key, data in records:
        found[key].append(data)
    return dict(found)


def any_records(count: int, keys: int = 50) -> list[tuple[str, bytes]]:
    return [(f"u-{number % keys}", b"%d" % number) for number in range(count)]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("failing", [0.0, 0.3])
def test_each_key_arrives_whole_and_in_order(threads: int, failing: float) -> None:
    stream, records = Stream(failing=failing), any_records(5_000, keys=700)

    report = send(records, "s", client=stream, threads=threads, tries=1_000, sleep=lambda _: None, seed=SEED)

    assert stream.by_key() == by_key(records)
    assert (report.accepted, report.refused) == (5_000, {})


@given(
    keys=st.lists(st.sampled_from("abcdefgh"), max_size=60),
    failing=st.floats(0, 0.9),
    tries=st.integers(1, 4),
    seed=st.integers(0, 2**32),
)
def test_every_record_is_accepted_or_refused(keys: list[str], failing: float, tries: int, seed: int) -> None:
    stream = Stream(failing=failing, seed=seed)
    records = [(key, b"%d" % number) for number, key in enumerate(keys)]

    report = send(records, "s", client=stream, tries=tries, sleep=lambda _: None, seed=seed)

    assert report.accepted == len(stream.taken)
    assert report.accepted + report.refused.total() == len(records)
    for key, taken in stream.by_key().items():
        assert taken == [data for data in by_key(records)[key] if data in taken]


def test_only_failed_entries_are_sent_again() -> None:
    stream = Stream(failing=0.5)

    report = send(any_records(100, keys=100), "s", client=stream, tries=100, sleep=lambda _: None, seed=SEED)

    assert sum(stream.requests) == 100 + report.retried
    assert len(stream.taken) == 100


@pytest.mark.parametrize("threads", [1, 2])
def test_records_that_the_stream_cannot_take_are_refused_before_sending(threads: int) -> None:
    stream = Stream()
    records = [("a", b"x" * BYTES_A_RECORD), ("", b"x"), ("k" * 257, b"x"), ("a", b"x" * (BYTES_A_RECORD - 1))]
    records.append(("half \ud800", b"x"))

    report = send(records, "s", client=stream, threads=threads)

    assert report.refused == {"TooLarge": 1, "KeyLength": 2, "KeyText": 1}
    assert report.accepted == len(stream.taken) == 1


def test_large_records_are_cut_into_requests_by_bytes() -> None:
    stream = Stream()

    send([(f"u-{number}", b"x" * 1_000_000) for number in range(12)], "s", client=stream)

    assert stream.requests == [5, 5, 2]


def test_pauses_grow_while_requests_fail() -> None:
    pauses: list[float] = []

    send([("a", b"x")], "s", client=Stream(failing=1.0), tries=8, sleep=pauses.append, seed=SEED)

    assert len(pauses) == 7
    assert all(pause <= min(5.0, 0.1 * 2**number) for number, pause in enumerate(pauses))


class Refusing:
    def __init__(self, *errors: Exception) -> None:
        self.errors = iter(errors)
        self.stream = Stream()

    def put_records(self, **request: Any) -> dict[str, Any]:
        for error in self.errors:
            raise error
        return self.stream.put_records(**request)


def test_a_throttled_or_lost_request_is_sent_again() -> None:
    throttled = ClientError({"Error": {"Code": "LimitExceededException"}}, "PutRecords")
    client = Refusing(throttled, EndpointConnectionError(endpoint_url="http://localhost"))

    report = send([("a", b"x")], "s", client=client, sleep=lambda _: None)

    assert (report.accepted, report.retried) == (1, 2)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_stream_that_does_not_exist_is_named(cloud: Cloud, threads: int) -> None:
    def endless() -> Iterator[tuple[str, bytes]]:
        while True:
            yield ("a", b"x")

    with pytest.raises(ClientError, match="nowhere"):
        send(endless(), "nowhere", client=cloud.client("kinesis"), threads=threads)


@pytest.fixture
def stream(cloud: Cloud) -> Iterator[Any]:
    client = cloud.client("kinesis")
    client.create_stream(StreamName="sent-to", ShardCount=1)
    client.get_waiter("stream_exists").wait(StreamName="sent-to", WaiterConfig={"Delay": 1})
    yield client
    client.delete_stream(StreamName="sent-to")
    client.get_waiter("stream_not_exists").wait(StreamName="sent-to", WaiterConfig={"Delay": 1})


def test_records_reach_a_real_stream(stream: Any) -> None:
    report = send(any_records(1_200), "sent-to", client=stream)

    shard = stream.list_shards(StreamName="sent-to")["Shards"][0]["ShardId"]
    iterator = stream.get_shard_iterator(StreamName="sent-to", ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    found = stream.get_records(ShardIterator=iterator["ShardIterator"])["Records"]
    assert report.accepted == 1_200
    assert by_key([(record["PartitionKey"], record["Data"]) for record in found]) == by_key(any_records(1_200))


def test_a_record_counts_the_bytes_of_its_key() -> None:
    assert Waiting("é", b"abc").size == 5
