"""Keep a shard's records in append-only files, with an index of two integers a record."""

from __future__ import annotations

import os
import struct
import threading
from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

SEGMENT_BYTES = 64 << 20
_HEAD = struct.Struct("<IH")  # bytes of data, bytes of partition key


class Record(NamedTuple):
    """One record of a shard: its number in the shard from 1, arrival in milliseconds, partition key and bytes."""

    number: int
    arrived: int
    key: str
    data: bytes


@dataclass(slots=True)
class _Segment:
    path: Path
    file: int
    start: int  # offset of its first byte in the whole log
    size: int = 0


class ShardLog:
    """Appends and reads the records of one shard; safe between threads, and `changed` is notified of each append."""

    def __init__(self, folder: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._segments: deque[_Segment] = deque()
        self._offsets = array("Q")
        self._arrivals = array("Q")
        self._trimmed = 0
        self._end = 0
        self.changed = threading.Condition()

    @property
    def first(self) -> int:
        """Number of the oldest record kept; one past the newest where none is."""
        return self._trimmed + 1

    @property
    def next(self) -> int:
        """Number that the next record will get."""
        return self._trimmed + len(self._offsets) + 1

    def append(self, records: Sequence[tuple[bytes, bytes]], arrived: int) -> tuple[int, int]:
        """Append (partition key, data) pairs in one write; return the first's number and the arrival given, in ms.

        An arrival never goes back. A write that fails, as on a full disk, leaves no part of itself and raises OSError.
        """
        with self.changed:
            arrived = max(arrived, self._arrivals[-1]) if self._arrivals else arrived
            number, offset = self.next, self._end
            parts: list[bytes] = []
            offsets: list[int] = []
            for key, data in records:
                offsets.append(offset)
                parts += (_HEAD.pack(len(data), len(key)), key, data)
                offset += _HEAD.size + len(key) + len(data)
            self._write(b"".join(parts))
            self._offsets.extend(offsets)
            self._arrivals.extend([arrived] * len(offsets))
            self._end = offset
            self.changed.notify_all()
        return number, arrived

    def read(self, number: int, most: int, most_bytes: int) -> list[Record]:
        """Return records from `number` on: at most so many, so many bytes (one at least), and none past a segment."""
        with self.changed:
            begin = max(number, self.first) - self.first
            if begin >= len(self._offsets) or most < 1:
                return []
            start = self._offsets[begin]
            segment = next(held for held in reversed(self._segments) if held.start <= start)
            limit = min(start + most_bytes, segment.start + segment.size)
            end = bisect_right(self._offsets, limit, begin + 1, min(len(self._offsets), begin + most))
            stop = self._offsets[end] if end < len(self._offsets) else self._end
            if stop > limit and end - begin > 1:
                end, stop = end - 1, self._offsets[end - 1]
            content = os.pread(segment.file, stop - start, start - segment.start)
            arrivals = self._arrivals[begin:end]
        return _records(content, arrivals, self.first + begin)

    def arrival(self, number: int) -> int:
        """Return when a kept record arrived, in milliseconds. Raises IndexError where it is not kept."""
        with self.changed:
            if not self.first <= number < self.next:
                raise IndexError(f"record {number} is not kept: the log holds {self.first} to {self.next - 1}")
            return self._arrivals[number - self.first]

    def since(self, moment: int) -> int:
        """Return the number of the first record that arrived at `moment` (ms) or later."""
        with self.changed:
            return self.first + bisect_left(self._arrivals, moment)

    def trim(self, moment: int) -> None:
        """Forget the records that arrived before `moment` (ms), and delete the files that hold no other."""
        with self.changed:
            gone = bisect_left(self._arrivals, moment)
            del self._offsets[:gone]
            del self._arrivals[:gone]
            self._trimmed += gone
            kept_from = self._offsets[0] if self._offsets else self._end
            while self._segments and self._segments[0].start + self._segments[0].size <= kept_from:
                _delete(self._segments.popleft())

    def delete(self) -> None:
        """Forget everything and delete the files."""
        with self.changed:
            self._trimmed = self.next - 1
            del self._offsets[:]
            del self._arrivals[:]
            while self._segments:
                _delete(self._segments.popleft())

    def _write(self, content: bytes) -> None:
        if not self._segments or self._segments[-1].size + len(content) > self._segment_bytes:
            path = self._folder / f"{self._end:020d}"
            self._segments.append(_Segment(path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), self._end))
        segment = self._segments[-1]
        view = memoryview(content)
        try:
            written = 0
            while written < len(view):
                written += os.pwrite(segment.file, view[written:], segment.size + written)
        except OSError:
            os.ftruncate(segment.file, segment.size)
            raise
        segment.size += len(content)


def _records(content: bytes, arrivals: Sequence[int], number: int) -> list[Record]:
    records, at, head = [], 0, _HEAD.size
    for position, arrived in enumerate(arrivals):
        size, key_size = _HEAD.unpack_from(content, at)
        data_at = at + head + key_size
        key = content[at + head : data_at].decode()
        at = data_at + size
        records.append(Record(number + position, arrived, key, content[data_at:at]))
    return records


def _delete(segment: _Segment) -> None:
    os.close(segment.file)
    segment.path.unlink(missing_ok=True)
