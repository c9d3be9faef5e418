"""Create and evolve Iceberg tables from CloudFormation's description of them, through pyiceberg's Glue catalogue."""

from __future__ import annotations

import functools
from typing import Any

from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.sorting import NullOrder, SortDirection, SortField, SortOrder
from pyiceberg.transforms import parse_transform
from pyiceberg.types import NestedField

from local.cloud import Cloud

Described = dict[str, Any]


def catalogue(cloud: Cloud) -> Catalog:
    """Return pyiceberg's Glue catalogue on this cloud, made once."""
    return _catalogue(cloud.endpoint, cloud.region)


@functools.cache
def _catalogue(endpoint: str, region: str) -> Catalog:
    return load_catalog(
        "glue",
        **{
            "type": "glue",
            "glue.endpoint": endpoint,
            "glue.region": region,
            "glue.access-key-id": "laptop",
            "glue.secret-access-key": "laptop",
            "s3.endpoint": endpoint,
            "s3.region": region,
            "s3.access-key-id": "laptop",
            "s3.secret-access-key": "laptop",
            "s3.force-virtual-addressing": "false",
        },
    )


def create(cloud: Cloud, database: str, name: str, described: Described) -> Table:
    """Create the empty table that `IcebergTableInput` describes: metadata in S3, entry in the catalogue."""
    schema = schema_of(described)
    return catalogue(cloud).create_table(
        (database, name),
        schema,
        location=described["Location"].rstrip("/"),
        partition_spec=partition_of(described),
        sort_order=order_of(described),
        properties={"format-version": "2", **_texts(described.get("Properties", {}))},
    )


def evolve(cloud: Cloud, database: str, name: str, described: Described) -> None:
    """Bring an existing table to its new description: added columns and properties. Raises `NotImplementedError`.

    The partition spec and sort order of a table that holds data change by a job, not by a deployment.
    """
    table = catalogue(cloud).load_table((database, name))
    if table.spec().fields != partition_of(described, table.schema()).fields:
        raise NotImplementedError(f"{database}.{name}: changing the partition spec of a table that exists")
    with table.transaction() as transaction:
        with transaction.update_schema(allow_incompatible_changes=False) as update:
            update.union_by_name(schema_of(described))
        wanted = _texts(described.get("Properties", {}))
        held = table.properties
        transaction.set_properties({key: value for key, value in wanted.items() if held.get(key) != value})


def schema_of(described: Described) -> Schema:
    """Return the schema described, its field ids kept."""
    given = described["Schema"]
    fields = [
        NestedField.model_validate(
            {
                "id": int(field["Id"]),
                "name": field["Name"],
                "required": str(field["Required"]).lower() == "true",
                "type": field["Type"],
                "doc": field.get("Doc"),
            }
        )
        for field in given["Fields"]
    ]
    return Schema(*fields, identifier_field_ids=[int(field) for field in given.get("IdentifierFieldIds", [])])


def partition_of(described: Described, schema: Schema | None = None) -> PartitionSpec:
    """Return the partition spec described."""
    fields = described.get("PartitionSpec", {}).get("Fields", [])
    made = [
        PartitionField(
            source_id=int(field["SourceId"]),
            field_id=int(field.get("FieldId", 1000 + position)),
            transform=parse_transform(field["Transform"]),
            name=field["Name"],
        )
        for position, field in enumerate(fields)
    ]
    return PartitionSpec(*made)


def order_of(described: Described) -> SortOrder:
    """Return the write order described."""
    fields = described.get("WriteOrder", {}).get("Fields", [])
    return SortOrder(
        *[
            SortField(
                source_id=int(field["SourceId"]),
                transform=parse_transform(field["Transform"]),
                direction=SortDirection(field["Direction"]),
                null_order=NullOrder(field["NullOrder"]),
            )
            for field in fields
        ]
    )


def _texts(properties: dict[str, Any]) -> dict[str, str]:
    return {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in properties.items()}
