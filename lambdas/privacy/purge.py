"""Delete for good what only the history of an Iceberg table holds: rows, bounds and statistics of the past."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.manifest import ManifestFile
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot

from lambdas.privacy.files import client
from lambdas.privacy.objects import Place, Version, remove, versions
from lambdas.privacy.restatement import Restatement, heads, kept_as, tries

READERS = 16
MANY = 10
"""Versions of more keys in a folder are listed with their neighbours', a thousand a request."""


@dataclass(frozen=True, slots=True)
class Purged:
    """What was deleted: objects with all their versions, their bytes, and snapshots that are forgotten.

    `waiting` files are of no snapshot, but too young to tell whether a commit under way is about to name them.
    """

    files: int
    bytes: int
    snapshots: int
    waiting: int = 0


def purge(catalog: Catalog, table_name: str, in_flight: timedelta) -> Purged:
    """Forget every snapshot of a table that no branch or tag names, and delete every file that is then of none.

    What a snapshot held is deleted at once; what none ever held only if it is older than `in_flight`, since a commit
    under way may be about to name it.  Safe to run again after a crash at any point.
    """
    tidy(catalog, table_name)
    history, forgotten = forget(catalog, table_name)
    table = catalog.load_table(table_name)
    live = keys(reachable(table, [table.metadata]) | {table.metadata_location})
    known, place = keys(history) - live, Place.of(table.location())
    below = f"{place.key.rstrip('/')}/"
    found = [*versions(client("s3"), place.bucket, below), *elsewhere(place.bucket, known, below)]
    dead = [one for one in found if not (one.key in live and one.latest)]
    before = datetime.now(timezone.utc) - in_flight
    gone = [one for one in dead if not one.latest or one.marker or one.key in known or one.written < before]
    # What names other files goes last, so that after a crash the next run still knows of them.
    remove(client("s3"), place.bucket, sorted(gone, key=lambda one: rank(one.key.removeprefix(f"{below}metadata/"))))
    return Purged(len({one.key for one in gone}), sum(one.bytes for one in gone), forgotten, len(dead) - len(gone))


def keys(paths: Iterable[str]) -> set[str]:
    """Name files by their keys."""
    return {Place.of(path).key for path in paths}


def rank(name: str) -> int:
    """Order a table's files by what names them: data, manifests, their lists, then the table's metadata.

    >>> sorted(["v3.metadata.json", "snap-1.avro", "x-m0.avro", "s3/data/a.parquet"], key=rank)
    ['s3/data/a.parquet', 'x-m0.avro', 'snap-1.avro', 'v3.metadata.json']
    """
    if "/" in name:
        return 0
    return 3 if name.endswith(".metadata.json") else 2 if name.startswith("snap-") else 1


def elsewhere(bucket: str, known: Iterable[str], below: str) -> Iterator[Version]:
    """List the versions of files that a table once held in another place, as landed ones are."""
    wanted = {key for key in known if not key.startswith(below)}
    with ThreadPoolExecutor(READERS) as pool:
        for some in pool.map(lambda prefix: list(versions(client("s3"), bucket, prefix)), prefixes(wanted)):
            yield from (one for one in some if one.key in wanted)  # a prefix may be another key's beginning


def prefixes(keys: Collection[str]) -> list[str]:
    """Say below which prefixes to list keys: a folder at once if many are in it, else each by itself.

    >>> prefixes(["a/1", "a/2", "b/1"])
    ['a/1', 'a/2', 'b/1']
    """
    folders: dict[str, list[str]] = {}
    for key in sorted(keys):
        folders.setdefault(f"{key.rpartition('/')[0]}/", []).append(key)
    return [each for folder, some in folders.items() for each in ([folder] if len(some) > MANY else some)]


def tidy(catalog: Catalog, table_name: str) -> None:
    """Leave no manifest that tells of removed files in what branches and tags name: their bounds may be a subject."""
    for ref in heads(catalog.load_table(table_name)):
        for table in tries(catalog, table_name):
            snapshot = table.snapshot_by_name(ref)
            if snapshot is None or not any(one.deleted_files_count for one in snapshot.manifests(table.io)):
                break
            try:
                with kept_as(table, ref) as (transaction, branch), Restatement.of(transaction, table, branch, {}):
                    pass
            except (CommitFailedException, ValidationException):
                continue
            break


def forget(catalog: Catalog, table_name: str) -> tuple[set[str], int]:
    """Expire all snapshots but the heads of branches and tags; return the files of all, and how many have expired."""
    for table in tries(catalog, table_name):
        history = past(table)
        kept = {ref.snapshot_id for ref in table.metadata.refs.values()}
        expired = [one.snapshot_id for one in table.metadata.snapshots if one.snapshot_id not in kept]
        if not expired:
            return history, 0
        try:
            table.maintenance.expire_snapshots().by_ids(expired).commit()
        except (CommitFailedException, ValidationException):
            continue
        return history | {table.metadata_location}, len(expired)
    raise AssertionError("tries end by raising")


def past(table: Table) -> set[str]:
    """List every file that the table names or has named, as far as its metadata of the past is still there."""
    logged = [entry.metadata_file for entry in table.metadata.metadata_log]
    with ThreadPoolExecutor(READERS) as pool:
        read = [one for one in pool.map(lambda path: metadata_at(table, path), logged) if one is not None]
    return reachable(table, [table.metadata, *read], whole=False) | set(logged)


def metadata_at(table: Table, path: str) -> TableMetadata | None:
    """Read the table's metadata as it was, if that is still there."""
    try:
        return FromInputFile.table_metadata(table.io.new_input(path))
    except FileNotFoundError:
        return None


def reachable(table: Table, told: Sequence[TableMetadata], *, whole: bool = True) -> set[str]:
    """List the files that snapshots name: lists of manifests, manifests, data files, deletes and statistics.

    If not `whole`, files that are gone already are passed over, and files that a snapshot removed are listed too.
    """
    lists = {one.manifest_list: one for metadata in told for one in metadata.snapshots}
    statistics = {one.statistics_path for said in told for one in (*said.statistics, *said.partition_statistics)}
    with ThreadPoolExecutor(READERS) as pool:
        named = pool.map(lambda one: manifests_of(table, one, whole), lists.values())
        manifests = {one.manifest_path: one for some in named for one in some}
        held = {path for some in pool.map(lambda one: files_of(table, one, whole), manifests.values()) for path in some}
    return {*lists, *manifests, *held, *statistics}


def manifests_of(table: Table, snapshot: Snapshot, whole: bool) -> list[ManifestFile]:
    """Read a snapshot's list of manifests."""
    try:
        return snapshot.manifests(table.io)
    except FileNotFoundError:
        if whole:
            raise
        return []


def files_of(table: Table, manifest: ManifestFile, whole: bool) -> list[str]:
    """Read the paths of the files in a manifest."""
    try:
        return [one.data_file.file_path for one in manifest.fetch_manifest_entry(table.io, discard_deleted=whole)]
    except FileNotFoundError:
        if whole:
            raise
        return []
