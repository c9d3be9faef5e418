"""What the way in promises, whichever broker is behind it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from clients.producer.columns import packed, row_of
from clients.producer.encoding import framed
from lambdas.ingest import consume
from tests.brokers import Broker, Kept, Sent
from tests.ingest_contract.conftest import Consumer, search, searches

pytestmark = pytest.mark.slow

POISON = (b"", b"not json", b'{"event":"search"}', b"\xff\xfe", b"null", b'{"event":"rating","stars":9}')


def batches(broker: Broker, most: int = 10_000) -> list[list[Kept]]:
    """Cut what a broker holds into batches of one shard each."""
    found = [broker.read(shard) for shard in broker.shards()]
    return [shard[start : start + most] for shard in found for start in range(0, len(shard), most)]


def test_plain_records_land(broker: Broker, consumer: Consumer) -> None:
    broker.put(searches(200))
    consumer.hand_over(*batches(broker, 30))

    assert consumer.account() == Counter(received=200, landed=200)
    assert {row["event_id"] for row in consumer.rows("search")} == {f"e-{number}" for number in range(200)}


def test_newline_delimited_records_land_line_by_line(broker: Broker, consumer: Consumer) -> None:
    lines = b"\n".join(record.data for record in searches(50))
    broker.put([Sent("any", lines + b"\n"), *searches(3, start=50)])
    consumer.hand_over(*batches(broker))

    assert consumer.account() == Counter(received=53, landed=53)


def test_frames_of_lines_and_of_columns_land(broker: Broker, consumer: Consumer) -> None:
    events = [_event(number) for number in range(300)]
    lines = framed(b"".join(search("u", number).data + b"\n" for number in range(300, 400)), 100, 1 << 20)
    rows = [row for row in map(row_of, events) if row]
    columns = packed(rows, 1 << 20)
    broker.put([Sent("any", load.data) for load in (*lines, *columns)])
    consumer.hand_over(*batches(broker))

    assert consumer.account() == Counter(received=400, landed=400)
    assert sorted(int(row["query"]) for row in consumer.rows("search")) == list(range(400))


def test_poison_is_set_aside_with_its_bytes_and_its_neighbours_land(broker: Broker, consumer: Consumer) -> None:
    records = searches(60)
    for place, payload in enumerate(POISON):
        records.insert(10 * place, Sent("u-0", payload))
    broker.put(records)
    consumer.hand_over(*batches(broker))

    assert consumer.account() == Counter(received=66, landed=60, quarantined=6)
    assert Counter(row["payload"] for row in consumer.rows("quarantine")) == Counter(POISON)
    assert all(row["reason"] and row["shard"] in broker.shards() for row in consumer.rows("quarantine"))


def test_a_batch_delivered_again_writes_nothing(broker: Broker, consumer: Consumer) -> None:
    broker.put(searches(40))
    consumer.hand_over(*batches(broker))
    before = dict(consumer.bucket.objects)
    consumer.hand_over(*batches(broker))
    consumer.begin_anew()
    consumer.hand_over(*batches(broker))

    assert consumer.bucket.objects == before


@pytest.mark.parametrize(("first", "again"), [(7, 11), (11, 7), (20, 3)])
def test_batches_cut_anew_land_only_what_is_new(broker: Broker, consumer: Consumer, first: int, again: int) -> None:
    broker.put(searches(40))
    consumer.hand_over(*(batch for shard in broker.shards() for batch in [broker.read(shard, most=first)]))
    consumer.begin_anew()
    consumer.hand_over(*batches(broker, again))

    assert consumer.account()["landed"] == 40
    assert len({row["event_id"] for row in consumer.rows("search")}) == len(consumer.rows("search")) == 40


def test_the_events_of_a_key_keep_their_order(broker: Broker, consumer: Consumer) -> None:
    broker.put(searches(300, users=9))
    consumer.hand_over(*batches(broker, 17))

    for user in range(9):
        found = [int(row["query"]) for row in consumer.rows("search") if row["user_id"] == f"u-{user}"]
        assert found == list(range(user, 300, 9))


def test_events_sent_again_are_told_by_their_id_alone(broker: Broker, consumer: Consumer) -> None:
    """A producer's resend has a position of its own: it lands, and curation takes it out."""
    broker.put([*searches(10), *searches(10)])
    consumer.hand_over(*batches(broker))

    assert consumer.account() == Counter(received=20, landed=20)
    assert len({row["event_id"] for row in consumer.rows("search")}) == 10


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_consumer_that_dies_at_any_write_loses_and_doubles_nothing(
    broker: Broker, consumer: Consumer, after: bool
) -> None:
    broker.put([*searches(30), Sent("u-0", b"poison")])
    for batch in batches(broker):
        write = 1
        while consumer.die_at(write, after=after, batch=batch):
            write += 1
        assert write > 1

    assert consumer.account()["landed"] == 30
    assert consumer.account()["quarantined"] == 1
    assert {row["event_id"] for row in consumer.rows("search")} == {f"e-{number}" for number in range(30)}
    assert len(consumer.rows("search")) == 30


def test_a_writer_that_was_overtaken_lands_only_the_rest(broker: Broker, consumer: Consumer) -> None:
    broker.put(searches(20))
    shard = broker.shards()[0]
    consumer.hand_over(broker.read(shard, most=2))
    known = dict(consume.positions())
    consumer.hand_over(broker.read(shard))
    consume.positions().update(known)
    broker.put(searches(20, start=20))
    consumer.hand_over(broker.read(shard))

    assert len(consumer.rows("search")) == len(broker.read(shard))


def test_what_comes_after_the_stream_has_grown_lands_too(broker: Broker, consumer: Consumer) -> None:
    broker.put(searches(20))
    before = broker.shards()
    broker.grow()
    broker.put(searches(60, start=20))
    consumer.hand_over(*batches(broker))

    assert set(before) < set(broker.shards())
    assert consumer.account() == Counter(received=80, landed=80)


def _event(number: int) -> dict[str, Any]:
    said = {"event": "search", "event_id": f"e-{number}", "event_time": "2026-03-01T12:00:00Z", "user_id": "u"}
    return {**said, "query": str(number), "results": 1}
