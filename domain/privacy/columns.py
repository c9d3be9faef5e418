"""Change each distinct value of an Arrow column once, those of one length together; nulls stay null."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from domain.privacy.aes import Bytes
from domain.privacy.layout import plain

SAMPLE = 1_024
"""Values that tell whether a column repeats itself: finding the distinct ones costs as much as they do."""

SLICE = 4_096
"""Values that are changed at once."""

Change = Callable[[Bytes], Bytes]
"""Turns n values of one length, one a row, into n values of another length."""


def changed(column: pa.Array | pa.ChunkedArray, change: Change) -> pa.Array:
    """Change the values of a column of text or bytes, which come as `plain` gives them.

    >>> changed(pa.array(["ab", None, "c", "ab", ""]), lambda some: some[:, ::-1]).to_pylist()
    ['ba', None, 'c', 'ba', '']
    """
    whole = plain(column)
    values, places = distinct(whole.view(pa.binary()))
    found, order = by_length(values, change)
    if places is None:
        return taken(found, inverse(order), whole.type)
    return taken(found, pa.array(inverse(order)).take(places) if len(values) else places, whole.type)


def distinct(column: pa.Array) -> tuple[pa.Array, pa.Array | None]:
    """Give a column's distinct values and the place of each row among them; None if they are the column itself."""
    if not column.null_count and is_varied(column):
        return column, None
    encoded = column.dictionary_encode()
    return encoded.dictionary, encoded.indices


def is_varied(column: pa.Array) -> bool:
    """Tell from a sample whether nearly all values of a column are distinct."""
    step = max(1, len(column) // SAMPLE)
    sample = column.take(pa.array(np.arange(0, len(column), step)))
    return len(column) > SAMPLE and len(sample.unique()) > 0.9 * len(sample)


def by_length(values: pa.Array, change: Change) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """Change values, the shortest first; give them so ordered, and which of the values each is."""
    lengths = pc.binary_length(values).to_numpy(zero_copy_only=False)
    order = np.argsort(lengths.astype(np.uint16) if lengths.max(initial=0) < 1 << 16 else lengths, kind="stable")
    ordered = values.take(pa.array(order))
    _, _, data = ordered.buffers()
    start, changes = 0, []
    text = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
    for length, count in zip(*np.unique(lengths, return_counts=True), strict=True):
        stop = start + int(length) * int(count)
        changes.append(in_slices(change, text[start:stop].reshape(int(count), int(length))))
        start = stop
    return joined(changes), order


def in_slices(change: Change, rows: Bytes) -> Bytes:
    """Change rows a slice at a time, so that what each step makes of them is still in the cache for the next."""
    if len(rows) <= SLICE:
        return change(rows)
    first = change(rows[:SLICE])
    done = np.empty((len(rows), first.shape[1]), np.uint8)
    done[:SLICE] = first
    for start in range(SLICE, len(rows), SLICE):
        done[start : start + SLICE] = change(rows[start : start + SLICE])
    return done


def joined(changes: Sequence[Bytes]) -> pa.Array:
    """Lay rows of bytes out as one column."""
    widths = np.concatenate([np.full(len(each), each.shape[1]) for each in changes] or [np.empty(0, np.int64)])
    offsets = np.zeros(len(widths) + 1, np.int32)
    np.cumsum(widths, out=offsets[1:])
    data = b"".join(np.ascontiguousarray(each).data for each in changes if each.size)
    return pa.Array.from_buffers(pa.binary(), len(widths), [None, pa.py_buffer(offsets), pa.py_buffer(data)])


def inverse(order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Say where each value went."""
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return places


def taken(found: pa.Array, places: Any, kind: pa.DataType) -> pa.Array:
    """Put changed values where their rows are."""
    return found.take(places if isinstance(places, pa.Array) else pa.array(places)).view(kind)
