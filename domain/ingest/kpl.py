"""Take aggregates of the Kinesis Producer Library apart (KPL's aggregation-format.md)."""

from __future__ import annotations

import struct

MAGIC = b"\xf3\x89\x9a\xc2"
DIGEST = 16
LONGEST_VARINT = 10
SHORTEST = 4
KEY_TABLE, HASH_KEY_TABLE, RECORD = 1, 2, 3
KEY_INDEX, HASH_KEY_INDEX, DATA = 1, 2, 3
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
USUAL = struct.Struct("<BHBBBH")
"""A record's tag and length, its key, and its data's tag and length, both lengths of two bytes."""
USUALLY = (RECORD << 3 | BYTES, KEY_INDEX << 3, DATA << 3 | BYTES, 0, 0, 0x80)


class BadAggregate(ValueError):
    """A record begins as an aggregate and is none; says what is wrong."""


def is_aggregate(data: bytes) -> bool:
    r"""Tell an aggregate from any other record by its first bytes.

    >>> is_aggregate(b'{"event":"search"}'), is_aggregate(b"\xf3\x89\x9a\xc2")
    (False, True)
    """
    return data[: len(MAGIC)] == MAGIC


def deaggregate(data: bytes) -> list[bytes]:
    """Return the payloads of an aggregate, all or none; raises BadAggregate and nothing else."""
    from hashlib import md5  # noqa: PLC0415  # brings OpenSSL, for which no other record waits

    message = data[len(MAGIC) : -DIGEST]
    if not is_aggregate(data) or len(data) <= len(MAGIC) + DIGEST:
        raise BadAggregate(f"the aggregate ends after {len(data)} bytes; send it whole")
    if md5(message, usedforsecurity=False).digest() != data[-DIGEST:]:
        raise BadAggregate("the digest does not match: a byte changed since it was packed")
    try:
        return _payloads(message)
    except IndexError as error:
        raise BadAggregate("the aggregate breaks off within a number; send it whole") from error


def _payloads(message: bytes) -> list[bytes]:
    keys = hash_keys = place = highest_key = highest_hash_key = 0
    payloads: list[bytes] = []
    while place < len(message):
        place, key = _usual(message, place, payloads)
        highest_key = max(highest_key, key + 1)
        if place == len(message):
            break
        tag, place = _number(message, place)
        if tag & 7 != BYTES or tag >> 3 not in (KEY_TABLE, HASH_KEY_TABLE, RECORD):
            place = _skipped(message, tag, place)
            continue
        length, place = _number(message, place)
        end = _within(place + length, len(message))
        if tag >> 3 == RECORD:
            payload, key, hash_key = _record(message, place, end)
            payloads.append(payload)
            highest_key, highest_hash_key = max(highest_key, key + 1), max(highest_hash_key, hash_key + 1)
        elif tag >> 3 == KEY_TABLE:
            keys += 1
        else:
            hash_keys += 1
        place = end
    if highest_key > keys or highest_hash_key > hash_keys:
        raise BadAggregate("a record names a key that the aggregate's table of keys lacks")
    return payloads


def _usual(message: bytes, place: int, payloads: list[bytes]) -> tuple[int, int]:
    """Take records in a row as nearly all are, with a key of one byte and data of 128 bytes to 16 KB.

    Returns where they end and the highest number of a key, -1 if there is no such record.
    """
    highest = -1
    while place + USUAL.size <= len(message):
        tag, length, key_tag, key, data_tag, size = USUAL.unpack_from(message, place)
        if (tag, key_tag, data_tag, key & 0x80, (length | size) & 0x8000, length & size & 0x80) != USUALLY:
            break
        end = place + 3 + (length & 0x7F | length >> 1 & 0x3F80)
        if end != place + USUAL.size + (size & 0x7F | size >> 1 & 0x3F80) or end > len(message):
            break
        payloads.append(message[place + USUAL.size : end])
        highest = max(highest, key)
        place = end
    return place, highest


def _record(message: bytes, place: int, end: int) -> tuple[bytes, int, int]:
    """Read one record: its payload, and the numbers of its key and of its explicit hash key, -1 without one."""
    if end - place > SHORTEST and message[place] == KEY_INDEX << 3 and message[place + 1] < 0x80:  # noqa: PLR2004
        start = _data(message, place + 2, end)  # as nearly all are: a key of one byte, then the data up to the end
        if start:
            return message[start:end], message[place + 1], -1
    payload: bytes | None = None
    key, hash_key = -1, -1
    while place < end:
        tag, place = _number(message, place)
        if tag == KEY_INDEX << 3:
            key, place = _number(message, place)
        elif tag == DATA << 3 | BYTES:
            length, place = _number(message, place)
            payload = message[place : place + length]
            place += length
        elif tag == HASH_KEY_INDEX << 3:
            hash_key, place = _number(message, place)
        else:
            place = _skipped(message, tag, place)
    if place != end or payload is None or key < 0:
        raise BadAggregate("a record in the aggregate lacks its key or its data, or goes beyond its end")
    return payload, key, hash_key


def _data(message: bytes, place: int, end: int) -> int:
    """Find where the data begin if they are all that is left of a record, 0 if not."""
    if message[place] != DATA << 3 | BYTES:
        return 0
    length, start = _number(message, place + 1)
    return start if start + length == end else 0


def _number(message: bytes, place: int) -> tuple[int, int]:
    """Read a varint (Protocol Buffers encoding guide) and where it ends."""
    byte = message[place]
    if byte < 0x80:  # noqa: PLR2004  # the top bit says that more follow
        return byte, place + 1
    value = 0
    for shift in range(0, 7 * LONGEST_VARINT, 7):
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004
            return value & (1 << 64) - 1, place
    raise BadAggregate("a number in the aggregate has more than 64 bits")


def _skipped(message: bytes, tag: int, place: int) -> int:
    kind = tag & 7
    if tag >> 3 == 0 or kind not in (VARINT, FIXED64, BYTES, FIXED32):
        raise BadAggregate(f"the aggregate holds a field of an unknown kind ({tag})")
    if kind == VARINT:
        return _number(message, place)[1]
    if kind == BYTES:
        length, place = _number(message, place)
        return _within(place + length, len(message))
    return _within(place + (8 if kind == FIXED64 else 4), len(message))


def _within(end: int, length: int) -> int:
    if end > length:
        raise BadAggregate("the aggregate breaks off within a field; send it whole")
    return end
