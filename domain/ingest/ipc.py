"""Hold what an Arrow stream says of itself against its bytes, before anything is allocated for it.

A stream that was made to harm may have buffers that unpack to any size, or the same bytes stand for many columns.
The layout is that of Arrow's `Message.fbs` and of FlatBuffers' internals; Arrow itself has checked by then that the
tables' offsets stay within the message.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import pyarrow as pa

MOST_BATCHES = 64
HEADER, NODES, BUFFERS, COMPRESSION = 2, 1, 2, 3
"""Places of fields: the header of a message, and what a record batch holds."""

UINT16, INT32, UINT32 = (struct.Struct(code) for code in ("<H", "<i", "<I"))


Schema = Callable[[], pa.Schema]


class Unsound(ValueError):
    """A stream is none, or declares what its bytes cannot hold; says what."""


def opened(payload: bytes) -> tuple[bytes, Schema, Iterator[pa.Message]]:
    """Open a stream: its schema, as written and as a promise to read it, and its record batches, not yet read."""
    with unsound():
        source = pa.BufferReader(payload)
        messages = pa.ipc.MessageReader.open_stream(source)
        first = messages.read_next_message()
        if first.type != "schema":  # Arrow reads any other as if it were one, at places that are none of the message's
            raise Unsound(f"the frame's stream begins with a {first.type}; begin with a schema")
        return first.metadata.to_pybytes(), partial(schema_of, first), to_the_end(messages, source)


def to_the_end(messages: Iterable[pa.Message], source: pa.BufferReader) -> Iterator[pa.Message]:
    """Pass on messages, and see that nothing follows the last: whatever did would be lost."""
    yield from messages
    if rest := source.size() - source.tell():
        raise Unsound(f"the frame's stream is followed by {rest:,} bytes; send one stream")


def schema_of(message: pa.Message) -> pa.Schema:
    """Read a schema."""
    with unsound():
        return pa.ipc.read_schema(message)


def table_of(messages: Iterable[pa.Message], schema: pa.Schema) -> pa.Table:
    """Read record batches whose every buffer has bytes of its own; text and offsets are not yet checked."""
    with unsound():
        table = pa.Table.from_batches([pa.ipc.read_record_batch(each, schema) for each in checked(messages)], schema)
        table.validate()
        return table


@contextmanager
def unsound() -> Iterator[None]:
    """Say of whatever Arrow says that the stream is unsound."""
    try:
        yield
    except (pa.ArrowException, OSError, EOFError, KeyError, StopIteration, UnicodeDecodeError, struct.error) as error:
        raise Unsound(f"the frame is no Arrow stream: {error}") from error


def checked(messages: Iterable[pa.Message]) -> Iterator[pa.Message]:
    """Pass on the record batches of a stream."""
    for number, message in enumerate(messages, start=1):
        if message.type != "record batch":
            raise Unsound(f"the frame's stream holds a {message.type}; write record batches of plain columns")
        if number > MOST_BATCHES:
            raise Unsound(f"the frame's stream holds more than {MOST_BATCHES} record batches")
        hold(memoryview(message.metadata), message.body.size)
        yield message


def hold(said: memoryview, size: int) -> None:
    """Hold a record batch's own account of its buffers against the bytes of its body."""
    header = place(said, UINT32.unpack_from(said)[0], HEADER)
    batch = header + UINT32.unpack_from(said, header)[0]
    if place(said, batch, COMPRESSION):
        raise Unsound("the frame's buffers are compressed; compress the frame instead")
    nodes, buffers = pairs(said, batch, NODES), pairs(said, batch, BUFFERS)
    if any(not 0 <= nulls <= length for length, nulls in nodes):
        raise Unsound("a column of the frame declares more nulls than values")
    if any(start < 0 or length < 0 for start, length in buffers) or sum(length for _, length in buffers) > size:
        raise Unsound(f"the frame's buffers declare more than the {size:,} bytes that there are")


def place(said: memoryview, table: int, field: int) -> int:
    """Find a table's field; 0 if it is absent."""
    index = table - INT32.unpack_from(said, table)[0]
    entry = 4 + 2 * field
    if entry >= UINT16.unpack_from(said, index)[0]:
        return 0
    offset: int = UINT16.unpack_from(said, index + entry)[0]
    return table + offset if offset else 0


def pairs(said: memoryview, table: int, field: int) -> list[tuple[int, int]]:
    """Read a vector of pairs of 64 bits."""
    start = place(said, table, field)
    if not start:
        return []
    vector = start + UINT32.unpack_from(said, start)[0]
    count = UINT32.unpack_from(said, vector)[0]
    return list(struct.iter_unpack("<qq", said[vector + 4 : vector + 4 + 16 * count]))
