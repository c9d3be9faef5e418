"""Encrypt many texts of one length deterministically and with authentication: AES-SIV (RFC 5297), in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from domain.privacy.aes import BLOCK, Blocks, Bytes, blocks, cmac, doubled, subkeys, xor

KEY_BYTES = 64  # two keys of AES-256
ROWS = 4_096
"""Texts that are taken at once: so few that all that is made of them stays in the processor's cache."""

CLEARED = np.frombuffer(bytes.fromhex("ffffffffffffffff7fffffff7fffffff"), np.uint64)
"""What the first counter keeps of the tag (RFC 5297, section 2.5); so no addition carries out of its last 32 bits."""


class NotAuthentic(ValueError):
    """A sealed text was changed, or sealed with another key or for another purpose."""


@dataclass(frozen=True, slots=True)
class Siv:
    """AES-SIV with one key and the associated data `about`, which is the same for all texts."""

    key: bytes = field(repr=False)
    about: tuple[bytes, ...] = ()

    def seal(self, texts: Bytes) -> Bytes:
        """Seal texts, one a row of n bytes, into rows of 16 + n bytes: the tag, then the text encrypted."""
        sealed = np.empty((len(texts), BLOCK + texts.shape[1]), np.uint8)
        mode = Mode.of(self, texts.shape[1], min(len(texts), ROWS))
        for start in range(0, len(texts), ROWS):
            mode.seal(texts[start : start + ROWS], sealed[start : start + ROWS])
        return sealed

    def open(self, sealed: Bytes) -> Bytes:
        """Open rows that `seal` gave; raise NotAuthentic if one of them is not."""
        if sealed.shape[1] < BLOCK:
            raise NotAuthentic(f"sealed texts have at least {BLOCK} bytes, these have {sealed.shape[1]}")
        texts = np.empty((len(sealed), sealed.shape[1] - BLOCK), np.uint8)
        mode = Mode.of(self, texts.shape[1], min(len(texts), ROWS))
        for start in range(0, len(sealed), ROWS):
            mode.open(sealed[start : start + ROWS], texts[start : start + ROWS])
        return texts


@dataclass(frozen=True, slots=True)
class Mode:
    """The parts of AES-SIV that texts of one length have in common.

    `mask` is what is added to a text, padded with noughts, before CMAC chains its blocks: the sum over the associated
    data, the mark of padding and CMAC's subkey, which all are the same for each text of the length.  It is repeated
    for each of a batch, and laid out as the texts are: block by block, the first blocks of all texts before the second.
    """

    chain: Blocks
    stream: Blocks
    mask: Bytes
    length: int

    @classmethod
    def of(cls, siv: Siv, length: int, rows: int) -> Mode:
        """Prepare for texts of a length, so many at once at most."""
        half = len(siv.key) // 2
        added = mask(siv.key[:half], siv.about, length).reshape(-1, 1, BLOCK)
        return cls(blocks(siv.key[:half]), blocks(siv.key[half:]), np.repeat(added, rows, axis=1), length)

    def seal(self, texts: Bytes, sealed: Bytes) -> None:
        """Seal some texts into the rows of `sealed`."""
        laid = laid_out(texts, len(self.mask))
        tags = self.tags(laid)
        put(tags[None], sealed[:, :BLOCK])
        put(self.streamed(laid, tags), sealed[:, BLOCK:])

    def open(self, sealed: Bytes, texts: Bytes) -> None:
        """Open some rows into `texts`."""
        [tags] = laid_out(sealed[:, :BLOCK], 1)
        put(self.streamed(laid_out(sealed[:, BLOCK:], len(self.mask)), tags), texts)
        if not np.array_equal(self.tags(laid_out(texts, len(self.mask))), tags):
            raise NotAuthentic("a sealed text was changed, or sealed with another key or for another purpose")

    def tags(self, laid: Bytes) -> Bytes:
        """Authenticate each text (RFC 5297, section 2.4: S2V over the associated data and the text)."""
        masked = laid ^ self.mask[:, : laid.shape[1]]
        state = self.chain(masked[0])
        for each in masked[1:]:
            state = self.chain(state ^ each)
        return state

    def streamed(self, laid: Bytes, tags: Bytes) -> Bytes:
        """Add to each text its tag, counted upwards and encrypted."""
        count = -(-self.length // BLOCK)
        counters = np.repeat((tags.view(np.uint64) & CLEARED)[None], count, axis=0)
        for number in range(1, count):
            counters[number].view(">u4")[:, 3] += np.uint32(number)
        return self.stream(counters.view(np.uint8)) ^ laid[:count]


def laid_out(texts: Bytes, count: int) -> Bytes:
    """Lay texts out block by block, padded with noughts."""
    laid = np.zeros((count, len(texts), BLOCK), np.uint8)
    for number, (start, stop) in enumerate(spans(texts.shape[1])):
        items(laid[number, :, : stop - start])[:] = items(texts[:, start:stop])
    return laid


def put(laid: Bytes, texts: Bytes) -> None:
    """Write what is laid out block by block as texts, one a row."""
    for number, (start, stop) in enumerate(spans(texts.shape[1])):
        items(texts[:, start:stop])[:] = items(laid[number, :, : stop - start])


def spans(length: int) -> list[tuple[int, int]]:
    """Cut a length into blocks.

    >>> spans(20)
    [(0, 16), (16, 20)]
    """
    return [(start, min(length, start + BLOCK)) for start in range(0, length, BLOCK)]


def items(some: Bytes) -> Any:
    """See each row as one item, which is copied at once rather than byte by byte."""
    return some.view(f"V{some.shape[1]}")[:, 0]


def mask(key: bytes, about: Sequence[bytes], length: int) -> Bytes:
    """Sum up what is added to each padded text of a length."""
    total = cmac(key, bytes(BLOCK))
    for each in about:
        total = xor(doubled(total), cmac(key, each))
    whole, _ = subkeys(key)
    if length < BLOCK:
        marked = xor(doubled(total), bytes(length) + b"\x80" + bytes(BLOCK - 1 - length))
        return np.frombuffer(xor(marked, whole), np.uint8)
    return np.frombuffer(xor(ended(total, length), last(key, length)), np.uint8)


def ended(total: bytes, length: int) -> bytes:
    """Lay a block at the end of a text of a length, in whole blocks ("xorend")."""
    return (bytes(length - BLOCK) + total).ljust(-(-length // BLOCK) * BLOCK, b"\0")


def last(key: bytes, length: int) -> bytes:
    """Lay out what CMAC adds to a text of a length: the mark of padding, if it is padded, and a subkey at its end."""
    (whole, padded), size = subkeys(key), -(-length // BLOCK) * BLOCK
    if length == size:
        return bytes(size - BLOCK) + whole
    return xor((bytes(length) + b"\x80").ljust(size, b"\0"), bytes(size - BLOCK) + padded)
