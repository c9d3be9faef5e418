"""Ask Athena, as a person does at the desk of the workgroup."""

from __future__ import annotations

import time
from typing import Any

import boto3

WORKGROUP = "rivermill"
PAUSE = 0.1  # seconds between two questions whether the query is done


class QueryRefused(RuntimeError):
    """Athena gave no answer; the message says why and what was asked."""


def ask(sql: str) -> list[list[str]]:
    """Run a query and return its rows as text, without the header; null is an empty text."""
    return [[cell or "" for cell in row] for row in _answer(sql)[1:]]


def ask_by_column(sql: str) -> list[dict[str, Any]]:
    """Run a query and return its rows by column, values as Athena writes them and None for null."""
    head, *rows = _answer(sql)
    return [dict(zip(map(str, head), row, strict=True)) for row in rows]


def _answer(sql: str) -> list[list[str | None]]:
    client = boto3.client("athena")
    query = client.start_query_execution(QueryString=sql, WorkGroup=WORKGROUP)["QueryExecutionId"]
    while (status := _status(client, query))["State"] in ("QUEUED", "RUNNING"):
        time.sleep(PAUSE)
    if status["State"] != "SUCCEEDED":
        raise QueryRefused(f"Athena refused {sql!r}: {status.get('StateChangeReason')}; is Rivermill deployed?")
    pages = client.get_paginator("get_query_results").paginate(QueryExecutionId=query)
    return [[cell.get("VarCharValue") for cell in row["Data"]] for page in pages for row in page["ResultSet"]["Rows"]]


def _status(client: Any, query: str) -> dict[str, Any]:
    status: dict[str, Any] = client.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Status"]
    return status
