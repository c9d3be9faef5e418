"""The count that stands in for the curate job in every seed of faults is the job's own rule."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

import pytest
from pyspark.sql import SparkSession

from domain.tables import CURATED
from glue_jobs.process import curate
from tests.faults.play import Play
from tests.glue_jobs.frames import dicts, framed

pytestmark = pytest.mark.slow


def counted(rows: Iterable[Mapping[str, Any]]) -> Counter[str]:
    return Counter(repr(sorted((name, aware(value)) for name, value in row.items())) for row in rows)


def aware(value: Any) -> Any:
    return value.astimezone(timezone.utc) if isinstance(value, datetime) else value


@pytest.mark.parametrize(("seed", "broker"), [(0, "kinesis"), (0, "kafka")])
def test_the_job_keeps_the_rows_that_the_count_keeps(spark: SparkSession, seed: int, broker: str) -> None:
    """Run by run of a seed: what had arrived, what was known by then, what was kept."""
    with Play(seed, broker).played() as play:
        runs = play.curator.runs

    assert any(run.known.num_rows for run in runs)
    assert any(run.fresh.num_rows < run.arrived.num_rows for run in runs)
    for run in runs:
        columns = CURATED[run.event].columns
        names = [column.name for column in columns]
        arrived = framed(spark, columns, run.arrived.select(names).to_pylist())
        known = spark.createDataFrame(run.known) if run.known.num_rows else None
        kept = dicts(curate.transform(arrived, known).drop("conflicting"))
        assert counted(kept) == counted(run.fresh.select(names).to_pylist()), run.event
