"""Lay a table out as the Iceberg specification writes it in JSON (appendix C)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from domain.schema import Column
from domain.tables import Table

FIRST_PARTITION_ID = 1000  # Iceberg specification, partition field ids


def iceberg_schema(columns: Sequence[Column]) -> dict[str, Any]:
    """Derive the schema; a column's position, counted from 1, is its field id.

    >>> from domain.events import Event
    >>> iceberg_schema(Event.columns())["fields"][0]["id"]
    1
    """
    return {"type": "struct", "schema-id": 0, "fields": [_field(*item) for item in enumerate(columns, start=1)]}


def iceberg_partition(table: Table, buckets: int = 16) -> dict[str, Any]:
    """Derive the partition spec; `buckets` counts only where the table is cut by a bucket."""
    transform = f"bucket[{buckets}]" if table.partition.transform == "bucket" else table.partition.transform
    names = [column.name for column in table.columns]
    field = {
        "source-id": names.index(table.partition.column) + 1,
        "field-id": FIRST_PARTITION_ID,
        "transform": transform,
        "name": f"{table.partition.column}_{table.partition.transform}",
    }
    return {"spec-id": 0, "fields": [field]}


def _field(position: int, column: Column) -> dict[str, Any]:
    return {
        "id": position,
        "name": column.name,
        "required": column.required,
        "type": column.iceberg_type,
        "doc": column.field.doc,
    }
