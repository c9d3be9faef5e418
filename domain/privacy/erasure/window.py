"""A Parquet file for pyarrow to read, of which only what is asked for is fetched."""

from __future__ import annotations

import io
from dataclasses import dataclass

from domain.privacy.erasure.footer import Source


@dataclass(frozen=True, slots=True)
class Content:
    """A file in memory."""

    content: bytes

    @property
    def size(self) -> int:
        """Say how many bytes there are."""
        return len(self.content)

    def read(self, start: int, length: int) -> bytes:
        """Read some bytes."""
        return self.content[start : start + length]


class Window(io.RawIOBase):
    """A file that is read through to its source, but for a part of it that is held."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source
        self._place = 0
        self._held = b""
        self._start = 0

    def holding(self, start: int, end: int) -> Window:
        """Fetch a part at once."""
        self._held, self._start = self._source.read(start, end - start), start
        return self

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can be read from any place."""
        return True

    def tell(self) -> int:
        """Say where it is read from."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Read from here on."""
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._source.size}[whence]
        return self._place

    def read(self, size: int = -1) -> bytes:
        """Read some bytes, or all that follow."""
        start, end = self._place, self._source.size if size < 0 else min(self._place + size, self._source.size)
        self._place = end
        if self._start <= start and end <= self._start + len(self._held):
            return self._held[start - self._start : end - self._start]
        return self._source.read(start, end - start)
