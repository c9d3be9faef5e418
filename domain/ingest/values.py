"""Gather decoded values column by column, a few records at a time, and lay each column out in Arrow at the end.

What is gathered are no objects but the bytes that Arrow holds: values that were just decoded are packed while they are
still in the processor's cache, and let go.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Protocol

import pyarrow as pa
from msgspec import UNSET, Struct, field

from domain.ingest import kernels

BETWEEN = "\0"
"""Stands between texts, so none may hold it."""

CUT = pa.scalar(0, pa.uint8())


class Values(Protocol):
    """Values of one column, gathered."""

    def add(self, values: Sequence[Any], /) -> object:
        """Add the values of some records."""

    def column(self) -> pa.Array:
        """Lay out what was added."""


class Numbers(Struct):
    """Numbers of 64 bits, none of them null.

    >>> gathered = Numbers(pa.float64(), "d")
    >>> gathered.add([1.0, 2.5])
    >>> gathered.column().to_pylist()
    [1.0, 2.5]
    """

    kind: pa.DataType
    code: str
    packed: bytearray = field(default_factory=bytearray)

    def add(self, values: Sequence[float], /) -> None:
        """Add some numbers."""
        self.packed += packer(self.code, len(values))(*values)

    def column(self) -> pa.Array:
        """Lay them out."""
        return pa.Array.from_buffers(self.kind, len(self.packed) // 8, [None, pa.py_buffer(self.packed)])


@functools.cache
def packer(code: str, count: int) -> Callable[..., bytes]:
    """Prepare to pack so many numbers; told a format at each call, Python takes thrice as long.

    >>> packer("d", 2)(1, 2.5) == struct.pack("=dd", 1, 2.5)
    True
    """
    return struct.Struct(f"{count}{code}").pack


class Flags(Struct):
    """Truths, none of them null."""

    packed: bytearray = field(default_factory=bytearray)

    def add(self, values: Sequence[bool], /) -> None:
        """Add some truths."""
        self.packed += bytes(values)

    def column(self) -> pa.Array:
        """Lay them out."""
        octets = pa.Array.from_buffers(pa.uint8(), len(self.packed), [None, pa.py_buffer(self.packed)])
        return kernels.cast(octets, pa.bool_())


class Texts(Struct):
    """Texts without NUL, none of them null.

    >>> gathered = Texts()
    >>> gathered.add(["a", ""])
    >>> gathered.add(["é"])
    >>> gathered.column().to_pylist()
    ['a', '', 'é']
    """

    joined: list[str] = field(default_factory=list)

    def add(self, values: Sequence[str], /) -> None:
        """Add some texts."""
        self.joined.append(BETWEEN.join(values))

    def column(self) -> pa.Array:
        """Lay them out."""
        [column] = cut([self])
        return column


def cut(columns: Sequence[Texts]) -> list[pa.Array]:
    """Lay columns of as many texts each out at once: joined, and cut where NUL is; each piece begins with one."""
    written = BETWEEN.join(("", *chain.from_iterable(column.joined for column in columns), "")).encode()
    octets = pa.Array.from_buffers(pa.uint8(), len(written), [None, pa.py_buffer(written)])
    cuts = kernels.trues(kernels.equal(octets, CUT))
    pieces = pa.Array.from_buffers(pa.string(), len(cuts) - 1, [None, cuts.buffers()[1], octets.buffers()[1]])
    texts, count = kernels.left_trimmed(pieces, BETWEEN), len(pieces) // len(columns)
    return [texts.slice(place * count, count) for place in range(len(columns))]


class Optional(Struct):
    """Values of any kind, some of them null or UNSET."""

    kind: pa.DataType
    said: list[Any] = field(default_factory=list)
    laid: pa.Array | None = None

    def add(self, values: Sequence[Any], /) -> None:
        """Add some values."""
        self.said += values

    def column(self) -> pa.Array:
        """Lay them out, when all are added."""
        if self.laid is None:
            self.laid = pa.array([None if value is UNSET else value for value in self.said], self.kind)
        return self.laid
