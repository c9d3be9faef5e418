"""Remove subjects from an Iceberg table, and from whatever branch or tag names a state of it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from botocore.exceptions import BotoCoreError, ClientError
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import DataFile
from pyiceberg.table import FileScanTask, Table

from domain.privacy.erasure.file import erase
from domain.privacy.erasure.splice import Splice
from lambdas.privacy.files import client
from lambdas.privacy.held import condition
from lambdas.privacy.objects import Place
from lambdas.privacy.restatement import ATTEMPTS, Restatement, heads, kept_as, tries
from lambdas.privacy.upload import Remote, store

FILES_AT_ONCE = 4


class UnsupportedLayout(ValueError):
    """A data file is laid out in a way that erasing it would not be sure."""


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure did to a table: data files replaced or dropped, row groups that held the rows, and the rows.

    `bytes_read` were decoded and `bytes_written` encoded; `sent` went to S3, and `copied` it took from the old files by
    itself.  The snapshots are those of the main branch before and after; equal if it held no row of the subjects.
    """

    files: int = 0
    row_groups: int = 0
    rows: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    snapshot_before: int | None = None
    snapshot_after: int | None = None
    sent: int = 0
    copied: int = 0

    def __add__(self, other: Erased) -> Erased:
        """Add up two parts of one erasure; the snapshots stay the first one's."""
        return replace(self, **{name: getattr(self, name) + getattr(other, name) for name in COUNTED})


COUNTED = ("files", "row_groups", "rows", "bytes_read", "bytes_written", "sent", "copied")


@dataclass(frozen=True, slots=True)
class Replacement:
    """A data file that holds the subjects, what stands in its place (nothing if no row is left), and the cost."""

    old: DataFile
    new: DataFile | None
    cost: Erased


Find = Callable[[Table, str], Sequence[Replacement]]
"""Finds the data files that must go in what a branch or tag of a table names, and writes what stands in their place."""


@dataclass(slots=True)
class Work:
    """The files of a table that were gone through, by path, so that a commit tried again repeats none."""

    column: str
    subjects: pa.Array
    done: dict[str, Replacement | None] = field(default_factory=dict)


def erase_table(
    catalog: Catalog,
    table_name: str,
    subjects: Sequence[str],
    column: str,
    notes: Mapping[str, str] | None = None,
) -> Erased:
    """Remove every row whose `column` is one of the subjects, as stored, from all branches and tags of a table.

    Files that hold none of them stay as they are.  `notes` go into the summary of the commits.  Beside running
    writers it plans anew until its commit stands.  History keeps the rows until `purge`.
    """
    work = Work(column, pa.array(sorted(set(subjects)), pa.string()))
    return erase_found(catalog, table_name, lambda table, ref: holding(table, ref, work), notes)


def erase_found(catalog: Catalog, table_name: str, find: Find, notes: Mapping[str, str] | None = None) -> Erased:
    """Replace what `find` gives, in all branches and tags of a table."""
    before = catalog.load_table(table_name).metadata.current_snapshot_id
    done = Erased(snapshot_before=before)
    for ref in heads(catalog.load_table(table_name)):
        done += erase_ref(catalog, table_name, ref, find, dict(notes or {}))
    return replace(done, snapshot_after=catalog.load_table(table_name).metadata.current_snapshot_id)


def erase_ref(catalog: Catalog, table_name: str, ref: str, find: Find, notes: dict[str, str]) -> Erased:
    """Replace what is found in what one branch or tag names.

    However a try ends, the next one plans anew from what the table says by then: a commit that stands although its
    answer was lost is not made again.
    """
    tried = Erased()
    for number, table in enumerate(tries(catalog, table_name), start=1):
        held = find(table, ref)
        if not held:
            return tried
        tried = sum((one.cost for one in held), Erased())
        try:
            commit(table, ref, held, notes)
        except (CommitFailedException, ValidationException):
            tried = Erased()
        except (BotoCoreError, ClientError, OSError):
            if number == ATTEMPTS:
                raise
        else:
            return tried
    raise AssertionError("tries end by raising")


def commit(table: Table, ref: str, held: Sequence[Replacement], notes: dict[str, str]) -> None:
    """Put the new files in the place of the old in one commit, and let the ref name it."""
    with kept_as(table, ref) as (transaction, branch), Restatement.of(transaction, table, branch, notes) as change:
        for one in held:
            change.delete_data_file(one.old)
            if one.new is not None:
                change.append_data_file(one.new)


def holding(table: Table, ref: str, work: Work) -> list[Replacement]:
    """Find the data files that hold the subjects, and write what stands in their place."""
    wanted = condition(work.column, work.subjects.to_pylist())
    tasks = whole(table.scan(row_filter=wanted, snapshot_id=table.metadata.refs[ref].snapshot_id).plan_files())
    new = [task.file for task in tasks if task.file.file_path not in work.done]
    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        for file, found in zip(new, pool.map(lambda file: replacement(table, file, work), new), strict=True):
            work.done[file.file_path] = found
    found_all = (work.done[task.file.file_path] for task in tasks)
    return [found for found in found_all if found is not None]


def whole(tasks: Iterable[FileScanTask]) -> list[FileScanTask]:
    """List the files that a scan reads; refuse one of which rows are deleted beside it, since they would return."""
    found = list(tasks)
    if beside := next((task.file.file_path for task in found if task.delete_files), None):
        raise UnsupportedLayout(f"file: {beside} has rows deleted beside it (merge-on-read); compact the table first")
    return found


def replacement(table: Table, old: DataFile, work: Work) -> Replacement | None:
    """Write a data file again without the subjects; None if it holds none of them."""
    if old.spec_id != table.metadata.default_spec_id:
        raise UnsupportedLayout(
            f"file: {old.file_path} is of partition spec {old.spec_id}, the table's is "
            f"{table.metadata.default_spec_id}; rewrite the table's data files first"
        )
    source = Remote(client("s3"), Place.of(old.file_path), old.file_size_in_bytes)
    done = erase(source, work.column, work.subjects)
    if done is None:
        return None
    cost = Erased(1, done.groups, done.rows, done.decoded, done.encoded)
    if done.left is None:
        return Replacement(old, None, cost)
    path = table.location_provider().new_data_location(f"{uuid.uuid4()}.parquet")
    moved = store(source, done, Place.of(path))
    size = done.left.size if isinstance(done.left, Splice) else len(done.left)
    cost = replace(cost, sent=moved.sent, copied=moved.copied)
    return Replacement(old, described(table, old, path, done.metadata, size), cost)


def described(table: Table, old: DataFile, path: str, metadata: pq.FileMetaData, size: int) -> DataFile:
    """Describe a file that stands in the place of another: its own rows and bounds, the other's partition and order."""
    statistics = data_file_statistics_from_parquet_metadata(
        parquet_metadata=metadata,
        stats_columns=compute_statistics_plan(table.schema(), table.properties),
        parquet_column_mapping=parquet_path_to_id_mapping(table.schema()),
    ).to_serialized_dict()
    found: dict[str, Any] = {**statistics, "split_offsets": sorted(statistics["split_offsets"])}
    made = DataFile.from_args(
        content=old.content,
        file_path=path,
        file_format=old.file_format,
        partition=old.partition,
        file_size_in_bytes=size,
        sort_order_id=old.sort_order_id,
        equality_ids=None,
        key_metadata=None,
        **found,
    )
    made.spec_id = old.spec_id
    return made
