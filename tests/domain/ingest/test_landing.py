"""Landing: exactly once, whatever fails, however batches are cut again, whoever else writes."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta, timezone
from itertools import count, pairwise
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.ingest.batch import Arrived
from domain.ingest.landing import Lander, uncovered
from domain.ingest.receipts import (
    Account,
    BrokenChain,
    Receipt,
    Unaccounted,
    followed,
    linked,
    read_receipt,
    receipt_key,
    shard_prefix,
)
from tests.domain.ingest.faulty import Crash, MemoryBucket

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
FIRST = 49590338271490256608559692538361571095921575989136588898
"""A sequence number as Kinesis gives them: 56 digits, beyond what a float or 64 bits hold."""


def any_record(number: int) -> Arrived:
    """Make a record; every fifth is no JSON, and they cross midnight."""
    body: dict[str, Any] = {
        "event": ("rating", "search")[number % 2],
        "event_id": f"e-{number}",
        "event_time": "2026-03-01T12:00:00Z",
    }
    body |= {"user_id": "u", **({"query": "q", "results": 1} if number % 2 else {"product_id": "p", "stars": 3})}
    payload = b"broken" if number % 5 == 4 else json.dumps(body).encode()
    return Arrived(FIRST + number, NOON + timedelta(hours=number), payload)


def lander(bucket: MemoryBucket, names: Any = None) -> Lander:
    names = names or count()
    return Lander(bucket, "clicks", "shard-0", attempt=lambda: f"a{next(names)}", now=lambda: NOON)


def chain(bucket: MemoryBucket) -> list[Receipt]:
    receipts = [read_receipt(bucket.get(key)) for key in bucket.keys(shard_prefix("clicks", "shard-0"))]
    return linked(0, receipts)


def landed_sequences(bucket: MemoryBucket) -> Counter[int]:
    """Count the sequence numbers in all files that receipts name."""
    files = [file.key for receipt in chain(bucket) for file in receipt.files]
    tables = [pq.read_table(pa.BufferReader(bucket.get(key))) for key in files]
    return Counter(int(sequence) for table in tables for sequence in table["sequence"].to_pylist())


def assert_exactly_once(bucket: MemoryBucket, records: list[Arrived]) -> None:
    """Assert that each record is in one file, and that the accounts say the same."""
    assert landed_sequences(bucket) == Counter(record.sequence for record in records)
    accounts = [receipt.account for receipt in chain(bucket)]
    assert all(account.imbalance == 0 for account in accounts)
    broken = [record for record in records if record.payload == b"broken"]
    assert sum(sum(account.quarantined.values()) for account in accounts) == len(broken)
    assert sum(sum(account.landed.values()) for account in accounts) == len(records) - len(broken)
    for receipt in chain(bucket):
        assert sum(file.rows for file in receipt.files) == receipt.account.received - receipt.account.duplicates


class Mapping:
    """Hands a shard's records over as an event source mapping may: again, cut anew, or from further back."""

    def __init__(self, records: list[Arrived], data: st.DataObject) -> None:
        self.records = records
        self.data = data
        self.done = 0

    def batch(self) -> list[Arrived]:
        start = max(0, self.done - self.data.draw(st.integers(0, 4), label="re-read"))
        self.end = self.data.draw(st.integers(self.done + 1, len(self.records)), label="end")
        return self.records[start : self.end]

    def succeeded(self) -> None:
        self.done = self.end


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.integers(1, 14), st.data())
def test_a_shard_lands_exactly_once_whatever_fails(length: int, data: st.DataObject) -> None:
    bucket, records = MemoryBucket(), [any_record(number) for number in range(length)]
    mapping, writer, known = Mapping(records, data), lander(bucket), None

    def may_crash(key: str) -> None:
        if data.draw(st.integers(0, 5), label=f"crash at {key[:12]}") == 5:
            raise Crash(key)

    bucket.lose_answer = lambda: data.draw(st.booleans(), label="lose the answer")
    while mapping.done < length:
        batch = mapping.batch()
        try:
            with bucket.failing(before=may_crash, after=may_crash):
                known = writer.land(batch, known).position
        except Crash:
            known = data.draw(st.sampled_from([None, known]), label="process survives")
        else:
            mapping.succeeded()

    assert_exactly_once(bucket, records)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.integers(1, 12), st.data())
def test_two_writers_at_once_land_each_record_once(length: int, data: st.DataObject) -> None:
    bucket, records = MemoryBucket(), [any_record(number) for number in range(length)]
    names = count()
    intruder_ends = iter(sorted(data.draw(st.lists(st.integers(1, length), max_size=4), label="intruder")))
    busy = False

    def intrude(key: str) -> None:
        """Let the second writer land a batch of its own in the middle of the first one's write."""
        nonlocal busy
        if busy or not data.draw(st.booleans(), label=f"intrude at {key[:12]}"):
            return
        busy = True
        end = next(intruder_ends, None)
        if end is not None:
            lander(bucket, names).land(records[:end])
        busy = False

    mapping, writer = Mapping(records, data), lander(bucket, names)
    while mapping.done < length:
        with bucket.failing(before=intrude, after=intrude):
            writer.land(mapping.batch(), data.draw(st.sampled_from([None, 0]), label="remembered"))
        mapping.succeeded()

    assert_exactly_once(bucket, records)


def test_a_batch_wholly_covered_writes_nothing() -> None:
    bucket, records = MemoryBucket(), [any_record(number) for number in range(4)]
    lander(bucket).land(records)
    before = dict(bucket.objects)

    landing = lander(bucket).land(records[1:3])

    assert bucket.objects == before
    assert landing.account == Account(received=2, landed={}, quarantined={}, duplicates=2)
    assert landing.position == records[3].sequence


def test_a_lost_race_drops_what_the_winner_covered() -> None:
    bucket, records = MemoryBucket(), [any_record(number) for number in range(6)]
    lander(bucket, count(100)).land(records[:4])

    landing = lander(bucket).land(records[2:], known=0)

    assert landing.account.duplicates == 2
    assert [(receipt.first - FIRST, receipt.last - FIRST) for receipt in chain(bucket)] == [(0, 3), (4, 5)]


def test_a_writer_knows_its_own_receipt_again() -> None:
    bucket, records = MemoryBucket(), [any_record(number) for number in range(3)]
    bucket.lose_answer = lambda: True

    landing = lander(bucket).land(records)

    assert landing.account == Account(3, {"rating": 2, "search": 1}, {}, 0)
    assert len(chain(bucket)) == 1


def test_files_are_cut_by_event_and_by_the_day_of_arrival() -> None:
    bucket, records = MemoryBucket(), [any_record(number) for number in range(20)]

    lander(bucket).land(records)

    [receipt] = chain(bucket)
    places = {(file.table, file.key.split("/")[1], file.key.split("/")[-1][61:71]) for file in receipt.files}
    assert len(places) == len(receipt.files) == 6
    assert {day for _, _, day in places} == {"2026-03-01", "2026-03-02"}
    for file in receipt.files:
        days = {
            moment.date() for moment in pq.read_table(pa.BufferReader(bucket.get(file.key)))["arrived_at"].to_pylist()
        }
        assert len(days) == 1
        assert len(bucket.get(file.key)) == file.bytes


def test_what_is_set_aside_keeps_its_bytes_its_reason_and_its_position() -> None:
    bucket = MemoryBucket()

    lander(bucket).land([replace(any_record(0), payload=b'\xff{"event"\x00')])

    [file] = chain(bucket)[0].files
    [row] = pq.read_table(pa.BufferReader(bucket.get(file.key))).to_pylist()
    assert (row["payload"], row["reason"], row["shard"]) == (b'\xff{"event"\x00', "not_utf8", "shard-0")
    assert (row["sequence"], row["arrived_at"]) == (str(FIRST), NOON)


def test_positions_compare_as_numbers() -> None:
    """Text would put 9 after 10."""
    records = [Arrived(number, NOON, b"x") for number in (8, 9, 10, 11)]

    assert [record.sequence for record in uncovered(records, 9)] == [10, 11]
    assert receipt_key("s", "0", 10) < receipt_key("s", "0", 9)


def test_a_record_handed_over_twice_in_one_batch_lands_once() -> None:
    bucket, records = MemoryBucket(), [any_record(0), any_record(1), any_record(0)]

    assert lander(bucket).land(records).account.duplicates == 1
    assert_exactly_once(bucket, records[:2])


def test_a_missing_receipt_is_named_with_its_shard_and_position() -> None:
    bucket, records = MemoryBucket(), [any_record(number) for number in range(6)]
    for first, last in pairwise([0, 2, 4, 6]):
        lander(bucket, count(first)).land(records[first:last])
    gone = receipt_key("clicks", "shard-0", records[1].sequence)
    del bucket.objects[gone]

    with pytest.raises(BrokenChain, match=rf"clicks/shard-0: no receipt follows position {records[1].sequence}"):
        chain(bucket)


def test_a_writer_refuses_a_chain_that_lost_its_newest_receipts() -> None:
    bucket, records = MemoryBucket(), [any_record(number) for number in range(4)]
    lander(bucket).land(records[:2])
    bucket.objects[receipt_key("clicks", "shard-0", records[1].sequence)] = bucket.get(
        receipt_key("clicks", "shard-0", 0)
    )

    with pytest.raises(BrokenChain, match="restore the missing receipt"):
        lander(bucket, count(100)).land(records)


def test_an_account_that_does_not_add_up_cannot_be_written() -> None:
    bucket = MemoryBucket()
    lander(bucket).land([any_record(0)])
    [receipt] = chain(bucket)

    with pytest.raises(Unaccounted):
        replace(receipt, account=replace(receipt.account, received=2))


def test_a_receipt_is_read_as_it_was_written() -> None:
    bucket = MemoryBucket()
    lander(bucket).land([any_record(number) for number in range(5)])
    [receipt] = chain(bucket)

    assert read_receipt(receipt.write()) == receipt
    assert followed(receipt.key) == 0
    assert json.loads(receipt.write())["last"] == str(FIRST + 4)


@pytest.mark.parametrize("follows", [-1, 10**60])
def test_a_position_that_no_key_can_hold_is_refused(follows: int) -> None:
    with pytest.raises(ValueError, match="is not within"):
        receipt_key("s", "0", follows)
