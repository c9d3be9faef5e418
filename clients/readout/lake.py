"""Ask Athena for an experiment's statistics."""

from __future__ import annotations

import time
from typing import Any

import boto3

from domain.tables import STATISTICS

WORKGROUP = "rivermill"
PAUSE = 0.2  # seconds between two questions whether the query is done


class CannotBeRead(RuntimeError):
    """The lake did not give the statistics; the message says why and what to do."""


def statistics(experiment: str) -> list[dict[str, Any]]:
    """Return the rows of an experiment, values as Athena writes them and nothing where it is null."""
    client = boto3.client("athena")
    columns = ", ".join(f'"{column.name}"' for column in STATISTICS.columns)
    quoted = experiment.replace("'", "''")
    sql = f"SELECT {columns} FROM {STATISTICS.full_name} WHERE experiment = '{quoted}'"  # noqa: S608 - quoted above
    query = client.start_query_execution(QueryString=sql, WorkGroup=WORKGROUP)["QueryExecutionId"]
    while (status := _status(client, query))["State"] in ("QUEUED", "RUNNING"):
        time.sleep(PAUSE)
    if status["State"] != "SUCCEEDED":
        raise CannotBeRead(f"Athena refused {sql!r}: {status.get('StateChangeReason')}; is Rivermill-Lake deployed?")
    pages = client.get_paginator("get_query_results").paginate(QueryExecutionId=query)
    rows = [[cell.get("VarCharValue") for cell in row["Data"]] for page in pages for row in page["ResultSet"]["Rows"]]
    names = [column.name for column in STATISTICS.columns]
    return [dict(zip(names, row, strict=True)) for row in rows[1:]]


def _status(client: Any, query: str) -> dict[str, Any]:
    status: dict[str, Any] = client.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Status"]
    return status
