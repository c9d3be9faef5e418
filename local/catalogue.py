"""Refuse to change a Glue table that somebody else has changed since it was read."""

from __future__ import annotations

import threading
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.core.responses import EmptyResult
from moto.glue.responses import GlueResponse

from local.cloud import Cloud

# Iceberg's writers lean on UpdateTable's VersionId alone to notice each other; moto ignores it, and loses an append.
_changing = threading.Lock()


def install(_: Cloud) -> None:
    """Let UpdateTable hold its VersionId against the table's, and keep no old version where it is asked not to."""
    GlueResponse.update_table = update_table


def update_table(response: Any) -> EmptyResult:
    """Answer UpdateTable. Raises ConcurrentModificationException where VersionId is not the table's."""
    database, changed = response._get_param("DatabaseName"), response._get_param("TableInput")
    expected, skip_archive = response._get_param("VersionId"), response._get_param("SkipArchive")
    with _changing:
        table = response.glue_backend.get_table(database, changed["Name"])
        current = table.as_dict()["VersionId"]
        if expected is not None and str(expected) != current:
            raise JsonRESTError(
                "ConcurrentModificationException",
                f"{database}.{changed['Name']} is at version {current}, not {expected}: read it again, then change it",
            )
        response.glue_backend.update_table(database, changed["Name"], changed)
        if skip_archive:
            table.delete_version(current)
    return EmptyResult()
