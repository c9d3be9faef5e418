"""Register data files in one Iceberg table, in the same commit as the positions that they bring it to."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.io.pyarrow import parquet_file_to_data_file
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update import ValidatableTableRequirement

from domain.ingest.commits import Step, plan
from domain.ingest.receipts import Receipt

ATTEMPTS = 5
PAUSE_SECONDS = 0.2
FOOTER_READERS = 16


class TableBehind(ValidationException):
    """A data file has a column that its table lacks: the functions were deployed before the lake."""


class PositionMoved(ValidationException):
    """Another committer brought the table further; what was planned must be planned anew."""


class AssertPositions(ValidatableTableRequirement):
    """The table's positions must be those that the step was planned from, at every try of the commit."""

    type: Literal["assert-positions"] = "assert-positions"
    positions: dict[str, str | None]

    def validate(self, base_metadata: TableMetadata | None) -> None:  # type: ignore[override]  # as pyiceberg's own do
        """Raise PositionMoved if a position is another one."""
        properties = base_metadata.properties if base_metadata else {}
        found = {name: properties.get(name) for name in self.positions}
        if found != self.positions:
            raise PositionMoved(f"planned from {self.positions}, but the table is at {found}")


def register(catalog: Catalog, bucket: str, table: str, receipts: Sequence[Receipt]) -> Step | None:
    """Bring a table up to the receipts, and return the step taken, if one was needed.

    However a try ends, the next one plans anew from what the table says by then: a commit that stands although its
    answer was lost is not made twice.
    """
    tried: Step | None = None
    for pause in range(ATTEMPTS):
        try:
            opened = catalog.load_table(table)
            step = plan(table, receipts, opened.properties)
            if step is None:
                return tried
            tried = step
            take(opened, bucket, step)
        except TableBehind:
            raise
        except (CommitFailedException, ValidationException):
            # A position moved, or an erasure forgot the snapshot that this was to follow: pyiceberg leaves nothing.
            tried = None
        except (BotoCoreError, ClientError, OSError):
            if pause == ATTEMPTS - 1:
                raise
        else:
            return step
        time.sleep(PAUSE_SECONDS * 2**pause)
    raise CommitFailedException(f"{table}: {ATTEMPTS} tries met other writers; the next invocation tries again")


def take(table: Table, bucket: str, step: Step) -> None:
    """Take one step in one commit."""
    files = describe(table, [f"s3://{bucket}/{file.key}" for file in step.files])
    with table.transaction() as transaction:
        # pyiceberg has no public way to add a condition; it checks this one again whenever it retries.
        condition: Any = AssertPositions(positions=dict(step.before))
        transaction._stage((), (condition,))
        if files:
            with transaction.update_snapshot().fast_append() as append:
                for file in files:
                    append.append_data_file(file)
        transaction.set_properties(dict(step.after))


def describe(table: Table, paths: Sequence[str]) -> list[DataFile]:
    """Read the footers of data files: their rows, bounds and partition."""
    with ThreadPoolExecutor(FOOTER_READERS) as pool:
        return list(pool.map(lambda path: describe_one(table, path), paths))


def describe_one(table: Table, path: str) -> DataFile:
    """Read the footer of one data file."""
    try:
        return parquet_file_to_data_file(table.io, table.metadata, path)
    except KeyError as column:  # as pyiceberg says that the table has none of that name
        name = ".".join(table.name())
        detail = f"{name} lacks the column {column} of {path}; deploy the lake's stack, the file waits for it"
        raise TableBehind(detail) from column
