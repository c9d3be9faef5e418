"""Frames: what goes in comes out, what was changed is noticed, and no bomb goes off."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.ingest.frames import (
    HEAD,
    LARGEST_PAYLOAD,
    MAGIC,
    BadFrame,
    Codec,
    Flaw,
    is_frame,
    lines,
    pack,
    seal,
    unpack,
)
from domain.ingest.limits import MOST_EVENTS

LINES = [b'{"event":"search","event_id":"e-%d","query":"caf\xc3\xa9"}' % number for number in range(40)]
PAYLOAD = b"\n".join(LINES)
CODECS = st.sampled_from(Codec)


def flaw(data: bytes, limit: int = LARGEST_PAYLOAD) -> Flaw:
    with pytest.raises(BadFrame) as refused:
        unpack(data, limit)
    return refused.value.reason


def altered(data: bytes, position: int, value: int) -> bytes:
    return data[:position] + bytes([value]) + data[position + 1 :]


@given(payload=st.binary(min_size=1, max_size=5_000), codec=CODECS)
def test_any_payload_comes_out_as_it_went_in(payload: bytes, codec: Codec) -> None:
    frame = unpack(pack("ndjson", payload, lines(payload), codec))

    assert (frame.kind, frame.count, frame.payload) == ("ndjson", lines(payload), payload)


@given(payload=st.binary(min_size=1, max_size=500), count=st.integers(1, MOST_EVENTS), codec=CODECS)
def test_an_arrow_payload_is_not_looked_into(payload: bytes, count: int, codec: Codec) -> None:
    frame = unpack(pack("arrow", payload, count, codec))

    assert (frame.kind, frame.count, frame.payload) == ("arrow", count, payload)


@given(data=st.binary(max_size=200), begins=st.sampled_from([b"", MAGIC, MAGIC + b"\1\0\1\0", MAGIC + b"\1\1\1\0"]))
@example(data=b"", begins=MAGIC)
def test_no_bytes_raise_anything_but_a_bad_frame(data: bytes, begins: bytes) -> None:
    try:
        unpack(begins + data, limit=10_000)
    except BadFrame as refused:
        assert refused.detail


@given(head=st.binary(min_size=HEAD, max_size=HEAD), body=st.sampled_from([PAYLOAD, zlib.compress(PAYLOAD), b""]))
def test_no_head_raises_anything_but_a_bad_frame(head: bytes, body: bytes) -> None:
    with pytest.raises(BadFrame):
        unpack(MAGIC + b"\1" + head[5:6] + b"\1\0" + head[8:] + body, limit=10_000)


@pytest.mark.parametrize("codec", Codec)
def test_every_single_byte_that_changes_is_noticed_or_harmless(codec: Codec) -> None:
    data = pack("ndjson", PAYLOAD, len(LINES), codec)
    noticed = 0
    for position in range(len(data)):
        for flip in (0x01, 0x80, 0xFF):
            try:
                frame = unpack(altered(data, position, data[position] ^ flip))
            except BadFrame:
                noticed += 1
            else:
                assert position >= HEAD
                assert (frame.kind, frame.count, frame.payload) == ("ndjson", len(LINES), PAYLOAD)

    assert noticed > 2.9 * len(data)


@pytest.mark.parametrize("codec", Codec)
def test_a_frame_cut_short_or_grown_is_noticed(codec: Codec) -> None:
    data = pack("ndjson", PAYLOAD, len(LINES), codec)

    for end in range(len(data)):
        with pytest.raises(BadFrame):
            unpack(data[:end])
    assert flaw(data + b"x") is Flaw.BODY


@pytest.mark.parametrize(
    ("position", "value", "found"),
    [
        (0, 0x7B, Flaw.NO_FRAME),
        (4, 2, Flaw.UNKNOWN_VERSION),
        (5, 3, Flaw.UNKNOWN_CODEC),
        (6, 3, Flaw.UNKNOWN_KIND),
        (7, 1, Flaw.UNKNOWN_VERSION),
        (11, 41, Flaw.CHECKSUM),
        (12, 0x7F, Flaw.TOO_LARGE),
        (15, 0, Flaw.BODY),
        (19, 0, Flaw.CHECKSUM),
        (HEAD, 0, Flaw.BODY),
    ],
)
def test_what_is_wrong_is_named(position: int, value: int, found: Flaw) -> None:
    assert flaw(altered(pack("ndjson", PAYLOAD, len(LINES)), position, value)) is found


def test_a_frame_that_counts_other_lines_than_it_holds_is_refused() -> None:
    assert flaw(pack("ndjson", PAYLOAD, len(LINES) + 1)) is Flaw.COUNT


def test_a_frame_of_nothing_is_neither_packed_nor_unpacked() -> None:
    with pytest.raises(ValueError, match="holds nothing"):
        pack("ndjson", b"", 0)
    assert flaw(MAGIC + bytes([1, 0, 1, 0]) + bytes(13)) is Flaw.COUNT


@pytest.mark.parametrize("codec", [Codec.ZSTD, Codec.DEFLATE])
@pytest.mark.parametrize("declared", [1, 1_000, 1_000_000])
def test_a_bomb_is_never_unpacked_beyond_what_it_declares(codec: Codec, declared: int) -> None:
    bomb = bytes(200_000_000)
    body = pa.compress(bomb, "zstd", asbytes=True) if codec is Codec.ZSTD else zlib.compress(bomb, 1)
    data = seal("ndjson", bytes(declared), 1, codec, body)
    del bomb
    tracemalloc.start()
    found, peak = flaw(data), tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert found is Flaw.BODY
    assert peak < 3 * len(data) + 3 * declared + 100_000


@pytest.mark.parametrize("codec", Codec)
def test_a_frame_over_the_readers_limit_is_refused_before_it_is_unpacked(codec: Codec) -> None:
    data = pack("arrow", bytes(5_001), 1, codec)

    assert unpack(data, 5_001).count == 1
    assert flaw(data, 5_000) is Flaw.TOO_LARGE


@pytest.mark.parametrize("wrap", [zlib.compress, gzip.compress])
def test_deflate_comes_in_either_wrapper(wrap: Callable[[bytes], bytes]) -> None:
    assert unpack(seal("ndjson", PAYLOAD, len(LINES), Codec.DEFLATE, wrap(PAYLOAD))).payload == PAYLOAD


def test_two_deflate_members_are_not_taken_for_one() -> None:
    body = gzip.compress(PAYLOAD) + gzip.compress(b"{}")

    assert flaw(seal("ndjson", PAYLOAD, len(LINES), Codec.DEFLATE, body)) is Flaw.BODY


def test_no_other_first_bytes_are_taken_for_a_frame() -> None:
    others = [
        b'{"event":"search"}',
        b"\n{}",
        b"\xf3\x89\x9a\xc2",
        gzip.compress(b"{}"),
        b"\x28\xb5\x2f\xfd",
        b"ARROW1",
        b"",
    ]

    assert not any(is_frame(other) for other in others)
    assert is_frame(pack("ndjson", PAYLOAD, len(LINES)))
