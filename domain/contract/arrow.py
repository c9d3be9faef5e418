"""Lay a record's columns out in Arrow, each with its Iceberg field id."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import pyarrow as pa

from domain.schema import Column

TYPES: dict[type, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    datetime: pa.timestamp("us", tz="UTC"),
    date: pa.date32(),
    bytes: pa.binary(),
}


def arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    """Derive the Arrow schema; a Parquet file written with it carries the table's field ids."""
    return pa.schema([_field(column, position) for position, column in enumerate(columns, start=1)])


def _field(column: Column, position: int) -> pa.Field:
    return pa.field(
        column.name,
        TYPES[column.kind],
        nullable=not column.required,
        metadata={"PARQUET:field_id": str(position)},
    )
