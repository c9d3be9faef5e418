"""How fast and how dear is sending: our producer's frames against `put_records` of 500 JSON records, on one core.

Each way sends the same events through a real boto3 client whose requests are answered after they were signed, so that
figures are the client's own work; bytes and records are what the stream would be asked to take.  Time is the process's
own on its core, all threads together, so that what else the machine does counts for nobody.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from math import ceil
from tempfile import TemporaryDirectory
from typing import Any

import boto3
from botocore.awsrequest import AWSRequest, AWSResponse

from benchmarks import bars
from benchmarks.bars import STRICT, Bar
from clients.producer import Producer
from stacks.cost import STREAM_GB_IN, STREAM_GB_OUT

SEED = 20260301
EVENTS = 100_000
ROUNDS = 5

Event = dict[str, Any]


@dataclass(slots=True)
class Taken:
    """What a stream was asked to take."""

    requests: int = 0
    records: int = 0
    bytes: int = 0
    billed: int = 0
    http: int = 0

    def add(self, sizes: Sequence[int], http: int) -> None:
        """Count a request's records; each is billed in whole KB when the stream is on demand."""
        self.requests += 1
        self.records += len(sizes)
        self.bytes += sum(sizes)
        self.billed += sum(ceil(size / 1024) * 1024 for size in sizes)
        self.http += http


@dataclass(frozen=True, slots=True)
class Figure:
    """What a way of sending takes for a million events; dollars are an on-demand stream's, in and out once."""

    way: str
    events_per_second: float
    records: int
    bytes: int
    http_bytes: int
    dollars: float


class Answered:
    """A client whose PutRecords are answered as soon as they are signed."""

    def __init__(self) -> None:
        self.taken = Taken()
        self._sizes: list[int] = []
        self.client = boto3.client(
            "kinesis",
            region_name="us-east-1",
            aws_access_key_id="an-id",
            aws_secret_access_key="a-key",  # noqa: S106
        )
        self.client.meta.events.register("provide-client-params.kinesis.PutRecords", self._weigh)
        self.client.meta.events.register("before-send.kinesis.PutRecords", self._answer)

    def _weigh(self, params: dict[str, Any], **_: Any) -> None:
        self._sizes = [len(entry["Data"]) + len(entry["PartitionKey"]) for entry in params["Records"]]

    def _answer(self, request: AWSRequest, **_: Any) -> AWSResponse:
        assert "AWS4-HMAC-SHA256" in str(request.headers["Authorization"])
        self.taken.add(self._sizes, len(request.body))
        entry = {"SequenceNumber": "4" * 56, "ShardId": "shardId-000000000000"}
        body = json.dumps({"FailedRecordCount": 0, "Records": [entry] * len(self._sizes)}).encode()
        response = AWSResponse(request.url, 200, {"content-type": "application/x-amz-json-1.1"}, None)
        response._content = body
        return response


def any_events(count: int, seed: int = SEED) -> list[Event]:
    """Make page views of 1,010 bytes of JSON on average, as a shop with campaigns has them."""
    chance = random.Random(seed)  # noqa: S311
    start = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
    return [_page_view(chance, start + timedelta(milliseconds=3 * number)) for number in range(count)]


def _page_view(chance: random.Random, moment: datetime) -> Event:
    user = f"u-{int(chance.paretovariate(0.7)) % 150_000}"
    return {
        "event": "page_view",
        "event_id": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        "event_time": f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z",
        "user_id": user,
        "page": f"/{chance.choice(SECTIONS)}/product-{int(chance.paretovariate(0.5)) % 20_000}?{_campaign(chance)}",
        "device": chance.choice(("desktop", "mobile", "mobile", "tablet")),
        "country": chance.choice(("DE", "FR", "US", "GB", "JP", "BR")),
        "referrer": f"https://{chance.choice(SITES)}/{chance.choice(SECTIONS)}?q={_words(chance)}&{_campaign(chance)}",
    }


SECTIONS = ("shoes", "coats", "garden", "kitchen", "books", "games", "outlet", "new")
SITES = ("www.search.example", "news.example.com", "mail.example.org", "social.example.net", "shop.example.com")
WORDS = ("red", "blue", "green", "warm", "small", "large", "summer", "winter", "cotton", "wool", "steel", "wood")
AGENTS = tuple(
    f"Mozilla%2F5.0%20({system})%20AppleWebKit%2F537.36%20(KHTML,%20like%20Gecko)%20Chrome%2F{version}.0.0.0%20Safari%2F537.36"
    for system in (
        "Windows%20NT%2010.0;%20Win64;%20x64",
        "Macintosh;%20Intel%20Mac%20OS%20X%2010_15_7",
        "Linux;%20Android",
    )
    for version in (139, 140, 141)
)


def _campaign(chance: random.Random) -> str:
    fields = {
        "utm_source": chance.choice(SITES),
        "utm_medium": chance.choice(("cpc", "email", "social", "affiliate")),
        "utm_campaign": "-".join(chance.choices(WORDS, k=3)),
        "utm_content": f"banner-{chance.randrange(400)}",
        "utm_term": "+".join(chance.choices(WORDS, k=4)),
        "session": str(chance.randrange(10**6)),
        "variant": chance.choice("ABCD"),
        "screen": chance.choice(("1920x1080", "390x844", "1440x900", "820x1180")),
        "agent": chance.choice(AGENTS),
        "consent": chance.choice(("all", "necessary", "necessary,analytics")),
        "landing": f"{chance.choice(SECTIONS)}-{chance.choice(WORDS)}",
        "currency": chance.choice(("EUR", "USD", "GBP")),
        "t": f"T{chance.randrange(40)}",
    }
    return "&".join(f"{name}={value}" for name, value in fields.items())


def _words(chance: random.Random) -> str:
    return "+".join(chance.choices(WORDS, k=chance.randrange(2, 9)))


def plain(events: Sequence[Event], answered: Answered) -> None:
    """Send as most do: an event a record, 500 a request."""
    for start in range(0, len(events), 500):
        records = [
            {"Data": json.dumps(event).encode(), "PartitionKey": event["user_id"]}
            for event in events[start : start + 500]
        ]
        answered.client.put_records(StreamName="s", Records=records)


def framed(events: Sequence[Event], answered: Answered, **how: Any) -> None:
    """Send with our producer."""
    with Producer("s", client=answered.client, block=60, **how) as producer:
        for event in events:
            producer.send(event)
    assert producer.report.accepted == len(events), producer.report


def durable(events: Sequence[Event], answered: Answered) -> None:
    """Send with our producer, each event on disk before it is taken."""
    with TemporaryDirectory() as directory:
        framed(events, answered, durable_dir=directory)


WAYS: dict[str, Callable[[Sequence[Event], Answered], None]] = {
    "put_records of 500 JSON records": plain,
    "frames": framed,
    "frames, ordered by key": lambda events, answered: framed(events, answered, ordered=True),
    "columnar frames": lambda events, answered: framed(events, answered, columnar=True),
    "frames, durable": durable,
}


def measure(events: Sequence[Event], rounds: int) -> list[Figure]:
    """Time each way in turn, several times over, and take medians."""
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    taken: dict[str, Taken] = {}
    for _ in range(rounds):
        for way, send in WAYS.items():
            answered = Answered()
            started = time.process_time()
            send(events, answered)
            seconds[way].append(time.process_time() - started)
            taken[way] = answered.taken
    return [figure(way, statistics.median(seconds[way]), taken[way], len(events)) for way in WAYS]


def figure(way: str, seconds: float, taken: Taken, count: int) -> Figure:
    """Scale what one run took to a million events.

    >>> figure("plain", 1.0, Taken(records=1_000, bytes=1_010_000, billed=1_024_000), 1_000).dollars
    0.12232
    """
    scale = 1_000_000 / count
    dollars = (taken.billed * STREAM_GB_IN + taken.bytes * STREAM_GB_OUT) / 1e9
    return Figure(
        way,
        count / seconds,
        round(taken.records * scale),
        round(taken.bytes * scale),
        round(taken.http * scale),
        round(dollars * scale, 6),
    )


def table(figures: Sequence[Figure]) -> str:
    """Write the figures beside the first one's."""
    peer = figures[0]
    lines = ["| way | events/s | x | MB | of | records | HTTP MB | USD | of |", "|---|" + "---:|" * 8]
    for each in figures:
        lines.append(
            f"| {each.way} | {each.events_per_second:,.0f} | {each.events_per_second / peer.events_per_second:.1f} "
            f"| {each.bytes / 1e6:,.1f} | {each.bytes / peer.bytes:.1%} | {each.records:,} "
            f"| {each.http_bytes / 1e6:,.1f} | {each.dollars:.4f} | {each.dollars / peer.dollars:.1%} |"
        )
    return "\n".join(lines)


def held(figures: Sequence[Figure]) -> list[Bar]:
    """Hold frames against plain records."""
    peer, frames = figures[:2]
    return [
        Bar("frames, events/s on one core", frames.events_per_second / peer.events_per_second, 5.0),
        Bar("frames, bytes", frames.bytes / peer.bytes, 0.15, at_least=False),
        Bar("frames, on-demand cost", frames.dollars / peer.dollars, 0.10, at_least=False),
    ]


def one_core() -> None:
    """Stay on one processor, threads too, where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def main(arguments: list[str]) -> int:
    """Measure, print the table, and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument(STRICT, action="store_true")
    asked = parser.parse_args(arguments)
    one_core()
    events = any_events(asked.events)
    size = statistics.mean(len(json.dumps(event, separators=(",", ":"))) for event in events)
    figures = measure(events, asked.rounds)
    print(f"{asked.events:,} events of {size:,.0f} bytes, one core, median of {asked.rounds}; per million events\n")
    print(table(figures))
    rows = {"seed": SEED, "bytes": size, "figures": [asdict(each) for each in figures]}
    return bars.report("produce", held(figures), rows, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
