"""Ask Athena: a reader of the tables that shares nothing with those who write them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

POLL_SECONDS = 0.5
GOING = ("QUEUED", "RUNNING")


class QueryFailed(RuntimeError):
    """Athena could not answer; says why."""


@dataclass(frozen=True, slots=True)
class Athena:
    """A workgroup of Athena; `client` is boto3's."""

    client: Any
    workgroup: str

    def ask(self, sql: str) -> list[list[str]]:
        """Run a query and return its rows as text, without the header."""
        query = self.client.start_query_execution(QueryString=sql, WorkGroup=self.workgroup)["QueryExecutionId"]
        while (status := self.status(query))["State"] in GOING:
            time.sleep(POLL_SECONDS)
        if status["State"] != "SUCCEEDED":
            raise QueryFailed(f"{status.get('StateChangeReason')}; asked: {sql[:500]}")
        pages = self.client.get_paginator("get_query_results").paginate(QueryExecutionId=query)
        rows = [row["Data"] for page in pages for row in page["ResultSet"]["Rows"]]
        return [[cell.get("VarCharValue", "") for cell in row] for row in rows[1:]]

    def status(self, query: str) -> dict[str, Any]:
        """Say how a query is doing."""
        found: dict[str, Any] = self.client.get_query_execution(QueryExecutionId=query)["QueryExecution"]["Status"]
        return found
