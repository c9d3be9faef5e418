"""The footer of a Parquet file, taken apart at its row groups only: what is not touched stays byte for byte.

Numbers of fields are those of `parquet.thrift` (Apache Parquet format 2.11).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from domain.privacy.erasure.thrift import (
    LIST,
    STRUCT,
    Struct,
    UnknownType,
    list_header,
    read_header,
    read_list_header,
    read_struct,
    read_value,
    struct_bytes,
    varint,
)

MAGIC = b"PAR1"
FIRST_READ = 1 << 20
"""How much of a file's end is read at once; most footers are smaller."""

NEAR = 512
"""How far from its beginning a row group names its first offset, at most: after a path, a codec and some sizes."""

ROWS, GROUPS = 3, 4  # of FileMetaData
COLUMNS, GROUP_ROWS, GROUP_OFFSET, ORDINAL = 1, 3, 5, 7  # of RowGroup
CHUNK_OFFSET, CHUNK, OFFSET_INDEX, COLUMN_INDEX = 2, 3, (4, 5), (6, 7)  # of ColumnChunk: offset and length
VALUES, COMPRESSED, DATA_PAGE, INDEX_PAGE, DICTIONARY_PAGE, BLOOM = 5, 7, 9, 10, 11, (14, 15)  # of ColumnMetaData
PAGE_LOCATIONS, PAGE_OFFSET = 1, 1  # of OffsetIndex, of PageLocation


class UnsupportedFile(ValueError):
    """A file is no Parquet file that can be changed at its row groups."""


class Source(Protocol):
    """Bytes that can be read at any place."""

    @property
    def size(self) -> int:
        """Say how many bytes there are."""

    def read(self, start: int, length: int) -> bytes:
        """Read some bytes."""


@dataclass(frozen=True, slots=True)
class Footer:
    """The footer's own bytes, where they begin in the file, and what pyarrow makes of them."""

    raw: bytes
    start: int
    metadata: pq.FileMetaData

    @classmethod
    def read(cls, source: Source) -> Footer:
        """Read a file's footer; raise UnsupportedFile if there is none, or only an encrypted one."""
        first = min(source.size, FIRST_READ)
        end = source.read(source.size - first, first)
        if end[-4:] != MAGIC:
            raise UnsupportedFile(f"end: {end[-4:]!r} is not {MAGIC!r}; remove the rows with what wrote the file")
        size = int.from_bytes(end[-8:-4], "little")
        start = source.size - 8 - size
        raw = end[-8 - size : -8] if size + 8 <= first else source.read(start, size)
        return cls(raw, start, metadata(raw))

    def groups(self, numbers: Iterable[int]) -> dict[int, Span]:
        """Find where some row groups are written in the footer, and read them."""
        kind, count, at = read_list_header(self.raw, head(self.raw)[1])
        if kind != STRUCT or count != self.metadata.num_row_groups:
            raise UnsupportedFile(f"row groups: {count}, but pyarrow reads {self.metadata.num_row_groups}")
        return {number: self._group(number, at) for number in numbers}

    def _group(self, number: int, first: int) -> Span:
        """Find one row group by an offset that no other has and by the bytes that a row group begins with.

        To read all that stand before it would take Python half a second in a file of 500.  What is found is read whole
        and compared with what pyarrow has read from the front.
        """
        begins = bytes([COLUMNS << 4 | LIST]) + list_header(STRUCT, self.metadata.num_columns)
        offset = varint(self.metadata.row_group(number).column(0).data_page_offset)
        for place in places(self.raw, offset, first, len(self.raw)):
            for start in reversed(list(places(self.raw, begins, max(first, place - NEAR), place))):
                found = read_if_struct(self.raw, start)
                if found is not None and self._is(number, found[0]):
                    return Span(start, found[1], found[0])
        raise UnsupportedFile(f"row group: {number} is not where the footer should have it")

    def _is(self, number: int, group: Struct) -> bool:
        told = self.metadata.row_group(number)
        columns = [told.column(place) for place in range(told.num_columns)]
        wanted = [(one.data_page_offset, one.total_compressed_size, one.num_values) for one in columns]
        return value(group, GROUP_ROWS) == told.num_rows and wanted == [
            tuple(value(chunk, field) for field in (DATA_PAGE, COMPRESSED, VALUES)) for chunk in chunks(group)
        ]

    def with_groups(self, changed: Mapping[int, Struct | None]) -> Footer:
        """Put other row groups in the place of some, or nothing; all others stay as they are."""
        spans = self.groups(changed)
        rows, begin = head(self.raw)
        _, count, first = read_list_header(self.raw, begin)
        left = self.metadata.num_rows - sum(value(spans[number].group, GROUP_ROWS) for number in changed)
        left += sum(value(group, GROUP_ROWS) for group in changed.values() if group is not None)
        dropped = sum(group is None for group in changed.values())
        parts = [self.raw[: rows[0]], varint(left), self.raw[rows[1] : begin], list_header(STRUCT, count - dropped)]
        for number in sorted(changed, key=lambda each: spans[each].start):
            group = changed[number]
            parts += [self.raw[first : spans[number].start], struct_bytes(group) if group is not None else b""]
            first = spans[number].end
        raw = b"".join([*parts, self.raw[first:]])
        made = Footer(numbered(raw) if dropped else raw, self.start, metadata(raw))
        made._check(self, changed)
        return made

    def _check(self, before: Footer, changed: Mapping[int, Struct | None]) -> None:
        """Hold every row group that was not to change against what it was."""
        old, new = before.metadata, self.metadata
        dropped = {number for number, group in changed.items() if group is None}
        kept = [number for number in range(old.num_row_groups) if number not in dropped]
        same = len(kept) == new.num_row_groups and all(
            number in changed or old.row_group(number).equals(new.row_group(place)) for place, number in enumerate(kept)
        )
        if not same or new.num_rows != sum(new.row_group(place).num_rows for place in range(new.num_row_groups)):
            raise UnsupportedFile("footer: it does not read as it should after the change; write the file as a whole")


@dataclass(frozen=True, slots=True)
class Span:
    """Where a row group begins and ends in the footer, and what it says."""

    start: int
    end: int
    group: Struct


def metadata(raw: bytes) -> pq.FileMetaData:
    """Let pyarrow read a footer; it looks at nothing else."""
    return pq.read_metadata(pa.BufferReader(MAGIC + closed(raw)))


def closed(raw: bytes) -> bytes:
    """Write a footer as a file ends with it."""
    return raw + len(raw).to_bytes(4, "little") + MAGIC


def head(raw: bytes) -> tuple[tuple[int, int], int]:
    """Find where the number of rows is written, and where the list of row groups begins."""
    rows, number, at = (0, 0), 0, 0
    while True:
        number, kind, at = read_header(raw, at, number)
        if number == GROUPS:
            return rows, at
        if not kind:
            raise UnsupportedFile("footer: it has no list of row groups")
        start = at
        _, at = read_value(raw, at, kind)
        rows = (start, at) if number == ROWS else rows


def numbered(raw: bytes) -> bytes:
    """Number the row groups of a footer anew, after one has left."""
    read, _ = read_struct(raw)
    for place, group in enumerate(read[GROUPS][1][1]):
        if ORDINAL in group:
            group[ORDINAL] = (group[ORDINAL][0], place)
    return struct_bytes(read)


def places(raw: bytes, wanted: bytes, start: int, end: int) -> Iterator[int]:
    """Find every place of some bytes."""
    place = raw.find(wanted, start, end)
    while place >= 0:
        yield place
        place = raw.find(wanted, place + 1, end)


def read_if_struct(raw: bytes, at: int) -> tuple[Struct, int] | None:
    """Read a struct if one begins there."""
    try:
        return read_struct(raw, at)
    except (IndexError, UnknownType, RecursionError):
        return None


def value(struct: Struct, number: int) -> Any:
    """Read a field, None if it is not there."""
    return struct[number][1] if number in struct else None


def columns(group: Struct) -> list[Struct]:
    """Read the column chunks of a row group, with where their indexes are."""
    return value(group, COLUMNS)[1]  # type: ignore[no-any-return]


def chunks(group: Struct) -> list[Struct]:
    """Read what the column chunks of a row group say of themselves."""
    return [value(column, CHUNK) for column in columns(group)]


def extent(group: Struct) -> tuple[int, int]:
    """Find where a row group's data begins and ends in the file."""
    starts = [min(filter(None, (value(chunk, DATA_PAGE), value(chunk, DICTIONARY_PAGE)))) for chunk in chunks(group)]
    ends = [start + value(chunk, COMPRESSED) for start, chunk in zip(starts, chunks(group), strict=True)]
    return min(starts), max(ends)


def indexed(group: Struct) -> list[tuple[int, int]]:
    """Find where the page indexes and Bloom filters of a row group are, and how long each is."""
    pairs = [
        (value(column, at), value(column, size))
        for column in columns(group)
        for at, size in (COLUMN_INDEX, OFFSET_INDEX)
    ]
    pairs += [(value(chunk, BLOOM[0]), value(chunk, BLOOM[1])) for chunk in chunks(group)]
    if any(at and not size for at, size in pairs):
        raise UnsupportedFile("Bloom filter: its length is not said; write the file as a whole")
    return [(at, size) for at, size in pairs if at]
