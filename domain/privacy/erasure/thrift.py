"""Read and write structs of Thrift's compact protocol without their schema, so that unknown fields survive.

Source: "Thrift Compact protocol encoding" of Apache Thrift.  A struct is a dict of a field's number to its type and
value; a list is its elements' type and values.
"""

from __future__ import annotations

import struct as packing
from typing import Any

TRUE, FALSE, I8, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
BOOLEANS = (TRUE, FALSE)
INTEGERS = (I16, I32, I64)
DOUBLE_BYTES = 8
SEVEN_BITS, MORE = 127, 128
LONGEST_STEP = 15
"""A field's number that is further from the one before is written out."""

SHORT_LIST = 15
"""A list of fewer elements has their number in its first byte."""

Struct = dict[int, tuple[int, Any]]


class UnknownType(ValueError):
    """A value has a type that Parquet's structs do not use."""


def read_struct(data: bytes, at: int = 0) -> tuple[Struct, int]:
    """Read a struct; return it, and where it ends."""
    found: Struct = {}
    number = 0
    while True:
        number, kind, at = read_header(data, at, number)
        if not kind:
            return found, at
        value, at = read_value(data, at, kind)
        found[number] = kind, value


def read_header(data: bytes, at: int, before: int) -> tuple[int, int, int]:
    """Read what introduces a field: its number, its type (0 ends the struct), and where its value begins."""
    byte = data[at]
    if byte == 0:
        return before, 0, at + 1
    if step := byte >> 4:
        return before + step, byte & 15, at + 1
    number, at = read_varint(data, at + 1)
    return signed(number), byte & 15, at


def read_value(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    """Read a value of a type; return it, and where it ends."""
    if kind in INTEGERS:
        number, at = read_varint(data, at)
        return signed(number), at
    if kind == BINARY:
        size, at = read_varint(data, at)
        return data[at : at + size], at + size
    if kind == STRUCT:
        return read_struct(data, at)
    if kind in (LIST, SET):
        return read_list(data, at)
    return read_fixed(data, at, kind)


def read_fixed(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    """Read a value whose type says how long it is."""
    if kind in BOOLEANS:
        return kind == TRUE, at
    if kind == I8:
        return data[at], at + 1
    if kind == DOUBLE:
        return data[at : at + DOUBLE_BYTES], at + DOUBLE_BYTES
    raise UnknownType(f"type: {kind} is none of those that Parquet's structs use; write the file again as a whole")


def read_list(data: bytes, at: int) -> tuple[tuple[int, list[Any]], int]:
    """Read a list; return its elements' type and values, and where it ends."""
    kind, count, at = read_list_header(data, at)
    values = []
    for _ in range(count):
        if kind in BOOLEANS:
            value, at = data[at] == TRUE, at + 1
        else:
            value, at = read_value(data, at, kind)
        values.append(value)
    return (kind, values), at


def read_list_header(data: bytes, at: int) -> tuple[int, int, int]:
    """Read what introduces a list: its elements' type, how many they are, and where they begin."""
    byte, at = data[at], at + 1
    count = byte >> 4
    if count == SHORT_LIST:
        count, at = read_varint(data, at)
    return byte & 15, count, at


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Read an unsigned number, seven bits to a byte."""
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & SEVEN_BITS) << shift
        if byte <= SEVEN_BITS:
            return number, at
        shift += 7


def signed(number: int) -> int:
    """Undo zigzag.

    >>> [signed(number) for number in (0, 1, 2, 3)]
    [0, -1, 1, -2]
    """
    return (number >> 1) ^ -(number & 1)


def varint(number: int) -> bytes:
    """Write a signed number: zigzag, then seven bits to a byte.

    >>> signed(read_varint(varint(-300), 0)[0])
    -300
    """
    return unsigned((number << 1) ^ (number >> 63))


def unsigned(number: int) -> bytes:
    """Write an unsigned number, seven bits to a byte."""
    found = bytearray()
    while number > SEVEN_BITS:
        found.append(number & SEVEN_BITS | MORE)
        number >>= 7
    found.append(number)
    return bytes(found)


def struct_bytes(struct: Struct) -> bytes:
    """Write a struct, its fields by their numbers."""
    found, before = bytearray(), 0
    for number in sorted(struct):
        kind, value = struct[number]
        if kind in BOOLEANS:
            kind = TRUE if value else FALSE
        step = number - before
        found += bytes([step << 4 | kind]) if 0 < step <= LONGEST_STEP else bytes([kind]) + varint(number)
        found += value_bytes(kind, value)
        before = number
    found.append(0)
    return bytes(found)


def value_bytes(kind: int, value: Any) -> bytes:
    """Write a value of a type."""
    if kind in INTEGERS:
        return varint(value)
    if kind == BINARY:
        return unsigned(len(value)) + value  # type: ignore[no-any-return]
    if kind == STRUCT:
        return struct_bytes(value)
    if kind in (LIST, SET):
        return list_bytes(*value)
    if kind == DOUBLE:
        return value  # type: ignore[no-any-return]
    return b"" if kind in BOOLEANS else packing.pack("B", value)


def list_bytes(kind: int, values: list[Any]) -> bytes:
    """Write a list."""
    head = list_header(kind, len(values))
    if kind in BOOLEANS:
        return head + bytes(TRUE if value else FALSE for value in values)
    return head + b"".join(value_bytes(kind, value) for value in values)


def list_header(kind: int, count: int) -> bytes:
    """Write what introduces a list."""
    return bytes([count << 4 | kind]) if count < SHORT_LIST else bytes([SHORT_LIST << 4 | kind]) + unsigned(count)
