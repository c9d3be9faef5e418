"""Read a stream's shards for one event source mapping: parents before children, each partition key in order."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from local import faults, stream_batches
from local.cloud import Cloud
from local.functions import InvocationRefused, functions
from local.giving_up import GivenUp, back_off, iso
from local.stream_batches import ENVELOPE_BYTES, MOST_PAYLOAD_BYTES, Item, Part, Rules
from local.streams import READ_BYTES_A_SECOND, LoggedShard, LoggedStream
from local.tally import tally
from local.workers import Run

READ_RECORDS = 10_000
READ_BYTES = 5 << 20  # base64 of it is about as much as an event holds
WAIT_SECONDS = 0.5
SHARE_SECONDS = 0.02  # between looks at whether the shard's bytes allow another read

log = logging.getLogger(__name__)


class StreamReader:
    """One mapping over one stream: a set of lanes for each shard that may be read now."""

    def __init__(self, cloud: Cloud, mapping: Any, stream: LoggedStream) -> None:
        self.cloud = cloud
        self.mapping = mapping
        self.stream = stream
        self.result = "No records processed"
        self._shards: dict[str, ShardReader] = {}
        self._known = set(stream.shards)
        self._latest = {name: shard.log.next for name, shard in stream.shards.items()}

    def look(self) -> None:
        """Start, stop or go on, as the mapping and the stream's shards now are."""
        if not self.mapping.enabled:
            self.stop()
            return
        for name, shard in sorted(self.stream.shards.items()):
            if name not in self._shards and self._is_next(shard):
                self._shards[name] = ShardReader(self, shard, self._start(shard))
        for reader in list(self._shards.values()):
            reader.run()

    def stop(self) -> None:
        """Deliver nothing more; what is being delivered ends."""
        for reader in list(self._shards.values()):
            reader.stop()

    def lags(self) -> dict[str, int]:
        """Return, for each shard, how many records are not handled yet."""
        lags = {}
        for name, shard in sorted(self.stream.shards.items()):
            reader = self._shards.get(name)
            position = min(reader.cursors) if reader else self._start(shard)
            lags[name] = max(0, shard.log.next - max(position, shard.log.first))
        return lags

    def _is_next(self, shard: LoggedShard) -> bool:
        parents = [parent for parent in shard.parents if parent in self.stream.shards]
        return all(parent in self._shards and self._shards[parent].is_done for parent in parents)

    def _start(self, shard: LoggedShard) -> int:
        """Return the first record's number: children of later resharding are read whole."""
        position = self.mapping.starting_position
        if position == "LATEST" and shard.shard_id in self._known:
            return int(self._latest[shard.shard_id])
        if position == "AT_TIMESTAMP":
            return shard.log.since(int(float(self.mapping.starting_position_timestamp) * 1000))
        return shard.horizon


class ShardReader:
    """One shard read for one mapping, in one lane or several that share its partition keys."""

    def __init__(self, reader: StreamReader, shard: LoggedShard, start: int) -> None:
        self.reader = reader
        self.shard = shard
        self.cursors = [start]
        # A registered consumer has 2 MB/s of each shard to itself (Kinesis guide, "Enhanced fan-out consumers").
        fans_out = "/consumer/" in reader.mapping.event_source_arn
        self.own = reader.stream.ground.bucket(READ_BYTES_A_SECOND) if fans_out else None
        self._lanes: list[Lane] = []

    @property
    def is_done(self) -> bool:
        """The shard is closed and everything in it is handled."""
        return not self.shard.is_open and min(self.cursors) >= self.shard.log.next

    def run(self) -> None:
        """Have as many lanes at work as the mapping says; where their number changed, go on from the slowest."""
        wanted = Rules.of(self.reader.mapping).parallelization
        alive = [lane for lane in self._lanes if lane.is_alive()]
        if alive and (len(self.cursors) != wanted or alive[0].stopping.is_set()):
            self.stop()
            return
        if alive or self.is_done:
            return
        if len(self.cursors) != wanted:
            self.cursors = [min(self.cursors)] * wanted
        self._lanes = [Lane(self, index) for index in range(wanted)]
        for lane in self._lanes:
            lane.start()

    def stop(self) -> None:
        """Let the lanes end after what they are delivering."""
        for lane in self._lanes:
            lane.stopping.set()


class Lane(threading.Thread):
    """Gathers batches of its partition keys, delivers each until it is settled, then moves its cursor on."""

    def __init__(self, owner: ShardReader, index: int) -> None:
        super().__init__(name=f"{owner.reader.stream.stream_name} {owner.shard.shard_id} {index}", daemon=True)
        self.stopping = threading.Event()
        self._owner = owner
        self._index = index
        self._lanes = len(owner.cursors)
        self._shard = owner.shard
        self._reader = owner.reader
        self._cloud = owner.reader.cloud
        self._functions = functions(owner.reader.cloud)

    def run(self) -> None:
        """Work until stopped, or until a closed shard ends."""
        while not self.stopping.is_set() and not self._at_end(self._cursor):
            try:
                items, position = self._gather()
                if self._settle(items):
                    self._cursor = position
            except Exception:  # a lane that died would look like a slow function for ever
                log.exception("%s", self.name)
                self.stopping.wait(1.0)

    @property
    def _cursor(self) -> int:
        return self._owner.cursors[self._index]

    @_cursor.setter
    def _cursor(self, number: int) -> None:
        self._owner.cursors[self._index] = number

    @property
    def _rules(self) -> Rules:
        return Rules.of(self._reader.mapping)

    def _at_end(self, position: int) -> bool:
        return not self._shard.is_open and position >= self._shard.log.next

    def _gather(self) -> tuple[list[Item], int]:
        """Return a batch and the number after it: full, or 6 MB, or as far as the window reaches."""
        rules, position, size = self._rules, self._cursor, ENVELOPE_BYTES
        items: list[Item] = []
        until: float | None = None
        ticks = self._reader.stream.ground.ticks
        while not self.stopping.is_set():
            more, position, size, full = self._take(rules.batch_size - len(items), position, size, bool(items))
            items += more
            if items and until is None:
                until = ticks() + rules.window_seconds
            if full or (until is not None and ticks() >= until) or self._at_end(position):
                break
            if not items:
                self._cursor = position  # records of other lanes, or filtered out
            self._wait(position, WAIT_SECONDS if until is None else min(WAIT_SECONDS, until - ticks()))
        return items, position

    def _take(self, room: int, position: int, size: int, some: bool) -> tuple[list[Item], int, int, bool]:
        """Return up to `room` more records, the number after them, the payload's size, and if the batch is full."""
        shard = self._shard
        most = min(READ_RECORDS, room if self._lanes == 1 else READ_RECORDS)
        encode = self._encoder()
        items: list[Item] = []
        read = 0
        while not shard.admit_share(self._owner.own) and not self.stopping.wait(SHARE_SECONDS):
            pass
        try:
            for record in shard.log.read(max(position, shard.horizon), most, READ_BYTES):
                sequence = shard.sequence(record.number, record.arrived)
                if not self._is_mine(record.key, record.data, sequence, record.arrived):
                    position = record.number + 1
                    continue
                encoded = encode(record.key, sequence, record.arrived, record.data)
                if size + len(encoded) + 1 > MOST_PAYLOAD_BYTES and (some or items):
                    return items, position, size, True
                size += len(encoded) + 1
                position = record.number + 1
                read += len(record.data) + len(record.key)
                items.append(Item(record.number, sequence, record.arrived, encoded))
                if len(items) == room:
                    return items, position, size, True
            return items, position, size, False
        finally:
            shard.count_share(read, self._owner.own)  # at once: whoever writes to the shard waits for the same lock

    def _is_mine(self, key: str, data: bytes, sequence: str, arrived: int) -> bool:
        if self._lanes > 1 and stream_batches.lane(key, self._lanes) != self._index:
            return False
        filters = self._reader.mapping.filter_patterns
        if not filters:
            return True
        described = {"partitionKey": key, "sequenceNumber": sequence, "approximateArrivalTimestamp": arrived / 1000}
        return stream_batches.matches(filters, described, data)

    def _encoder(self) -> Callable[[str, str, int, bytes], bytes]:
        mapping = self._reader.mapping
        function = self._functions.backend.get_function_by_arn(mapping.function_arn)
        role = function.role if function else ""
        return stream_batches.encoder(self._shard.shard_id, mapping.event_source_arn, role, self._cloud.region)

    def _wait(self, position: int, seconds: float) -> None:
        shard = self._shard
        with shard.log.changed:
            if position >= shard.log.next and shard.is_open:
                shard.log.changed.wait(max(0.0, seconds))

    def _settle(self, items: Sequence[Item]) -> bool:
        """Deliver until every record is handled or discarded; say whether it came to that before a stop."""
        pending = deque([Part(items)] if items else [])
        invocations = 0
        while pending:
            part = self._without_expired(pending.popleft(), invocations)
            if not part.items:
                continue
            self._cursor = part.items[0].number
            if self.stopping.is_set():
                return False
            failed_at, run = self._deliver(part)
            if run is None:
                pending.appendleft(part)  # it could not be invoked, which uses up no retries
                self._back_off(part.failures)
                continue
            invocations += 1
            if failed_at is None:
                continue
            following = stream_batches.after_failure(part, failed_at, self._rules)
            if not following:
                self._discard(part.items, "RetryAttemptsExhausted", invocations, run)
            pending.extendleft(reversed(following))
            if following and failed_at == 0:
                self._back_off(following[0].failures)
        return True

    def _deliver(self, part: Part) -> tuple[int | None, Run | None]:
        """Invoke the function; return the position of the first record that failed, if one did, and the run, if any."""
        function_arn = self._reader.mapping.function_arn
        age = time.time() * 1000 - part.items[-1].arrived
        name = function_arn.split(":function:")[1].split(":")[0]
        tally(self._cloud).add("AWS/Lambda", "Milliseconds", {"FunctionName": name}, {"IteratorAge": max(0.0, age)})
        try:
            run = faults.delivered(name, part.items, lambda items: self._invoke(function_arn, items))
        except (InvocationRefused, NotImplementedError) as refusal:
            self._reader.result = f"PROBLEM: {refusal}"
            log.warning("%s: %s", self.name, refusal)
            return 0, None
        failed_at = 0 if run.failed else None
        if not run.failed and self._rules.partial:
            failed_at = stream_batches.first_failure(part.items, run.payload)
        self._reader.result = "OK" if failed_at is None else "PROBLEM: Function call failed"
        return failed_at, run

    def _invoke(self, function_arn: str, items: Sequence[Item]) -> Run:
        return self._functions.run(self._functions.find(function_arn), stream_batches.payload(items), wait=True)

    def _without_expired(self, part: Part, invocations: int) -> Part:
        retention = float(self._reader.stream.retention_period_hours) * 3600
        count = stream_batches.expired(part.items, self._rules, retention, time.time())
        if not count:
            return part
        self._discard(part.items[:count], "RecordAgeExceeded", invocations, None)
        return Part(part.items[count:], part.failures)

    def _back_off(self, failures: int) -> None:
        back_off(self._cloud, self.stopping, failures)

    def _discard(self, items: Sequence[Item], condition: str, invocations: int, run: Run | None) -> None:
        """Give up on records, and tell the on-failure destination which they were."""
        if destination := self._rules.on_failure:
            place = {"KinesisBatchInfo": self._place(items)}
            folder, payload = self._shard.shard_id, stream_batches.payload(items)
            lost = GivenUp(self._reader.mapping, condition, invocations, run, place, folder, payload)
            lost.tell(self._cloud, destination)

    def _place(self, items: Sequence[Item]) -> dict[str, Any]:
        return {
            "shardId": self._shard.shard_id,
            "startSequenceNumber": items[0].sequence,
            "endSequenceNumber": items[-1].sequence,
            "approximateArrivalOfFirstRecord": iso(items[0].arrived),
            "approximateArrivalOfLastRecord": iso(items[-1].arrived),
            "batchSize": len(items),
            "streamArn": self._reader.mapping.event_source_arn,
        }
