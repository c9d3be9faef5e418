"""Write a Parquet file again without the rows of some subjects."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

CODECS = {"UNCOMPRESSED": "none"}
"""Codecs that pyarrow reads under one name and writes under another."""


def rows_of(subjects: pa.Array, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Say of each row whether it is a subject's; a row without a subject is nobody's, and stays.

    >>> rows_of(pa.array(["u-1"]), pa.chunked_array([["u-1", None, "u-2"]])).to_pylist()
    [True, False, False]
    """
    return pc.is_in(column, value_set=subjects.drop_null().cast(column.type))


def without(table: pa.Table, hit: pa.ChunkedArray) -> pa.Table:
    """Keep the rows that are not hit, and of an Arrow dictionary only the values that they use."""
    kept = table.filter(pc.invert(hit))
    for place, field in enumerate(kept.schema):
        if pa.types.is_dictionary(field.type):
            plain = kept[place].cast(field.type.value_type)
            kept = kept.set_column(place, field, plain.dictionary_encode().cast(field.type))
    return kept


def like(found: pq.ParquetFile) -> dict[str, object]:
    """Say how a file was written, as options of pyarrow's writer: codec, page index, dictionaries, order, v1 pages."""
    metadata = found.metadata
    first = [metadata.row_group(0).column(place) for place in range(metadata.num_columns)]
    return {
        "compression": {
            column.path_in_schema: column.compression.lower().replace("uncompressed", "none") for column in first
        },
        "use_dictionary": [column.path_in_schema for column in first if column.has_dictionary_page],
        "write_page_index": any(column.has_offset_index for column in first),
        "sorting_columns": metadata.row_group(0).sorting_columns or None,
        "store_schema": b"ARROW:schema" in (metadata.metadata or {}),
    }


def rewritten(content: pa.Buffer, column: str, subjects: pa.Array) -> tuple[bytes | None, int]:
    """Write a file again without the rows of the subjects; return it, and how many rows left.

    Nothing is written, and None returned, if no row leaves or if none stays.
    """
    found = pq.ParquetFile(pa.BufferReader(content))
    hit = rows_of(subjects, found.read([column])[column])
    left = pc.sum(hit).as_py() or 0
    if not left or left == found.metadata.num_rows:
        return None, left
    groups = [found.metadata.row_group(number).num_rows for number in range(found.metadata.num_row_groups)]
    sink = pa.BufferOutputStream()
    pq.write_table(without(found.read(), hit), sink, row_group_size=max(groups), **like(found))
    return sink.getvalue().to_pybytes(), left
