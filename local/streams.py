"""Give moto's Kinesis streams shards that keep their records on disk, within AWS's limits, through every reshard."""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from base64 import b64decode
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from moto.core.exceptions import JsonRESTError
from moto.kinesis.exceptions import InvalidArgumentError, StreamCannotBeUpdatedError
from moto.kinesis.models import Shard, Stream

from local.buckets import Bucket
from local.pace import Pace
from local.shard_log import Record, ShardLog

# Amazon Kinesis Data Streams, "Quotas and limits".
WRITE_BYTES_A_SECOND = 1 << 20
WRITE_RECORDS_A_SECOND = 1000
READ_BYTES_A_SECOND = 2 << 20
READ_CALLS_A_SECOND = 5
ON_DEMAND_SHARDS = 4
DEFAULT_RECORD_KIB = 1024
MOST_RESHARDS_A_DAY = 10
DAY_SECONDS = 86_400
HASH_KEYS = 1 << 128
# "On-demand streams ... a shard that receives more than 500 KB/s is split within 15 minutes"; we look once a minute.
HOT_BYTES_A_SECOND = 500_000
HOT_RECORDS_A_SECOND = 500
WATCHED_SECONDS = 60.0

_SEQUENCE_DIGITS, _NUMBER_DIGITS = 56, 16


def stream_name(arn: str) -> str:
    """Read a stream's name from its own ARN, or from the ARN of a consumer registered on it.

    >>> stream_name("arn:aws:kinesis:us-east-1:123456789012:stream/clicks/consumer/mine:1772366400")
    'clicks'
    """
    return arn.partition(":stream/")[2].partition("/")[0]


class LimitExceeded(JsonRESTError):  # type: ignore[misc]
    """AWS's LimitExceededException."""

    def __init__(self, message: str) -> None:
        super().__init__("LimitExceededException", message)


@dataclass(slots=True)
class Ground:
    """What every stream stands on: the folder of its records, the pace of its limits, and the clocks.

    `now` stamps records, `ticks` measures limits and windows.
    """

    folder: Path
    pace: Pace
    now: Callable[[], float] = time.time
    ticks: Callable[[], float] = time.monotonic

    def bucket(self, a_second: float) -> Bucket:
        """Return a meter of one of AWS's limits."""
        return Bucket(a_second * self.pace.speed, self.ticks)

    def milliseconds(self) -> int:
        """Return the wall clock in milliseconds."""
        return int(self.now() * 1000)


class Entry(NamedTuple):
    """One record to write: partition key, data, and the hash key that chooses its shard, if given."""

    key: str
    data: bytes
    hash_key: str | None = None


class LoggedShard(Shard):  # type: ignore[misc]
    """A shard whose records rest in a `ShardLog`, with the write and read limits of one shard."""

    def __init__(self, stream: LoggedStream, number: int, start: int, end: int, parents: Sequence[str] = ()) -> None:
        super().__init__(number, start, end, *parents)
        self.stream = stream
        self.parents = tuple(parents)
        self.created = stream.ground.milliseconds()
        self._prefix = f"49{self.created:013d}{number:012d}"
        self.closed: int | None = None
        self.log = ShardLog(stream.folder / self.shard_id)
        meter = stream.ground.bucket
        self._bytes = meter(WRITE_BYTES_A_SECOND)
        self._records = meter(WRITE_RECORDS_A_SECOND)
        self._read_bytes = meter(READ_BYTES_A_SECOND)
        self._calls = meter(READ_CALLS_A_SECOND)
        self._lock = threading.Lock()
        self.written = [0, 0]  # records and bytes since the last look for hot shards

    def sequence(self, number: int, arrived: int) -> str:
        """Return a record's sequence number: 56 digits, growing within the shard, past its parents', never reused."""
        return f"{self._prefix}{arrived:013d}{number:016d}"

    def number(self, sequence: str) -> int:
        """Return the number in the shard of a sequence number. Raises `InvalidArgumentError` for another shard's."""
        if len(sequence) != _SEQUENCE_DIGITS or not sequence.isdigit() or not sequence.startswith(self._prefix):
            raise InvalidArgumentError(
                f"StartingSequenceNumber {sequence} used in GetShardIterator on shard {self.shard_id} in stream "
                f"{self.stream.stream_name} under account {self.stream.account_id} is invalid."
            )
        return int(sequence[-_NUMBER_DIGITS:])

    def admit(self, entry: Entry) -> bool:
        """Say whether the shard's write limits allow a record now, and count it if they do."""
        size = len(entry.data) + len(entry.key.encode())
        with self._lock:
            if not (self._records.holds(1) and self._bytes.holds(size)):
                return False
            self._records.take(1)
            self._bytes.take(size)
            self.written[0] += 1
            self.written[1] += size
        return True

    def append(self, entries: Sequence[Entry]) -> list[str]:
        """Write admitted records in order; return their sequence numbers."""
        pairs = [(entry.key.encode(), entry.data) for entry in entries]
        number, arrived = self.log.append(pairs, self.stream.ground.milliseconds())
        return [self.sequence(number + position, arrived) for position in range(len(pairs))]

    def admit_read(self) -> bool:
        """Say whether the shard's read limits allow a GetRecords call now, and count the call if they do."""
        with self._lock:
            if not (self._calls.holds(1) and self._read_bytes.holds(1)):
                return False
            self._calls.take(1)
        return True

    def count_read(self, records: Iterable[Record]) -> None:
        """Count what a GetRecords call returned."""
        with self._lock:
            self._read_bytes.take(sum(len(record.data) + len(record.key) for record in records))

    def admit_share(self, own: Bucket | None) -> bool:
        """Say whether an event source mapping may read on: from the bytes that all readers share, or from its own."""
        with self._lock:
            return (own or self._read_bytes).holds(1)

    def count_share(self, size: int, own: Bucket | None) -> None:
        """Count what an event source mapping read."""
        with self._lock:
            (own or self._read_bytes).take(size)

    @property
    def horizon(self) -> int:
        """Number of the oldest record within the stream's retention."""
        kept_milliseconds = int(self.stream.retention_period_hours) * 3_600_000
        return self.log.since(self.stream.ground.milliseconds() - kept_milliseconds)

    @property
    def is_spent(self) -> bool:
        """Closed, and past retention: nobody can read it any more."""
        return self.closed is not None and self.horizon == self.log.next

    def close(self) -> None:
        """Take no more records; readers go on to the children."""
        self.is_open = False
        self.closed = self.stream.ground.milliseconds()
        with self.log.changed:
            self.log.changed.notify_all()

    def get_min_sequence_number(self) -> str:
        """Return the sequence number from which the shard starts."""
        return self.sequence(0, self.created)

    def get_max_sequence_number(self) -> str:
        """Return the sequence number at which a closed shard ends."""
        return self.sequence(self.log.next, self.closed or self.stream.ground.milliseconds())


class LoggedStream(Stream):  # type: ignore[misc]
    """A stream of logged shards."""

    ground: Ground  # set for all streams when the laptop cloud starts

    def __init__(self, stream_name: str, shard_count: int, *args: Any, **keywords: Any) -> None:
        self.folder = self.ground.folder / f"{stream_name}-{time.time_ns()}"
        self.lock = threading.RLock()
        self.max_record_kib = DEFAULT_RECORD_KIB
        self._reshards: deque[float] = deque()
        self._watched = self.ground.ticks()
        self._starts: list[int] = []
        self._open: list[LoggedShard] = []
        super().__init__(stream_name, shard_count, *args, **keywords)

    @property
    def is_on_demand(self) -> bool:
        """Its shards follow its traffic."""
        return bool(self.stream_mode.get("StreamMode") == "ON_DEMAND")

    def init_shards(self, shard_count: int) -> None:
        """Divide the hash keys evenly among the first shards."""
        self.shard_count = shard_count
        step = HASH_KEYS // shard_count
        for index in range(shard_count):
            end = HASH_KEYS - 1 if index == shard_count - 1 else (index + 1) * step - 1
            self._add(index * step, end)
        self._reopen()

    def shard_for(self, entry: Entry) -> LoggedShard:
        """Return the open shard that a record belongs to. Raises `InvalidArgumentError` for a wrong hash key."""
        if entry.hash_key is None:
            point = int.from_bytes(hashlib.md5(entry.key.encode(), usedforsecurity=False).digest(), "big")
        elif entry.hash_key.isdigit() and int(entry.hash_key) < HASH_KEYS:
            point = int(entry.hash_key)
        else:
            raise InvalidArgumentError(
                "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. "
                f"Specified value was {entry.hash_key}"
            )
        return self._open[bisect_right(self._starts, point) - 1]

    def put(self, entries: Sequence[Entry]) -> list[tuple[LoggedShard, str | None]]:
        """Write what the limits allow; return each record's shard and its sequence number, or None if throttled."""
        with self.lock:
            shards = [self.shard_for(entry) for entry in entries]
            admitted: dict[str, list[int]] = {}
            for position, (shard, entry) in enumerate(zip(shards, entries, strict=True)):
                if shard.admit(entry):
                    admitted.setdefault(shard.shard_id, []).append(position)
            sequences = self._append(admitted, entries)
            self._follow_traffic()
        return [(shard, sequences.get(position)) for position, shard in enumerate(shards)]

    def put_record(self, partition_key: str, explicit_hash_key: str | None, data: str) -> tuple[str, str]:
        """Write one record of base64 for another service, beyond the limits of API clients."""
        entry = Entry(partition_key, b64decode(data), explicit_hash_key or None)
        with self.lock:
            shard = self.shard_for(entry)
            return shard.append([entry])[0], shard.shard_id

    def split_shard(self, shard_to_split: str, new_starting_hash_key: str) -> None:
        """Close a shard and divide its hash keys between two children."""
        with self.lock:
            shard, point = self.shards[shard_to_split], int(new_starting_hash_key)
            self._must_be_open(shard)
            if not shard.starting_hash < point <= shard.ending_hash:
                raise InvalidArgumentError(
                    f"NewStartingHashKey {point} used in SplitShard() on shard {shard_to_split} in stream "
                    f"{self.stream_name} under account {self.account_id} is not both greater than one plus the shard's "
                    f"StartingHashKey {shard.starting_hash} and less than the shard's EndingHashKey "
                    f"{shard.ending_hash - 1}."
                )
            shard.close()
            self._add(shard.starting_hash, point - 1, (shard.shard_id,))
            self._add(point, shard.ending_hash, (shard.shard_id,))
            self._reopen()

    def merge_shards(self, shard_to_merge: str, adjacent_shard_to_merge: str) -> None:
        """Close two neighbours and give their hash keys to one child."""
        with self.lock:
            pair = [self.shards[shard_to_merge], self.shards[adjacent_shard_to_merge]]
            for shard in pair:
                self._must_be_open(shard)
            low, high = sorted(pair, key=lambda shard: shard.starting_hash)
            if low.ending_hash + 1 != high.starting_hash:
                raise InvalidArgumentError(
                    f"Shards {shard_to_merge} and {adjacent_shard_to_merge} in stream {self.stream_name} under account "
                    f"{self.account_id} are not an adjacent pair of shards eligible for merging"
                )
            for shard in pair:
                shard.close()
            self._add(low.starting_hash, high.ending_hash, (shard_to_merge, adjacent_shard_to_merge))
            self._reopen()

    def update_shard_count(self, target_shard_count: int) -> None:
        """Split, then merge, until so many shards are open: at most twice, at least half as many, ten times a day."""
        with self.lock:
            if self.is_on_demand:
                raise StreamCannotBeUpdatedError(stream_name=self.stream_name, account_id=self.account_id)
            current = len(self._open)
            if target_shard_count == current:
                return
            self._must_allow(current, target_shard_count)
            self._reshard(target_shard_count)

    def trim(self) -> None:
        """Forget records past the retention, and shards that are closed and empty."""
        for shard in list(self.shards.values()):
            shard.log.trim(self.ground.milliseconds() - int(self.retention_period_hours) * 3_600_000)
            if shard.is_spent:
                with self.lock:
                    shard.log.delete()
                    del self.shards[shard.shard_id]

    def delete_files(self) -> None:
        """Delete every record of a stream that is gone."""
        for shard in self.shards.values():
            shard.close()
            shard.log.delete()
        shutil.rmtree(self.folder, ignore_errors=True)

    def to_json(self, shard_limit: int | None = None) -> dict[str, Any]:
        """Answer DescribeStream."""
        described: dict[str, Any] = super().to_json(shard_limit)
        described["StreamDescription"]["StreamModeDetails"] = self.stream_mode
        return described

    def to_json_summary(self) -> dict[str, Any]:
        """Answer DescribeStreamSummary."""
        summary: dict[str, Any] = super().to_json_summary()
        described = summary["StreamDescriptionSummary"]
        described.update(OpenShardCount=len(self._open), ConsumerCount=len(self.consumers))
        described["MaxRecordSizeInKiB"] = self.max_record_kib
        return summary

    def _append(self, admitted: Mapping[str, Sequence[int]], entries: Sequence[Entry]) -> dict[int, str]:
        sequences: dict[int, str] = {}
        for shard_id, positions in admitted.items():
            written = self.shards[shard_id].append([entries[position] for position in positions])
            sequences.update(zip(positions, written, strict=True))
        return sequences

    def _add(self, start: int, end: int, parents: Sequence[str] = ()) -> None:
        number = max((shard._shard_id for shard in self.shards.values()), default=-1) + 1
        shard = LoggedShard(self, number, start, end, parents)
        self.shards[shard.shard_id] = shard

    def _reopen(self) -> None:
        self._open = sorted((shard for shard in self.shards.values() if shard.is_open), key=lambda it: it.starting_hash)
        self._starts = [shard.starting_hash for shard in self._open]
        self.shard_count = len(self._open)

    def _must_be_open(self, shard: LoggedShard) -> None:
        if not shard.is_open:
            raise InvalidArgumentError(
                f"Shard {shard.shard_id} in stream {self.stream_name} under account {self.account_id} has already been "
                "merged or split, and thus is not eligible for merging or splitting."
            )

    def _must_allow(self, current: int, target: int) -> None:
        now = self.ground.now()
        while self._reshards and self._reshards[0] < now - DAY_SECONDS:
            self._reshards.popleft()
        if len(self._reshards) >= MOST_RESHARDS_A_DAY:
            raise LimitExceeded(f"UpdateShardCount can be called {MOST_RESHARDS_A_DAY} times per 24 hours per stream")
        if target > 2 * current or 2 * target < current:
            raise LimitExceeded(
                f"UpdateShardCount cannot scale {self.stream_name} from {current} to {target} shards: "
                f"the target must be between {-(-current // 2)} and {2 * current}"
            )
        self._reshards.append(now)

    def _reshard(self, target: int) -> None:
        """Make shards of equal size: cut where they will begin, then join what lies between two cuts.

        As AWS does (API Reference, UpdateShardCount), shards may live for a moment only.
        """
        starts = [HASH_KEYS * index // target for index in range(target)]
        for start in starts:
            shard = self._open[bisect_right(self._starts, start) - 1]
            if start != shard.starting_hash:
                self.split_shard(shard.shard_id, str(start))
        for start, end in zip(starts, [*starts[1:], HASH_KEYS], strict=True):
            pieces = [shard for shard in self._open if start <= shard.starting_hash < end]
            while len(pieces) > 1:
                self.merge_shards(pieces[0].shard_id, pieces[1].shard_id)
                pieces = [shard for shard in self._open if start <= shard.starting_hash < end]

    def _follow_traffic(self) -> None:
        seconds = (self.ground.ticks() - self._watched) * self.ground.pace.speed
        if not self.is_on_demand or seconds < WATCHED_SECONDS:
            return
        self._watched = self.ground.ticks()
        for shard in list(self._open):
            records, size = shard.written
            shard.written = [0, 0]
            if records > HOT_RECORDS_A_SECOND * seconds or size > HOT_BYTES_A_SECOND * seconds:
                self.split_shard(shard.shard_id, str((shard.starting_hash + shard.ending_hash) // 2 + 1))
