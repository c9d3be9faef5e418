"""Ask the lake, as a person would: SQL through Athena, objects by boto3."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from clients.athena import ask
from demo.laptop import DemoFailed, Laptop
from domain.schema import Column
from domain.tables import TABLES, Table

FLOW = ("Lake", "Ingest", "Process", "Train", "Serve", "Experiment", "Privacy", "Orchestrate", "Monitor")
FUNNEL = {
    "Sessions": "true",
    "Looked at a product": "product_views > 0",
    "Put one into the cart": "product_views > 0 AND carts > 0",
    "Ordered": "product_views > 0 AND carts > 0 AND purchases > 0",
}
SESSION_MINUTES = "date_diff('second', started_at, ended_at) / 60.0"
MINUTES = (0, 1, 2, 5, 10, 15, 20, 30, 45, 60, 120)
EVENTS = (1, 2, 3, 5, 8, 12, 16, 24, 32, 64)


def count(table: Table, what: str = "*") -> int:
    """Count rows of a table, or `DISTINCT` values of a column."""
    return int(ask(f"SELECT count({what}) FROM {table.full_name}")[0][0])  # noqa: S608 - names are declarations


def per_hour(tables: list[Table]) -> list[tuple[str, int]]:
    """Count the events of each hour over several tables."""
    parts = " UNION ALL ".join(f"SELECT event_time FROM {table.full_name}" for table in tables)  # noqa: S608
    sql = f"SELECT date_trunc('hour', event_time) AS hour, count(*) FROM ({parts}) GROUP BY 1 ORDER BY 1"  # noqa: S608
    return [(hour.replace(" UTC", ""), int(found)) for hour, found in ask(sql)]


def funnel() -> list[tuple[str, int]]:
    """Count how far the sessions of people come."""
    counts = ", ".join(f"count_if({condition})" for condition in FUNNEL.values())
    row = ask(f"SELECT {counts} FROM curated.sessions WHERE NOT is_bot")[0]  # noqa: S608
    return [(name, int(found)) for name, found in zip(FUNNEL, row, strict=True)]


def histogram(value: str, edges: tuple[int, ...]) -> list[tuple[str, int]]:
    """Count the sessions of people between each edge of `value` and the next."""
    bounds = [*pairwise(edges), (edges[-1], None)]
    counts = ", ".join(
        f"count_if({value} >= {low}" + (f" AND {value} < {high})" if high is not None else ")") for low, high in bounds
    )
    row = ask(f"SELECT {counts} FROM curated.sessions WHERE NOT is_bot")[0]  # noqa: S608
    names = [f"{low}-{high}" if high is not None else f"{low}+" for low, high in bounds]
    return [(name, int(found)) for name, found in zip(names, row, strict=True)]


def read_json(laptop: Laptop, bucket: str, key: str) -> Any:
    """Read a JSON object of the lake, or None where there is none."""
    s3 = laptop.client("s3")
    try:
        return json.load(s3.get_object(Bucket=bucket, Key=key)["Body"])
    except s3.exceptions.NoSuchKey:
        return None


def stacks(laptop: Laptop) -> list[dict[str, Any]]:
    """Describe the deployed stacks; the lake's with the tables it holds."""
    client = laptop.client("cloudformation")
    found = [page for page in client.describe_stacks()["Stacks"] if page["StackName"].startswith("Rivermill-")]
    return [
        {
            "name": stack["StackName"],
            "status": stack["StackStatus"],
            "resources": _resources(client, stack["StackName"]),
            "outputs": [
                (output["OutputKey"], output["OutputValue"])
                for output in stack.get("Outputs", ())
                if not output["OutputKey"].startswith("ExportsOutput")
            ],
            "tables": [table.full_name for table in TABLES] if stack["StackName"] == "Rivermill-Lake" else [],
        }
        for stack in sorted(found, key=lambda stack: FLOW.index(stack["StackName"].removeprefix("Rivermill-")))
    ]


def output_of(laptop: Laptop, key: str) -> str:
    """Find an output of the platform's stacks by its name."""
    found = [value for stack in stacks(laptop) for name, value in stack["outputs"] if name == key]
    if not found:
        raise DemoFailed(f"no stack has an output {key!r}: deploy them all")
    return str(found[0])


def tables(laptop: Laptop) -> list[dict[str, Any]]:
    """Describe every table: its columns, rows, files, current snapshot and location."""
    return [_describe(laptop, table) for table in TABLES]


def _resources(client: Any, stack: str) -> int:
    pages = client.get_paginator("list_stack_resources").paginate(StackName=stack)
    return sum(len(page["StackResourceSummaries"]) for page in pages)


def _describe(laptop: Laptop, table: Table) -> dict[str, Any]:
    parameters = laptop.client("glue").get_table(DatabaseName=table.database, Name=table.name)["Table"]["Parameters"]
    bucket, _, key = parameters["metadata_location"].removeprefix("s3://").partition("/")
    metadata = read_json(laptop, bucket, key)
    current = metadata.get("current-snapshot-id")
    summary: dict[str, str] = next(
        (snap["summary"] for snap in metadata["snapshots"] if snap["snapshot-id"] == current), {}
    )
    return {
        "name": table.full_name,
        "doc": table.doc,
        "columns": [_column(column) for column in table.columns],
        "rows": int(summary.get("total-records", 0)),
        "files": int(summary.get("total-data-files", 0)),
        "snapshot": "none yet" if current in (None, -1) else str(current),
        "location": metadata["location"],
    }


def _column(column: Column) -> dict[str, str]:
    return {"name": column.name, "type": column.iceberg_type, "doc": column.field.doc}
