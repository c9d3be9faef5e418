"""Write a Parquet file again without the rows of some subjects."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

CODECS = {"UNCOMPRESSED": "NONE"}
"""Codecs that pyarrow reads under one name and writes under another."""


SLACK, LEAST_SLACK = 0.003, 4096
"""Room left behind a row group, as its share and in bytes: taking rows out may let it grow by a ten thousandth."""


def rows_of(subjects: pa.Array, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Say of each row whether it is a subject's; a row without a subject is nobody's, and stays.

    >>> rows_of(pa.array(["u-1"]), pa.chunked_array([["u-1", None, "u-2"]])).to_pylist()
    [True, False, False]
    """
    named = plain_chunks(column)
    return pc.is_in(named, value_set=subjects.drop_null().cast(named.type))


VIEWS = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
"""Layouts of Arrow that it neither compares nor filters, and others that hold the same."""


def plain_chunks(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Give a column in a layout that can be compared."""
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    usual = VIEWS.get(kind, kind)
    return column if column.type == usual else column.cast(usual)


def without(table: pa.Table, hit: pa.ChunkedArray) -> pa.Table:
    """Keep the rows that are not hit, and of an Arrow dictionary only the values that they use."""
    usual = pa.schema([field.with_type(VIEWS.get(field.type, field.type)) for field in table.schema])
    kept = (table if usual.equals(table.schema) else table.cast(usual)).filter(pc.invert(hit))
    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            plain = kept[place].cast(field.type.value_type)
            kept = kept.set_column(place, field, plain.dictionary_encode().cast(field.type))
        elif field.type in VIEWS:
            kept = kept.set_column(place, field, kept[place].cast(field.type))
    return kept.replace_schema_metadata(table.schema.metadata)


def like(metadata: pq.FileMetaData, number: int) -> dict[str, Any]:
    """Say how a row group was written, as options of pyarrow's writer: codecs, dictionaries, page index, order."""
    group = metadata.row_group(number)
    columns = [group.column(place) for place in range(metadata.num_columns)]
    return {
        "compression": {one.path_in_schema: CODECS.get(one.compression, one.compression) for one in columns},
        "use_dictionary": [one.path_in_schema for one in columns if one.has_dictionary_page],
        "write_page_index": any(one.has_offset_index for one in columns),
        "sorting_columns": group.sorting_columns or None,
        "store_schema": b"ARROW:schema" in (metadata.metadata or {}),
    }


def rewritten(content: pa.Buffer, column: str, subjects: pa.Array) -> tuple[bytes | None, int]:
    """Write a file again without the rows of the subjects; return it, and how many rows left.

    Nothing is written, and None returned, if no row leaves or if none stays.  Each row group has room behind it, in
    which it finds place after a later erasure.
    """
    found = pq.ParquetFile(pa.BufferReader(content))
    hit = rows_of(subjects, found.read([column])[column])
    left = pc.sum(hit).as_py() or 0
    if not left or left == found.metadata.num_rows:
        return None, left
    groups = [found.metadata.row_group(number).num_rows for number in range(found.metadata.num_row_groups)]
    sink = pa.BufferOutputStream()
    write_with_slack(without(found.read(), hit), sink, max(groups), **like(found.metadata, 0))
    return sink.getvalue().to_pybytes(), left


def write_with_slack(table: pa.Table, sink: pa.NativeFile, group_rows: int, **options: Any) -> None:
    """Write a Parquet file with zero bytes behind each row group: three in a thousand, 4 KiB at least.

    pyarrow takes the offsets that it writes down from where the sink says that it is; a Python file it would count
    by itself.
    """
    with pq.ParquetWriter(sink, table.schema, **options) as writer:
        for start in range(0, len(table), group_rows):
            before = sink.tell()
            writer.write_table(table.slice(start, group_rows), row_group_size=group_rows)
            sink.write(bytes(max(LEAST_SLACK, int((sink.tell() - before) * SLACK))))
