"""Look for people in the bytes of a file, whatever it is packed in: not in its rows alone."""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from collections.abc import Collection, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from domain.privacy.layout import plain
from domain.privacy.words import needles, stands_in

PARQUET, GZIP, ZSTD, ZIP, AVRO = b"PAR1", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"Obj\x01"
TAR_AT = 257  # where a tar says "ustar" (POSIX.1-1988)
DEEPEST = 8
"""Packings within one another; a file that goes deeper is not ours."""

SYNC_BYTES = 16
DATA_PAGE_V2 = 3
PAGE_TYPE, UNPACKED, PACKED, V2 = 1, 2, 3, 8  # fields of a PageHeader (Parquet format, parquet.thrift)
DEFINITIONS, REPETITIONS, IS_PACKED = 5, 6, 7  # of its DataPageHeaderV2
BOOLEANS, BYTE, DOUBLE, BINARY, LISTS, STRUCT = (1, 2), 3, 7, 8, (9, 10), 12  # types (Thrift compact protocol)


class TooDeep(ValueError):
    """A file is packed more often than anything that the lake writes."""


BROKEN = (
    ValueError,
    LookupError,
    OSError,
    EOFError,
    RuntimeError,
    AssertionError,
    zlib.error,
    zipfile.BadZipFile,
    tarfile.TarError,
)
"""What is raised over bytes that are not what they begin as."""


def found(body: bytes, wanted: Sequence[str]) -> set[str]:
    """Tell which of the values stand in a file, as they are, escaped or packed."""
    left, seen = dict.fromkeys(wanted), set[str]()
    for part in parts(body):
        here = {value for value in left if any(stands_in(part, needle) for needle in needles(value))}
        seen |= here
        left = {value: None for value in left if value not in here}
        if not left:
            break
    return seen


def named(body: bytes, columns: Collection[str], wanted: Sequence[str]) -> set[str]:
    """Tell which of the values a Parquet file has, whole, in some of its columns; none are in any other file."""
    if not body[:4] == body[-4:] == PARQUET:
        return set()
    try:
        file = pq.ParquetFile(pa.BufferReader(body))
        rows = file.read(columns=[name for name in file.schema_arrow.names if name in columns])
    except BROKEN:
        return set()
    held = {value for column in rows.columns for value in pc.unique(column.cast(pa.string())).to_pylist()}
    return held.intersection(wanted)


def parts(body: bytes, depth: int = 0) -> Iterator[bytes]:
    """Unpack a file, and what is packed in it; what is not packed, or not as it begins to be, comes as it is."""
    if depth > DEEPEST:
        raise TooDeep(f"a file is packed more than {DEEPEST} times over; unpack it by hand and look")
    try:
        inner = unpacked(body)
        if inner is None:
            yield from laid_out(body)
        else:
            for each in inner:
                yield from parts(each, depth + 1)
    except TooDeep:
        raise
    except BROKEN:  # what says that it is packed may be broken, or something else that begins alike
        yield body


def laid_out(body: bytes) -> Iterator[bytes]:
    """Take a Parquet or an Avro file apart; anything else is one part."""
    if body[:4] == body[-4:] == PARQUET:
        return parquet(body)
    return avro(body) if body[:4] == AVRO else iter((body,))


def unpacked(body: bytes) -> Iterator[bytes] | None:
    """Unpack one layer of gzip, zstd, zip or tar; None if it is none of these."""
    if body[:2] == GZIP:
        return gunzipped(body)
    if body[:4] == ZSTD:
        return iter((pa.CompressedInputStream(pa.BufferReader(body), "zstd").read(),))
    if body[:4] == ZIP:
        return zipped(body)
    return tarred(body) if body[TAR_AT : TAR_AT + 5] == b"ustar" else None


def gunzipped(body: bytes) -> Iterator[bytes]:
    """Unpack every member of a gzip file."""
    while body[:2] == GZIP:
        member = zlib.decompressobj(zlib.MAX_WBITS | 16)
        yield member.decompress(body) + member.flush()
        body = member.unused_data
    if body:
        yield body


def zipped(body: bytes) -> Iterator[bytes]:
    """Give the names and the members of a zip file."""
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        yield "\n".join(archive.namelist()).encode()
        yield from (archive.read(name) for name in archive.namelist())


def tarred(body: bytes) -> Iterator[bytes]:
    """Give the names and the members of a tar file."""
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        members = archive.getmembers()
        yield "\n".join(member.name for member in members).encode()
        for member in members:
            if (file := archive.extractfile(member)) is not None:
                yield file.read()


def avro(body: bytes) -> Iterator[bytes]:
    """Give an Avro file's header and its blocks unpacked (Avro 1.12, "Object Container Files")."""
    codec, at = b"null", 4
    while count := signed(*(read := number(body, at)))[0]:
        at = read[1]
        if count < 0:  # a block of the map that says its size too
            _, at = number(body, at)
        for _ in range(abs(count)):
            name, at = counted(body, at)
            value, at = counted(body, at)
            codec = value if name == b"avro.codec" else codec
    at = read[1] + SYNC_BYTES
    yield body[:at]
    while at < len(body):
        _, at = number(body, at)
        block, at = counted(body, at)
        at += SYNC_BYTES
        yield inflated(codec, block)


def inflated(codec: bytes, block: bytes) -> bytes:
    """Unpack a block of an Avro file."""
    if codec == b"deflate":
        return zlib.decompress(block, -zlib.MAX_WBITS)
    if codec == b"zstandard":
        return pa.CompressedInputStream(pa.BufferReader(block), "zstd").read()  # type: ignore[no-any-return]
    if codec == b"snappy":
        size, start = number(block, 0)
        return pa.decompress(block[:-4], size, "snappy", asbytes=True) if start else b""
    return block


def parquet(body: bytes) -> Iterator[bytes]:
    """Give a Parquet file's pages unpacked, and all that lies outside them: headers, indexes, statistics, footer."""
    file, at = pq.ParquetFile(pa.BufferReader(body)), 0
    for column in columns(file.metadata):
        start = begins(column)
        yield body[at:start]
        at = start + column.total_compressed_size
        yield from pages(body, start, at, column)
    yield body[at:]
    yield from delta_coded(file)


def columns(metadata: pq.FileMetaData) -> list[pq.ColumnChunkMetaData]:
    """List a file's column chunks in the order in which they lie."""
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    chunks = [group.column(number) for group in groups for number in range(group.num_columns)]
    return sorted(chunks, key=begins)


def begins(column: pq.ColumnChunkMetaData) -> int:
    """Say where a column chunk begins; one of no rows may have a dictionary alone, or nothing."""
    return min(filter(None, (column.dictionary_page_offset, column.data_page_offset)), default=0)


def pages(body: bytes, at: int, end: int, column: pq.ColumnChunkMetaData) -> Iterator[bytes]:
    """Walk the pages of a column chunk: each header, and what it is of."""
    while at < end:
        header, start = struct(body, at)
        yield body[at:start]
        at = start + int(str(header[PACKED]))
        if column.physical_type in ("BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY"):  # numbers spell nobody
            yield page(body[start:at], header, column.compression)


def page(packed: bytes, header: dict[int, object], codec: str) -> bytes:
    """Unpack a page; the levels of a second-version page lie before it as they are."""
    v2 = header.get(V2, {}) if header[PAGE_TYPE] == DATA_PAGE_V2 else {}
    assert isinstance(v2, dict)
    levels = v2.get(DEFINITIONS, 0) + v2.get(REPETITIONS, 0)
    size = int(str(header[UNPACKED])) - levels
    if codec == "UNCOMPRESSED" or not size or v2.get(IS_PACKED) is False:
        return packed
    if codec == "GZIP":
        return packed[:levels] + b"".join(gunzipped(packed[levels:]))
    name = codec.lower().replace("lz4", "lz4_raw")  # the only LZ4 that is still written
    return packed[:levels] + pa.decompress(packed[levels:], size, name, asbytes=True)  # type: ignore[no-any-return]


def delta_coded(file: pq.ParquetFile) -> Iterator[bytes]:
    """Read the columns whose pages hold values in pieces, or without a mark between them."""
    chunks = columns(file.metadata)
    names = {chunk.path_in_schema for chunk in chunks if any("DELTA" in name for name in chunk.encodings)}
    for name in sorted(names):
        for chunk in file.read(columns=[name]).column(0).chunks:
            yield from texts(chunk)


def texts(column: pa.Array) -> Iterator[bytes]:
    """Put the texts of a column, also of one within lists or structs, side by side."""
    kind = column.type
    if pa.types.is_nested(kind):
        inner = column.flatten()
        for each in inner if isinstance(inner, list) else [inner]:
            yield from texts(each)
    elif not pa.types.is_primitive(kind) and not pa.types.is_null(kind):
        yield b"\0".join(value for value in plain(column).view(pa.binary()).to_pylist() if value is not None)


def number(body: bytes, at: int) -> tuple[int, int]:
    """Read a number of seven bits a byte; return it and where it ends."""
    value = shift = 0
    while True:
        byte = body[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:  # noqa: PLR2004
            return value, at
        shift += 7


def signed(value: int, at: int) -> tuple[int, int]:
    """Undo the zigzag of a signed number."""
    return value >> 1 ^ -(value & 1), at


def counted(body: bytes, at: int) -> tuple[bytes, int]:
    """Read bytes that an Avro length stands before."""
    length, at = signed(*number(body, at))
    return body[at : at + length], at + length


def struct(body: bytes, at: int) -> tuple[dict[int, object], int]:
    """Read a Thrift structure by the numbers of its fields; return it and where it ends."""
    fields: dict[int, object] = {}
    field = 0
    while kind := body[at]:
        at += 1
        if kind >> 4:
            field += kind >> 4
        else:
            field, at = signed(*number(body, at))
        fields[field], at = value(body, at, kind & 15)
    return fields, at + 1


def value(body: bytes, at: int, kind: int) -> tuple[object, int]:
    """Read one value of a Thrift structure."""
    if kind in BOOLEANS:
        return kind == BOOLEANS[0], at
    if kind == STRUCT:
        return struct(body, at)
    if kind == BINARY:
        length, at = number(body, at)
        return body[at : at + length], at + length
    if kind in (BYTE, DOUBLE):
        return None, at + (1 if kind == BYTE else 8)
    if kind in LISTS:
        return listed(body, at)
    return signed(*number(body, at))


def listed(body: bytes, at: int) -> tuple[object, int]:
    """Step over a list; headers of pages hold none that is needed."""
    count, kind, at = body[at] >> 4, body[at] & 15, at + 1
    if count == 15:  # noqa: PLR2004
        count, at = number(body, at)
    for _ in range(count):
        at = at + 1 if kind in BOOLEANS else value(body, at, kind)[1]
    return None, at
