"""Encrypt many blocks with AES at once, and what modes of operation are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

Bytes: TypeAlias = npt.NDArray[np.uint8]
Blocks = Callable[[Bytes], Bytes]

BLOCK = 16


def blocks(key: bytes) -> Blocks:
    """Make the function that encrypts each 16 bytes of an array by themselves; the shape stays."""
    cipher = Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305  # single blocks; the modes are built on them

    def encrypt(plain: Bytes) -> Bytes:
        sealed = np.empty(plain.size + BLOCK - 1, np.uint8)
        cipher.encryptor().update_into(np.ascontiguousarray(plain).reshape(-1).data, sealed.data)
        return sealed[: plain.size].reshape(plain.shape)

    return encrypt


def block(key: bytes) -> Callable[[bytes], bytes]:
    """Make the function that encrypts one block."""
    cipher = Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305  # as above
    return lambda plain: cipher.encryptor().update(plain)


def xor(one: bytes, other: bytes) -> bytes:
    """Add bytes of equal length without carry."""
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(len(one), "big")


def doubled(value: bytes) -> bytes:
    """Multiply a block by x in GF(2**128) (RFC 4493, section 2.3).

    >>> doubled(bytes(15) + b"\\x01").hex(), doubled(b"\\x80" + bytes(15)).hex()
    ('00000000000000000000000000000002', '00000000000000000000000000000087')
    """
    number = int.from_bytes(value, "big") << 1
    if number >> 128:
        number = (number & ((1 << 128) - 1)) ^ 0x87
    return number.to_bytes(BLOCK, "big")


def subkeys(key: bytes) -> tuple[bytes, bytes]:
    """Derive what CMAC adds to a last block that is whole, and to one that is padded (RFC 4493, section 2.3)."""
    whole = doubled(block(key)(bytes(BLOCK)))
    return whole, doubled(whole)


def cmac(key: bytes, message: bytes) -> bytes:
    """Authenticate one message (RFC 4493)."""
    encrypt, (whole, padded) = block(key), subkeys(key)
    end = max(0, (len(message) - 1) // BLOCK) * BLOCK
    last = message[end:]
    last = xor(last, whole) if len(last) == BLOCK else xor(last + b"\x80" + bytes(BLOCK - 1 - len(last)), padded)
    state = bytes(BLOCK)
    for start in range(0, end, BLOCK):
        state = encrypt(xor(state, message[start : start + BLOCK]))
    return encrypt(xor(state, last))
