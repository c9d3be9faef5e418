"""FF1: NIST's samples, and a network written once more by the letter of the standard."""

from __future__ import annotations

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from domain.privacy.aes import Bytes
from domain.privacy.ff1 import ROWS, Ff1, UnusableDomain

LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
K128 = "2B7E151628AED2A6ABF7158809CF4F3C"
K192 = K128 + "EF4359D8D580AA4F"
K256 = K192 + "7F036D6F04FC6A94"
TENS, LETTERED = "39383736353433323130", "3737373770717273373737"
# NIST, Cryptographic Standards and Guidelines, examples with intermediate values: FF1samples.pdf.
SAMPLES = [
    (K128, "", 10, "0123456789", "2433477484"),
    (K128, TENS, 10, "0123456789", "6124200773"),
    (K128, LETTERED, 36, "0123456789abcdefghi", "a9tv40mll9kdu509eum"),
    (K192, "", 10, "0123456789", "2830668132"),
    (K192, TENS, 10, "0123456789", "2496655549"),
    (K192, LETTERED, 36, "0123456789abcdefghi", "xbj3kv35jrawxv32ysr"),
    (K256, "", 10, "0123456789", "6657667009"),
    (K256, TENS, 10, "0123456789", "1001623463"),
    (K256, LETTERED, 36, "0123456789abcdefghi", "xs8a0azh2avyalyzuwd"),
]
LONGEST = {2: 110, 10: 32, 16: 26, 26: 22, 36: 20}
"""Digits of a text at most, by the radix."""


def digits(*texts: str) -> Bytes:
    return np.array([[LETTERS.index(letter) for letter in text] for text in texts], np.uint8)


def by_the_letter(key: bytes, radix: int, tweak: bytes, text: list[int]) -> list[int]:
    """Encrypt one text step by step as SP 800-38G, algorithm 7, says."""

    def prf(message: bytes) -> bytes:
        return Cipher(algorithms.AES(key), modes.CBC(bytes(16))).encryptor().update(message)[-16:]

    def num(some: list[int]) -> int:
        return sum(digit * radix**power for power, digit in enumerate(reversed(some)))

    n, t = len(text), len(tweak)
    u = n // 2
    v, one, other = n - u, text[:u], text[u:]
    b = ((radix**v - 1).bit_length() + 7) // 8
    d = 4 * -(-b // 4) + 4
    p = bytes([1, 2, 1]) + radix.to_bytes(3, "big") + bytes([10, u % 256]) + n.to_bytes(4, "big") + t.to_bytes(4, "big")
    for i in range(10):
        r = prf(p + tweak + bytes((-t - b - 1) % 16) + bytes([i]) + num(other).to_bytes(b, "big"))
        m = u if i % 2 == 0 else v
        c = (num(one) + int.from_bytes(r[:d], "big")) % radix**m
        one, other = other, [c // radix ** (m - 1 - place) % radix for place in range(m)]
    return one + other


@pytest.mark.parametrize(("key", "tweak", "radix", "plain", "sealed"), SAMPLES)
def test_the_samples_of_nist_are_met(key: str, tweak: str, radix: int, plain: str, sealed: str) -> None:
    ff1 = Ff1(bytes.fromhex(key), radix, bytes.fromhex(tweak))

    found = ff1.seal(digits(plain))

    assert "".join(LETTERS[digit] for digit in found[0]) == sealed
    assert np.array_equal(ff1.open(found), digits(plain))


@st.composite
def texts(draw: st.DrawFn) -> tuple[int, list[list[int]]]:
    radix = draw(st.sampled_from(sorted(LONGEST)))
    least = next(n for n in range(1, 100) if radix**n >= 1_000_000)
    length = draw(st.integers(least, LONGEST[radix]))
    text = st.lists(st.integers(0, radix - 1), min_size=length, max_size=length)
    return radix, draw(st.lists(text, min_size=1, max_size=4))


@given(
    st.sampled_from([16, 24, 32]).flatmap(lambda size: st.binary(min_size=size, max_size=size)),
    st.binary(max_size=40),
    texts(),
)
def test_each_text_is_encrypted_as_the_standard_says(
    key: bytes, tweak: bytes, some: tuple[int, list[list[int]]]
) -> None:
    radix, plain = some
    ff1 = Ff1(key, radix, tweak)

    found = ff1.seal(np.array(plain, np.uint8))

    assert found.tolist() == [by_the_letter(key, radix, tweak, text) for text in plain]
    assert ff1.open(found).tolist() == plain


def test_more_texts_than_are_taken_at_once_come_back_and_none_is_another() -> None:
    plain = digits(*(f"{number:06d}" for number in range(2 * ROWS + 7)))
    ff1 = Ff1(bytes(32), 10)

    found = ff1.seal(plain)

    assert np.array_equal(ff1.open(found), plain)
    assert len(np.unique(found, axis=0)) == len(plain)


@pytest.mark.parametrize(("radix", "length"), [(10, 5), (36, 3), (2, 19), (10, 33), (36, 22)])
def test_a_domain_that_can_be_tried_or_is_too_wide_is_refused(radix: int, length: int) -> None:
    with pytest.raises(UnusableDomain):
        Ff1(bytes(32), radix).seal(np.zeros((1, length), np.uint8))


@pytest.mark.parametrize(("radix", "digit"), [(10, 10), (2, 2), (36, 255)])
def test_a_digit_that_the_radix_has_not_is_refused(radix: int, digit: int) -> None:
    with pytest.raises(UnusableDomain, match=f"a digit is {digit}"):
        Ff1(bytes(32), radix).seal(np.full((1, 20), digit, np.uint8))
