"""Redrive: what is good by today's contract is sent again, once, and what is not stays where it is."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import boto3
import msgspec
import pytest

from domain.contract.fakes import fake_record
from domain.events import EVENTS
from domain.ingest import contract
from domain.ingest.redrive import Aside
from domain.tables import QUARANTINE, REDRIVEN
from lambdas.ingest import consume, redrive
from lambdas.ingest.stream import Kinesis
from local.cloud import Cloud
from tests.domain.contract.strategies import NOW
from tests.lambdas.ingest.conftest import FIRST, SHARD, STREAM, Lake, Remaining, create_tables, kinesis_event

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("tables")]

QUEUE = "failed"
ARRIVED = datetime.fromtimestamp(1772366400.25, timezone.utc)


@dataclass
class Desk:
    """The lake with a stream and a queue beside it, and the function that redrives."""

    lake: Lake
    queue: str

    def ask(self, seconds: Any = 900, **event: Any) -> dict[str, Any]:
        return redrive.handler(event, Remaining(seconds))

    def stream(self) -> list[bytes]:
        """Read what was sent to the stream, whatever the shard."""
        kinesis, found = boto3.client("kinesis"), []
        for shard in kinesis.list_shards(StreamName=STREAM)["Shards"]:
            place = {"ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
            iterator = kinesis.get_shard_iterator(StreamName=STREAM, **place)["ShardIterator"]
            found += [record["Data"] for record in kinesis.get_records(ShardIterator=iterator)["Records"]]
        return sorted(found)

    def ledger(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.lake.table(REDRIVEN.full_name).scan().to_arrow().to_pylist()
        return rows

    def give_up(self, first: int, last: int, records: int) -> None:
        """Put the message that Lambda leaves of a batch that it gave up."""
        info = {
            "shardId": SHARD,
            "startSequenceNumber": str(first),
            "endSequenceNumber": str(last),
            "batchSize": records,
            "streamArn": f"arn:aws:kinesis:us-east-1:123456789012:stream/{STREAM}",
        }
        boto3.client("sqs").send_message(QueueUrl=self.queue, MessageBody=json.dumps({"KinesisBatchInfo": info}))

    def waiting(self) -> int:
        asked = boto3.client("sqs").get_queue_attributes(QueueUrl=self.queue, AttributeNames=["All"])["Attributes"]
        return int(asked["ApproximateNumberOfMessages"]) + int(asked["ApproximateNumberOfMessagesNotVisible"])


@pytest.fixture(scope="session")
def endpoint(cloud: Cloud) -> str:
    """The stream is the laptop cloud's, which knows positions and retention."""
    return cloud.endpoint


@pytest.fixture
def desk(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    kinesis, sqs = boto3.client("kinesis"), boto3.client("sqs")
    kinesis.create_stream(StreamName=STREAM, ShardCount=1)
    queue = sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
    monkeypatch.setenv("STREAM", STREAM)
    monkeypatch.setenv("QUEUE", queue)
    create_tables(redrive.catalog(), REDRIVEN)
    yield Desk(lake, queue)
    kinesis.delete_stream(StreamName=STREAM)
    sqs.delete_queue(QueueUrl=queue)


@pytest.fixture
def wider(monkeypatch: pytest.MonkeyPatch) -> None:
    """Today's contract takes up to ten stars: what broke it before is good now."""
    shape = contract.shapes()["rating"]
    stars = shape.columns["stars"]
    column = type(stars)("stars", stars.kind, stars.required, type(stars.field)(stars.field.doc, minimum=1, maximum=10))
    fields = [
        (name, contract.value_type(column if name == "stars" else found)) for name, found in shape.columns.items()
    ]
    struct = msgspec.defstruct(
        "Rating", [("version", int, 1), *fields], kw_only=True, frozen=True, tag_field="event", tag="rating"
    )
    changed = {**shape.columns, "stars": column}
    monkeypatch.setitem(
        contract.shapes(),
        "rating",
        contract.Shape(shape.event, struct, changed, shape.times, shape.quotes, shape.optional_quotes),
    )


def rating(number: int, stars: int, **other: Any) -> bytes:
    said = json.loads(fake_record(EVENTS["rating"], random.Random(number), NOW))
    return json.dumps({**said, "stars": stars, "event_id": f"e-{number}", "user_id": f"u-{number}", **other}).encode()


def set_aside(desk: Desk) -> list[bytes]:
    """Land good ratings, ratings of seven stars, and noise; return those of seven stars."""
    seven = [rating(number, 7) for number in range(5)]
    desk.lake.consume([rating(99, 5), *seven, b"noise", b"more noise"])
    desk.lake.commit()
    return seven


def test_a_dry_run_tells_by_reason_what_would_pass_and_sends_nothing(desk: Desk, wider: None) -> None:
    set_aside_before(desk)

    told = desk.ask(reason="any")

    assert told["good"] == {"out_of_bounds": 5}
    assert told["still_bad"] == {"not_json": 2}
    assert (told["sent"], told["sending"], desk.stream(), desk.ledger()) == ({}, False, [], [])


def set_aside_before(desk: Desk) -> list[bytes]:
    """Set ratings aside by the contract as it was."""
    with pytest.MonkeyPatch.context() as patch:
        shape = contract._shape(EVENTS["rating"])
        patch.setitem(contract.shapes(), "rating", shape)
        return set_aside(desk)


def test_what_is_good_now_is_sent_again_with_its_users_key_and_noted(desk: Desk, wider: None) -> None:
    seven = set_aside_before(desk)

    told = desk.ask(reason="out_of_bounds", send=True)

    assert told["sent"] == {"out_of_bounds": 5}
    assert desk.stream() == sorted(seven)
    rows = desk.ledger()
    assert {(row["shard"], int(row["sequence"]) - FIRST, row["reason"], row["event"]) for row in rows} == {
        (SHARD, number, "out_of_bounds", "rating") for number in range(1, 6)
    }
    assert {row["arrived_at"] for row in rows} == {ARRIVED}


def test_redriving_twice_sends_nothing_twice(desk: Desk, wider: None) -> None:
    seven = set_aside_before(desk)
    desk.ask(reason="out_of_bounds", send=True)

    told = desk.ask(reason="any", send=True)

    assert told["sent"] == {}
    assert told["redriven_before"] == {"out_of_bounds": 5}
    assert desk.stream() == sorted(seven)


def test_what_still_breaks_the_contract_stays(desk: Desk) -> None:
    set_aside(desk)

    told = desk.ask(reason="any", send=True)

    assert told["still_bad"] == {"out_of_bounds": 5, "not_json": 2}
    assert desk.stream() == []


def test_only_what_arrived_in_the_window_is_looked_at(desk: Desk, wider: None) -> None:
    set_aside_before(desk)
    later = (ARRIVED + timedelta(seconds=1)).isoformat()

    assert desk.ask(reason="any", **{"from": later})["good"] == {}
    assert desk.ask(reason="any", to=later)["good"] == {"out_of_bounds": 5}


def test_a_clock_that_ran_ahead_is_not_right_because_time_has_passed(desk: Desk) -> None:
    ahead = (ARRIVED + timedelta(hours=2)).isoformat()
    desk.lake.consume([rating(1, 5, event_time=ahead)])
    desk.lake.commit()

    assert desk.ask(reason="ahead_of_time")["still_bad"] == {"ahead_of_time": 1}


def test_what_the_stream_refuses_is_not_noted_and_is_sent_the_next_time(
    desk: Desk, wider: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seven = set_aside_before(desk)
    send = Kinesis.send

    def refusing(self: Any, records: Any) -> Any:
        return [*send(self, records[:2]), *[None] * (len(records) - 2)]

    with monkeypatch.context() as patch:
        patch.setattr(Kinesis, "send", refusing)
        assert desk.ask(reason="out_of_bounds", send=True)["failed"] == 3

    assert desk.ask(reason="out_of_bounds", send=True)["sent"] == {"out_of_bounds": 3}
    assert desk.stream() == sorted(seven)


def test_no_round_begins_when_time_is_short(desk: Desk, wider: None) -> None:
    set_aside_before(desk)

    told = desk.ask(30, reason="any", send=True)

    assert (told["more"], desk.stream()) == (True, [])


@pytest.mark.parametrize(
    ("event", "field", "words"),
    [
        ({"reason": "not_jsn"}, "reason", "not_json, not_an_object"),
        ({}, "reason", "failed_batch, any"),
        ({"reason": "any", "from": "2026-03-02", "to": "2026-03-01"}, "from", "before 'to', which is '2026-03-01'"),
        ({"reason": "any", "from": "yesterday"}, "from", "write a day, 2026-11-21"),
        ({"reason": "any", "to": "2026-03-02T10:00:00"}, "to", "with its offset"),
        ({"reason": "any", "send": "yes"}, "send", "write true or false"),
        ({"reason": "any", "sned": True}, "sned", "reason, from, to, send"),
        ({"reason": "failed_batch", "from": "2026-03-02"}, "from", "leave from and to out"),
    ],
)
def test_what_cannot_be_done_is_refused_by_field_value_and_fix(
    desk: Desk, event: dict[str, Any], field: str, words: str
) -> None:
    refused = desk.ask(**event)["refused"]

    assert (refused["field"], refused["value"]) == (field, event.get(field))
    assert words in refused["fix"]


def put(payloads: list[bytes]) -> list[int]:
    """Send records to the stream; return their positions."""
    entries = [{"PartitionKey": "k", "Data": payload} for payload in payloads]
    answer = boto3.client("kinesis").put_records(StreamName=STREAM, Records=entries)
    return [int(record["SequenceNumber"]) for record in answer["Records"]]


def test_of_a_batch_that_was_given_up_only_what_no_receipt_covers_is_sent_again(desk: Desk) -> None:
    payloads = [rating(number, 5) for number in range(6)]
    places = put(payloads)
    event = kinesis_event(payloads[2:4])
    for record, place in zip(event["Records"], places[2:4], strict=True):
        record["kinesis"]["sequenceNumber"] = str(place)
    consume.handler(event, None)  # a half of the batch landed before the rest was given up
    desk.give_up(places[0], places[-1], 6)

    told = desk.ask(reason="failed_batch", send=True)

    assert told["sent"] == {"failed_batch": 4}
    assert desk.stream() == sorted([*payloads, *payloads[:2], *payloads[4:]])
    assert (desk.waiting(), told["lost"]) == (0, [])


def test_a_dry_run_leaves_the_batch_in_the_queue_and_the_next_run_finds_it(desk: Desk) -> None:
    places = put([rating(number, 5) for number in range(3)])
    desk.give_up(places[0], places[-1], 3)

    assert desk.ask(reason="failed_batch")["good"] == {"failed_batch": 3}
    assert desk.waiting() == 1
    assert desk.ask(reason="failed_batch", send=True)["sent"] == {"failed_batch": 3}
    assert desk.waiting() == 0


def test_a_batch_whose_message_comes_twice_is_sent_once(desk: Desk) -> None:
    places = put([rating(number, 5) for number in range(3)])
    for _ in range(2):
        desk.give_up(places[0], places[-1], 3)

    told = desk.ask(reason="failed_batch", send=True)

    assert (told["sent"], told["redriven_before"]) == ({"failed_batch": 3}, {"failed_batch": 3})
    assert len(desk.stream()) == 6


def test_records_that_the_stream_has_forgotten_are_named_and_their_message_stays(desk: Desk) -> None:
    places = put([rating(1, 5)])
    desk.give_up(places[0], places[0], 3)

    told = desk.ask(reason="failed_batch", send=True)

    assert told["lost"] == [{"shard": SHARD, "first": str(places[0]), "last": str(places[0]), "lost": 2}]
    assert desk.waiting() == 1


def test_the_ledger_shows_which_of_the_quarantine_were_redriven(desk: Desk, wider: None) -> None:
    set_aside_before(desk)
    desk.ask(reason="out_of_bounds", send=True)

    aside = desk.lake.table(QUARANTINE.full_name).scan().to_arrow().to_pylist()
    redriven = {(row["shard"], row["sequence"], row["digest"]) for row in desk.ledger()}

    keys = ("reason", "event", "payload", "arrived_at", "shard", "sequence")
    known = [Aside(**{key: row[key] for key in keys}).key in redriven for row in aside]
    assert sorted(zip([row["reason"] for row in aside], known, strict=True)) == (
        [("not_json", False)] * 2 + [("out_of_bounds", True)] * 5
    )
