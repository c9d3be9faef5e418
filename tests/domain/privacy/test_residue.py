"""A person is found wherever bytes can hide: in pages, dictionaries, statistics, archives; and no other is."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.privacy import residue, words

WHO = "u-1"
OTHERS = [f"u-{number}" for number in range(10, 60)]


def parquet(values: Sequence[str | None], **how: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"user_id": values, "n": list(range(len(values)))}), sink, **how)
    return sink.getvalue()


def zstd(body: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(body)
    return bytes(sink.getvalue())


def zipped(body: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", body)
    return sink.getvalue()


def tarred(body: bytes) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as archive:
        member = tarfile.TarInfo("inside.txt")
        member.size = len(body)
        archive.addfile(member, io.BytesIO(body))
    return sink.getvalue()


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zstd": zstd,
    "zip": zipped,
    "tar.gz": tarred,
}
WAYS: dict[str, dict[str, Any]] = {
    **{codec: {"compression": codec} for codec in ("none", "snappy", "gzip", "zstd", "lz4", "brotli")},
    "plain pages": {"use_dictionary": False, "compression": "zstd"},
    "second version": {"data_page_version": "2.0", "compression": "zstd"},
    "second version, plain": {"data_page_version": "2.0", "use_dictionary": False, "compression": "snappy"},
    "delta lengths": {"use_dictionary": False, "column_encoding": {"user_id": "DELTA_LENGTH_BYTE_ARRAY"}},
    "delta strings": {"use_dictionary": False, "column_encoding": {"user_id": "DELTA_BYTE_ARRAY"}},
    "page index": {"write_page_index": True, "compression": "zstd"},
    "no statistics": {"write_statistics": False, "compression": "zstd"},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_person_in_the_middle_of_a_column_is_found_however_it_is_written(way: str) -> None:
    with_them = parquet([*OTHERS[:30], WHO, None, *OTHERS[30:]], **WAYS[way])
    without = parquet([*OTHERS[:30], None, *OTHERS[30:]], **WAYS[way])

    assert residue.found(with_them, [WHO]) == {WHO}
    assert residue.found(without, [WHO]) == set()


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_person_is_found_in_what_is_packed_and_packed_again(packing: str) -> None:
    pack = PACKINGS[packing]

    assert residue.found(pack(b'{"user_id": "u-1"}'), [WHO]) == {WHO}
    assert residue.found(gzip.compress(pack(parquet([WHO]))), [WHO]) == {WHO}
    assert residue.found(pack(b'{"user_id": "u-12"}'), [WHO]) == set()


def test_a_dictionary_that_outlived_its_rows_is_found() -> None:
    """Rows filtered from a dictionary array leave their value in the dictionary page."""
    column = pa.array([*OTHERS, WHO]).dictionary_encode().slice(0, len(OTHERS))
    sink = io.BytesIO()
    pq.write_table(pa.table({"user_id": column}), sink, compression="zstd")

    assert WHO not in pq.read_table(pa.BufferReader(sink.getvalue())).column(0).to_pylist()
    assert residue.found(sink.getvalue(), [WHO]) == {WHO}


def test_a_value_that_only_statistics_still_say_is_found() -> None:
    body = parquet([WHO, *OTHERS], compression="zstd", use_dictionary=False)
    footer = len(body) - 8 - int.from_bytes(body[-8:-4], "little")
    pages = b"".join(list(residue.parts(parquet(OTHERS, compression="zstd", use_dictionary=False)))[:-1])

    assert not words.stands_in(pages, WHO.encode())
    assert words.stands_in(body[footer:], WHO.encode())


@pytest.mark.parametrize("codec", ["null", "deflate", "zstandard"])
def test_bounds_in_a_manifest_are_read(codec: str) -> None:
    block = words.varint(2) + words.varint(2 * len(WHO)) + WHO.encode() + b"u-9"
    packed = {"null": bytes, "deflate": lambda raw: __import__("zlib").compress(raw)[2:-4], "zstandard": zstd}[codec]
    body = b"Obj\x01" + words.varint(2)
    for text in ("avro.codec", codec):
        body += words.varint(2 * len(text)) + text.encode()
    block = packed(block)
    body += words.varint(0) + b"s" * 16 + words.varint(2) + words.varint(2 * len(block)) + block + b"s" * 16

    assert residue.found(body, [WHO, "u-12"]) == {WHO}


@given(st.lists(st.from_regex(r"u-[0-9]{1,4}", fullmatch=True), min_size=1, max_size=40), st.booleans())
def test_just_those_are_found_who_are_there(people: list[str], dictionary: bool) -> None:
    body = parquet(list(people), compression="zstd", use_dictionary=dictionary)

    asked = [*people, "u-99999", "u-00000"]
    assert residue.found(body, asked) == set(people)


@pytest.mark.parametrize(
    ("text", "who", "is_there"),
    [
        (b"id=u-1&x", "u-1", True),
        (b"mail a@b.com, and", "a@b.com", True),
        (b"mail a@b.com.au", "a@b.com", False),
        (b"xa@b.com", "a@b.com", False),
        (b"user_u-1", "u-1", False),
        (b"u-1", "u-1", True),
    ],
)
def test_text_is_read_by_words(text: bytes, who: str, is_there: bool) -> None:
    assert words.stands_in(text, who.encode()) is is_there


def test_what_is_packed_beyond_measure_is_not_passed_over() -> None:
    body = b"u-1"
    for _ in range(residue.DEEPEST + 2):
        body = gzip.compress(body)

    with pytest.raises(residue.TooDeep):
        residue.found(body, [WHO])


BROKEN = {
    "gzip": b"\x1f\x8b",
    "zstd": b"\x28\xb5\x2f\xfd",
    "zip": b"PK\x03\x04",
    "Avro": b"Obj\x01",
    "Parquet": b"PAR1",
    "tar": b" " * residue.TAR_AT + b"ustar",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_only_begins_as_if_it_were_packed_is_read_as_it_is(kind: str) -> None:
    """One such object would else keep every erasure from its end."""
    assert residue.found(BROKEN[kind] + b' {"user_id": "u-1"} PAR1', [WHO]) == {WHO}
    assert residue.found(BROKEN[kind] + b"PAR1", [WHO]) == set()


def test_what_stands_behind_a_packed_part_is_read_too() -> None:
    assert residue.found(gzip.compress(b"nobody") + b'{"user_id": "u-1"}', [WHO]) == {WHO}


@pytest.mark.parametrize("dictionary", [True, False])
def test_a_table_without_rows_is_read(dictionary: bool) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"user_id": pa.array([], pa.string())}), sink, use_dictionary=dictionary)

    assert residue.found(sink.getvalue(), [WHO]) == set()


def test_texts_in_pieces_are_read_within_lists_too() -> None:
    many = [[f"u-{number:05d}" for number in range(start, start + 3)] for start in range(1000)]
    sink, how = io.BytesIO(), {"a.list.element": "DELTA_BYTE_ARRAY"}
    pq.write_table(pa.table({"a": many}), sink, use_dictionary=False, column_encoding=how, write_statistics=False)

    assert residue.found(sink.getvalue(), ["u-00777", "u-77777"]) == {"u-00777"}


@pytest.mark.parametrize("body", [b"", b"PAR1 of shoes PAR1", b'{"user_id":"shoes"}'])
def test_no_column_names_a_person_in_what_is_no_table(body: bytes) -> None:
    assert residue.named(body, {"user_id"}, ["shoes"]) == set()


def test_a_word_is_a_person_in_a_column_of_people_alone_and_whole() -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"user_id": ["shoes", "shoes-2", None], "category": ["hats"] * 3}), sink)

    assert residue.named(sink.getvalue(), {"user_id"}, ["shoes", "hats", "sho"]) == {"shoes"}
    assert residue.named(sink.getvalue(), {"subject"}, ["shoes"]) == set()
