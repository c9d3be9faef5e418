"""The deployed handlers over a bucket and a catalogue that faults strike, each invocation in a process of its own."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any
from unittest.mock import patch

from pyiceberg.catalog.glue import GlueCatalog
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema

from domain.contract.iceberg import iceberg_partition, iceberg_schema
from domain.ingest.landing import OPEN
from domain.tables import Table
from lambdas.ingest import commit, consume, kafka, registration
from lambdas.ingest.settings import CommitSettings, ConsumeSettings
from tests.faults import memory
from tests.faults.files import NAME, ClientFiles
from tests.faults.strikes import Strikes, Struck
from tests.faults.turns import Turns

BUCKET = "lake"
EVENING = datetime(2026, 3, 1, 20, tzinfo=timezone.utc)
PROPERTIES = {
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    "commit.retry.num-retries": "10",
    "commit.retry.min-wait-ms": "1",
    "commit.retry.max-wait-ms": "1",
}


@dataclass(slots=True)
class Clock:
    """The seed's time, which moves on with every call."""

    moment: datetime = EVENING

    def seconds(self) -> float:
        return self.moment.timestamp()

    def now(self) -> datetime:
        return self.moment

    def pass_by(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


class WallClock(Clock):
    """The machine's time, for brokers that have no other."""

    def pass_by(self, seconds: float) -> None:
        self.moment = datetime.now(timezone.utc)


@dataclass(slots=True, eq=False)
class Process:
    """An execution environment: what it remembers while it is warm, and how far its clock is off."""

    skew: timedelta
    positions: dict[tuple[str, str], int] = field(default_factory=dict)
    busy: bool = False


class Remaining:
    """An invocation with time enough."""

    def get_remaining_time_in_millis(self) -> int:
        return 900_000


class Sky:
    """Where a seed's functions run: S3 and Glue as they see them, struck; `calm` clients see them as they are."""

    def __init__(self, turns: Turns, strikes: Strikes, clock: Clock, s3: Any = None, glue: Any = None) -> None:
        self.turns, self.strikes, self.clock = turns, strikes, clock
        self.calm_s3, self.calm_glue = s3 or memory.S3(clock.now), glue or memory.Glue()
        self.s3 = Struck(self.calm_s3, strikes, turns, self.tick)
        self.glue = Struck(self.calm_glue, strikes, turns, self.tick)
        self.printed = io.StringIO()
        self._local = threading.local()

    def tick(self) -> None:
        self.clock.pass_by(self.turns.chance.uniform(0, 0.05))

    def create(self, tables: Sequence[Table]) -> None:
        """Create the tables as the lake's stack declares them."""
        with self.calm():
            for table in tables:
                self.catalog(self.calm_glue).create_table(
                    table.full_name,
                    Schema.model_validate(iceberg_schema(table.columns)),
                    location=f"s3://{BUCKET}/{table.prefix.rstrip('/')}",
                    partition_spec=PartitionSpec.model_validate(iceberg_partition(table)),
                    properties=PROPERTIES,
                )

    def catalog(self, glue: Any) -> GlueCatalog:
        return GlueCatalog("lake", glue, **{"py-io-impl": NAME})

    @contextmanager
    def calm(self) -> Iterator[GlueCatalog]:
        """Look at the tables without faults."""
        before, ClientFiles.client = ClientFiles.client, self.calm_s3
        try:
            yield self.catalog(self.calm_glue)
        finally:
            ClientFiles.client = before

    def consume(self, process: Process, event: dict[str, Any]) -> Any:
        """Invoke the consumer in a process."""
        self._local.process = process
        return consume.handler(event, None)

    def commit(self) -> Any:
        """Invoke the committer."""
        return commit.handler({}, Remaining())

    @contextmanager
    def hosted(self, receipts_at_once: int = 300) -> Iterator[None]:
        """Point the functions at this sky: what differs between processes is theirs, what is deployed stays."""
        catalog = self.catalog(self.glue)
        local, clock = self._local, self.clock

        class Skewed(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return clock.moment + local.process.skew

        ClientFiles.client = self.s3
        with (
            patch.object(consume, "client", lambda _: self.s3),
            patch.object(consume, "settings", lambda: ConsumeSettings(bucket=BUCKET)),
            patch.object(consume, "door", lambda: OPEN),
            patch.object(consume, "positions", lambda: local.process.positions),
            patch.object(consume, "datetime", Skewed),
            patch.object(kafka, "datetime", Skewed),
            patch.object(commit, "client", lambda _: self.s3),
            patch.object(commit, "settings", lambda: CommitSettings(bucket=BUCKET)),
            patch.object(commit, "catalog", lambda: catalog),
            patch.object(commit, "RECEIPTS_AT_ONCE", receipts_at_once),
            patch.object(registration, "PAUSE_SECONDS", 0.0),
            redirect_stdout(self.printed),
        ):
            logging.disable(logging.CRITICAL)  # pyiceberg tells of every conflict
            try:
                yield
            finally:
                logging.disable(logging.NOTSET)
