"""Commits that restate what an Iceberg table holds, and leave no manifest that tells of files removed before."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.manifest import DATA_FILE_TYPE, ManifestEntry, ManifestEntryStatus, ManifestFile
from pyiceberg.table import Table, Transaction
from pyiceberg.table.refs import MAIN_BRANCH, SnapshotRefType
from pyiceberg.table.snapshots import Operation, Summary
from pyiceberg.table.update.snapshot import _OverwriteFiles

ATTEMPTS = 20
PAUSE_SECONDS = 0.2
MOST_PAUSE_SECONDS = 10

TAG = SnapshotRefType.TAG
FIELDS = [field.name for field in DATA_FILE_TYPE[2].fields]
BOUNDS = ("lower_bounds", "upper_bounds")


class Restatement(_OverwriteFiles):
    """Replace data files, if any, in one snapshot.

    An entry of a removed file carries its columns' bounds, and those may be a subject; entries of files that earlier
    snapshots removed are left out here, since whatever held them is to be forgotten too.
    """

    @classmethod
    def of(cls, transaction: Transaction, table: Table, branch: str, notes: dict[str, str]) -> Restatement:
        """Begin one on a branch."""
        return cls(Operation.OVERWRITE, transaction, table.io, uuid.uuid4(), notes, branch)

    def _existing_manifests(self) -> list[ManifestFile]:
        found = (self._cleaned(manifest) for manifest in super()._existing_manifests())
        return [manifest for manifest in found if manifest is not None]

    def _cleaned(self, manifest: ManifestFile) -> ManifestFile | None:
        if not manifest.deleted_files_count:
            return manifest
        live = manifest.fetch_manifest_entry(io=self._io, discard_deleted=True)
        if not live:
            return None
        with self.new_manifest_writer(self.spec(manifest.partition_spec_id)) as writer:
            for entry in live:
                writer.existing(entry)
        return writer.to_manifest_file()

    def _deleted_entries(self) -> list[ManifestEntry]:
        return [without_bounds(entry) for entry in super()._deleted_entries()]

    def _summary(self, snapshot_properties: dict[str, str] | None = None) -> Summary:
        summary = super()._summary(snapshot_properties or {})
        if self._added_data_files or self._deleted_data_files:
            return summary
        return Summary(Operation.REPLACE, **summary.additional_properties)  # the rows are the same


def without_bounds(entry: ManifestEntry) -> ManifestEntry:
    """Say that a file was removed without saying what its columns held."""
    file = copy(entry.data_file)
    file._data = [None if name in BOUNDS else value for name, value in zip(FIELDS, file._data, strict=False)]
    return ManifestEntry.from_args(
        status=ManifestEntryStatus.DELETED,
        snapshot_id=entry.snapshot_id,
        sequence_number=entry.sequence_number,
        file_sequence_number=entry.file_sequence_number,
        data_file=file,
    )


def heads(table: Table) -> list[str]:
    """Name the branches and tags of a table, the main branch first."""
    return sorted(table.metadata.refs, key=lambda name: (name != MAIN_BRANCH, name))


def tries(catalog: Catalog, table_name: str) -> Iterator[Table]:
    """Open a table anew for each try of a commit that others may overtake."""
    for pause in range(ATTEMPTS):
        yield catalog.load_table(table_name)
        time.sleep(min(PAUSE_SECONDS * 2**pause, MOST_PAUSE_SECONDS))
    raise CommitFailedException(f"{table_name}: {ATTEMPTS} tries met other writers; run the erasure again")


@contextmanager
def kept_as(table: Table, ref: str) -> Iterator[tuple[Transaction, str]]:
    """Open a transaction on a branch, or on what a tag names, and let the tag name its outcome.

    A tag is worked on as a branch beside it, which goes again; one left by a crash is taken up by the next try.
    """
    found = table.metadata.refs[ref]
    if found.snapshot_ref_type != TAG:
        with table.transaction() as transaction:
            yield transaction, ref
        return
    branch = f"{ref}.erasing"
    with table.manage_snapshots() as manage:
        manage.create_branch(found.snapshot_id, branch)
    table.refresh()
    with table.transaction() as transaction:
        yield transaction, branch
    table.refresh()
    with table.manage_snapshots() as manage:
        manage.create_tag(table.metadata.refs[branch].snapshot_id, ref, found.max_ref_age_ms)
    table.refresh()
    with table.manage_snapshots() as manage:
        manage.remove_branch(branch)
