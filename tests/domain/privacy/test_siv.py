"""AES-SIV: what RFC 5297 prints, and what the `cryptography` package gives, text by text."""

from __future__ import annotations

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from hypothesis import given
from hypothesis import strategies as st

from domain.privacy.aes import Bytes, cmac
from domain.privacy.siv import ROWS, NotAuthentic, Siv

# RFC 5297, appendix A.
A1 = {
    "key": "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
    "about": ["101112131415161718191a1b1c1d1e1f2021222324252627"],
    "text": "112233445566778899aabbccddee",
    "sealed": "85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c",
}
A2 = {
    "key": "7f7e7d7c7b7a79787776757473727170404142434445464748494a4b4c4d4e4f",
    "about": [
        "00112233445566778899aabbccddeeffdeaddadadeaddadaffeeddccbbaa99887766554433221100",
        "102030405060708090a0",
        "09f911029d74e35bd84156c5635688c0",
    ],
    "text": "7468697320697320736f6d6520706c61696e7465787420746f20656e6372797074207573696e67205349562d414553",
    "sealed": "7bdb6e3b432667eb06f4d14bff2fbd0f"
    "cb900f2fddbe404326601965c889bf17dba77ceb094fa663b7a3f748ba8af829ea64ad544a272e9c485b62a3fd5c0d",
}
# RFC 4493, section 4.
CMAC_KEY = "2b7e151628aed2a6abf7158809cf4f3c"
CMACS = {
    "": "bb1d6929e95937287fa37d129b756746",
    "6bc1bee22e409f96e93d7e117393172a": "070a16b46b4d4144f79bdd9dd04a287c",
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411": (
        "dfa66747de9ae63030ca32611497c827"
    ),
}


def rows(*texts: bytes) -> Bytes:
    return np.frombuffer(b"".join(texts), np.uint8).reshape(len(texts), -1)


@pytest.mark.parametrize("vector", [A1, A2])
def test_the_vectors_of_rfc_5297_are_met(vector: dict[str, str]) -> None:
    siv = Siv(bytes.fromhex(vector["key"]), tuple(map(bytes.fromhex, vector["about"])))
    text = bytes.fromhex(vector["text"])

    sealed = siv.seal(rows(text))

    assert sealed.tobytes().hex() == vector["sealed"]
    assert siv.open(sealed).tobytes() == text


@pytest.mark.parametrize("message", CMACS)
def test_the_vectors_of_rfc_4493_are_met(message: str) -> None:
    assert cmac(bytes.fromhex(CMAC_KEY), bytes.fromhex(message)).hex() == CMACS[message]


@given(
    st.sampled_from([32, 48, 64]).flatmap(lambda size: st.binary(min_size=size, max_size=size)),
    st.lists(st.binary(min_size=1, max_size=40), max_size=3),
    st.integers(1, 80).flatmap(lambda n: st.lists(st.binary(min_size=n, max_size=n), min_size=1, max_size=5)),
)
def test_each_text_is_sealed_as_by_the_package_alone(key: bytes, about: list[bytes], texts: list[bytes]) -> None:
    siv = Siv(key, tuple(about))

    sealed = siv.seal(rows(*texts))

    assert [row.tobytes() for row in sealed] == [AESSIV(key).encrypt(text, about) for text in texts]
    assert [row.tobytes() for row in siv.open(sealed)] == texts


def test_more_texts_than_are_taken_at_once_come_back() -> None:
    texts = np.arange(4 * (ROWS + 3), dtype=np.uint32).view(np.uint8).reshape(-1, 16)
    siv = Siv(bytes(range(64)))

    assert np.array_equal(siv.open(siv.seal(texts)), texts)


def test_an_empty_text_is_a_value() -> None:
    siv = Siv(bytes(range(64)), (b"user",))

    sealed = siv.seal(np.empty((2, 0), np.uint8))

    assert sealed.shape == (2, 16)
    assert sealed[0].tobytes() != cmac(bytes(range(32)), b"")
    assert siv.open(sealed).shape == (2, 0)


@given(st.integers(0, 40), st.integers(0, 255))
def test_a_changed_text_is_not_opened(place: int, change: int) -> None:
    siv = Siv(bytes(range(64)), (b"user",))
    sealed = siv.seal(rows(b"ann@example.net, her address"))
    place %= sealed.shape[1]
    sealed[0, place] ^= change or 1

    with pytest.raises(NotAuthentic):
        siv.open(sealed)


def test_a_text_of_another_purpose_is_not_opened() -> None:
    sealed = Siv(bytes(range(64)), (b"user",)).seal(rows(b"u-1"))

    with pytest.raises(NotAuthentic):
        Siv(bytes(range(64)), (b"order",)).open(sealed)
    with pytest.raises(NotAuthentic):
        Siv(bytes(range(64))).open(sealed[:, :9])
