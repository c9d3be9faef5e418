"""Take events from many threads, and send them in the background."""

from __future__ import annotations

import atexit
import importlib
import random
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any
from zlib import crc32

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from clients.producer.encoding import KEY_ROOM, Load, framed, largest_event, line_of
from clients.producer.journal import Journal, Place
from clients.producer.lanes import THROTTLES, Lane, Parcel
from clients.producer.report import Refused, Report

# Limits of Kinesis PutRecords; newer SDKs allow 10 MiB a request, 5 MiB is safe everywhere.
RECORDS_A_REQUEST = 500
BYTES_A_REQUEST = 5 * 1024 * 1024
BYTES_A_RECORD = 1024 * 1024

HASH_KEYS = 2**128  # Kinesis maps keys to shards by ranges of them
OVERHEAD = 100
"""Bytes that an event takes in memory beyond its own."""

LASTING = frozenset(
    {
        "ResourceNotFoundException",
        "AccessDeniedException",
        "InvalidArgumentException",
        "ValidationException",
        "KMSAccessDeniedException",
        "KMSDisabledException",
        "KMSInvalidStateException",
        "KMSNotFoundException",
        "KMSOptInRequired",
        "UnrecognizedClientException",
        "InvalidSignatureException",
    }
)
"""Refusals of a whole request that do not pass by themselves; an event on disk waits until a person has mended it."""


class Producer:
    """Sends events to a stream from a thread of its own; `send` may be called from any thread.

    `linger`: seconds that an event waits for others at most.  `ordered`: events of one key arrive in their order; keys
    share `lanes`, each with one frame on its way.  `max_buffer`: bytes of events in memory at most.  `block`: seconds
    that `send` waits for room at most; then the event is refused.  `durable_dir`: keep each event on disk until the
    stream has it, also beyond the process (see `journal`; `fsync` beyond the machine's power too); what memory has no
    room for waits there, up to `max_disk` bytes.  `columnar`: events that the platform declares travel as Arrow columns
    (needs pyarrow), each kind in frames of its own, so that order is kept among a key's events of one kind.
    """

    def __init__(
        self,
        stream: str,
        *,
        client: Any = None,
        linger: float = 0.1,
        key: str | None = "user_id",
        ordered: bool = False,
        lanes: int = 16,
        durable_dir: Path | str | None = None,
        fsync: bool = False,
        max_buffer: int = 64 * 1024 * 1024,
        max_disk: int = 1024 * 1024 * 1024,
        block: float = 1.0,
        frame_bytes: int = 1024 * 1024,
        record_limit: int = BYTES_A_RECORD,
        columnar: bool = False,
        seed: int | None = None,
    ) -> None:
        self._stream = stream
        self._client = client or default_client()
        self._linger, self._block = linger, block
        self._key, self._ordered = key, ordered
        self._max_buffer, self._max_disk = max_buffer, max_disk
        self._half = max_buffer // 2
        self._target = min(frame_bytes, max_buffer // 4)
        self._record_limit = record_limit
        self._largest = min(largest_event(record_limit), self._half)
        self._chance = random.Random(seed)  # noqa: S311  # jitter and spreading, no secret
        self._journal = Journal(Path(durable_dir), fsync=fsync) if durable_dir else None
        self._columns = importlib.import_module("clients.producer.columns") if columnar else None
        self._lanes = [lane_of(number, lanes) for number in range(lanes)] if ordered else [Lane()]
        self._lock = threading.Lock()
        self._turn = threading.Condition(self._lock)
        self._report = Report()
        self._held = 0  # bytes in memory
        self._hurried = 0  # how many wait in flush or close
        self._closing = self._closed = False
        if self._journal:
            self._report.recovered = self._report.spilled = self._journal.waiting
        self._thread = threading.Thread(target=self._run, name=f"producer of {stream}", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def __enter__(self) -> Producer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def report(self) -> Report:
        """Account for every event, at this moment."""
        with self._lock:
            return replace(self._report, refused=Counter(self._report.refused))

    def send(self, event: dict[str, Any] | bytes, key: str | None = None) -> None:
        """Take an event, or raise Refused; wait no longer than `block` seconds for room.

        The key, for order, is `key` or the event's field that the producer was told.
        """
        try:
            line = self._row(event) if self._columns else line_of(event, self._largest)
            name = self._name(event, key) if self._ordered else key or ""
            with self._lock:
                self._take(line, name)
        except Refused as refusal:
            with self._lock:
                self._report.sent += 1
                self._report.refused[refusal.reason] += 1
            raise

    def flush(self, timeout: float | None = None) -> bool:
        """Send all now; say whether the stream has it all."""
        with self._lock:
            self._hurried += 1
            self._turn.notify_all()
            try:
                return self._turn.wait_for(lambda: self._nothing_left() or self._closed, timeout) and (
                    self._nothing_left()
                )
            finally:
                self._hurried -= 1

    def close(self, timeout: float = 30.0) -> Report:
        """Send what is left, for so many seconds at most; the rest stays on disk, or is refused as `unconfirmed`."""
        with self._lock:
            self._closing = True
        done = self.flush(timeout)
        with self._lock:
            if not self._closed:
                self._closed = True
                self._give_up()
            self._turn.notify_all()
        if done:
            self._thread.join()
        atexit.unregister(self.close)
        return self.report

    def _name(self, event: dict[str, Any] | bytes, key: str | None) -> str:
        if key is None and isinstance(event, dict) and self._key is not None:
            key = event.get(self._key)
        if not isinstance(key, str) or not 1 <= len(key) <= KEY_ROOM:
            detail = f"the key is {key!r}; to keep order give send() a key of 1 to {KEY_ROOM} characters"
            raise Refused("key", detail)
        return key

    def _row(self, event: dict[str, Any] | bytes) -> Any:
        """Take an event as columns if that is certain to fit; on disk it is JSON."""
        assert self._columns
        row = None if self._journal else self._columns.row_of(event)
        if row is None or row.characters * self._columns.ESCAPED + 1_000 > self._largest:
            return line_of(event, self._largest)
        return row

    def _take(self, line: Any, key: str) -> None:
        size = (len(line) if isinstance(line, bytes) else line.characters) + OVERHEAD
        place = None
        if self._journal:
            place = self._keep(self._journal, line, key, size)
            if place is None:
                return
        elif self._closing or self._held + size > self._max_buffer:
            self._wait_for_room(size)
        self._report.sent += 1
        self._buffer(line, key, size, place)

    def _keep(self, journal: Journal, line: bytes, key: str, size: int) -> Place | None:
        """Write an event to disk; say where, unless it waits there for room in memory."""
        if self._closing or not self._has_room(size):
            self._wait_for_room(size)
        try:
            place = journal.append(key, line)
        except OSError as error:
            raise Refused("disk", f"the event could not be written to disk: {error}") from error
        if self._report.spilled or self._held + size > self._max_buffer:
            self._report.sent += 1
            self._report.spilled += 1
            return None
        journal.skip_to_end()
        return place

    def _buffer(self, line: Any, key: str, size: int, place: Place | None) -> None:
        lane = self._lanes[crc32(key.encode()) % len(self._lanes)] if self._ordered else self._lanes[0]
        before, held = lane.size, self._held
        lane.items.append(line)
        lane.size = before + size
        if place:
            lane.places.append(place)
        self._held = held + size
        self._report.buffered += 1
        if before == 0:
            lane.since = time.monotonic()
            self._turn.notify_all()
        elif before < self._target <= before + size or held <= self._half < held + size:
            self._turn.notify_all()

    def _wait_for_room(self, size: int) -> None:
        self._turn.notify_all()
        found = self._turn.wait_for(lambda: self._has_room(size) or self._closing, self._block)
        if self._closing:
            raise Refused("closed", "the producer is closed; make another")
        if not found:
            where = "disk" if self._journal else "memory"
            detail = f"{where} is full and the stream took nothing for {self._block} s; send again later"
            raise Refused("no_room", detail)

    def _has_room(self, size: int) -> bool:
        if self._journal:
            return self._journal.size + size <= self._max_disk
        return self._held + size <= self._max_buffer

    def _rushed(self) -> bool:
        return bool(self._hurried or self._report.spilled) or self._held > self._half

    def _nothing_left(self) -> bool:
        return not self._report.buffered and not self._report.spilled

    def _run(self) -> None:
        while True:
            with self._lock:
                taken = self._wait_for_work()
                if self._closed:
                    return
            for lane, items, places, size in taken:
                parcels = self._pack(items, places, size)
                with self._lock:
                    lane.waiting.extend(parcels)
            self._request()

    def _pack(self, items: list[Any], places: list[Place], size: int) -> list[Parcel]:
        """Pack events into frames of about the size that was asked for, each with its events' places."""
        step = max(1, len(items) * self._target // size)
        parcels: list[Parcel] = []
        for start in range(0, len(items), step):
            some = items[start : start + step]
            where = places[start : start + step]
            groups = self._columns.packed(some, self._record_limit) if self._columns else None
            for numbers, loads in groups or [(range(len(some)), framed(some, self._record_limit))]:
                parcels += parcelled(loads, [where[number] for number in numbers] if where else [])
        return sized(parcels, size)

    def _wait_for_work(self) -> list[tuple[Lane, list[Any], list[Place], int]]:
        """Wait until a lane is due; take the events of those whose frames are to be packed."""
        while not self._closed:
            self._load()
            now = time.monotonic()
            due = [lane.due(now, self._linger, self._target, self._rushed()) for lane in self._lanes]
            if min(due) <= now:
                return [
                    (lane, *lane.take(now))
                    for lane, moment in zip(self._lanes, due, strict=True)
                    if moment <= now and not lane.waiting
                ]
            self._turn.wait(None if min(due) == float("inf") else min(due) - now)
        return []

    def _load(self) -> None:
        """Bring back from disk what there is room for again."""
        if self._journal and self._report.spilled and self._held <= self._half:
            for place, key, line in self._journal.read(self._target):
                self._report.spilled -= 1
                self._buffer(line, key, len(line) + OVERHEAD, place)

    def _request(self) -> None:
        """Put what is due in one request, and settle each of its records."""
        with self._lock:
            chosen = self._choose(time.monotonic())
            self._report.requests += bool(chosen)
        if not chosen:
            return
        codes = self._ask([entry(lane, parcel, self._chance) for lane, parcel in chosen])
        with self._lock:
            if not self._closed:
                for (lane, parcel), code in zip(chosen, codes, strict=True):
                    self._settle(lane, parcel, code)
                for lane, code in worst(chosen, codes):
                    lane.settle(code, time.monotonic(), self._chance)
            self._turn.notify_all()

    def _choose(self, now: float) -> list[tuple[Lane, Parcel]]:
        chosen: list[tuple[Lane, Parcel]] = []
        room = max(BYTES_A_REQUEST, self._record_limit)
        for lane in self._lanes:
            if lane.resume > now:
                continue
            # A request has no order of its own, so an ordered lane puts one frame at a time.
            for parcel in list(lane.waiting)[: 1 if self._ordered else RECORDS_A_REQUEST]:
                room -= len(parcel.data) + KEY_ROOM
                if room < 0 or len(chosen) == RECORDS_A_REQUEST:
                    return chosen
                chosen.append((lane, parcel))
        return chosen

    def _ask(self, entries: list[dict[str, Any]]) -> list[str | None]:
        """Put the records; return for each the code of its failure, if it failed."""
        try:
            answer = self._client.put_records(StreamName=self._stream, Records=entries)
            return [each.get("ErrorCode") for each in answer["Records"]]
        except ClientError as error:
            self._report.last_error = str(error)
            return [error.response["Error"]["Code"]] * len(entries)
        except Exception as error:  # the thread must outlive whatever a client raises: the events are kept and go again
            self._report.last_error = f"{type(error).__name__}: {error}"
            return [type(error).__name__] * len(entries)

    def _settle(self, lane: Lane, parcel: Parcel, code: str | None) -> None:
        report = self._report
        if code is None:
            report.accepted += parcel.count
            report.records += 1
            report.bytes += len(parcel.data)
            self._release(lane, parcel)
        elif code in LASTING and not self._journal:
            report.refused[code] += parcel.count
            self._release(lane, parcel)
        elif code in THROTTLES:
            report.throttled += parcel.count
        else:
            report.retried += parcel.count

    def _release(self, lane: Lane, parcel: Parcel) -> None:
        lane.waiting.remove(parcel)
        self._held -= parcel.size
        self._report.buffered -= parcel.count
        if self._journal:
            self._journal.confirm(parcel.places)

    def _give_up(self) -> None:
        report = self._report
        if self._journal:
            report.spilled += report.buffered
            self._journal.close()
        elif report.buffered:
            report.refused["unconfirmed"] += report.buffered
        report.buffered = self._held = 0


def default_client() -> Any:
    """Make a client that leaves trying again to the producer, which knows what failed."""
    config = Config(connect_timeout=5, read_timeout=15, retries={"total_max_attempts": 1, "mode": "standard"})
    return boto3.client("kinesis", config=config)


def lane_of(number: int, lanes: int) -> Lane:
    """Give each lane a place of its own among the hash keys, so that lanes spread evenly over shards."""
    return Lane(key=f"lane-{number}", hash_key=str((2 * number + 1) * HASH_KEYS // (2 * lanes)))


def entry(lane: Lane, parcel: Parcel, chance: random.Random) -> dict[str, Any]:
    """Write a record as PutRecords takes it; without a lane's key each try goes to a shard of its own."""
    if lane.key is None or lane.hash_key is None:
        return {"Data": parcel.data, "PartitionKey": f"{chance.getrandbits(64):016x}"}
    return {"Data": parcel.data, "PartitionKey": lane.key, "ExplicitHashKey": lane.hash_key}


def parcelled(loads: list[Load], places: list[Place]) -> list[Parcel]:
    """Give each frame its part of the events' places."""
    parcels, start = [], 0
    for load in loads:
        parcels.append(Parcel(load.data, load.count, 0, places[start : start + load.count]))
        start += load.count
    return parcels


def sized(parcels: list[Parcel], size: int) -> list[Parcel]:
    """Give each frame its part of what all their events took in memory."""
    total = sum(parcel.count for parcel in parcels)
    for parcel in parcels:
        parcel.size = size * parcel.count // total
    parcels[-1].size += size - sum(parcel.size for parcel in parcels)
    return parcels


def worst(chosen: list[tuple[Lane, Parcel]], codes: list[str | None]) -> list[tuple[Lane, str | None]]:
    """Say what each lane makes of a request: an error before a throttle before success."""
    found: dict[int, tuple[Lane, str | None]] = {}
    for (lane, _), code in zip(chosen, codes, strict=True):
        before = found.get(id(lane), (lane, None))[1]
        found[id(lane)] = (lane, code if before is None or (code and code not in THROTTLES) else before)
    return list(found.values())
