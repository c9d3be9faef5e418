"""Ask Athena a question and wait for its rows."""

from __future__ import annotations

import time
from typing import Any

import boto3

from clients.readout.lake import PAUSE, WORKGROUP, CannotBeRead


def ask(sql: str) -> list[dict[str, Any]]:
    """Return the answer's rows by column, values as Athena writes them; raise CannotBeRead where it refuses."""
    client = boto3.client("athena")
    query = client.start_query_execution(QueryString=sql, WorkGroup=WORKGROUP)["QueryExecutionId"]
    while (status := _status(client, query))["State"] in ("QUEUED", "RUNNING"):
        time.sleep(PAUSE)
    if status["State"] != "SUCCEEDED":
        raise CannotBeRead(f"Athena refused {sql!r}: {status.get('StateChangeReason')}; is Rivermill-Lake deployed?")
    pages = client.get_paginator("get_query_results").paginate(QueryExecutionId=query)
    rows = [[cell.get("VarCharValue") for cell in row["Data"]] for page in pages for row in page["ResultSet"]["Rows"]]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def _status(client: Any, query: str) -> dict[str, Any]:
    status: dict[str, Any] = client.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Status"]
    return status
