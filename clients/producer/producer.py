"""Take events from many threads, and send them in the background."""

from __future__ import annotations

import atexit
import importlib
import os
import random
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any
from weakref import WeakSet
from zlib import crc32

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from clients.producer.batches import OVERHEAD, Batch, Parcel
from clients.producer.bodies import Entries, take_over
from clients.producer.encoding import KEY_ROOM, appender, checked, largest_event, last_line, line_of
from clients.producer.journal import Journal, Place
from clients.producer.lanes import THROTTLES, Lane
from clients.producer.report import Refused, Report
from domain.text import is_text

# Limits of Kinesis PutRecords; newer SDKs allow 10 MiB a request, 5 MiB is safe everywhere.
RECORDS_A_REQUEST = 500
BYTES_A_REQUEST = 5 * 1024 * 1024
BYTES_A_RECORD = 1024 * 1024

HASH_KEYS = 2**128  # Kinesis maps keys to shards by ranges of them
FRAME_BYTES = 1024 * 1024
"""Bytes of events that a frame holds at most: a thousand events share what a record costs, and it stays in a cache."""

FULL = 0.8
"""Share of a record's limit that a frame is made to fill, so that few come out too large."""

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
    room for waits there, up to `max_disk` bytes.  `frame_bytes`: what a frame holds at most before it is compressed;
    less where the events compress so little that their record would pass `record_limit`.  `columnar`: events that the
    platform declares travel as Arrow columns (needs pyarrow), each kind in frames of its own, so that order is kept
    among a key's events of one kind.  A process that forks keeps its producer; its child makes another.
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
        frame_bytes: int = FRAME_BYTES,
        record_limit: int = BYTES_A_RECORD,
        columnar: bool = False,
        seed: int | None = None,
    ) -> None:
        self._stream = stream
        self._client = client or default_client()
        take_over(self._client)
        self._linger, self._block = linger, block
        self._key, self._ordered = key, ordered
        self._max_buffer, self._max_disk = max_buffer, max_disk
        self._half = max_buffer // 2
        self._frame_bytes = self._target = min(frame_bytes, max_buffer // 4)
        self._record_limit = record_limit
        self._largest = min(largest_event(record_limit), self._half)
        self._chance = random.Random(seed)  # noqa: S311  # jitter and spreading, no secret
        self._journal = Journal(Path(durable_dir), fsync=fsync) if durable_dir else None
        self._columns = importlib.import_module("clients.producer.columns") if columnar else None
        self._short = not (self._journal or self._columns)
        self._append = appender()
        self._lanes = [lane_of(number, lanes) for number in range(lanes)] if ordered else [Lane()]
        self._only = None if ordered else self._lanes[0]
        self._lock = threading.Lock()
        self._turn = threading.Condition(self._lock)
        self._report = Report()
        self._held = 0  # bytes in memory, without those of batches that are being filled
        self._hurried = 0  # how many wait in flush or close
        self._closing = self._closed = False
        self._why = "the producer is closed; make another"
        self._watch()
        if self._journal:
            self._report.recovered = self._report.spilled = self._journal.waiting
            self._report.unreadable = self._journal.unreadable
            self._report.unreadable_bytes = self._journal.unreadable_bytes
        self._thread = threading.Thread(target=self._run, name=f"producer of {stream}", daemon=True)
        self._thread.start()
        atexit.register(self.close)
        ALIVE.add(self)

    def __enter__(self) -> Producer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def report(self) -> Report:
        """Account for every event, at this moment."""
        with self._lock:
            for lane in self._lanes:
                self._count(lane.batch)
            return replace(self._report, refused=Counter(self._report.refused))

    def send(self, event: dict[str, Any] | bytes, key: str | None = None) -> None:
        """Take an event, or raise Refused; wait no longer than `block` seconds for room.

        The key, for order, is `key` or the event's field that the producer was told.
        """
        try:
            lane = self._only or self._lane(self._name(event, key))
            if self._short and isinstance(event, dict):
                with self._lock:
                    # In few steps, since at full speed they are a third of the work.
                    batch = lane.batch
                    payload = batch.payload
                    if not payload:
                        self._begin(lane)
                    self._append(event, batch)
                    if len(payload) >= self._alert:
                        self._look(lane, payload)
            else:
                self._take(event, key, lane)
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
            self._watch()
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
        if not isinstance(key, str) or not 1 <= len(key) <= KEY_ROOM or not is_text(key):
            detail = f"the key is {key!r}; to keep order give send() a key of 1 to {KEY_ROOM} characters of text"
            raise Refused("key", detail)
        return key

    def _row(self, event: dict[str, Any] | bytes) -> Any:
        """Take an event as columns if that is certain to fit; on disk it is JSON."""
        assert self._columns
        row = None if self._journal else self._columns.row_of(event)
        if row is None or row.characters * self._columns.ESCAPED + 1_000 > self._largest:
            return line_of(event, self._largest)
        return row

    def _lane(self, name: str) -> Lane:
        return self._lanes[crc32(name.encode()) % len(self._lanes)] if self._ordered else self._lanes[0]

    def _look(self, lane: Lane, payload: bytearray) -> None:
        """See to a batch whose last line makes it full, or finds no room, or is too large for any."""
        end = len(payload)
        start = last_line(payload, end - 1)
        if self._closing or end - start > self._largest or self._in_memory() > self._max_buffer:
            line = bytes(payload[start : end - 1])
            del payload[start:]
            lane.batch.lines -= 1
            self._put(lane, checked(line, self._largest))
        elif end >= self._target:
            self._ripen(lane)
            self._turn.notify_all()

    def _watch(self) -> None:
        """Set from what size on a batch needs looking at: before that there is room for sure, whatever others hold."""
        sure = self._max_buffer - self._held - (len(self._lanes) - 1) * self._target
        self._alert = 0 if self._closing else min(self._target, self._largest, sure)

    def _put(self, lane: Lane, line: Any) -> None:
        """Take a line or a row when there is room in memory."""
        size = size_of(line)
        if self._closing or self._in_memory() + size > self._max_buffer:
            self._wait_for_room(size)
        self._report.sent += 1
        self._buffer(lane, line, None)

    def _take(self, event: dict[str, Any] | bytes, key: str | None, lane: Lane) -> None:
        """Take an event by the long way: to disk, as columns, or as bytes that somebody else wrote."""
        line = self._row(event) if self._columns else line_of(event, self._largest)
        with self._lock:
            if not self._journal:
                self._put(lane, line)
            elif place := self._keep(self._journal, line, self._name(event, key) if self._ordered else ""):
                self._report.sent += 1
                self._buffer(lane, line, place)

    def _keep(self, journal: Journal, line: bytes, key: str) -> Place | None:
        """Write an event to disk; say where, unless it waits there for room in memory."""
        size = len(line) + len(key) + OVERHEAD
        if self._closing or not self._has_room(size):
            self._wait_for_room(size)
        try:
            place = journal.append(key, line)
        except OSError as error:
            raise Refused("disk", f"the event could not be written to disk: {error}") from error
        if self._report.spilled or self._in_memory() + size > self._max_buffer:
            self._report.sent += 1
            self._report.spilled += 1
            return None
        journal.skip_to_end()
        return place

    def _buffer(self, lane: Lane, line: Any, place: Place | None) -> None:
        """Add a line or a row to a lane; the caller counts it elsewhere in the report."""
        batch = lane.batch
        if not batch.size:
            self._begin(lane)
        if isinstance(line, bytes):
            batch.payload += line + b"\n"
            batch.lines += 1
        else:
            batch.rows.append(line)
            batch.characters += line.characters
        if place:
            batch.places.append(place)
        batch.counted += 1
        self._report.buffered += 1
        if batch.size >= self._target:
            self._ripen(lane)
            self._turn.notify_all()

    def _begin(self, lane: Lane) -> None:
        lane.since = time.monotonic()
        self._turn.notify_all()

    def _ripen(self, lane: Lane) -> None:
        batch = lane.ripen()
        self._count(batch)
        self._hold(batch.size)

    def _hold(self, size: int) -> None:
        self._held += size
        self._watch()

    def _count(self, batch: Batch) -> None:
        """Report the events of a batch that came by the short way."""
        new = batch.count - batch.counted
        batch.counted += new
        self._report.sent += new
        self._report.buffered += new

    def _wait_for_room(self, size: int) -> None:
        self._turn.notify_all()
        found = self._turn.wait_for(lambda: self._has_room(size) or self._closing, self._block)
        if self._closing:
            raise Refused("closed", self._why)
        if not found:
            where = "disk" if self._journal else "memory"
            detail = f"{where} is full and the stream took nothing for {self._block} s; send again later"
            raise Refused("no_room", detail)

    def _has_room(self, size: int) -> bool:
        if self._journal:
            return self._journal.size + size <= self._max_disk
        return self._in_memory() + size <= self._max_buffer

    def _in_memory(self) -> int:
        return self._held + sum(lane.batch.size for lane in self._lanes)

    def _rushed(self) -> bool:
        return bool(self._hurried or self._report.spilled) or self._in_memory() > self._half

    def _nothing_left(self) -> bool:
        return not (self._report.buffered or self._report.spilled or any(lane.batch.size for lane in self._lanes))

    def _run(self) -> None:
        while True:
            with self._lock:
                taken = self._wait_for_work()
                if self._closed:
                    return
            for lane, batch in taken:
                parcels = batch.pack(self._record_limit, self._columns)
                with self._lock:
                    lane.waiting.extend(parcels)
                    self._learn(batch.size, sum(len(parcel.data) for parcel in parcels))
            self._request()

    def _wait_for_work(self) -> list[tuple[Lane, Batch]]:
        """Wait until a lane is due; take the batches that are to be packed."""
        while not self._closed:
            self._load()
            now, rushed = time.monotonic(), self._rushed()
            due = [lane.due(now, self._linger, rushed) for lane in self._lanes]
            if min(due) <= now:
                lanes = zip(self._lanes, due, strict=True)
                free = [lane for lane, moment in lanes if moment <= now and not lane.waiting]
                return [(lane, batch) for lane in free for batch in self._taken(lane, now)]
            self._turn.wait(None if min(due) == float("inf") else min(due) - now)
        return []

    def _taken(self, lane: Lane, now: float) -> list[Batch]:
        if lane.batch.size:
            self._ripen(lane)
        return lane.take(now)

    def _learn(self, size: int, packed: int) -> None:
        """Make the next frames as large as their records may be, as full ones tell."""
        if 2 * size >= self._target:
            self._target = min(self._frame_bytes, int(FULL * self._record_limit * size / packed))
            self._watch()

    def _load(self) -> None:
        """Bring back from disk what there is room for again."""
        if self._journal and self._report.spilled and self._in_memory() <= self._half:
            for place, key, line in self._journal.read(self._target):
                self._report.spilled -= 1
                self._buffer(self._lane(key), line, place)

    def _request(self) -> None:
        """Put what is due in one request, and settle each of its records."""
        with self._lock:
            chosen = self._choose(time.monotonic())
            self._report.requests += bool(chosen)
        if not chosen:
            return
        codes = self._ask(Entries(entry(lane, parcel, self._chance) for lane, parcel in chosen))
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

    def _ask(self, entries: Entries) -> list[str | None]:
        """Put the records; return for each the code of its failure, if it failed."""
        try:
            answer = self._client.put_records(StreamName=self._stream, Records=entries)
            return [each.get("ErrorCode") for _, each in zip(entries, answer["Records"], strict=True)]
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
        self._hold(-parcel.size)
        self._report.buffered -= parcel.count
        if self._journal:
            try:
                self._journal.confirm(parcel.places)
            except OSError as error:  # the stream has them: without a note on disk they go again after a crash
                self._report.last_error = f"what was sent could not be noted on disk: {error}"

    def _give_up(self) -> None:
        report = self._report
        for lane in self._lanes:
            self._count(lane.batch)
            lane.batch = Batch()
        if self._journal:
            report.spilled += report.buffered
            self._journal.close()
        elif report.buffered:
            report.refused["unconfirmed"] += report.buffered
        report.buffered = self._held = 0

    def _stay_behind(self) -> None:
        """Be closed in a child of the process that made this: its thread, and what is buffered, are the parent's."""
        held = self._journal if not self._closed else None  # a closed one's files are closed, their numbers others'
        self._lock = threading.Lock()
        self._turn = threading.Condition(self._lock)
        self._closing = self._closed = True
        self._why = "the producer is the parent process's; make another after the fork"
        self._report = Report()
        for lane in self._lanes:
            lane.batch = Batch()
        self._watch()
        if held:
            held.release()


ALIVE: WeakSet[Producer] = WeakSet()


def _after_fork() -> None:
    for producer in list(ALIVE):
        producer._stay_behind()


os.register_at_fork(after_in_child=_after_fork)


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


def size_of(line: Any) -> int:
    """Say what a line or a row takes in memory."""
    return len(line) + 1 if isinstance(line, bytes) else line.characters + OVERHEAD


def worst(chosen: list[tuple[Lane, Parcel]], codes: list[str | None]) -> list[tuple[Lane, str | None]]:
    """Say what each lane makes of a request: an error before a throttle before success."""
    found: dict[int, tuple[Lane, str | None]] = {}
    for (lane, _), code in zip(chosen, codes, strict=True):
        before = found.get(id(lane), (lane, None))[1]
        found[id(lane)] = (lane, code if before is None or (code and code not in THROTTLES) else before)
    return list(found.values())
