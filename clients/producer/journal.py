"""Keep events on disk until the stream has them, in the order in which they were sent.

An event is taken once `append` returns: it is in the file, and outlives the process however that ends.  A machine that
loses power keeps it only with `fsync`, which waits for the disk at each event; without, the system writes within
seconds.  A directory holds numbered segments: `<number>.events` are the events, each with its number, its lengths and a
checksum, and `<number>.sent` are ranges of those that the stream confirmed, each with a checksum.  A segment goes once
all of its events are confirmed.

Bytes that hold no event are passed over up to the next mark: what is damaged in the middle takes nothing along that
comes after it.  The numbers tell how many events are missing, at the end of a file their marks, at least; the bytes are
exact.  Such a segment stays, as `<number>.damaged`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO, NamedTuple

SEGMENT_BYTES = 64 * 1024 * 1024

MARK = b"\x89RMJ"
ENTRY = struct.Struct(">4sIIH")  # mark, number, bytes of the line, bytes of the key
RANGE = struct.Struct(">II")  # first, and first not
CHECKSUM = struct.Struct(">I")  # CRC-32 of what is before it in an entry or a range, then of the key and the line
HEAD = ENTRY.size + CHECKSUM.size


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


class Entry(NamedTuple):
    """An event in a segment's file: its number, where it is, and where it ends."""

    number: int
    key: str
    line: bytes
    start: int
    end: int


@dataclass(slots=True)
class Segment:
    """A file of events: how many were written to it, which are done with (confirmed, or lost), and what was lost."""

    path: Path
    count: int = 0
    size: int = 0
    done: set[int] = field(default_factory=set)
    lost: int = 0
    lost_bytes: int = 0

    @property
    def sent(self) -> Path:
        """The file of what is confirmed."""
        return self.path.with_suffix(".sent")

    @property
    def waiting(self) -> int:
        """Count the events that are neither confirmed nor lost."""
        return self.count - len(self.done)

    def note(self, confirmed: Iterable[int]) -> None:
        """Write down which events the stream has."""
        with self.sent.open("ab", buffering=0) as file:
            write(file, b"".join(map(_checked, ranges(sorted(confirmed)))), file.tell())


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
        self.waiting = sum(segment.waiting for segment in self._segments.values())
        self.unreadable = sum(segment.lost for segment in self._segments.values())
        self.unreadable_bytes = sum(segment.lost_bytes for segment in self._segments.values())
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
        file = self._file()
        segment = self._segments[self._last]
        head = ENTRY.pack(MARK, segment.count, len(line), len(name))
        data = b"".join((head, CHECKSUM.pack(zlib.crc32(line, zlib.crc32(name, zlib.crc32(head)))), name, line))
        write(file, data, segment.size, fsync=self._fsync)
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
        """Note that the stream has these events; a segment that has nothing else goes.

        Raises OSError if the disk takes no note of it; for this process they are done with all the same.
        """
        numbers: dict[int, list[int]] = {}
        for place in places:
            numbers.setdefault(place.segment, []).append(place.number)
        refused: OSError | None = None
        for number, confirmed in numbers.items():
            segment = self._segments[number]
            segment.done.update(confirmed)
            try:
                self._drop_if_done(number)
                if number in self._segments:
                    segment.note(confirmed)
            except OSError as error:
                refused = error
        if refused:
            raise refused

    def close(self) -> None:
        """Let another producer have the directory."""
        if self._writing:
            self._writing.close()
            self._writing = None
        for number in list(self._segments):
            self._drop_if_done(number, closing=True)
        os.close(self._lock)

    def release(self) -> None:
        """Let go of the files in a child process; the directory stays the parent's."""
        if self._writing:
            self._writing.close()
            self._writing = None
        os.close(self._lock)

    def _file(self) -> BinaryIO:
        full = self._writing is not None and self._segments[self._last].size >= self._segment_bytes
        if self._writing is None or full:
            if self._writing:
                self._writing.close()
                self._writing = None  # also if the next cannot be opened
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
        _, offset, first = self._next
        for entry in entries(segment.path, offset):
            if entry.number >= segment.count:
                break
            if entry.number >= first:
                self._next = (number, entry.end, entry.number + 1)
            if entry.number >= first and entry.number not in segment.done:
                yield Stored(Place(number, entry.number), entry.key, entry.line)
        self._next = (number, segment.size, segment.count)

    def _drop_if_done(self, number: int, *, closing: bool = False) -> None:
        segment = self._segments[number]
        written = number == self._last and self._writing is not None and not closing
        if written or segment.waiting:
            return
        if segment.lost_bytes:
            segment.path.rename(segment.path.with_suffix(".damaged"))
        else:
            segment.path.unlink()
        segment.sent.unlink(missing_ok=True)
        del self._segments[number]


def write(file: BinaryIO, data: bytes, end: int, *, fsync: bool = False) -> None:
    """Write at the end of an unbuffered file, all or nothing; raises OSError."""
    try:
        if file.write(data) != len(data):  # a disk that fills up takes a part of it
            raise OSError(errno.ENOSPC, "the disk took a part of it", file.name)
        if fsync:
            os.fsync(file.fileno())
    except OSError:
        if file.tell() != end:
            file.truncate(end)
            file.seek(end)
        raise


def entries(path: Path, offset: int = 0) -> Iterator[Entry]:
    """Read a segment's events, past what is damaged."""
    data = _mapped(path)
    while 0 <= offset < len(data):
        entry = _entry(data, offset)
        if entry:
            yield entry
            offset = entry.end
        else:
            offset = data.find(MARK, offset + 1)


def _entry(data: mmap | bytes, offset: int) -> Entry | None:
    """Read the event that begins here, if one does."""
    head = data[offset : offset + HEAD]
    if len(head) < HEAD or not head.startswith(MARK):
        return None
    _, number, length, key_length = ENTRY.unpack_from(head)
    end = offset + HEAD + key_length + length
    body = data[offset + HEAD : end]
    [checksum] = CHECKSUM.unpack_from(head, ENTRY.size)
    if end > len(data) or zlib.crc32(body, zlib.crc32(head[: ENTRY.size])) != checksum:
        return None
    return Entry(number, body[:key_length].decode(), body[key_length:], offset, end)


def _mapped(path: Path) -> mmap | bytes:
    with path.open("rb") as file:
        return mmap(file.fileno(), 0, access=ACCESS_READ) if path.stat().st_size else b""


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
    """Find out what a segment holds, what of it is done with, and what is missing."""
    segment = Segment(path)
    segment.done = _confirmed(segment.sent)
    missing: list[int] = []
    read = 0
    for entry in entries(path):
        missing += range(segment.count, entry.number)
        read += entry.end - entry.start
        segment.count, segment.size = entry.number + 1, entry.end
    at_the_end = _lost_at_the_end(path, segment.size)
    missing += range(segment.count, segment.count + at_the_end)
    segment.count += at_the_end
    segment.done &= set(range(segment.count))
    lost = set(missing) - segment.done
    segment.done |= lost
    segment.lost, segment.lost_bytes = len(lost), path.stat().st_size - read
    return segment


def _lost_at_the_end(path: Path, offset: int) -> int:
    """Count events after the last that can be read, by their marks; one whose write was cut off was never taken."""
    rest = _mapped(path)[offset:]
    marks = rest.count(MARK)
    if not rest or marks > 1:
        return marks
    if not rest.startswith(MARK[: len(rest)]):
        return max(marks, 1)
    if len(rest) < HEAD:
        return 0
    _, _, length, key_length = ENTRY.unpack_from(rest)
    return int(len(rest) >= HEAD + key_length + length)


def _confirmed(path: Path) -> set[int]:
    """Read what was confirmed, as far as it can be believed: else an event goes again, which harms nobody."""
    found: set[int] = set()
    size = RANGE.size + CHECKSUM.size
    data = path.read_bytes() if path.exists() else b""
    if torn := len(data) % size:
        os.truncate(path, len(data) - torn)  # what is appended next begins where a range does
    for start in range(0, len(data) - torn, size):
        first, after = RANGE.unpack_from(data, start)
        if data[start : start + size] == _checked((first, after)):
            found.update(range(first, after))
    return found


def _checked(each: tuple[int, int]) -> bytes:
    data = RANGE.pack(*each)
    return data + CHECKSUM.pack(zlib.crc32(data))


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
