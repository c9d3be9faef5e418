"""Encrypt many texts of one length into texts of the same length and alphabet: FF1 (NIST SP 800-38G), in batches."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from domain.privacy.aes import BLOCK, Blocks, Bytes, block, blocks, xor

ROUNDS = 10
SMALLEST_DOMAIN = 1_000_000
"""Texts that there must be at least (SP 800-38G Revision 1, draft 2): of fewer, all can be tried."""

WIDEST_HALF = 1 << 56
"""A half is less, so that it and a byte fit into a machine's word."""

LONGEST_TWEAK = 1 << 16
ROWS = 8_192
"""Texts that are taken at once: so few that all that is made of them stays in the processor's cache."""

Numbers = npt.NDArray[np.uint64]


class UnusableDomain(ValueError):
    """Texts that FF1 cannot keep secret, or that are longer than this one takes."""


@dataclass(frozen=True, slots=True)
class Ff1:
    """FF1 with one key and tweak, over the digits from 0 to `radix` - 1."""

    key: bytes = field(repr=False)
    radix: int
    tweak: bytes = b""

    def seal(self, digits: Bytes) -> Bytes:
        """Encrypt texts, one a row, into as many digits; raises UnusableDomain for a length that cannot be used."""
        return self._each(digits, opening=False)

    def open(self, digits: Bytes) -> Bytes:
        """Decrypt what `seal` gave; of digits that it did not give, it makes others without a complaint."""
        return self._each(digits, opening=True)

    def _each(self, digits: Bytes, *, opening: bool) -> Bytes:
        cipher = Cipher.of(self, digits.shape[1])
        if (largest := int(digits.max(initial=0))) >= self.radix:
            raise UnusableDomain(f"a digit is {largest}; those of {self.radix} go up to {self.radix - 1}")
        done = np.empty(digits.shape, np.uint8)
        for start in range(0, len(digits), ROWS):
            done[start : start + ROWS] = cipher.run(digits[start : start + ROWS], opening=opening)
        return done


@dataclass(frozen=True, slots=True)
class Cipher:
    """The parts of FF1 that texts of one length have in common.

    `ahead` is the state of CBC-MAC before its last block, with that block's constant bytes already added; so each round
    of each text is one block of AES.
    """

    encrypt: Blocks
    ahead: Bytes
    radix: int
    halves: tuple[int, int]
    width: int
    output: int

    @classmethod
    def of(cls, ff1: Ff1, length: int) -> Cipher:
        """Prepare for texts of a length; the letters of the standard are named in brackets."""
        check(ff1, length)
        left = length // 2
        right = length - left
        width = ((ff1.radix**right - 1).bit_length() + 7) // 8  # b: bytes of a half
        output = 4 * ((width + 3) // 4) + 4  # d: bytes of a round's number
        head = b"\x01\x02\x01" + ff1.radix.to_bytes(3, "big") + bytes((ROUNDS, left % 256))  # P
        head += length.to_bytes(4, "big") + len(ff1.tweak).to_bytes(4, "big")
        body = ff1.tweak + bytes(-(len(ff1.tweak) + width + 1) % BLOCK) + bytes(width + 1)  # Q, round and half nought
        one, state = block(ff1.key), bytes(BLOCK)
        message = head + body
        for start in range(0, len(message) - BLOCK, BLOCK):
            state = one(xor(state, message[start : start + BLOCK]))
        ahead = np.frombuffer(xor(state, message[-BLOCK:]), np.uint8)
        return cls(blocks(ff1.key), ahead, ff1.radix, (left, right), width, output)

    def run(self, digits: Bytes, *, opening: bool) -> Bytes:
        """Run the ten rounds of the Feistel network over some texts, forwards or backwards."""
        left, _ = self.halves
        places = np.array(digits.T, order="C")  # a copy, in which each place of all texts lies together
        one, other = number(places[:left], self.radix), number(places[left:], self.radix)
        states = np.repeat(self.ahead[None], len(digits), axis=0)
        for step in reversed(range(ROUNDS)) if opening else range(ROUNDS):
            size = self.radix ** self.halves[step % 2]
            if opening:
                one, other = less(other, self.drawn(states, step, one, size), size), one
            else:
                one, other = other, more(one, self.drawn(states, step, other, size), size)
        spell(one, self.radix, places[:left])
        spell(other, self.radix, places[left:])
        return places.T

    def drawn(self, states: Bytes, step: int, half: Numbers, size: int) -> Numbers:
        """Draw the number that a round adds to one half, from the other."""
        ahead = int.from_bytes(self.ahead[8:].tobytes(), "big") ^ step << 8 * self.width
        states.view(">u8")[:, 1] = half ^ np.uint64(ahead)  # the round and the half are the last bytes, eight at most
        return rest(self.encrypt(states), self.output, size)


def check(ff1: Ff1, length: int) -> None:
    """Raise UnusableDomain unless texts of a length can be encrypted and kept secret."""
    if ff1.radix**length < SMALLEST_DOMAIN:
        raise UnusableDomain(
            f"there are only {ff1.radix**length:,} texts of {length} digits of {ff1.radix}; FF1 takes "
            f"{SMALLEST_DOMAIN:,} at least: encrypt or generalize the field instead"
        )
    if ff1.radix ** (length - length // 2) >= WIDEST_HALF or len(ff1.tweak) > LONGEST_TWEAK:
        raise UnusableDomain(f"a text of {length} digits of {ff1.radix} is too long; tokenize the field instead")


def rest(sealed: Bytes, count: int, size: int) -> Numbers:
    """Divide the numbers that the first bytes of each block spell, and give the remainders."""
    if count == 8:  # noqa: PLR2004  # a machine's word
        return modulo(sealed.view(">u8")[:, 0].astype(np.uint64), size)
    kind = ">u2" if size < 1 << 48 else ">u1"
    parts = np.ascontiguousarray(sealed[:, :count]).view(kind)
    total = np.zeros(len(sealed), np.uint64)
    for place in range(parts.shape[1]):
        total = modulo((total << np.uint64(8 * parts.itemsize)) | parts[:, place].astype(np.uint64), size)
    return total


def modulo(values: Numbers, size: int) -> Numbers:
    """Give remainders; NumPy divides by one number many times faster than it takes the remainder."""
    return values - values // np.uint64(size) * np.uint64(size)


def more(values: Numbers, added: Numbers, size: int) -> Numbers:
    """Add, and begin again from nought at `size`; below nought a number is a large one, so the smaller is right."""
    total = values + added
    least: Numbers = np.minimum(total, total - np.uint64(size))
    return least


def less(values: Numbers, taken: Numbers, size: int) -> Numbers:
    """Undo `more`."""
    left = values - taken
    least: Numbers = np.minimum(left, left + np.uint64(size))
    return least


def number(places: Bytes, radix: int) -> Numbers:
    """Read digits as numbers; a row holds one place of all texts."""
    total = np.zeros(places.shape[1], np.uint64)
    for digits in places:
        total = total * np.uint64(radix) + digits
    return total


def spell(values: Numbers, radix: int, places: Bytes) -> None:
    """Write numbers as digits; a row takes one place of all texts."""
    for digits in places[::-1]:
        left = values // np.uint64(radix)
        digits[:] = values - left * np.uint64(radix)
        values = left
