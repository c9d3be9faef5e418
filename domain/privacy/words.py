"""Tell whether a value stands in bytes as itself, however it is escaped, and not as a part of a longer one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import quote, quote_plus, unquote_to_bytes

from domain.events import EVENTS
from domain.experiments import EXPERIMENTS
from domain.publications import PUBLICATIONS
from domain.releases import RELEASES
from domain.tables import TABLES

FEWEST, FEWEST_DIGITS = 3, 7
"""Shorter values, or shorter numbers, stand by chance in what is others' or nobody's."""

LITERALS = ("true", "false", "null", "none", "nan", "rivermill", "rivermill-events")
FORMATS = """
append array arrow attempt avro based binary blob boolean bound branch bucket build codec column content data date
default deflate delete determine disk doc double encryption equality field fields file files follows format hour
iceberg identity ids ignored including int json key keys lake late list location long lower main manifest map metadata
name number obj offsets operation orc overwrite parquet partition partitions path properties received record records
refs replace representing required schema schemas scheme shard size snapshot snapshots sort source spark spec
splittable status string struct summary table timestamp timestamptz total transform tuple type upper uri used uuid
values version written zstd
"""
"""What the formats of tables and receipts call their parts (Iceberg, Parquet, Avro); a test reads what they write."""

PLACES = "athena certificates conservation landing models published readouts receipts runs scaling tables training"
"""What the lake's keys begin with."""

WORD = re.compile(r"[^\W\d_]{3,}")
ONES_OWN = re.compile(r"[a-z][0-9]+\.")
"""How tokens and digests begin (domain.privacy.spelling)."""

ESCAPED = re.compile(r"\\u[0-9a-f]{4}")
HEXED = re.compile(r"%[0-9A-F]{2}")
ESCAPE_BEFORE, ESCAPE_AFTER = re.compile(rb"\\u([0-9a-fA-F]{4})$"), re.compile(rb"\\u([0-9a-fA-F]{4})")
HEX_BEFORE, HEX_AFTER = re.compile(rb"(?:%[0-9a-fA-F]{2}){1,4}$"), re.compile(rb"(?:%[0-9a-fA-F]{2}){1,4}")
LONGEST_CHARACTER, LONGEST_ESCAPE = 4, 12
NEAR = 8  # bytes on either side that tell a number
BEFORE_NUMBERS, AFTER_NUMBERS = b":[,.", b",]}.eE"
PRINTABLE = range(0x20, 0x7F)

CATEGORIES = ("arm", "category", "country", "currency", "device", "experiment", "order_id", "product_id")
"""Columns whose values name something that is nobody: what stands there whole, in others' rows, is no person."""

WAYS: tuple[Callable[[str], str], ...] = (
    str,
    lambda value: json.dumps(value)[1:-1],
    lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
    lambda value: ESCAPED.sub(lambda each: "\\u" + each[0][2:].upper(), json.dumps(value)[1:-1]),
    lambda value: json.dumps(value)[1:-1].replace("/", "\\/"),
    lambda value: json.dumps(json.dumps(value)[1:-1])[1:-1],
    lambda value: json.dumps(json.dumps(value, ensure_ascii=False)[1:-1], ensure_ascii=False)[1:-1],
    lambda value: value.replace('"', '""'),
    lambda value: value.replace("'", "''"),
    quote,
    lambda value: quote(value, safe=""),
    quote_plus,
    lambda value: HEXED.sub(lambda each: each[0].lower(), quote(value, safe="")),
)
"""How JSON (once and within JSON), CSV, SQL and URLs write a value."""


@lru_cache(1_000)
def needles(value: str) -> tuple[bytes, ...]:
    """Write a value in every way in which a file may hold it; nothing for an empty one, which stands everywhere.

    >>> needles("u-1"), needles("a@b")
    ((b'u-1',), (b'a@b', b'a%40b'))
    """
    return tuple(dict.fromkeys(way(value).encode() for way in WAYS)) if value else ()


@lru_cache(1_000)
def is_telling(value: str) -> bool:
    """Tell whether a value found among bytes is likely to be a person: no short number, and no word of the platform's.

    >>> [is_telling(value) for value in ("u-1", "7", "1234567", "purchase", " ")]
    [True, False, True, False, False]
    """
    if value.isdigit():
        return len(value) >= FEWEST_DIGITS
    return len(value.strip()) >= FEWEST and value.casefold() not in vocabulary()


def may_be_a_category(value: str) -> bool:
    """Tell whether a value could also be what others' rows call a product or the like, as no address or token is.

    >>> [may_be_a_category(value) for value in ("shoes", "12345678", "ann@example.net", "t1.AAAA", "7")]
    [True, True, False, False, False]
    """
    return is_telling(value) and "@" not in value and not ONES_OWN.match(value)


@lru_cache(1)
def vocabulary() -> frozenset[str]:
    """List the words that the platform itself writes: names, what they mean, what is chosen from, what formats say."""
    columns = [column for table in TABLES for column in table.columns]
    chosen = [str(choice) for column in columns for choice in column.field.choices or ()]
    names = [name for table in TABLES for name in (table.name, table.database, table.full_name)]
    docs = [*(table.doc for table in TABLES), *(column.field.doc for column in columns)]  # in each table's schema
    words = [
        *LITERALS,
        *FORMATS.split(),
        *PLACES.split(),
        *EVENTS,
        *names,
        *(column.name for column in columns),
        *chosen,
        *declared(),
    ]
    return frozenset(map(str.casefold, (*words, *(word for doc in docs for word in WORD.findall(doc)))))


def declared() -> list[str]:
    """List what is published and tried: their names are in keys, and in what is written of them."""
    arms = [arm.name for experiment in EXPERIMENTS.values() for arm in experiment.arms]
    return [*EXPERIMENTS, *arms, *PUBLICATIONS, *RELEASES]


def stands_in(part: bytes, needle: bytes) -> bool:
    """Tell whether a value stands in bytes as itself, and not as a part of a longer one.

    >>> [stands_in(text, b"u-1") for text in (b'{"user_id": "u-1"}', b'{"user_id": "u-12"}', b"\\x03\\0\\0\\0u-1\\x04")]
    [True, False, True]
    """
    at = part.find(needle)
    while at >= 0:
        if is_measured(part, at, needle) or is_alone(part, at, needle):
            return True
        at = part.find(needle, at + 1)
    return False


def is_measured(part: bytes, at: int, needle: bytes) -> bool:
    """Tell whether the length of just this value stands before it: as Parquet's pages, Thrift or Avro write it.

    A length that looks like a character may be one, so then nothing may follow that belongs to the value.
    """
    length = len(needle)
    if part[max(0, at - 4) : at] == length.to_bytes(4, "little"):
        return True
    marks = (varint(length), varint(2 * length))
    found = [mark for mark in marks if part[max(0, at - len(mark)) : at] == mark]
    return any(mark[0] not in PRINTABLE for mark in found) or bool(found and not goes_on(part, at + length, needle))


def is_alone(part: bytes, at: int, needle: bytes) -> bool:
    """Tell whether neither neighbour of a value could belong to it; a number of JSON's is no value, since it counts."""
    end = at + len(needle)
    if needle.isdigit() and counts(part[max(0, at - NEAR) : at].rstrip(), part[end : end + NEAR].lstrip()):
        return False
    return not goes_on(part, end, needle) and not began(part, at, needle)


def counts(before: bytes, after: bytes) -> bool:
    """Tell by what stands around digits whether they are one of JSON's numbers, or a part of one."""
    return before[-1:] in BEFORE_NUMBERS and after[:1] in AFTER_NUMBERS and bool(before and after)


def goes_on(part: bytes, end: int, needle: bytes) -> bool:
    """Tell whether what follows belongs to a value: a letter or digit, or what binds one to it, as the dot in a.b."""
    follower, after = following(part, end)
    return is_letter(follower) or (binds(follower, needle) and is_letter(following(part, after)[0]))


def began(part: bytes, at: int, needle: bytes) -> bool:
    """Tell the same of what stands before a value."""
    neighbour, before = preceding(part, at)
    return is_letter(neighbour) or (binds(neighbour, needle) and is_letter(preceding(part, before)[0]))


def is_letter(character: str) -> bool:
    """Tell whether a character may be within a name."""
    return character.isalnum() or character in ("_", "-")


def binds(character: str, needle: bytes) -> bool:
    """Tell whether a character is one that the value itself has between its letters."""
    return character.isprintable() and not character.isspace() and bool(character) and character.encode() in needle


def following(part: bytes, at: int) -> tuple[str, int]:
    """Read the character that begins at a place, and where it ends; none if the bytes are no text."""
    if part[at : at + 1] in (b"\\", b"%"):
        if found := ESCAPE_AFTER.match(part, at):
            return chr(int(found[1], 16)), found.end()
        if found := HEX_AFTER.match(part, at):
            return following(unquote_to_bytes(found[0]), 0)[0], found.end()
    for size in range(1, LONGEST_CHARACTER + 1):
        if character := decoded(part[at : at + size]):
            return character, at + size
    return "", at


def preceding(part: bytes, at: int) -> tuple[str, int]:
    """Read the character that ends at a place, and where it begins."""
    near = part[max(0, at - LONGEST_ESCAPE) : at]
    if found := ESCAPE_BEFORE.search(near):
        return chr(int(found[1], 16)), at - len(found[0])
    if found := HEX_BEFORE.search(near):
        whole = unquote_to_bytes(found[0])
        return preceding(whole, len(whole))[0], at - len(found[0])
    for size in range(1, LONGEST_CHARACTER + 1):
        if at >= size and (character := decoded(part[at - size : at])):
            return character, at - size
    return "", at


def decoded(some: bytes) -> str:
    """Read one character of UTF-8; nothing if it is none."""
    try:
        text = some.decode()
    except UnicodeDecodeError:
        return ""
    return text if len(text) == 1 else ""


def varint(number: int) -> bytes:
    """Write a number as Thrift and Avro do, seven bits a byte."""
    written = bytearray()
    while number > 127:  # noqa: PLR2004
        written.append(number & 127 | 128)
        number >>= 7
    return bytes([*written, number])
