"""Sealed fields: another text each time, opened by their key in their field alone, and gone with a subject's key."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from domain.privacy import sealing
from domain.privacy.keyring import FIELDS, SIZES, DataKey, Keyring, KeyUnavailable
from domain.privacy.siv import NotAuthentic
from domain.privacy.spelling import NotSpelled

RING = Keyring.of(DataKey(purpose, 1, bytes(range(size))) for purpose, size in SIZES.items())
KEY = RING.newest(FIELDS)
NONCE = b"ABCDEFGHIJKLMNOPQRSTUVWX"


@pytest.mark.parametrize(
    ("key", "about", "sealed"),
    [
        (b"\x01" * 32, b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
        (b"\x03" * 32, b"c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
    ],
)
def test_the_vectors_of_xaes_256_gcm_are_met(key: bytes, about: bytes, sealed: str) -> None:
    derived = sealing.derived(key, NONCE[:12])

    assert AESGCM(derived).encrypt(NONCE[12:], b"XAES-256-GCM", about).hex() == sealed


@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=60), max_size=6))
def test_text_comes_back_and_null_stays(values: list[str | None]) -> None:
    found = sealing.sealed(pa.array(values, pa.string()), KEY, "search.query").to_pylist()

    assert [each if each is None else sealing.unsealed(each, RING, "search.query") for each in found] == values


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_bytes_come_back_and_are_known_as_sealed(values: list[bytes]) -> None:
    found = sealing.sealed(pa.array(values, pa.binary()), KEY, "quarantine.payload").to_pylist()

    assert all(map(sealing.is_sealed, found))
    assert [sealing.unsealed(each, RING, "quarantine.payload") for each in found] == values


def test_equal_values_look_different() -> None:
    twice = pa.array(["red shoes", "red shoes"])

    found = [*sealing.sealed(twice, KEY, "a.b").to_pylist(), *sealing.sealed(twice, KEY, "a.b").to_pylist()]

    assert len({each[20:] for each in found}) == 4


def test_a_value_moved_to_another_field_is_not_opened() -> None:
    [found] = sealing.sealed(pa.array(["red shoes"]), KEY, "search.query").to_pylist()

    with pytest.raises(NotAuthentic):
        sealing.unsealed(found, RING, "search.other")
    with pytest.raises(NotSpelled):
        sealing.unsealed("red shoes", RING, "search.query")
    with pytest.raises(KeyUnavailable):
        sealing.unsealed("s2" + found[2:], RING, "search.query")


def test_a_subjects_values_open_with_its_own_key_alone() -> None:
    keys = {"ann": sealing.new_subject_key(), "bob": sealing.new_subject_key()}
    subjects = pa.array(["ann", "bob", "ann"])

    found = sealing.shredded(pa.array(["shoes", "hats", None]), subjects, keys, "search.query").to_pylist()

    assert found[2] is None
    assert sealing.unshredded(found[0], keys["ann"], "search.query") == "shoes"
    assert sealing.subject_key_id(found[1]) == keys["bob"].id
    with pytest.raises(NotAuthentic):
        sealing.unshredded(found[0], keys["bob"], "search.query")
    with pytest.raises(NotAuthentic):
        sealing.unshredded(found[0], keys["ann"], "search.other")


def test_a_subject_without_a_key_is_not_written_in_clear() -> None:
    with pytest.raises(KeyUnavailable):
        sealing.shredded(pa.array(["shoes"]), pa.array(["ann"]), {}, "search.query")


def test_a_subjects_key_is_kept_wrapped_and_for_this_subject() -> None:
    key = sealing.new_subject_key()

    kept = sealing.wrapped(key, RING, "t1.ann")

    assert sealing.unwrapped(kept, key.id, RING, "t1.ann") == key
    assert key.material.hex() not in kept
    with pytest.raises(NotAuthentic):
        sealing.unwrapped(kept, key.id, RING, "t1.bob")


def refused(opened: Callable[[str], object], text: str) -> bool:
    """Change a sealed text everywhere, cut it off everywhere, and see it refused each time."""
    changes = [text[:at] + letter + text[at + 1 :] for at in range(len(text)) for letter in "AZaz059-_+/= ."]
    for changed in {*changes, *(text[:at] for at in range(len(text))), text + "A", text + "="} - {text}:
        with pytest.raises((NotSpelled, NotAuthentic, KeyUnavailable)):
            opened(changed)
    return True


@pytest.mark.parametrize("value", ["", "ab"])
def test_what_was_changed_or_cut_off_anywhere_is_refused(value: str) -> None:
    own = sealing.new_subject_key()
    [sealed] = sealing.sealed(pa.array([value]), KEY, "a.b").to_pylist()
    [shredded] = sealing.shredded(pa.array([value]), pa.array(["u"]), {"u": own}, "a.b").to_pylist()

    assert refused(lambda text: sealing.unsealed(text, RING, "a.b"), sealed)
    assert refused(lambda text: sealing.unshredded(text, own, "a.b"), shredded)
    assert refused(lambda text: sealing.unwrapped(text, own.id, RING, "u"), sealing.wrapped(own, RING, "u"))


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())])
def test_text_is_sealed_in_whichever_layout_it_comes(kind: pa.DataType) -> None:
    found = sealing.sealed(pa.array(["red", None]).cast(kind), KEY, "a.b").to_pylist()

    assert [each and sealing.unsealed(each, RING, "a.b") for each in found] == ["red", None]
