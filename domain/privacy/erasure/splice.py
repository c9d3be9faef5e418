"""Remove subjects from a Parquet file by writing only the row groups that hold them again, each in its own place.

No other byte moves: a row group that grew by the change (compression wobbles by a ten thousandth) finds room in slack
behind it or goes to the end of the file, and its own place is blanked.  So every offset that the footer and the page
indexes name stays true, and S3 can copy the rest from the old object to the new.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from domain.privacy.erasure.footer import (
    CHUNK_OFFSET,
    COLUMN_INDEX,
    DATA_PAGE,
    DICTIONARY_PAGE,
    GROUP_OFFSET,
    INDEX_PAGE,
    OFFSET_INDEX,
    ORDINAL,
    PAGE_LOCATIONS,
    PAGE_OFFSET,
    Footer,
    Source,
    UnsupportedFile,
    chunks,
    closed,
    columns,
    extent,
    indexed,
    value,
)
from domain.privacy.erasure.thrift import I32, I64, Struct, read_struct, struct_bytes
from domain.privacy.erasure.whole import like, rows_of, without
from domain.privacy.erasure.window import Content, Window

LEVELS = (3, 9, 15)
"""Levels of zstd to try until a row group fits its place; the first is what the lake's tables are written with."""

MOST_SLACK = 1 << 16
"""How far behind a row group room is looked for."""


@dataclass(frozen=True, slots=True)
class Hit:
    """The column of a row group that names people, and which of its rows are subjects'."""

    named: pa.Table
    rows: pa.ChunkedArray

    def group(self, window: Window, metadata: pq.FileMetaData, number: int) -> pa.Table:
        """Read the whole row group, and no column twice."""
        file = pq.ParquetFile(window, metadata=metadata)
        [field] = self.named.schema
        others = [each for each in file.schema_arrow.names if each != field.name]
        place = file.schema_arrow.get_field_index(field.name)
        return file.read_row_group(number, columns=others).add_column(place, field, self.named[0])


@dataclass(frozen=True, slots=True)
class Found:
    """The row groups of a file that hold subjects, how many rows they are, and how many bytes were decoded to know."""

    hits: dict[int, Hit]
    decoded: int
    rows: int


@dataclass(frozen=True, slots=True)
class Splice:
    """A file without some rows, as changes of the file that it comes of.

    `edits` (place, bytes) lie within the first `kept` bytes of the old file, in order and apart; `tail` follows those.
    """

    edits: tuple[tuple[int, bytes], ...]
    kept: int
    tail: bytes
    metadata: pq.FileMetaData
    decoded: int
    encoded: int

    @property
    def size(self) -> int:
        """Say how long the new file is."""
        return self.kept + len(self.tail)

    def applied(self, content: bytes) -> bytes:
        """Make the new file of the old one's bytes."""
        made = bytearray(content[: self.kept])
        for place, change in self.edits:
            made[place : place + len(change)] = change
        return bytes(made) + self.tail


@dataclass(slots=True)
class Draft:
    """A splice in the making."""

    source: Source
    footer: Footer
    edits: list[tuple[int, bytes]] = field(default_factory=list)
    tail: bytearray = field(default_factory=bytearray)
    groups: dict[int, Struct | None] = field(default_factory=dict)
    decoded: int = 0
    encoded: int = 0

    @property
    def end(self) -> int:
        """Say where the next byte of the tail will be."""
        return self.footer.start + len(self.tail)

    def finish(self) -> Splice:
        """Write the footer."""
        footer = self.footer.with_groups(self.groups)
        edits = tuple(joined(sorted(self.edits)))
        tail = bytes(self.tail) + closed(footer.raw)
        return Splice(edits, self.footer.start, tail, footer.metadata, self.decoded, self.encoded)


def find(source: Source, footer: Footer, column: str, subjects: pa.Array) -> Found:
    """Find the row groups that hold subjects: by their bounds first, then by reading the column that names people."""
    place = place_of(footer.metadata, column)
    hits, decoded = {}, 0
    for number in candidates(footer.metadata, place, subjects):
        window = Window(source)
        told = footer.metadata.row_group(number).column(place)
        decoded += told.total_compressed_size
        named = pq.ParquetFile(window, metadata=footer.metadata).read_row_group(number, columns=[column])
        rows = rows_of(subjects, named[column])
        if pc.any(rows).as_py():
            hits[number] = Hit(named, rows)
    return Found(hits, decoded, sum(pc.sum(hit.rows).as_py() for hit in hits.values()))


def place_of(metadata: pq.FileMetaData, column: str) -> int:
    """Find a column among a file's leaves; raise UnsupportedFile if it is not there."""
    for place in range(metadata.num_columns):
        if metadata.schema.column(place).path == column:
            return place
    raise UnsupportedFile(f"column: {column!r} is not in the file, which has {', '.join(metadata.schema.names)}")


def candidates(metadata: pq.FileMetaData, place: int, subjects: pa.Array) -> Iterator[int]:
    """List the row groups whose bounds leave room for a subject, and those that do not tell."""
    wanted = sorted(subject.encode() for subject in subjects.to_pylist())
    for number in range(metadata.num_row_groups):
        told = metadata.row_group(number).column(place).statistics
        if told is None or not told.has_min_max or not isinstance(told.min_raw, bytes):
            yield number
            continue
        first = bisect_left(wanted, told.min_raw)
        if first < len(wanted) and wanted[first] <= told.max_raw:
            yield number


def splice(source: Source, footer: Footer, found: Found) -> Splice:
    """Write the row groups that were found again, without the rows that were hit.

    Raises UnsupportedFile if they cannot be written as the file's others are: then it must be written as a whole.
    """
    told = pq.ParquetFile(Window(source), metadata=footer.metadata).schema_arrow
    if any(pa.types.is_dictionary(each.type) for each in told):
        # Every row group would carry all values of an Arrow dictionary, those of the subject too.
        raise UnsupportedFile("schema: it has Arrow dictionaries; write the file as a whole, and its columns plain")
    draft = Draft(source, footer, decoded=found.decoded)
    spans = footer.groups(found.hits)
    for number, hit in sorted(found.hits.items()):
        replace_group(draft, number, spans[number].group, hit)
    return draft.finish()


def replace_group(draft: Draft, number: int, group: Struct, hit: Hit) -> None:
    """Write one row group again in its place, blank what is left of the old one, and note what it says now."""
    start, end = extent(group)
    sizes = {told.path_in_schema: told.total_compressed_size for told in row_columns(draft.footer, number)}
    if end - start != sum(sizes.values()):
        raise UnsupportedFile(f"row group: {number} has gaps between its columns; write the file as a whole")
    rows = hit.group(Window(draft.source).holding(start, end), draft.footer.metadata, number)
    [named] = hit.named.column_names
    draft.decoded += end - start - sizes[named]  # which was decoded to find the rows
    draft.edits += [(at, bytes(size)) for at, size in indexed(group)]
    kept = without(rows, hit.rows).combine_chunks()
    if not kept.num_rows:
        draft.edits.append((start, bytes(end - start)))
        draft.groups[number] = None
        return
    room = Room(start, end, end + slack(draft, number, end))
    made = encoded(kept, draft.footer, number, room)
    draft.encoded += made.size
    draft.groups[number] = placed(draft, made, room)
    if ORDINAL in group:
        made.group[ORDINAL] = group[ORDINAL]


def row_columns(footer: Footer, number: int) -> list[pq.ColumnChunkMetaData]:
    """Read what is said of the columns of a row group."""
    group = footer.metadata.row_group(number)
    return [group.column(place) for place in range(group.num_columns)]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A row group written alone: the file that holds it, and where it is there."""

    content: bytes
    footer: Footer
    group: Struct
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class Room:
    """Where a row group begins and ends, and up to where nothing follows."""

    start: int
    end: int
    limit: int

    def fits(self, made: Encoded) -> bool:
        """Say whether another row group has room there."""
        return made.size <= self.limit - self.start


def encoded(rows: pa.Table, footer: Footer, number: int, room: Room) -> Encoded:
    """Encode rows as their row group was, harder if they do not fit; the smallest outcome if none does."""
    options = like(footer.metadata, number)
    zstd = {name for name, codec in options["compression"].items() if codec == "ZSTD"}
    tries = []
    for level in LEVELS if zstd else LEVELS[:1]:
        sink = pa.BufferOutputStream()
        levels = dict.fromkeys(zstd, level) or None
        pq.write_table(rows, sink, row_group_size=rows.num_rows, compression_level=levels, **options)
        tries.append(alone(sink.getvalue().to_pybytes()))
        if room.fits(tries[-1]):
            break
    made = min(tries, key=lambda each: each.size)
    if shape(made.footer) != shape(footer):
        raise UnsupportedFile("schema: pyarrow would write it otherwise; write the file as a whole")
    return made


def alone(content: bytes) -> Encoded:
    """Take apart a file of one row group."""
    footer = Footer.read(Content(content))
    group = footer.groups([0])[0].group
    start, end = extent(group)
    return Encoded(content, footer, group, start, end - start)


def shape(footer: Footer) -> list[tuple[object, ...]]:
    """Say what a reader must know of a file's columns to decode them."""
    names = ("path", "physical_type", "max_definition_level", "max_repetition_level", "length")
    schema = footer.metadata.schema
    found = [schema.column(place) for place in range(footer.metadata.num_columns)]
    return [(*(getattr(each, name) for name in names), str(each.logical_type)) for each in found]


def slack(draft: Draft, number: int, end: int) -> int:
    """Count the zero bytes behind a row group that nothing is said to begin in."""
    metadata = draft.footer.metadata
    starts = [first_offset(metadata.row_group(other)) for other in range(metadata.num_row_groups) if other != number]
    limit = min([draft.footer.start, end + MOST_SLACK, *(start for start in starts if start >= end)])
    behind = draft.source.read(end, limit - end) if limit > end else b""
    return len(behind) - len(behind.lstrip(b"\0"))


def first_offset(group: pq.RowGroupMetaData) -> int:
    """Find where a row group's first column begins."""
    told = group.column(0)
    return min(filter(None, (told.data_page_offset, told.dictionary_page_offset)))  # type: ignore[no-any-return]


def placed(draft: Draft, made: Encoded, room: Room) -> Struct:
    """Put an encoded row group in the old one's place, or behind all others if it does not fit; say where it is."""
    body = made.content[made.start : made.start + made.size]
    if room.fits(made):
        draft.edits.append((room.start, body.ljust(room.end - room.start, b"\0")))
        at = room.start
    else:
        draft.edits.append((room.start, bytes(room.end - room.start)))
        at = draft.end
        draft.tail += body
    group, moved = made.group, at - made.start
    for column in columns(group):
        move(column, (CHUNK_OFFSET,), moved)
        reindex(draft, column, made.content, moved)
    for chunk in chunks(group):
        move(chunk, (DATA_PAGE, INDEX_PAGE, DICTIONARY_PAGE), moved)
    move(group, (GROUP_OFFSET,), moved)
    return group


def reindex(draft: Draft, column: Struct, content: bytes, moved: int) -> None:
    """Put a column's page indexes into the tail, its pages where they are now."""
    for (at, size), change in ((COLUMN_INDEX, bytes), (OFFSET_INDEX, lambda raw: relocated(raw, moved))):
        if not value(column, at):
            continue
        raw = change(content[value(column, at) : value(column, at) + value(column, size)])
        column[at], column[size] = (I64, draft.end), (I32, len(raw))
        draft.tail += raw


def relocated(raw: bytes, moved: int) -> bytes:
    """Move the pages of an offset index."""
    index, _ = read_struct(raw)
    for page in value(index, PAGE_LOCATIONS)[1]:
        move(page, (PAGE_OFFSET,), moved)
    return struct_bytes(index)


def move(struct: Struct, fields: Sequence[int], moved: int) -> None:
    """Move the offsets that a struct names; one of 0 names nothing."""
    for number in fields:
        if value(struct, number):
            struct[number] = (struct[number][0], struct[number][1] + moved)


def joined(edits: Sequence[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Join edits that touch."""
    parts: list[bytes] = []
    start = end = 0
    for place, change in edits:
        if parts and place != end:
            yield start, b"".join(parts)
            parts = []
        start, end = (start if parts else place), place + len(change)
        parts.append(change)
    if parts:
        yield start, b"".join(parts)
