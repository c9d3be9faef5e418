"""Arrow's kernels and its Parquet writer, as the consumer calls them: without the modules that wrap them for people.

Importing `pyarrow.compute` writes a documented function for each of 250 kernels, and `pyarrow.parquet` brings every
file system that there is: together a third of what a consumer's start takes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
from pyarrow import _compute as compute
from pyarrow._parquet import ParquetWriter

FORMAT = "2.6"
"""Of the file, as pyarrow writes it unless told otherwise: moments to the microsecond have a type of their own."""

AT_ONCE = 1 << 16
"""Truths of which the places are picked at once: so few that they stay in the processor's cache."""

Kernel = Callable[..., Any]


def kernel(name: str) -> Kernel:
    """Find a kernel by its name (Arrow, "Compute Functions").

    >>> kernel("add")(pa.array([1, None]), 2).to_pylist()
    [3, None]
    """

    def call(*values: object) -> Any:
        return compute.call_function(name, values)

    return call


absolute, add, both, greater, greater_equal = map(kernel, ("abs", "add", "and", "greater", "greater_equal"))
binary_length, utf8_length, indices_nonzero = map(kernel, ("binary_length", "utf8_length", "indices_nonzero"))
equal, invert, less_equal, min_max = map(kernel, ("equal", "invert", "less_equal", "min_max"))
subtract, take, unique = map(kernel, ("subtract", "take", "unique"))
or_else = kernel("coalesce")


def total(values: pa.Array | pa.ChunkedArray) -> Any:
    """Sum numbers or truths up, nought if there are none; nulls count for nothing."""
    return compute.call_function("sum", [values], compute.ScalarAggregateOptions(min_count=0)).as_py()


def holds(values: pa.Array) -> bool:
    """Tell whether all that is not null is true."""
    return bool(compute.call_function("all", [values], compute.ScalarAggregateOptions(min_count=0)).as_py())


def places(rows: Sequence[int]) -> pa.Array:
    """Lay out the places of rows, to be taken from many columns."""
    return pa.array(rows, pa.int32())


def trues(truths: pa.Array) -> pa.Array:
    """Give the places of what is true; picking places by truths is twice as fast as Arrow's kernel of this purpose.

    >>> trues(pa.array([False, True, True])).to_pylist()
    [1, 2]
    """
    picked = []
    for start in range(0, len(truths) or 1, AT_ONCE):
        some = truths.slice(start, AT_ONCE)
        its = compute.call_function("array_filter", [first_places().slice(0, len(some)), some])
        picked.append(add(its, pa.scalar(start, pa.int32())))
    return pa.concat_arrays(picked)


@functools.cache
def first_places() -> pa.Array:
    """Lay out the first places there are."""
    return cast(indices_nonzero(pa.repeat(True, AT_ONCE)), pa.int32())


def cast(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Give values another type; raises ArrowInvalid for one that it cannot hold."""
    return compute.call_function("cast", [values], compute.CastOptions.safe(kind))


def ends_with(texts: pa.Array, text: str) -> pa.Array:
    """Say of each text whether it ends with another."""
    return compute.call_function("ends_with", [texts], compute.MatchSubstringOptions(text))


def contains(texts: pa.Array, text: str) -> pa.Array:
    """Say of each text whether it holds another."""
    return compute.call_function("match_substring", [texts], compute.MatchSubstringOptions(text))


def is_in(values: pa.Array, choices: pa.Array) -> pa.Array:
    """Say of each value whether it is one of the choices."""
    return compute.call_function("is_in", [values], compute.SetLookupOptions(choices))


def left_trimmed(texts: pa.Array, characters: str) -> pa.Array:
    """Take characters of ASCII off the beginning of texts."""
    return compute.call_function("ascii_ltrim", [texts], compute.TrimOptions(characters))


def parquet(rows: pa.Table, group: int, dictionaries: Sequence[str], bounds: Sequence[str]) -> bytes:
    """Write a zstd Parquet file in row groups of so many rows, naming the columns with dictionaries and with bounds."""
    sink = pa.BufferOutputStream()
    options = {"compression": "zstd", "use_dictionary": dictionaries, "write_statistics": bounds, "version": FORMAT}
    writer = ParquetWriter(sink, rows.schema, writer_engine_version="V2", **options)
    writer.write_table(rows, row_group_size=group)
    writer.close()
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]  # pyarrow is untyped
