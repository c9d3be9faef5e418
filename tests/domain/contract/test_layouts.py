"""Arrow, Iceberg and JSON Schema say the same of every table and event."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import given
from jsonschema import Draft202012Validator
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema

from domain.contract.arrow import arrow_schema
from domain.contract.iceberg import iceberg_partition, iceberg_schema
from domain.contract.json_schema import json_schema
from domain.events import EVENTS
from domain.tables import TABLES, Table
from tests.domain.contract.strategies import any_documents

EVERY_TABLE = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.full_name)


@EVERY_TABLE
def test_pyiceberg_reads_the_schema_with_positions_as_ids(table: Table) -> None:
    schema = Schema.model_validate(iceberg_schema(table.columns))

    assert [(field.field_id, field.name, field.required) for field in schema.fields] == [
        (position, column.name, column.required) for position, column in enumerate(table.columns, start=1)
    ]


@EVERY_TABLE
def test_arrow_files_fit_the_iceberg_table(table: Table) -> None:
    """pyiceberg's own translation is the reference; it writes long strings where ours are plain."""
    expected = schema_to_pyarrow(Schema.model_validate(iceberg_schema(table.columns)))

    for field, reference in zip(arrow_schema(table.columns), expected, strict=True):
        assert (field.name, field.nullable) == (reference.name, reference.nullable)
        assert field.metadata[b"PARQUET:field_id"] == reference.metadata[b"PARQUET:field_id"]
        plain = {pa.large_string(): pa.string(), pa.large_binary(): pa.binary()}
        assert field.type == plain.get(reference.type, reference.type)


@EVERY_TABLE
def test_the_partition_names_a_column_of_the_table(table: Table) -> None:
    [field] = PartitionSpec.model_validate(iceberg_partition(table)).fields

    assert table.columns[field.source_id - 1].name == table.partition.column
    assert str(field.transform) in {"day", "bucket[16]"}


@pytest.mark.parametrize("name", EVENTS)
def test_the_json_schema_is_valid(name: str) -> None:
    schema = json_schema(EVENTS[name])

    Draft202012Validator.check_schema(schema)
    assert json.loads(json.dumps(schema)) == schema


@given(any_documents())
def test_the_json_schema_takes_every_event_that_is_allowed(document: dict[str, object]) -> None:
    Draft202012Validator(json_schema(EVENTS[str(document["event"])])).validate(document)
