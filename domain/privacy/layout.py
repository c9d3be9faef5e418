"""Bring a column to the one of Arrow's layouts that its functions for texts take; without any cipher."""

from __future__ import annotations

import pyarrow as pa


def plain(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Give a column of text or bytes in one piece and in Arrow's usual layout, in whichever it came.

    >>> plain(pa.chunked_array([["a"], [None]], pa.large_string()).dictionary_encode()).type
    DataType(string)
    """
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    kind = whole.type.value_type if pa.types.is_dictionary(whole.type) else whole.type
    usual = pa.binary() if pa.types.is_binary(kind) or kind in (pa.large_binary(), pa.binary_view()) else pa.string()
    return whole if whole.type == usual else whole.cast(usual)
