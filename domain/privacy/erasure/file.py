"""Remove subjects from one Parquet file in whichever way costs less: at its row groups, or as a whole."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from domain.privacy.erasure.footer import Footer, Source, UnsupportedFile
from domain.privacy.erasure.splice import Found, Splice, find, splice
from domain.privacy.erasure.whole import rewritten

MOST_SHARE = 0.5
"""A file of which more of its bytes are in row groups that hold subjects is written as a whole."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """What is left of a file, as a splice of it or as a whole (neither if no row is left), and what that took.

    `decoded` and `encoded` are bytes of compressed columns.
    """

    rows: int
    groups: int
    decoded: int
    encoded: int
    left: Splice | bytes | None

    @property
    def metadata(self) -> pq.FileMetaData:
        """Read what the new file says of itself."""
        if isinstance(self.left, Splice):
            return self.left.metadata
        return pq.read_metadata(pa.BufferReader(self.left))


def erase(source: Source, column: str, subjects: pa.Array, most_share: float = MOST_SHARE) -> Erasure | None:
    """Remove the rows of the subjects from a file; None if it holds none.

    Raises UnsupportedFile for what is no plain Parquet file, or lacks the column.
    """
    footer = Footer.read(source)
    found = find(source, footer, column, subjects)
    if not found.hits:
        return None
    if found.rows == footer.metadata.num_rows:
        return Erasure(found.rows, len(found.hits), found.decoded, 0, None)
    if share(footer, found) > most_share:
        return whole(source, column, subjects, footer)
    try:
        left = splice(source, footer, found)
    except UnsupportedFile:
        return whole(source, column, subjects, footer)
    return Erasure(found.rows, len(found.hits), left.decoded, left.encoded, left)


def share(footer: Footer, found: Found) -> float:
    """Say how much of a file's data is in the row groups that were found."""
    groups = range(footer.metadata.num_row_groups)
    sizes: dict[int, int] = {number: footer.metadata.row_group(number).total_byte_size for number in groups}
    return sum(sizes[number] for number in found.hits) / sum(sizes.values())


def whole(source: Source, column: str, subjects: pa.Array, footer: Footer) -> Erasure:
    """Write a file again as a whole."""
    content, rows = rewritten(pa.py_buffer(source.read(0, source.size)), column, subjects)
    return Erasure(rows, footer.metadata.num_row_groups, source.size, len(content or b""), content)
