"""Erasing subjects from Iceberg tables, and purging what history alone held."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from datetime import timedelta

import boto3
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table

from lambdas.catalogue import open_catalogue
from lambdas.privacy import purge as purging
from lambdas.privacy import table as erasing
from lambdas.privacy.purge import purge
from lambdas.privacy.table import erase_table
from tests.lambdas.ingest.conftest import BUCKET, Lake
from tests.lambdas.privacy.tables import append, create, ratings, rows_of

pytestmark = pytest.mark.slow

NAME = "curated.rating"
SUBJECT = "u-0000000007-the-subject"
AT_ONCE = timedelta(0)


@pytest.fixture
def catalog(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalog]:
    for module in (erasing, purging):
        module.client.cache_clear()
        monkeypatch.setattr(module, "PAUSE_SECONDS", 0.01)
    glue = boto3.client("glue")
    if any(found["Name"] == "curated" for found in glue.get_databases()["DatabaseList"]):
        glue.delete_database(Name="curated")  # moto's state is the process's: other tests have left theirs
    glue.create_database(DatabaseInput={"Name": "curated"})
    yield open_catalogue()
    glue.delete_database(Name="curated")
    for module in (erasing, purging):
        module.client.cache_clear()


@pytest.fixture
def table(catalog: Catalog) -> Table:
    return create(catalog, NAME)


def any_users(count: int) -> list[str | None]:
    """Name users, each a few times, the subject and nobody among them."""
    return [SUBJECT if number % 9 == 4 else f"u-{number % 23:010d}-other" for number in range(count)]


def where_it_is(subject: str) -> list[str]:
    """Grep every version of every object of the bucket for a subject: pages decoded, statistics, manifests, JSON."""
    s3, found = boto3.client("s3"), []
    for item in s3.list_object_versions(Bucket=BUCKET).get("Versions", ()):
        body = s3.get_object(Bucket=BUCKET, Key=item["Key"], VersionId=item["VersionId"])["Body"].read()
        if subject.encode() in body or subject.encode() in plain(item["Key"], body):
            found.append(item["Key"])
    return found


def plain(key: str, body: bytes) -> bytes:
    """Take compression off an object."""
    if key.endswith(".avro"):
        # A file ends with the marker that ends each of its blocks (Avro 1.12, "Object Container Files").
        return b"".join(inflated(block) for block in body.split(body[-16:])[1:-1])
    if key.endswith(".parquet"):
        return repr(pq.read_table(io.BytesIO(body)).to_pydict()).encode()
    return gzip.decompress(body) if key.endswith(".gz.metadata.json") else body


def inflated(block: bytes) -> bytes:
    """Inflate a block of an Avro file: its count and its size go first, each a varint."""
    for _ in range(2):
        end = next(place for place, byte in enumerate(block) if byte < 128)
        block = block[end + 1 :]
    return zlib.decompress(block, -15)


def test_only_the_subjects_rows_leave(catalog: Catalog, table: Table) -> None:
    append(table, ratings(any_users(200)))
    before = rows_of(table)

    erased = erase_table(catalog, NAME, [SUBJECT], "user_id")

    after = rows_of(catalog.load_table(NAME))
    assert after == {event: row for event, row in before.items() if row["user_id"] != SUBJECT}
    assert erased.rows == len(before) - len(after) > 0
    assert erased.snapshot_after == catalog.load_table(NAME).metadata.current_snapshot_id != erased.snapshot_before


def test_files_without_the_subject_stay_as_they_are(catalog: Catalog, table: Table) -> None:
    keys = append(table, ratings(any_users(200)))

    erased = erase_table(catalog, NAME, [SUBJECT], "user_id")

    held = {task.file.file_path for task in catalog.load_table(NAME).scan().plan_files()}
    assert len(keys) == len(held) == 4
    assert len({f"s3://{BUCKET}/{key}" for key in keys} - held) == erased.files == 1


def test_rows_of_nobody_stay(catalog: Catalog, table: Table) -> None:
    append(table, ratings([SUBJECT, None, "u-1", None]))

    erase_table(catalog, NAME, [SUBJECT, "u-1"], "user_id")

    assert [row["user_id"] for row in rows_of(catalog.load_table(NAME)).values()] == [None, None]


def test_a_file_of_the_subject_alone_leaves_whole(catalog: Catalog, table: Table) -> None:
    append(table, ratings([SUBJECT] * 30))
    append(table, ratings(["u-1"], start=30))

    erased = erase_table(catalog, NAME, [SUBJECT], "user_id")

    assert (erased.files, erased.rows, erased.bytes_written) == (1, 30, 0)
    assert list(rows_of(catalog.load_table(NAME))) == ["e-000030"]


def test_an_unknown_subject_changes_nothing(catalog: Catalog, table: Table) -> None:
    append(table, ratings(["u-1", "u-2"]))
    before = catalog.load_table(NAME).metadata_location

    erased = erase_table(catalog, NAME, [SUBJECT], "user_id")

    assert (erased.files, erased.rows) == (0, 0)
    assert catalog.load_table(NAME).metadata_location == before


def test_a_purge_leaves_the_subject_nowhere(catalog: Catalog, table: Table) -> None:
    append(table, ratings(any_users(100)))
    append(table, ratings(any_users(100), start=100))
    assert where_it_is(SUBJECT)
    erase_table(catalog, NAME, [SUBJECT], "user_id")
    before = rows_of(catalog.load_table(NAME))

    purged = purge(catalog, NAME, AT_ONCE)

    assert where_it_is(SUBJECT) == []
    assert rows_of(catalog.load_table(NAME)) == before
    assert purged.snapshots >= 2
    assert len(catalog.load_table(NAME).metadata.snapshots) == 1


def test_purging_again_changes_nothing(catalog: Catalog, table: Table) -> None:
    append(table, ratings(any_users(50)))
    erase_table(catalog, NAME, [SUBJECT], "user_id")
    purge(catalog, NAME, AT_ONCE)
    before = catalog.load_table(NAME).metadata_location

    purged = purge(catalog, NAME, AT_ONCE)

    assert (purged.files, purged.snapshots) == (0, 0)
    assert catalog.load_table(NAME).metadata_location == before
