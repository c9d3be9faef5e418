"""Cut a spliced file into parts of an S3 upload: what stays is copied inside S3, what changes is sent.

Source: Amazon S3 user guide, "Multipart upload limits": 5 MiB to 5 GiB a part, the last may be smaller, 10,000 parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from domain.privacy.erasure.footer import Source
from domain.privacy.erasure.splice import Splice

LEAST = 5 << 20
MOST = 256 << 20
"""S3 would copy 5 GiB at once; smaller parts are copied side by side."""


@dataclass(frozen=True, slots=True)
class Copied:
    """A part that is taken over from the old object."""

    start: int
    length: int


@dataclass(frozen=True, slots=True)
class Sent:
    """A part that is sent: pieces of the old object and new bytes, one after another."""

    pieces: tuple[Copied | bytes, ...]

    @property
    def length(self) -> int:
        """Say how many bytes it is."""
        return sum(length(piece) for piece in self.pieces)

    @property
    def fetched(self) -> int:
        """Say how many of them must be fetched first."""
        return sum(piece.length for piece in self.pieces if isinstance(piece, Copied))

    def body(self, source: Source) -> bytes:
        """Put the bytes together."""
        return b"".join(
            piece if isinstance(piece, bytes) else source.read(piece.start, piece.length) for piece in self.pieces
        )


def length(piece: Copied | bytes) -> int:
    """Say how long a piece is."""
    return len(piece) if isinstance(piece, bytes) else piece.length


def parts(done: Splice) -> list[Copied | Sent]:
    """Cut a spliced file into parts, so that as little as the least size allows is sent."""
    found: list[Copied | Sent] = []
    pending: list[Copied | bytes] = []
    for piece in pieces(done):
        missing = max(0, LEAST - sum(map(length, pending))) if pending else 0
        if isinstance(piece, bytes) or piece.length < missing + LEAST:
            pending.append(piece)
            continue
        if missing:
            pending.append(Copied(piece.start, missing))
        if pending:
            found.append(Sent(tuple(pending)))
        pending = []
        found += shared(Copied(piece.start + missing, piece.length - missing))
    return [*found, Sent(tuple(pending))]


def pieces(done: Splice) -> Iterator[Copied | bytes]:
    """List what the new file is made of, in order: the old one between the edits, the edits, the tail."""
    at = 0
    for place, change in done.edits:
        if place > at:
            yield Copied(at, place - at)
        yield change
        at = place + len(change)
    if done.kept > at:
        yield Copied(at, done.kept - at)
    yield done.tail


def shared(whole: Copied) -> Iterator[Copied]:
    """Cut a large part into equal ones of which none is too large."""
    count = -(-whole.length // MOST)
    for number in range(count):
        start, end = (whole.length * place // count for place in (number, number + 1))
        yield Copied(whole.start + start, end - start)
