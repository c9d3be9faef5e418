"""The ways of others that need packages of their own: requirements-bench.txt."""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from aws_kinesis_agg import deaggregator  # type: ignore[import-untyped]  # it has no types
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.kinesis_stream_event import KinesisStreamRecord
from pydantic import BaseModel, create_model

from domain.events import Event
from domain.schema import Column


class Context:
    """As much of Lambda's context as Powertools needs."""


def powertools_way(event: type[Event]) -> Callable[[Sequence[dict[str, Any]]], int]:
    """Prepare what the guide of Powertools shows: a batch processor, a model for each record, then Parquet."""
    return functools.partial(validated, model_of(event))


def validated(model: type[BaseModel], records: Sequence[dict[str, Any]]) -> int:
    """Hold each record against its model, and write those that keep it."""
    rows: list[dict[str, Any]] = []

    def keep(record: KinesisStreamRecord) -> None:
        rows.append(model.model_validate_json(record.kinesis.data_as_bytes()).model_dump())

    processor = BatchProcessor(event_type=EventType.KinesisDataStreams)
    process_partial_response({"Records": list(records)}, keep, processor, Context())
    pq.write_table(pa.Table.from_pylist(rows), io.BytesIO(), compression="zstd")
    return len(rows)


def model_of(event: type[Event]) -> type[BaseModel]:
    """Write an event as people write models: types and choices, no bounds."""
    fields: dict[str, Any] = {column.name: field_of(column) for column in event.columns()}
    fields["event"] = (Literal[event.name], ...)
    return create_model(event.__name__, **fields)


def field_of(column: Column) -> tuple[Any, Any]:
    """Write a column as a model's field."""
    kind: Any = Literal[column.field.choices] if column.field.choices else column.kind
    kind = datetime if column.kind is datetime else kind
    return (kind, ...) if column.required else (kind | None, None)


def deaggregate_way(records: Sequence[dict[str, Any]]) -> int:
    """Take aggregates apart with AWS's own module."""
    filled = [
        {**FILLER, **record, "kinesis": {"kinesisSchemaVersion": "1.0", **record["kinesis"]}} for record in records
    ]
    found = [base64.b64decode(each["kinesis"]["data"]) for each in deaggregator.iter_deaggregate_records(filled)]
    return len(found)


FILLER = dict.fromkeys(("eventSource", "eventVersion", "eventName", "invokeIdentityArn", "awsRegion"), "")
