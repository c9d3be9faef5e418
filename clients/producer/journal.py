"""Keep events on disk until the stream has them, in the order in which they were sent.

An event is taken once `append` returns: it is in the file, and outlives the process however that ends.  A machine that
loses power keeps it only with `fsync`, which waits for the disk at each event; without, the system writes within
seconds.  A directory holds numbered segments: `<number>.events` are the events, each with lengths and a checksum, and
`<number>.sent` are ranges of those that the stream confirmed.  A segment goes once all of its events are confirmed.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

SEGMENT_BYTES = 64 * 1024 * 1024

ENTRY = struct.Struct(">IHI")  # bytes of the line, bytes of the key, CRC-32 of both
RANGE = struct.Struct(">II")  # first, and first not


class DirectoryInUse(RuntimeError):
    """Another producer works in this directory."""


class Place(NamedTuple):
    """Where an event is: its segment, and its number there."""

    segment: int
    number: int


class Stored(NamedTuple):
    """An event on disk."""

    place: Place
    key: str
    line: bytes


@dataclass(slots=True)
class Segment:
    """A file of events, how many it holds, and which are confirmed."""

    path: Path
    count: int = 0
    size: int = 0
    confirmed: set[int] = field(default_factory=set)

    @property
    def sent(self) -> Path:
        """The file of what is confirmed."""
        return self.path.with_suffix(".sent")


class Journal:
    """The events of one producer; only one may work in a directory."""

    def __init__(self, directory: Path, *, fsync: bool = False, segment_bytes: int = SEGMENT_BYTES) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._fsync = fsync
        self._segment_bytes = segment_bytes
        self._lock = _locked(directory / "lock")
        for orphan in directory.glob("*.sent"):
            if not orphan.with_suffix(".events").exists():
                orphan.unlink()  # else a new segment of that number would be taken for sent
        self._segments = {int(path.stem): _opened(path) for path in sorted(directory.glob("*.events"))}
        self.waiting = sum(segment.count - len(segment.confirmed) for segment in self._segments.values())
        self._writing: BinaryIO | None = None
        self._last = max(self._segments, default=0)
        self._next = (min(self._segments, default=1), 0, 0)  # segment, offset and number of what is read next
        for number in list(self._segments):
            self._drop_if_done(number)

    @property
    def size(self) -> int:
        """Bytes of events on disk."""
        return sum(segment.size for segment in self._segments.values())

    def append(self, key: str, line: bytes) -> Place:
        """Write an event; it is safe from the end of the process when this returns."""
        name = key.encode()
        data = b"".join((ENTRY.pack(len(line), len(name), zlib.crc32(line, zlib.crc32(name))), name, line))
        file = self._file()
        segment = self._segments[self._last]
        try:
            file.write(data)  # not buffered: one call to the system
        except OSError:
            file.truncate(segment.size)
            file.seek(segment.size)
            raise
        if self._fsync:
            os.fsync(file.fileno())
        segment.size += len(data)
        segment.count += 1
        return Place(self._last, segment.count - 1)

    def skip_to_end(self) -> None:
        """Read next what is appended next: all before is in memory."""
        segment = self._segments.get(self._last)
        self._next = (self._last, segment.size, segment.count) if segment else (self._last + 1, 0, 0)

    def read(self, most_bytes: int) -> list[Stored]:
        """Read on, up to about so many bytes, past what is confirmed; nothing at the end."""
        found: list[Stored] = []
        size = 0
        while size < most_bytes and (number := self._to_read()) is not None:
            for stored in self._rest(number):
                found.append(stored)
                size += len(stored.line)
                if size >= most_bytes:
                    break
        return found

    def confirm(self, places: Iterable[Place]) -> None:
        """Note that the stream has these events; a segment that has nothing else goes."""
        numbers: dict[int, list[int]] = {}
        for place in places:
            numbers.setdefault(place.segment, []).append(place.number)
        for number, confirmed in numbers.items():
            segment = self._segments[number]
            segment.confirmed.update(confirmed)
            with segment.sent.open("ab", buffering=0) as file:
                file.write(b"".join(RANGE.pack(*each) for each in ranges(sorted(confirmed))))
            self._drop_if_done(number)

    def close(self) -> None:
        """Let another producer have the directory."""
        if self._writing:
            self._writing.close()
            self._writing = None
        for number in list(self._segments):
            self._drop_if_done(number, closing=True)
        os.close(self._lock)

    def _file(self) -> BinaryIO:
        full = self._writing is not None and self._segments[self._last].size >= self._segment_bytes
        if self._writing is None or full:
            if self._writing:
                self._writing.close()
                self._drop_if_done(self._last, closing=True)
            self._last += 1
            path = self._directory / f"{self._last:012d}.events"
            self._writing = path.open("xb", buffering=0)
            self._segments[self._last] = Segment(path)
            _sync_directory(self._directory)
        return self._writing

    def _to_read(self) -> int | None:
        """Find the segment that has something left to read."""
        number, _, count = self._next
        while number <= self._last:
            segment = self._segments.get(number)
            if segment and count < segment.count:
                return number
            if number == self._last:
                return None
            number, count = number + 1, 0
            self._next = (number, 0, 0)
        return None

    def _rest(self, number: int) -> Iterator[Stored]:
        segment = self._segments[number]
        _, offset, start = self._next
        for position, (key, line, end) in enumerate(entries(segment.path, offset), start):
            if position >= segment.count:
                return
            self._next = (number, end, position + 1)
            if position not in segment.confirmed:
                yield Stored(Place(number, position), key, line)

    def _drop_if_done(self, number: int, *, closing: bool = False) -> None:
        segment = self._segments[number]
        written = number == self._last and self._writing is not None and not closing
        if not written and len(segment.confirmed) >= segment.count:
            segment.path.unlink()
            segment.sent.unlink(missing_ok=True)
            del self._segments[number]


def entries(path: Path, offset: int = 0) -> Iterator[tuple[str, bytes, int]]:
    """Read a segment's events and where each ends, up to one that was not written whole."""
    with path.open("rb") as file:
        file.seek(offset)
        while len(head := file.read(ENTRY.size)) == ENTRY.size:
            length, key_length, checksum = ENTRY.unpack(head)
            data = file.read(key_length + length)
            name, line = data[:key_length], data[key_length:]
            if len(data) < key_length + length or zlib.crc32(line, zlib.crc32(name)) != checksum:
                return
            offset += ENTRY.size + len(data)
            yield name.decode(), line, offset


def ranges(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Join ascending numbers into ranges.

    >>> list(ranges([1, 2, 3, 7]))
    [(1, 4), (7, 8)]
    """
    first = after = -1
    for number in numbers:
        if number != after:
            if after > first:
                yield first, after
            first = number
        after = number + 1
    if after > first:
        yield first, after


def _opened(path: Path) -> Segment:
    segment = Segment(path)
    for _, _, end in entries(path):
        segment.count += 1
        segment.size = end
    if segment.sent.exists():
        data = segment.sent.read_bytes()
        for first, after in RANGE.iter_unpack(data[: len(data) // RANGE.size * RANGE.size]):
            segment.confirmed.update(range(first, after))
    return segment


def _locked(path: Path) -> int:
    handle = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise DirectoryInUse(f"{path.parent} is another producer's; give each its own directory") from error
    return handle


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
