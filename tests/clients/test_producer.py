"""The producer: every event is accounted for, whatever the stream does and however the process ends."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone, tzinfo
from pathlib import Path
from typing import Any

import boto3
import msgspec
import pyarrow as pa
import pytest
import urllib3
from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.config import Config as BotoConfig
from botocore.exceptions import ClientError, EndpointConnectionError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from clients.producer import DirectoryInUse, Producer, Refused, Report, encoding, lanes
from clients.producer.batches import parcelled
from clients.producer.bodies import Entries, take_over
from clients.producer.encoding import Load, framed, largest_event
from clients.producer.journal import HEAD, SEGMENT_BYTES, Journal, Place, _checked
from clients.producer.lanes import FIRST_PAUSE, LONGEST_PAUSE, Lane, failed_pause, throttled_pause
from clients.producer.producer import BYTES_A_RECORD
from domain.contract.arrow import arrow_schema
from domain.events import EVENTS
from domain.ingest.frames import Codec, unpack
from local.cloud import Cloud

SEED = 20260301
FOR_EVER = 20.0  # seconds: longer than a stalled machine holds up a caller, and shorter than any wait by default
THROTTLED = "ProvisionedThroughputExceededException"


class Stream:
    """A stream that takes each record with a given probability, in any order, and keeps what it took."""

    def __init__(self, failing: float = 0.0, *, lost: float = 0.0, seed: int = SEED) -> None:
        self.failing, self.lost = failing, lost
        self.chance = random.Random(seed)
        self.taken: list[dict[str, Any]] = []
        self.puts: list[list[dict[str, Any]]] = []
        self.open = threading.Event()
        self.open.set()

    def put_records(self, *, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]:  # boto3's
        self.open.wait()
        self.puts.append(Records)
        answers = {}
        for number in self.chance.sample(range(len(Records)), len(Records)):
            answers[number] = self.take(Records[number])
        if self.chance.random() < self.lost:
            raise EndpointConnectionError(endpoint_url="http://localhost")
        return {"Records": [answers[number] for number in range(len(Records))]}

    def take(self, entry: dict[str, Any]) -> dict[str, str]:
        if self.chance.random() < self.failing:
            return {"ErrorCode": self.chance.choice([THROTTLED, "InternalFailure"])}
        assert len(entry["Data"]) + len(entry["PartitionKey"]) <= BYTES_A_RECORD
        self.taken.append(entry)
        return {"SequenceNumber": str(len(self.taken))}

    def events(self) -> list[dict[str, Any]]:
        return [event for entry in self.taken for event in events_of(entry["Data"])]


class Broken:
    """A stream that answers each put with an error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def put_records(self, **_: Any) -> dict[str, Any]:
        raise self.error


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pause a hundredth as long."""
    monkeypatch.setattr(lanes, "FIRST_PAUSE", FIRST_PAUSE / 100)
    monkeypatch.setattr(lanes, "LONGEST_PAUSE", LONGEST_PAUSE / 100)


def events_of(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in unpack(data).payload.splitlines()]


def any_event(number: int, keys: int = 20, **more: Any) -> dict[str, Any]:
    return {"event": "search", "event_id": f"e-{number}", "user_id": f"u-{number % keys}", "number": number, **more}


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "PutRecords")


def noise(size: int, seed: int = SEED) -> str:
    """Text that does not compress to less than three quarters."""
    return "".join(
        random.Random(seed).choices("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_", k=size)
    )


def until(claim: Any, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.005)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize(("failing", "lost"), [(0.0, 0.0), (0.3, 0.0), (0.2, 0.2)])
def test_every_event_arrives_and_is_reported(
    tmp_path: Path, ordered: bool, durable: bool, failing: float, lost: float
) -> None:
    stream = Stream(failing, lost=lost)
    place = tmp_path / "journal" if durable else None

    with Producer("s", client=stream, ordered=ordered, durable_dir=place, frame_bytes=10_000, block=10) as producer:
        for number in range(5_000):
            producer.send(any_event(number))

    report = producer.report
    assert (report.sent, report.accepted, report.imbalance) == (5_000, 5_000, 0)
    assert {event["number"] for event in stream.events()} == set(range(5_000))
    assert lost or len(stream.events()) == 5_000
    assert (report.throttled + report.retried > 0) == (failing > 0)
    assert not durable or [path.name for path in tmp_path.glob("journal/*")] == ["lock"]


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("durable", [False, True])
def test_ordered_events_of_a_key_arrive_in_their_order(tmp_path: Path, durable: bool) -> None:
    stream = Stream(0.4)
    place = tmp_path if durable else None

    with Producer("s", client=stream, ordered=True, durable_dir=place, max_buffer=100_000, block=10) as producer:
        for number in range(4_000):
            producer.send(any_event(number))

    numbers = defaultdict(list)
    shards = defaultdict(set)
    for entry in stream.taken:
        for event in events_of(entry["Data"]):
            numbers[event["user_id"]].append(event["number"])
            shards[event["user_id"]].add(entry["ExplicitHashKey"])
    assert len(numbers) == 20
    assert all(found == sorted(found) and len(found) == 200 for found in numbers.values())
    assert all(len(found) == 1 for found in shards.values())


def test_ordered_lanes_put_one_frame_at_a_time() -> None:
    stream = Stream()

    with Producer("s", client=stream, ordered=True, frame_bytes=2_000) as producer:
        for number in range(1_000):
            producer.send(any_event(number))

    for records in stream.puts:
        keys = [entry["PartitionKey"] for entry in records]
        assert len(keys) == len(set(keys))


def test_only_failed_frames_are_sent_again() -> None:
    stream = Stream(0.3)

    with Producer("s", client=stream, frame_bytes=2_000) as producer:
        for number in range(500):
            producer.send(any_event(number))

    assert len(stream.events()) == producer.report.accepted == 500
    assert producer.report.records == len(stream.taken)


@pytest.mark.parametrize(
    ("event", "reason", "words"),
    [
        (b"x" * BYTES_A_RECORD, "too_large", r"1,048,576 bytes; send at most 1,048,299"),
        ({"text": "x" * BYTES_A_RECORD}, "too_large", r"1,048,587 bytes"),
        (b"  ", "empty", "blank"),
        (b'{"a":\n', "not_json", "line breaks"),
        pytest.param(b"[\n" * 100_000, "not_json", "line breaks", id="deep"),
        ({"a": object()}, "not_json", "object"),
        ({"a": "\ud800"}, "not_json", "cannot be written"),
        (["a"], "not_an_object", "list"),
    ],
)
def test_an_event_that_no_stream_takes_is_refused_at_once(event: Any, reason: str, words: str) -> None:
    stream = Stream()
    with Producer("s", client=stream) as producer:
        with pytest.raises(Refused, match=words) as error:
            producer.send(event)
        producer.send(any_event(1))

    assert error.value.reason == reason
    assert producer.report.refused == {reason: 1}
    assert (producer.report.sent, producer.report.accepted, producer.report.imbalance) == (2, 1, 0)
    assert stream.events() == [any_event(1)]


def test_the_largest_event_fits_a_record_even_if_it_cannot_be_compressed() -> None:
    stream = Stream()
    line = b'"' + noise(largest_event(BYTES_A_RECORD) - 2).encode() + b'"'

    with Producer("s", client=stream) as producer:
        producer.send(line)
        producer.send(os.urandom(largest_event(BYTES_A_RECORD)).replace(b"\n", b"-").replace(b"\r", b"-"))

    assert producer.report.accepted == 2
    assert max(len(entry["Data"]) for entry in stream.taken) > 1_040_000


@pytest.mark.parametrize("key", [None, "", "k" * 257, 7, "half \ud800"])
def test_an_ordered_event_needs_a_key(key: Any) -> None:
    with Producer("s", client=Stream(), ordered=True) as producer, pytest.raises(Refused, match="1 to 256 characters"):
        producer.send({"event": "search"}, key)

    assert producer.report.refused == {"key": 1}


@pytest.mark.parametrize("key", ["k" * 70_000, 7, "half \ud800"], ids=["long", "number", "half a pair"])
def test_without_order_no_key_is_wrong(tmp_path: Path, key: Any) -> None:
    with Producer("s", client=Stream(), durable_dir=tmp_path) as producer:
        producer.send(any_event(1), key)

    assert producer.report.accepted == 1


def test_an_event_with_line_breaks_may_have_more_digits_than_python_reads() -> None:
    stream = Stream()
    with Producer("s", client=stream) as producer:
        producer.send(b'{"n":\n' + b"7" * 5_000 + b"}")

    [taken] = stream.taken
    assert unpack(taken["Data"]).payload == b'{"n": ' + b"7" * 5_000 + b"}\n"


def test_a_pretty_printed_event_becomes_one_line() -> None:
    stream = Stream()
    with Producer("s", client=stream) as producer:
        producer.send(json.dumps(any_event(1), indent=2).replace("\n", "\r\n").encode())

    assert stream.events() == [any_event(1)]


def test_a_full_buffer_holds_the_caller_no_longer_than_told() -> None:
    stream = Stream()
    stream.open.clear()
    producer = Producer("s", client=stream, max_buffer=10_000, block=0.2)
    with pytest.raises(Refused, match=r"memory is full and the stream took nothing for 0\.2 s"):
        for number in range(1_000):
            started = time.monotonic()
            producer.send(any_event(number))

    waited = time.monotonic() - started
    taken = producer.report.buffered
    stream.open.set()
    producer.close()
    assert 0.2 <= waited < FOR_EVER
    assert producer.report == Report(
        sent=taken + 1,
        accepted=taken,
        refused=producer.report.refused,
        requests=len(stream.puts),
        records=len(stream.taken),
        bytes=sum(len(entry["Data"]) for entry in stream.taken),
    )
    assert producer.report.refused == {"no_room": 1}


def test_room_that_comes_back_lets_the_caller_go_on() -> None:
    stream = Stream()
    stream.open.clear()
    threading.Timer(0.1, stream.open.set).start()

    with Producer("s", client=stream, max_buffer=10_000, block=120) as producer:
        for number in range(1_000):
            producer.send(any_event(number))

    assert producer.report.accepted == 1_000


def test_what_memory_has_no_room_for_waits_on_disk(tmp_path: Path) -> None:
    stream = Stream()
    stream.open.clear()
    with Producer("s", client=stream, max_buffer=20_000, durable_dir=tmp_path, block=0) as producer:
        for number in range(2_000):
            producer.send(any_event(number))
        spilled = producer.report
        stream.open.set()

    assert spilled.buffered < 200
    assert spilled.spilled == 2_000 - spilled.buffered
    assert producer.report.accepted == 2_000
    assert sorted(event["number"] for event in stream.events()) == list(range(2_000))


def test_a_full_disk_refuses_and_says_so(tmp_path: Path) -> None:
    stream = Stream()
    stream.open.clear()
    with Producer("s", client=stream, max_buffer=5_000, max_disk=20_000, durable_dir=tmp_path, block=0) as producer:
        with pytest.raises(Refused, match="disk is full"):
            for number in range(1_000):
                producer.send(any_event(number))
        assert producer.report.imbalance == 0
        stream.open.set()

    assert producer.report.accepted == producer.report.sent - 1


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "AccessDeniedException"])
def test_a_refusal_that_lasts_is_reported(code: str) -> None:
    with Producer("s", client=Broken(refused(code))) as producer:
        producer.send(any_event(1))

    assert producer.report.refused == {code: 1}
    assert code in producer.report.last_error


def test_a_refusal_that_lasts_leaves_events_on_disk_for_the_next(tmp_path: Path) -> None:
    broken = Producer("s", client=Broken(refused("AccessDeniedException")), durable_dir=tmp_path)
    broken.send(any_event(1))
    left = broken.close(timeout=0.2)

    stream = Stream()
    with Producer("s", client=stream, durable_dir=tmp_path) as producer:
        producer.flush()

    assert (left.spilled, left.accepted, left.imbalance) == (1, 0, 0)
    assert (producer.report.recovered, producer.report.accepted, producer.report.imbalance) == (1, 1, 0)
    assert stream.events() == [any_event(1)]


def test_an_answer_that_tells_of_fewer_records_than_were_put_is_none() -> None:
    client: Any = Broken(OSError())
    stream = Stream()
    client.put_records = lambda **_: {"Records": []}
    producer = Producer("s", client=client)
    producer.send(any_event(1))
    until(lambda: producer.report.retried)
    client.put_records = stream.put_records
    producer.close()

    assert (producer.report.accepted, stream.events()) == (1, [any_event(1)])


def test_a_disk_that_takes_no_note_of_what_was_sent_stops_nothing(tmp_path: Path) -> None:
    stream = Stream()
    stream.open.clear()
    producer = Producer("s", client=stream, durable_dir=tmp_path)
    producer.send(any_event(1))
    (tmp_path / "000000000001.sent").symlink_to("/dev/full")
    stream.open.set()
    until(lambda: producer.report.last_error)
    producer.send(any_event(2))
    producer.close()

    assert (producer.report.accepted, producer.report.spilled, producer.report.imbalance) == (2, 0, 0)
    assert "No space left" in producer.report.last_error
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


@pytest.mark.parametrize("error", [RuntimeError("odd"), refused("LimitExceededException"), OSError("gone")])
def test_no_error_of_a_client_ends_the_sender(error: Exception) -> None:
    client: Any = Broken(error)
    stream = Stream()
    producer = Producer("s", client=client)
    producer.send(any_event(1))
    until(lambda: producer.report.retried + producer.report.throttled)
    client.put_records = stream.put_records
    producer.close()

    assert (producer.report.accepted, producer.report.imbalance) == (1, 0)
    assert str(error) in producer.report.last_error


def test_closing_takes_no_longer_than_told_and_counts_what_it_gave_up() -> None:
    stream = Stream()
    stream.open.clear()
    producer = Producer("s", client=stream)
    for number in range(10):
        producer.send(any_event(number))
    started = time.monotonic()
    report = producer.close(timeout=0.2)

    waited = time.monotonic() - started
    stream.open.set()
    assert waited < FOR_EVER
    assert (report.refused, report.imbalance) == ({"unconfirmed": 10}, 0)
    with pytest.raises(Refused, match="closed"):
        producer.send(any_event(11))


def test_a_directory_has_one_producer(tmp_path: Path) -> None:
    with (
        Producer("s", client=Stream(), durable_dir=tmp_path),
        pytest.raises(DirectoryInUse, match="give each its own directory"),
    ):
        Producer("s", client=Stream(), durable_dir=tmp_path)


def test_many_threads_lose_nothing() -> None:
    stream = Stream()
    with Producer("s", client=stream, ordered=True, max_buffer=200_000, block=120) as producer:

        def send(start: int) -> None:
            for number in range(start, start + 1_000):
                producer.send(any_event(number))

        threads = [threading.Thread(target=send, args=(start,)) for start in range(0, 4_000, 1_000)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert producer.report.accepted == 4_000
    assert sorted(event["number"] for event in stream.events()) == list(range(4_000))


def test_few_events_leave_at_once_and_many_linger_together() -> None:
    slow, busy = Lane(taken_at=1.0, rate=0.5), Lane(taken_at=1.0, rate=1_000.0)

    assert (slow.wait(0.1), busy.wait(0.1)) == (0.0, 0.1)


def test_a_full_frame_leaves_before_its_time() -> None:
    stream = Stream()
    with Producer("s", client=stream, linger=60, frame_bytes=10_000) as producer:
        for number in range(200):
            producer.send(any_event(number))
        until(lambda: producer.report.accepted > 100)


def test_a_throttled_shard_gets_time_and_an_error_jitter() -> None:
    chance = random.Random(SEED)
    throttled = [throttled_pause(times, chance) for times in range(1, 40)]
    failed = [failed_pause(1, chance) for _ in range(1_000)]

    assert all(0.75 * min(5, 0.1 * 2**n) <= pause <= min(5, 0.1 * 2**n) for n, pause in enumerate(throttled))
    assert min(failed) < 0.01
    assert 0.09 < max(failed) <= 0.1


def test_a_frame_that_is_too_large_for_a_record_is_halved_in_order() -> None:
    lines = [noise(100_000, seed).encode() for seed in range(30)]

    loads = framed(b"".join(line + b"\n" for line in lines), len(lines), BYTES_A_RECORD)

    assert len(loads) == 4
    assert all(len(load.data) <= BYTES_A_RECORD - 256 for load in loads)
    assert [line for load in loads for line in unpack(load.data).payload.splitlines()] == lines


def test_every_place_goes_with_its_frame() -> None:
    places = [Place(1, number) for number in range(7)]

    parcels = parcelled([Load(b"a", 3), Load(b"b", 4)], places, 100)

    assert [parcel.places for parcel in parcels] == [places[:3], places[3:]]
    assert sum(parcel.size for parcel in parcels) == 100


@pytest.mark.parametrize(("missing", "codec"), [((), Codec.ZSTD), (encoding.ZSTD, Codec.DEFLATE)])
def test_frames_are_made_with_whatever_codec_there_is(
    monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...], codec: Codec
) -> None:
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)
    encoding._codec.cache_clear()
    try:
        [load] = framed(b'{"a":1}\n' * 100, 100, BYTES_A_RECORD)
    finally:
        encoding._codec.cache_clear()

    assert load.data[5] == codec
    assert unpack(load.data).count == 100


def test_json_is_the_same_without_the_fast_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    event = {"event": "search", "query": 'caf\u00e9 "\n\u2028', "results": 3, "price": 1.5, "none": None, "list": [1]}
    fast = encoding.line_of(event, 1_000)
    monkeypatch.setitem(sys.modules, "msgspec.json", None)
    encoding.appender.cache_clear()
    try:
        slow = encoding.line_of(event, 1_000)
        with pytest.raises(Refused, match="JSON"):
            encoding.line_of({"a": float("nan")}, 1_000)
    finally:
        encoding.appender.cache_clear()

    assert slow == fast


class Interrupting(tzinfo):
    """A zone that is asked, in the middle of an event, as its caller is interrupted."""

    def utcoffset(self, _: Any) -> Any:
        raise KeyboardInterrupt

    dst = tzname = utcoffset


def test_an_interrupted_caller_leaves_whole_events_and_a_lock_that_opens() -> None:
    stream = Stream()
    with Producer("s", client=stream) as producer:
        producer.send(any_event(1))
        with pytest.raises(KeyboardInterrupt):
            producer.send(any_event(2, text="x" * 100, moment=datetime(2026, 3, 1, tzinfo=Interrupting())))
        producer.send(any_event(3))

    assert stream.events() == [any_event(1), any_event(3)]
    assert (producer.report.sent, producer.report.accepted, producer.report.imbalance) == (2, 2, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_leaves_the_producer_to_its_parent(tmp_path: Path, durable: bool) -> None:
    stream = Stream()
    producer = Producer("s", client=stream, linger=60, durable_dir=tmp_path / "own" if durable else None)
    producer.send(any_event(1))
    child = os.fork()
    if child == 0:
        try:
            with pytest.raises(Refused, match="parent process's; make another after the fork"):
                producer.send(any_event(2))
            producer.close()
            with Producer("s", client=Filed(str(tmp_path / "taken"))) as own:
                own.send(any_event(3))
            os._exit(0 if own.report.accepted == 1 else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    producer.send(any_event(4))
    producer.close()

    assert status == 0
    assert stream.events() == [any_event(1), any_event(4)]
    assert producer.report.imbalance == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_closes_no_file_that_came_after_a_closed_producer_s(tmp_path: Path) -> None:
    producer = Producer("s", client=Stream(), durable_dir=tmp_path / "own")
    producer.close()
    kept = os.open(tmp_path / "another", os.O_CREAT | os.O_RDWR)  # gets the number of the journal's lock
    child = os.fork()
    if child == 0:
        try:
            os.fstat(kept)
            os._exit(0)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    os.close(kept)

    assert producer.report.imbalance == 0
    assert status == 0


def wire(entries: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, str]]:
    """What boto3 puts on the wire for some records."""
    seen: list[AWSRequest] = []

    def answer(request: Any, **_: Any) -> AWSResponse:
        seen.append(request)
        response = AWSResponse(request.url, 200, {"content-type": "application/x-amz-json-1.1"}, None)
        response._content = b'{"Records": []}'
        return response

    client = boto3.Session("an-id", "a-key", region_name="us-east-1").client("kinesis")
    client.meta.events.register("before-send.kinesis.PutRecords", answer)
    take_over(client)
    take_over(client)
    client.put_records(StreamName="s", Records=entries)
    body = seen[0].body
    assert int(seen[0].headers["Content-Length"]) == len(body)
    return json.loads(body), {name: str(value) for name, value in seen[0].headers.items()}


def test_requests_say_what_boto3_would_say() -> None:
    chance = random.Random(SEED)
    entries = [
        {"Data": chance.randbytes(size), "PartitionKey": key, **more}
        for size in (0, 1, 2, 3, 1_000)
        for key, more in (("lane-1", {"ExplicitHashKey": str(2**127)}), ('"quoted" caf\u00e9', {}))
    ]

    ours, headers = wire(Entries(entries))
    theirs, _ = wire(entries)

    assert ours == theirs
    assert "AWS4-HMAC-SHA256" in headers["Authorization"]


# Columns


def page_view(number: int, **more: Any) -> dict[str, Any]:
    return {
        "event": "page_view",
        "event_id": f"e-{number}",
        "event_time": f"2026-03-01T12:00:00.{number % 1000:03d}+01:00",
        "user_id": f"u-{number % 20}",
        "page": "/caf\u00e9",
        "device": "mobile",
        "country": "DE",
        **more,
    }


def search(number: int, **more: Any) -> dict[str, Any]:
    event = {**page_view(number), "event": "search", "query": "shoes", "results": number, **more}
    return {name: value for name, value in event.items() if name not in ("page", "device", "country")}


def sent_in_columns(*events: Any, **how: Any) -> dict[str, list[Any]]:
    stream = Stream()
    with Producer("s", client=stream, columnar=True, **how) as producer:
        for event in events:
            producer.send(event)
    assert (producer.report.accepted, producer.report.imbalance) == (len(events), 0)
    found: dict[str, list[Any]] = {"ndjson": [], "arrow": []}
    for entry in stream.taken:
        frame = unpack(entry["Data"])
        if frame.kind == "arrow":
            table = pa.ipc.open_stream(frame.payload).read_all()
            assert table.num_rows == frame.count
            found["arrow"].append(table)
        else:
            found["ndjson"] += events_of(entry["Data"])
    return found


def test_declared_events_travel_as_columns_each_kind_in_frames_of_its_own() -> None:
    events = [make(number) for number in range(300) for make in (page_view, search)]

    found = sent_in_columns(*events)

    assert found["ndjson"] == []
    rows: dict[bytes, list[Any]] = defaultdict(list)
    for table in found["arrow"]:
        name = table.schema.metadata[b"event"]
        assert table.schema.equals(arrow_schema(EVENTS[name.decode()].columns()))
        rows[name] += table.to_pylist()
    assert [row["results"] for row in rows[b"search"]] == list(range(300))
    assert [row["event_id"] for row in rows[b"page_view"]] == [f"e-{number}" for number in range(300)]
    assert rows[b"page_view"][7]["event_time"] == datetime(2026, 3, 1, 11, 0, 0, 7_000, tzinfo=timezone.utc)
    assert rows[b"page_view"][7]["referrer"] is None


@pytest.mark.parametrize(
    "odd",
    [
        page_view(1, page=None),
        page_view(1, page=1),
        page_view(1, unknown="x"),
        page_view(1, version=2),
        page_view(1, version=True),
        page_view(1, event_time="2026-03-01T12:00:00"),
        page_view(1, event_time="2026-03-01 12:00:00Z"),
        page_view(1, event_time="2026-03-01T12:00:00.0000001Z"),
        page_view(1, event_time="2026-02-30T12:00:00Z"),
        page_view(1, page="half \ud800"),
        search(1, results=True),
        search(1, results=1.5),
        search(1, results=1 << 63),
        {"event": "nothing"},
    ],
)
def test_what_columns_cannot_hold_goes_as_the_json_that_it_is(odd: dict[str, Any]) -> None:
    found = sent_in_columns(odd)

    assert found["arrow"] == []
    [event] = found["ndjson"]
    assert {"version": 1, **odd} == {"version": 1, **event}


@pytest.mark.parametrize("name", [["search"], {}, None, 7])
def test_an_event_whose_name_is_no_text_goes_as_the_json_that_it_is(name: Any) -> None:
    assert sent_in_columns({"event": name, "n": 1})["ndjson"] == [{"event": name, "n": 1}]


@pytest.mark.parametrize("digits", [30, 5_000])
def test_a_whole_number_that_nobody_can_hold_is_refused_and_its_neighbours_go(digits: int) -> None:
    stream = Stream()
    with Producer("s", client=stream, columnar=True) as producer:
        producer.send(search(1))
        with suppress(Refused):  # or the platform says so
            producer.send(search(1, results=10**digits))
        producer.send(search(2))

    assert producer.report.accepted + producer.report.refused["not_json"] == 3
    assert sum(unpack(entry["Data"]).count for entry in stream.taken) >= 2


def test_columns_and_a_journal_go_together(tmp_path: Path) -> None:
    found = sent_in_columns(*(page_view(number) for number in range(50)), durable_dir=tmp_path, ordered=True)

    assert sorted(event["event_id"] for event in found["ndjson"]) == sorted(f"e-{number}" for number in range(50))


# The laptop cloud


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A laptop cloud in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        cloud = Cloud(free.getsockname()[1], tmp_path_factory.mktemp("laptop"))
    command = [sys.executable, "-m", "local", "--port", str(cloud.port), "--state", str(cloud.state)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline()
        yield cloud
        process.terminate()


def break_on_purpose(cloud: Cloud, faults: list[dict[str, Any]]) -> None:
    answer = urllib3.request("PUT", f"{cloud.endpoint}/_cloud/faults", body=json.dumps(faults))
    assert answer.status == 200, answer.data


def arrived(cloud: Cloud, stream: str) -> dict[str, list[dict[str, Any]]]:
    kinesis = cloud.client("kinesis")
    found: dict[str, list[dict[str, Any]]] = {}
    for shard in kinesis.list_shards(StreamName=stream)["Shards"]:
        name = shard["ShardId"]
        place = kinesis.get_shard_iterator(StreamName=stream, ShardId=name, ShardIteratorType="TRIM_HORIZON")
        iterator, found[name] = place["ShardIterator"], []
        while records := (answer := kinesis.get_records(ShardIterator=iterator))["Records"]:
            found[name] += [event for record in records for event in events_of(record["Data"])]
            iterator = answer["NextShardIterator"]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.usefixtures("hasty")
def test_a_stream_with_faults_gets_every_event_and_keeps_each_keys_order(
    laptop: Cloud, tmp_path: Path, ordered: bool
) -> None:
    name, kinesis = f"producer-{ordered}", laptop.client("kinesis")
    kinesis.create_stream(StreamName=name, ShardCount=4)
    kinesis.get_waiter("stream_exists").wait(StreamName=name)
    break_on_purpose(
        laptop,
        [
            {"fault": "throttle", "stream": name, "probability": 0.3, "share": 0.5, "seed": SEED},
            {"fault": "throttle", "stream": name, "probability": 0.2, "code": "InternalFailure", "seed": SEED + 1},
            {"fault": "throttle", "stream": name, "probability": 0.1, "whole": True, "seed": SEED + 2},
            {"fault": "drop", "service": "kinesis", "operation": "PutRecords", "probability": 0.2, "seed": SEED + 3},
        ],
    )
    once = BotoConfig(retries={"total_max_attempts": 1})
    client = boto3.Session("an-id", "a-key", region_name=laptop.region).client(
        "kinesis", endpoint_url=laptop.endpoint, config=once
    )
    with Producer(name, client=client, ordered=ordered, durable_dir=tmp_path, frame_bytes=5_000) as producer:
        for number in range(3_000):
            producer.send(any_event(number))
            if number % 100 == 0:
                producer.flush(10)

    report = producer.report
    break_on_purpose(laptop, [])
    shards = arrived(laptop, name)
    assert (report.accepted, report.imbalance, report.spilled) == (3_000, 0, 0)
    assert report.throttled > 0
    assert report.retried > 0
    assert {event["number"] for events in shards.values() for event in events} == set(range(3_000))
    assert all(shards.values())
    if ordered:
        for events in shards.values():
            assert_in_order_but_for_resends(events)


# The journal


def stored(journal: Journal) -> list[bytes]:
    return [each.line for each in iter_all(journal)]


def iter_all(journal: Journal) -> Iterator[Any]:
    while found := journal.read(1_000):
        yield from found


def test_a_journal_gives_back_what_was_not_confirmed(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_bytes=500)
    places = [journal.append("k", b"line %d" % number) for number in range(100)]
    journal.confirm(places[:50:2])
    journal.close()

    again = Journal(tmp_path)
    assert again.waiting == 75
    assert stored(again) == [b"line %d" % number for number in range(100) if number % 2 or number >= 50]
    again.close()


def test_a_journal_forgets_segments_that_are_done(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_bytes=500)
    places = [journal.append("k", b"line %d" % number) for number in range(100)]
    several = len(list(tmp_path.glob("*.events")))
    journal.confirm(places)

    assert several > 3
    assert len(list(tmp_path.glob("*.events"))) == 1
    journal.close()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


@pytest.mark.parametrize("cut", [1, 5, 12, 17])
def test_a_torn_end_takes_no_earlier_event_with_it(tmp_path: Path, cut: int) -> None:
    journal = Journal(tmp_path)
    for number in range(10):
        journal.append("k", b"line %d" % number)
    journal.close()
    path = next(tmp_path.glob("*.events"))
    path.write_bytes(path.read_bytes()[:-cut])

    again = Journal(tmp_path)
    assert stored(again) == [b"line %d" % number for number in range(9)]
    again.close()


def any_journal(place: Path, count: int = 100) -> Path:
    """A journal's only segment, of lines of ten bytes."""
    journal = Journal(place)
    for number in range(count):
        journal.append("k", b"line %05d" % number)
    journal.close()
    return next(place.glob("*.events"))


EVERY = HEAD + len(b"k") + len(b"line 00000")
"""Bytes of each of its entries."""


@pytest.mark.parametrize(
    ("first", "size", "lost"),
    [
        (40 * EVERY + HEAD + 3, 1, [40]),  # a line
        (40 * EVERY, 4, [40]),  # a mark
        (40 * EVERY + 5, 2, [40]),  # a number
        (40 * EVERY + 8, 4, [40]),  # a length
        (40 * EVERY + HEAD - 1, 1, [40]),  # a checksum
        (40 * EVERY + 10, 3 * EVERY, [40, 41, 42, 43]),
        (0, 1, [0]),
        (99 * EVERY + HEAD + 3, 1, [99]),
        (98 * EVERY + 10, EVERY - 10, [98]),
    ],
)
def test_what_is_damaged_on_disk_is_counted_and_takes_nothing_else_along(
    tmp_path: Path, first: int, size: int, lost: list[int]
) -> None:
    path = any_journal(tmp_path)
    data = bytearray(path.read_bytes())
    for place in range(first, first + size):
        data[place] ^= 0xA5
    path.write_bytes(data)

    again = Journal(tmp_path)

    assert (again.waiting, again.unreadable) == (100 - len(lost), len(lost))
    assert again.unreadable_bytes == len(lost) * EVERY
    assert stored(again) == [b"line %05d" % number for number in range(100) if number not in lost]
    again.close()


def test_what_was_confirmed_before_it_was_damaged_is_not_missed(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    places = [journal.append("k", b"line %05d" % number) for number in range(100)]
    journal.confirm(places[10:50])
    journal.close()
    path = next(tmp_path.glob("*.events"))
    data = path.read_bytes()
    path.write_bytes(data[: 48 * EVERY] + b"\0" * (4 * EVERY) + data[52 * EVERY :])

    again = Journal(tmp_path)

    assert (again.waiting, again.unreadable) == (58, 2)
    assert len(stored(again)) == 58
    again.close()


@pytest.mark.parametrize("damage", [b"\xff", b"\1\2\3\4\5\6\7"])
def test_a_damaged_note_of_what_was_confirmed_loses_no_event(tmp_path: Path, damage: bytes) -> None:
    journal = Journal(tmp_path)
    places = [journal.append("k", b"line %05d" % number) for number in range(10)]
    journal.confirm(places[:2])
    journal.confirm(places[4:6])
    journal.close()
    note = next(tmp_path.glob("*.sent"))
    note.write_bytes(damage + note.read_bytes()[len(damage) :] + b"torn")

    again = Journal(tmp_path)
    assert (again.waiting, again.unreadable) == (8, 0)
    again.confirm(places[8:])
    again.close()

    assert Journal(tmp_path).waiting == 6


def test_a_producer_sends_what_can_be_read_and_reports_and_keeps_what_cannot(tmp_path: Path) -> None:
    broken = Producer("s", client=Broken(refused("AccessDeniedException")), durable_dir=tmp_path)
    for number in range(1_000):
        broken.send(any_event(number))
    broken.close(timeout=0.1)
    path = next(tmp_path.glob("*.events"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)

    stream = Stream()
    with Producer("s", client=stream, durable_dir=tmp_path) as producer:
        producer.flush()

    report = producer.report
    assert (report.recovered, report.accepted, report.unreadable, report.imbalance) == (999, 999, 1, 0)
    assert 0 < report.unreadable_bytes < 200
    assert len({event["number"] for event in stream.events()}) == 999
    assert [path.suffix for path in tmp_path.glob("0*")] == [".damaged"]
    assert Journal(tmp_path).unreadable == 0


@given(st.data())
@pytest.mark.slow
def test_no_damage_to_a_journal_makes_it_fail_or_hide_anything(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = any_journal(Path(place), 20)
        written = bytearray(path.read_bytes())
        spots = data.draw(st.lists(st.tuples(st.integers(0, len(written) - 1), st.binary(min_size=1, max_size=40))))
        for start, noise_there in spots:
            written[start : start + len(noise_there)] = noise_there[: len(written) - start]
        path.write_bytes(written)

        journal = Journal(Path(place))
        found = stored(journal)
        journal.close()

    assert set(found) <= {b"line %05d" % number for number in range(20)}
    assert len(found) * EVERY + journal.unreadable_bytes == len(written)


def test_what_was_confirmed_of_a_segment_that_is_gone_says_nothing_of_the_next(tmp_path: Path) -> None:
    (tmp_path / "000000000001.sent").write_bytes(_checked((0, 9)))
    journal = Journal(tmp_path)
    journal.append("k", b"line")
    journal.close()

    assert Journal(tmp_path).waiting == 1


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let a write end where a file is so large, as a disk that is full does."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


FULL = "took a part|too large"


@pytest.mark.parametrize("room", [0, 1, HEAD, HEAD + 1, HEAD + 10])
def test_of_an_event_that_the_disk_has_half_room_for_nothing_is_kept(tmp_path: Path, room: int) -> None:
    journal = Journal(tmp_path)
    journal.append("k", b"first")
    with files_of_at_most(journal.size + room), pytest.raises(OSError, match=FULL):
        journal.append("k", b"second that does not fit")
    journal.append("k", b"third")
    journal.close()

    again = Journal(tmp_path)
    assert (stored(again), again.unreadable_bytes) == ([b"first", b"third"], 0)


def test_of_an_event_that_never_reached_the_disk_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path, fsync=True)
    journal.append("k", b"first")
    with monkeypatch.context() as patch, pytest.raises(OSError, match="input/output"):
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("input/output")))
        journal.append("k", b"second")
    journal.append("k", b"third")
    journal.close()

    again = Journal(tmp_path)
    assert (stored(again), again.unreadable_bytes) == ([b"first", b"third"], 0)


def test_a_note_that_the_disk_has_half_room_for_spoils_no_later_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    places = [journal.append("k", b"line %d" % number) for number in range(4)]
    with files_of_at_most(5), pytest.raises(OSError, match=FULL):
        journal.confirm(places[:1])
    journal.confirm(places[1:2])
    journal.close()

    assert stored(Journal(tmp_path)) == [b"line 0", b"line 2", b"line 3"]


def test_a_segment_that_cannot_be_begun_costs_one_event_and_not_the_next(tmp_path: Path) -> None:
    journal = Journal(tmp_path, segment_bytes=10)
    journal.append("k", b"first")
    (tmp_path / "000000000002.events").mkdir()
    with pytest.raises(OSError, match="exists"):
        journal.append("k", b"refused")
    journal.append("k", b"third")

    assert stored(journal) == [b"first", b"third"]


def test_a_segment_is_small_beside_the_disk() -> None:
    assert SEGMENT_BYTES <= 2**26


KILLED = """
import random, sys
sys.path[:0] = {path!r}
from clients.producer import Producer
from tests.clients.test_producer import Filed, any_event
producer = Producer("s", client=Filed({taken!r}), durable_dir={place!r}, max_buffer=30_000, linger=0.002, {more})
print(producer.report.recovered, flush=True)
for number in range({first}, {first} + 100_000):
    producer.send(any_event(number))
    print(number, flush=True)
"""


class Filed(Stream):
    """A stream that outlives its process, loses some answers, and is refused at times."""

    def __init__(self, path: str) -> None:
        super().__init__(0.1, lost=0.1)
        self.path = path

    def take(self, entry: dict[str, Any]) -> dict[str, str]:
        answer = super().take(entry)
        if "ErrorCode" not in answer:
            with Path(self.path).open("ab", buffering=0) as file:
                file.write(msgspec.json.encode(events_of(entry["Data"])) + b"\n")
        return answer


@pytest.mark.slow
@pytest.mark.parametrize("ordered", [False, True])
def test_a_killed_process_loses_no_event_that_was_taken(tmp_path: Path, ordered: bool) -> None:
    chance, acknowledged, recovered = random.Random(SEED), [], 0
    taken, place = str(tmp_path / "taken"), str(tmp_path / "journal")
    for first in range(0, 600_000, 100_000):
        code = KILLED.format(path=sys.path, taken=taken, place=place, first=first, more=f"ordered={ordered}")
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            recovered += int(process.stdout.readline())
            head = [int(process.stdout.readline()) for _ in range(chance.randrange(50, 3_000))]
            time.sleep(chance.random() / 20)
            process.send_signal(signal.SIGKILL)
            rest = [int(line) for line in process.stdout if line.endswith("\n")]
        acknowledged += head + rest
    with Producer("s", client=Filed(taken), durable_dir=place, ordered=ordered) as producer:
        assert producer.flush(300)

    arrived = [event for line in Path(taken).read_bytes().splitlines() for event in json.loads(line)]
    assert set(acknowledged) <= {event["number"] for event in arrived}
    assert recovered + producer.report.recovered > 0
    assert producer.report.imbalance == 0
    if ordered:
        assert_in_order_but_for_resends(arrived)


def assert_in_order_but_for_resends(events: list[dict[str, Any]]) -> None:
    """Hold that whenever an event arrives for the first time, all earlier ones of its key have."""
    last: dict[str, int] = {}
    for event in events:
        last[event["user_id"]] = max(last.get(event["user_id"], -1), event["number"])
    seen: dict[str, set[int]] = defaultdict(set)
    for event in events:
        key, number = event["user_id"], event["number"]
        if number not in seen[key]:
            assert not seen[key] or number > max(seen[key])
        seen[key].add(number)


class Accounts(RuleBasedStateMachine):
    """Whatever is sent, however the stream behaves, at any moment each event is in one place."""

    def __init__(self) -> None:
        super().__init__()
        self.stream = Stream()
        self.producer = self.make()
        self.number = 0
        self.sent = 0

    def make(self) -> Producer:
        return Producer("s", client=self.stream, max_buffer=20_000, block=0, linger=0.001, frame_bytes=1_000)

    @rule(count=st.integers(1, 60), size=st.integers(0, 300))
    def send(self, count: int, size: int) -> None:
        for _ in range(count):
            self.number += 1
            self.sent += 1
            try:
                self.producer.send(any_event(self.number, text="x" * size))
            except Refused as refusal:
                assert refusal.reason == "no_room"

    @rule(event=st.sampled_from([b"", b" ", b"{\n", b"x" * 30_000]))
    def send_what_is_refused(self, event: bytes) -> None:
        self.sent += 1
        with pytest.raises(Refused):
            self.producer.send(event)

    @rule(failing=st.sampled_from([0.0, 0.2, 1.0]))
    def change_the_stream(self, failing: float) -> None:
        self.stream.failing = failing

    @rule()
    def hold_the_stream(self) -> None:
        self.stream.open.clear()

    @rule()
    def let_the_stream_go(self) -> None:
        self.stream.open.set()

    @rule(timeout=st.sampled_from([0.0, 0.01]))
    def flush(self, timeout: float) -> None:
        self.producer.flush(timeout)

    @invariant()
    def everything_is_somewhere(self) -> None:
        report = self.producer.report
        assert report.imbalance == 0
        assert report.sent == self.sent
        assert min(report.accepted, report.buffered, report.spilled) >= 0

    def teardown(self) -> None:
        self.stream.failing = 0.0
        self.stream.open.set()
        report = self.producer.close()
        assert (report.buffered, report.spilled, report.imbalance) == (0, 0, 0)
        assert report.accepted == len(self.stream.events()) == self.sent - report.refused.total()


class DurableAccounts(Accounts):
    """The same with a directory, and a process that ends at any time."""

    def make(self) -> Producer:
        if not hasattr(self, "place"):
            self.place = tempfile.TemporaryDirectory()
        return Producer(
            "s",
            client=self.stream,
            max_buffer=20_000,
            durable_dir=self.place.name,
            block=0,
            linger=0.001,
            frame_bytes=1_000,
        )

    @rule()
    def begin_again(self) -> None:
        self.stream.open.set()
        report = self.producer.close(timeout=0)
        assert report.imbalance == 0
        self.sent = 0
        self.producer = self.make()
        assert self.producer.report.recovered == report.spilled

    def teardown(self) -> None:
        self.stream.failing = 0.0
        self.stream.open.set()
        report = self.producer.close()
        self.place.cleanup()
        assert (report.buffered, report.spilled, report.imbalance) == (0, 0, 0)


BRIEF = settings(max_examples=25, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TestAccounts = pytest.mark.usefixtures("hasty")(Accounts.TestCase)
TestDurableAccounts = pytest.mark.usefixtures("hasty")(DurableAccounts.TestCase)
TestAccounts.settings = TestDurableAccounts.settings = BRIEF
