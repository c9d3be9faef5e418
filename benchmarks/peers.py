"""The ways of others that need packages of their own: requirements-bench.txt."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.kinesis_stream_event import KinesisStreamRecord
from aws_lambda_powertools.utilities.parser import BaseModel


class PageView(BaseModel):  # type: ignore[misc]  # not installed where types are checked
    """A page view, as pydantic checks it."""

    event: Literal["page_view"]
    event_id: str
    event_time: datetime
    user_id: str
    page: str
    device: Literal["desktop", "mobile", "tablet"]
    country: str
    referrer: str | None = None


class Context:
    """As much of Lambda's context as Powertools needs."""


def powertools_way(records: Sequence[dict[str, Any]]) -> int:
    """Do what the guide of Powertools shows: a batch processor, a model for each record, then Parquet."""
    rows: list[dict[str, Any]] = []

    def keep(record: KinesisStreamRecord) -> None:
        rows.append(PageView.model_validate_json(record.kinesis.data_as_bytes()).model_dump())

    processor = BatchProcessor(event_type=EventType.KinesisDataStreams)
    process_partial_response({"Records": list(records)}, keep, processor, Context())
    pq.write_table(pa.Table.from_pylist(rows), io.BytesIO(), compression="zstd")
    return len(rows)
