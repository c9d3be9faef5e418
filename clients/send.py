"""Send records to a stream: in large requests, again where it failed, each key's records in their order."""

from __future__ import annotations

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from queue import Full, Queue
from typing import Any
from zlib import crc32

import boto3
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

from domain.text import is_text

# Limits of Kinesis PutRecords; newer SDKs allow 10 MiB a request, 5 MiB is safe everywhere.
RECORDS_A_REQUEST = 500
BYTES_A_REQUEST = 5 * 1024 * 1024
BYTES_A_RECORD = 1024 * 1024
CHARACTERS_A_KEY = 256

LOOK_AHEAD = 2_000
"""Records that wait in memory for their turn; more lets a request fill up where few keys send most records."""

PASSING = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "LimitExceededException",
        "KMSThrottlingException",
        "InternalFailure",
        "ServiceUnavailable",
        "ThrottlingException",
    }
)
"""Refusals of a whole request that pass by themselves."""

Record = tuple[str, bytes]
"""A partition key and the bytes to send, valid or not."""


@dataclass(slots=True)
class Report:
    """What became of the records: accepted by the stream, or refused for a reason; and what it took."""

    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    retried: int = 0
    requests: int = 0

    def __add__(self, other: Report) -> Report:
        return Report(
            self.accepted + other.accepted,
            self.refused + other.refused,
            self.retried + other.retried,
            self.requests + other.requests,
        )


@dataclass(slots=True)
class Waiting:
    """A record that waits to be sent, and how often it was tried."""

    key: str
    data: bytes
    tries: int = 0

    @property
    def size(self) -> int:
        """Count its bytes as the stream does: the key's too."""
        return len(self.data) + len(self.key.encode())


def send(
    records: Iterable[Record],
    stream: str,
    *,
    client: Any = None,
    threads: int = 1,
    tries: int = 10,
    sleep: Callable[[float], None] = time.sleep,
    seed: int | None = None,
) -> Report:
    """Send records and report what became of each.

    A record that the stream fails to take is sent again, up to `tries` times, while later records of its key wait.
    A record can arrive twice if an answer is lost on the way: its `event_id` lets the platform drop the second.
    """
    client = client or boto3.client("kinesis")
    senders = [Sender(client, stream, tries, sleep, random.Random(seed)) for _ in range(threads)]  # noqa: S311  # jitter
    if threads == 1:
        return senders[0].send(records)
    with ThreadPoolExecutor(threads) as pool:
        lanes = [Lane(pool, sender) for sender in senders]
        spread(records, lanes)
        return sum((lane.report.result() for lane in lanes), Report())


class Lane:
    """A queue of loads with a sender that works it off in a thread of its own; an empty load ends it."""

    def __init__(self, pool: ThreadPoolExecutor, sender: Sender) -> None:
        self.queue: Queue[list[Record]] = Queue(maxsize=8)
        self.report: Future[Report] = pool.submit(sender.send, drained(self.queue))

    def offer(self, load: list[Record]) -> None:
        """Hand over a load, unless the sender gave up."""
        while not self.report.done():
            try:
                self.queue.put(load, timeout=0.5)
            except Full:
                continue
            return


def spread(records: Iterable[Record], lanes: list[Lane]) -> None:
    """Give each key to one lane, so that its order is kept; stop when a sender gave up."""
    loads: list[list[Record]] = [[] for _ in lanes]
    for record in records:
        number = crc32(record[0].encode(errors="surrogatepass")) % len(lanes)
        loads[number].append(record)
        if len(loads[number]) == RECORDS_A_REQUEST:
            lanes[number].offer(loads[number])
            loads[number] = []
            if any(lane.report.done() for lane in lanes):
                break
    for load, lane in zip(loads, lanes, strict=True):
        if load:
            lane.offer(load)
        lane.offer([])


def drained(lane: Queue[list[Record]]) -> Iterator[Record]:
    """Take a lane's records until it ends."""
    while load := lane.get():
        yield from load


@dataclass(slots=True)
class Sender:
    """Sends the records of one lane, one request after the other."""

    client: Any
    stream: str
    tries: int
    sleep: Callable[[float], None]
    chance: random.Random
    report: Report = field(default_factory=Report)

    def send(self, records: Iterable[Record]) -> Report:
        """Send all records."""
        source = self.fit(records)
        queue: deque[Waiting] = deque()
        failures = 0
        while True:
            queue.extend(islice(source, LOOK_AHEAD - len(queue)))
            if not queue:
                return self.report
            failed = self.put(take_request(queue))
            failures = failures + 1 if failed else 0
            queue.extendleft(reversed(failed))
            if failed:
                self.sleep(pause(failures, self.chance))

    def fit(self, records: Iterable[Record]) -> Iterator[Waiting]:
        """Refuse at once what the stream cannot take."""
        for key, data in records:
            waiting = Waiting(key, data)
            if not 1 <= len(key) <= CHARACTERS_A_KEY:
                self.report.refused["KeyLength"] += 1
            elif not is_text(key):
                self.report.refused["KeyText"] += 1
            elif waiting.size > BYTES_A_RECORD:
                self.report.refused["TooLarge"] += 1
            else:
                yield waiting

    def put(self, request: list[Waiting]) -> list[Waiting]:
        """Send one request; return what must be sent again."""
        self.report.requests += 1
        codes = self.ask(request)
        failed = []
        for waiting, code in zip(request, codes, strict=True):
            waiting.tries += 1
            if code is None:
                self.report.accepted += 1
            elif waiting.tries >= self.tries:
                self.report.refused[code] += 1
            else:
                failed.append(waiting)
        self.report.retried += len(failed)
        return failed

    def ask(self, request: list[Waiting]) -> list[str | None]:
        """Put the records; return for each the code of its failure, if it failed."""
        entries = [{"PartitionKey": waiting.key, "Data": waiting.data} for waiting in request]
        try:
            answer = self.client.put_records(StreamName=self.stream, Records=entries)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code not in PASSING:
                raise
            return [code] * len(request)
        except (ConnectionError, HTTPClientError) as error:
            return [type(error).__name__] * len(request)
        return [entry.get("ErrorCode") for entry in answer["Records"]]


def take_request(queue: deque[Waiting]) -> list[Waiting]:
    """Take from the queue what fits one request, each key once: a request has no order of its own."""
    request: list[Waiting] = []
    held: list[Waiting] = []
    keys: set[str] = set()
    size = 0
    while queue and len(request) < RECORDS_A_REQUEST:
        waiting = queue.popleft()
        if waiting.key in keys:
            held.append(waiting)
        elif size + waiting.size > BYTES_A_REQUEST:
            held.append(waiting)
            break
        else:
            request.append(waiting)
            keys.add(waiting.key)
            size += waiting.size
    queue.extendleft(reversed(held))
    return request


def pause(failures: int, chance: random.Random) -> float:
    """Choose how long to wait, in seconds: up to 0.1, 0.2, 0.4 and so on to 5 (full jitter, AWS Builders' Library)."""
    return chance.uniform(0, min(5.0, 0.1 * 2 ** (failures - 1)))
