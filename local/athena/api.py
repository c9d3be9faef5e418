"""Answer Athena's query calls."""

from __future__ import annotations

import json
import logging
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb
from botocore.exceptions import ClientError
from moto.athena import responses
from moto.core.exceptions import JsonRESTError

from local.athena import results
from local.athena.statements import Query, run
from local.athena.tables import QueryError
from local.cloud import Cloud

# A question about a query that runs is answered when it ends, so that clients do not sleep between polls.
PATIENCE_SECONDS = 1.0

log = logging.getLogger(__name__)

_clouds: list[Cloud] = []
_queries: dict[str, Query] = {}
_ended = threading.Condition()


def use(cloud: Cloud) -> None:
    """Run queries on this cloud."""
    _clouds[:] = [cloud]
    _scratch(cloud).mkdir(parents=True, exist_ok=True)


def _scratch(cloud: Cloud) -> Path:
    return cloud.state / "athena"


class AthenaResponse(responses.AthenaResponse):  # type: ignore[misc]
    """Athena as a client sees it: queries run here, work groups and the rest are moto's."""

    def _json(self) -> dict[str, Any]:
        return dict(json.loads(self.body or "{}"))

    def start_query_execution(self) -> str:
        """StartQueryExecution."""
        given = self._json()
        name = given.get("WorkGroup") or "primary"
        database = given.get("QueryExecutionContext", {}).get("Database", "default").lower()
        output = self._output(name, given.get("ResultConfiguration", {}).get("OutputLocation"))
        query = Query(str(uuid4()), given["QueryString"], database, name, output, given.get("ExecutionParameters", []))
        _queries[query.id] = query
        threading.Thread(target=_carry_out, args=(_clouds[0], query), name=f"athena {query.id}", daemon=True).start()
        return json.dumps({"QueryExecutionId": query.id})

    def _output(self, name: str, asked: str | None) -> str:
        group = self.athena_backend.get_work_group(name)
        if group is None:
            raise JsonRESTError("InvalidRequestException", f"WorkGroup {name} is not found.")
        own = group["Configuration"].get("ResultConfiguration", {}).get("OutputLocation")
        enforced = group["Configuration"].get("EnforceWorkGroupConfiguration", False)
        chosen = own if own and (enforced or not asked) else asked
        if not chosen:
            line = "No output location provided. An output location is required either through the Workgroup result "
            raise JsonRESTError("InvalidRequestException", line + "configuration setting or as an API input.")
        return str(chosen).rstrip("/") + "/"

    def get_query_execution(self) -> str:
        """GetQueryExecution: once the query has ended, or patience is over."""
        query = _found(self._json()["QueryExecutionId"])
        with _ended:
            _ended.wait_for(lambda: query.state != "RUNNING", PATIENCE_SECONDS)
        return json.dumps({"QueryExecution": _shown(query)})

    def batch_get_query_execution(self) -> str:
        """BatchGetQueryExecution."""
        asked = self._json()["QueryExecutionIds"]
        found = [_shown(_queries[name]) for name in asked if name in _queries]
        missing = [{"QueryExecutionId": name, "ErrorCode": "NOT_FOUND"} for name in asked if name not in _queries]
        return json.dumps({"QueryExecutions": found, "UnprocessedQueryExecutionIds": missing})

    def list_query_executions(self) -> str:
        """ListQueryExecutions: newest first."""
        name = self._json().get("WorkGroup") or "primary"
        held = [query.id for query in reversed(_queries.values()) if query.workgroup == name]
        return json.dumps({"QueryExecutionIds": held})

    def stop_query_execution(self) -> str:
        """StopQueryExecution: what a query has begun it ends, but its result is not shown."""
        query = _found(self._json()["QueryExecutionId"])
        if query.state == "RUNNING":
            _end(query, "CANCELLED", "Query cancelled by user")
        return "{}"

    def get_query_results(self) -> str:
        """GetQueryResults: the header is the first row of a query's first page."""
        given = self._json()
        query = _found(given["QueryExecutionId"])
        if query.state != "SUCCEEDED":
            raise JsonRESTError(
                "InvalidRequestException", f"Query did not finish successfully. Final query state: {query.state}"
            )
        rows: list[list[str | None]] = []
        following = -1
        if not query.manifest:
            start = int(given.get("NextToken") or 0)
            rows, following = results.page(_clouds[0], query.location, start, int(given.get("MaxResults") or 1000))
        answer: dict[str, Any] = {"UpdateCount": 0, "ResultSet": _result_set(query, rows)}
        if following >= 0:
            answer["NextToken"] = str(following)
        return json.dumps(answer)

    def update_work_group(self) -> str:
        """UpdateWorkGroup."""
        given = self._json()
        group = self.athena_backend.work_groups.get(given["WorkGroup"])
        if group is None:
            raise JsonRESTError("InvalidRequestException", f"WorkGroup {given['WorkGroup']} is not found.")
        updates = given.get("ConfigurationUpdates", {})
        if result := updates.pop("ResultConfigurationUpdates", None):
            group.configuration["ResultConfiguration"] = {
                **group.configuration.get("ResultConfiguration", {}),
                **result,
            }
        group.configuration.update(updates)
        group.description = given.get("Description", group.description)
        return "{}"


def _result_set(query: Query, rows: list[list[str | None]]) -> dict[str, Any]:
    shown = [{"Data": [{} if value is None else {"VarCharValue": value} for value in row]} for row in rows]
    return {"Rows": shown, "ResultSetMetadata": {"ColumnInfo": [column.shown() for column in query.columns]}}


def _found(name: str) -> Query:
    if name not in _queries:
        raise JsonRESTError("InvalidRequestException", f"QueryExecution {name} was not found")
    return _queries[name]


def _carry_out(cloud: Cloud, query: Query) -> None:
    try:
        run(cloud, query, _scratch(cloud))
    except QueryError as fault:
        _end(query, "FAILED", str(fault))
    except (duckdb.Error, ClientError) as fault:
        _end(query, "FAILED", f"GENERIC_USER_ERROR: {' '.join(str(fault).split())}")
    except Exception as fault:  # whatever went wrong, the client must learn that the query has ended
        log.exception("query %s failed", query.id)
        _end(query, "FAILED", f"GENERIC_INTERNAL_ERROR: {fault}")
    else:
        _end(query, "SUCCEEDED", "")


def _end(query: Query, state: str, reason: str) -> None:
    with _ended:
        if query.state == "RUNNING":
            query.state, query.reason = state, reason
            query.completed_at = datetime.now(timezone.utc)
        _ended.notify_all()


def _shown(query: Query) -> dict[str, Any]:
    end = query.completed_at or datetime.now(timezone.utc)
    millis = int((end - query.submitted_at).total_seconds() * 1000)
    status: dict[str, Any] = {"State": query.state, "SubmissionDateTime": query.submitted_at.timestamp()}
    if query.completed_at:
        status["CompletionDateTime"] = query.completed_at.timestamp()
    if query.reason:
        status["StateChangeReason"] = query.reason
    if query.state == "FAILED":
        status["AthenaError"] = {
            "ErrorCategory": 2,
            "ErrorType": 1006,
            "Retryable": False,
            "ErrorMessage": query.reason,
        }
    statistics: dict[str, Any] = {
        "EngineExecutionTimeInMillis": millis,
        "TotalExecutionTimeInMillis": millis,
        "QueryQueueTimeInMillis": 0,
        "ServiceProcessingTimeInMillis": 0,
        "DataScannedInBytes": query.scanned,
    }
    if query.manifest:
        statistics["DataManifestLocation"] = query.manifest
    return {
        "QueryExecutionId": query.id,
        "Query": query.sql,
        "StatementType": query.type,
        "SubstatementType": query.subtype,
        "ResultConfiguration": {"OutputLocation": query.location or query.output},
        "QueryExecutionContext": {"Database": query.database, "Catalog": "awsdatacatalog"},
        "Status": status,
        "Statistics": statistics,
        "WorkGroup": query.workgroup,
        "EngineVersion": {"SelectedEngineVersion": "AUTO", "EffectiveEngineVersion": "Athena engine version 3"},
    }
