"""Pack many events into one record, and unpack it again without trusting a byte of it.

A frame is a head of 20 bytes and a body; numbers are big-endian (as a browser's DataView reads them):

| bytes | what | values |
|---|---|---|
| 0-3 | magic | 89 52 4D 46: no text begins so (89 is no start of UTF-8), nor does KPL, gzip, zstd or Arrow |
| 4 | version | 1 |
| 5 | codec of the body | 0 none, 1 zstd (RFC 8878), 2 deflate (zlib or gzip wrapper, RFC 1950 and 1952) |
| 6 | kind of the payload | 1 NDJSON, 2 Arrow |
| 7 | reserved | 0 |
| 8-11 | count | events in the payload, 1 to 262,144 |
| 12-15 | raw length | bytes of the payload, when unpacked |
| 16-19 | checksum | CRC-32 (as zlib's) of bytes 0-15 followed by the payload |

An NDJSON payload is one JSON object a line, the lines parted by line feeds, the last with or without one; `count`
counts lines, blank ones too.  An Arrow payload is one IPC stream of one event, of up to 64 record
batches without dictionaries, each buffer with bytes of its own and not compressed (the frame's codec does that, within
the limit): the schema's metadata says `event` and `version`, its columns are the event's, by
name, in the types of `domain.contract.arrow` (optional ones may be absent), and `count` counts rows: whoever reads the
stream holds its rows against it.

Values are named tuples: producers have no msgspec, and a dataclass takes a consumer that starts a millisecond.
"""

from __future__ import annotations

import struct
import zlib
from enum import Enum, IntEnum
from typing import Literal, NamedTuple

from domain.ingest.limits import MOST_EVENTS

MAGIC = b"\x89RMF"
VERSION = 1
LARGEST_PAYLOAD = 16 * 1024 * 1024
"""Bytes that a frame may unpack to: some 16 thousand events of 1 KB, so that a batch of frames fits a small Lambda."""

FIELDS = struct.Struct(">4sBBBBII")
CHECKSUM = struct.Struct(">I")
HEAD = FIELDS.size + CHECKSUM.size
LEVEL = 3  # zstd's own default: level 1 is 6 % faster, level 9 takes 2.5 times the time for 20 % fewer bytes
EITHER_WRAPPER = zlib.MAX_WBITS | 32

Kind = Literal["ndjson", "arrow"]
KINDS: dict[int, Kind] = {1: "ndjson", 2: "arrow"}
NUMBERS: dict[Kind, int] = {kind: number for number, kind in KINDS.items()}


class Codec(IntEnum):
    """How a body is compressed."""

    NONE = 0
    ZSTD = 1
    DEFLATE = 2


class Flaw(str, Enum):
    """What is wrong with a frame."""

    NO_FRAME = "no_frame"
    SHORT = "short"
    UNKNOWN_VERSION = "unknown_version"
    UNKNOWN_CODEC = "unknown_codec"
    UNKNOWN_KIND = "unknown_kind"
    TOO_LARGE = "too_large"
    BODY = "body"
    CHECKSUM = "checksum"
    COUNT = "count"


class BadFrame(ValueError):
    """A record begins as a frame and is none; says what is wrong and what would be right."""

    def __init__(self, reason: Flaw, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Frame(NamedTuple):
    """What a frame held: the kind of its payload, the events in it, its bytes."""

    kind: Kind
    count: int  # type: ignore[assignment]  # hides a tuple's own `count`
    payload: bytes


class Head(NamedTuple):
    """What a frame says of itself before it is unpacked; its checksum is not yet held against anything."""

    codec: Codec
    kind: Kind
    count: int  # type: ignore[assignment]  # hides a tuple's own `count`
    length: int
    checksum: int


def is_frame(data: bytes) -> bool:
    """Tell a frame from any other record by its first bytes.

    >>> is_frame(b'{"event":"search"}'), is_frame(pack("ndjson", b"{}", 1, Codec.NONE))
    (False, True)
    """
    return data[: len(MAGIC)] == MAGIC


def pack(kind: Kind, payload: bytes, count: int, codec: Codec = Codec.ZSTD) -> bytes:
    """Pack a payload of `count` events.

    >>> unpack(pack("ndjson", b'{"a":1}', 1, Codec.DEFLATE))
    Frame(kind='ndjson', count=1, payload=b'{"a":1}')
    """
    return seal(kind, payload, count, codec, compress(codec, payload))


def seal(kind: Kind, payload: bytes, count: int, codec: Codec, body: bytes) -> bytes:
    """Put the head before a body that the caller compressed, with whatever library it has."""
    if count < 1 or not payload:
        raise ValueError(f"a frame of {count} events in {len(payload)} bytes holds nothing; pack one event or more")
    fields = FIELDS.pack(MAGIC, VERSION, codec, NUMBERS[kind], 0, count, len(payload))
    return b"".join((fields, CHECKSUM.pack(zlib.crc32(payload, zlib.crc32(fields))), body))


def unpack(data: bytes, limit: int = LARGEST_PAYLOAD) -> Frame:
    """Unpack a frame, never beyond `limit` bytes nor beyond what it declares; raises BadFrame and nothing else."""
    head = read_head(data)
    if head.length > limit:
        detail = f"the frame declares {head.length:,} bytes; pack at most {limit:,}"
        raise BadFrame(Flaw.TOO_LARGE, detail)
    if head.count > MOST_EVENTS:
        raise BadFrame(Flaw.TOO_LARGE, f"the frame declares {head.count:,} events; pack at most {MOST_EVENTS:,}")
    payload = decompress(head.codec, data[HEAD:], head.length)
    if len(payload) != head.length:
        raise BadFrame(Flaw.BODY, f"the body unpacks to {len(payload):,} bytes and declares {head.length:,}")
    if zlib.crc32(payload, zlib.crc32(data[: FIELDS.size])) != head.checksum:
        raise BadFrame(Flaw.CHECKSUM, "the checksum does not match: a byte changed since the frame was packed")
    if head.kind == "ndjson" and lines(payload) != head.count:
        raise BadFrame(Flaw.COUNT, f"the frame holds {lines(payload):,} lines and declares {head.count:,}")
    return Frame(head.kind, head.count, payload)


def read_head(data: bytes) -> Head:
    """Read what a frame says of itself, as far as it can be told without unpacking."""
    if not is_frame(data):
        raise BadFrame(Flaw.NO_FRAME, f"the record begins with {data[:4].hex()}; a frame begins with {MAGIC.hex()}")
    if len(data) <= HEAD:
        raise BadFrame(Flaw.SHORT, f"the frame ends after {len(data)} bytes; its head alone has {HEAD}")
    _, version, codec, kind, reserved, count, length = FIELDS.unpack_from(data)
    if version != VERSION or reserved:
        raise BadFrame(Flaw.UNKNOWN_VERSION, f"version {version}.{reserved} is unknown; pack version {VERSION}.0")
    if codec not in tuple(Codec):
        known = ", ".join(f"{each.value} {each.name.lower()}" for each in Codec)
        raise BadFrame(Flaw.UNKNOWN_CODEC, f"codec {codec} is unknown; use one of {known}")
    if kind not in KINDS:
        known = ", ".join(f"{number} {name}" for number, name in KINDS.items())
        raise BadFrame(Flaw.UNKNOWN_KIND, f"kind {kind} is unknown; use one of {known}")
    if not count or not length:
        raise BadFrame(Flaw.COUNT, f"the frame declares {count} events in {length} bytes; pack one event or more")
    return Head(Codec(codec), KINDS[kind], count, length, *CHECKSUM.unpack_from(data, FIELDS.size))


def lines(payload: bytes) -> int:
    r"""Count the lines of a payload.

    >>> lines(b"{}\n{}"), lines(b"{}\n{}\n")
    (2, 2)
    """
    return payload.count(b"\n") + (not payload.endswith(b"\n"))


def compress(codec: Codec, payload: bytes) -> bytes:
    """Compress a payload with the libraries of the consumer's layer."""
    if codec is Codec.ZSTD:
        import pyarrow  # noqa: PLC0415  # producers have no Arrow, and bring their own zstd

        return pyarrow.Codec("zstd", LEVEL).compress(payload, asbytes=True)  # type: ignore[no-any-return]  # untyped
    return zlib.compress(payload, 6) if codec is Codec.DEFLATE else payload


def decompress(codec: Codec, body: bytes, length: int) -> bytes:
    """Decompress a body into at most one byte more than it declares."""
    if codec is Codec.NONE:
        return body
    return _inflated(body, length) if codec is Codec.DEFLATE else _unzstd(body, length)


def _unzstd(body: bytes, length: int) -> bytes:
    import pyarrow  # noqa: PLC0415

    try:  # into a buffer of the declared size, so that zstd itself stops there
        return pyarrow.decompress(body, length, "zstd", asbytes=True)  # type: ignore[no-any-return]  # untyped
    except OSError as error:
        raise BadFrame(Flaw.BODY, f"the body is no zstd of {length:,} bytes: {error}") from error


def _inflated(body: bytes, length: int) -> bytes:
    stream = zlib.decompressobj(EITHER_WRAPPER)
    try:
        payload = stream.decompress(body, length + 1)
    except zlib.error as error:
        raise BadFrame(Flaw.BODY, f"the body is no deflate: {error}") from error
    if not stream.eof or stream.unused_data:
        raise BadFrame(Flaw.BODY, f"the body is no deflate of {length:,} bytes: it goes on or breaks off")
    return payload
