"""Curate as the Spark job does, counted by DuckDB: the earliest arrival of each event that is not known yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from domain.ingest.batch import SCHEMAS
from domain.process.resends import RESEND_WINDOW
from domain.tables import Table
from tests.faults.files import split

FRESH = """
    SELECT * EXCLUDE (arrival) FROM (
        SELECT *, row_number() OVER (PARTITION BY user_id, event_id ORDER BY arrived_at, sequence, shard) AS arrival
        FROM arrived ANTI JOIN known USING (user_id, event_id)
    ) WHERE arrival = 1
"""
WINDOW = """
    SELECT user_id, event_id FROM curated
    WHERE arrived_at >= (SELECT min(arrived_at) FROM arrived) - to_seconds(?)
"""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of the job took in for one event, what it knew, and what it kept."""

    event: str
    arrived: pa.Table
    known: pa.Table
    fresh: pa.Table


@dataclass
class Curator:
    """The curated tables of a seed, grown by the files that came to the raw tables since the last run."""

    sky: Any
    tables: Sequence[Table]
    curated: dict[str, pa.Table] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    _taken: dict[str, set[str]] = field(default_factory=dict)

    def curate(self) -> None:
        """Run the job once."""
        for table in self.tables:
            taken = self._taken.setdefault(table.name, set())
            fresh = [path for path in files(self.sky, table) if path not in taken]
            taken.update(fresh)
            if fresh:
                self._take(table, pa.concat_tables([rows(self.sky, path) for path in fresh]))

    def _take(self, table: Table, arrived: pa.Table) -> None:
        curated = self.curated.get(table.name, SCHEMAS[table.full_name].empty_table())
        known = ask(WINDOW, [RESEND_WINDOW.total_seconds()], arrived=arrived, curated=curated)
        fresh = ask(FRESH, [], arrived=arrived, known=known).cast(SCHEMAS[table.full_name])
        self.runs.append(Run(table.name, arrived, known, fresh))
        self.curated[table.name] = pa.concat_tables([curated, fresh])


def ask(question: str, parameters: list[Any], **tables: pa.Table) -> pa.Table:
    """Let DuckDB answer over Arrow tables, known by their names."""
    with duckdb.connect() as session:
        session.execute("SET TimeZone = 'UTC'; SET threads = 1")
        for name, table in tables.items():
            session.register(name, table)
        return session.sql(question, params=parameters).to_arrow_table()


def files(sky: Any, table: Table) -> list[str]:
    """List a table's data files, as its snapshot has them, one entry each time that one was added."""
    with sky.calm() as catalog:
        return [task.file.file_path for task in catalog.load_table(table.full_name).scan().plan_files()]


def rows(sky: Any, path: str) -> pa.Table:
    """Read a data file."""
    body = sky.calm_s3.get_object(**split(path))["Body"].read()
    return pq.read_table(pa.BufferReader(body))
