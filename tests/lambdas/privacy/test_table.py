"""Erasing subjects from Iceberg tables, and purging what history alone held."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any

import boto3
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.table import Table
from pyiceberg.table.statistics import StatisticsFile

from lambdas.privacy import files, held, restatement
from lambdas.privacy import purge as purging
from lambdas.privacy import table as erasing
from lambdas.privacy.objects import Version, remove, versions
from lambdas.privacy.people import Person
from lambdas.privacy.purge import purge
from lambdas.privacy.table import erase_table
from tests.databases import databases
from tests.lambdas.ingest.conftest import BUCKET, Lake
from tests.lambdas.ingest.test_commit import Fault
from tests.lambdas.privacy.tables import append, bucketed, create, ratings, rows_of, written

pytestmark = pytest.mark.slow

NAME = "curated.rating"
SUBJECT = "u-0000000007-the-subject"
AT_ONCE = timedelta(0)


@pytest.fixture
def catalog(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalog]:
    for module in (erasing, purging, files):
        module.client.cache_clear()
    monkeypatch.setattr(restatement, "PAUSE_SECONDS", 0.01)
    with databases(boto3.client("glue"), "curated"):
        yield files.catalogue()
    for module in (erasing, purging, files):
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


def beside(lake: Lake, *others: Callable[[], object]) -> None:
    """Let others commit just before the next commits of the catalogue."""
    waiting = list(others)

    def strike() -> None:
        if waiting:
            waiting.pop(0)()

    lake.before = strike


def test_rows_that_others_append_meanwhile_stay_but_for_the_subjects(
    lake: Lake, catalog: Catalog, table: Table
) -> None:
    append(table, ratings(any_users(60)))
    late = ratings([SUBJECT, "u-late"], start=60)
    beside(lake, lambda: append(catalog.load_table(NAME), late))

    erased = erase_table(catalog, NAME, [SUBJECT], "user_id")

    left = rows_of(catalog.load_table(NAME))
    assert sorted(left) == [
        f"e-{n:06d}" for n, user in enumerate([*any_users(60), SUBJECT, "u-late"]) if user != SUBJECT
    ]
    assert erased.rows == 62 - len(left)


def compact(catalog: Catalog) -> None:
    """Put a bucket's files into one, as Spark's rewrite does."""
    table = catalog.load_table(NAME)
    rows = table.scan().to_arrow().cast(ratings([]).schema)  # with the ids of its fields
    old = [task.file for task in table.scan().plan_files()]
    new = [written(table, rows.take(places).sort_by("user_id"), n, 10, "") for n, places in bucketed(rows).items()]
    with table.transaction() as transaction, transaction.update_snapshot().overwrite() as change:
        for file in old:
            change.delete_data_file(file)
        for file in new:
            change.append_data_file(file)


def test_a_compaction_meanwhile_brings_nobody_back_and_doubles_nobody(
    lake: Lake, catalog: Catalog, table: Table
) -> None:
    append(table, ratings(any_users(60)))
    append(table, ratings(any_users(60), start=60))
    before = rows_of(table := catalog.load_table(NAME))
    beside(lake, lambda: compact(catalog))

    erase_table(catalog, NAME, [SUBJECT], "user_id")

    left = rows_of(catalog.load_table(NAME))  # which finds no event twice
    assert left == {event: row for event, row in before.items() if row["user_id"] != SUBJECT}


def test_a_compaction_that_read_the_subject_does_not_commit(lake: Lake, catalog: Catalog, table: Table) -> None:
    append(table, ratings(any_users(60)))
    beside(lake, lambda: erase_table(catalog, NAME, [SUBJECT], "user_id"))

    with pytest.raises((CommitFailedException, ValidationException)):
        compact(catalog)
    assert SUBJECT not in {row["user_id"] for row in rows_of(catalog.load_table(NAME)).values()}


@pytest.mark.parametrize("call", [1, 2])
def test_a_commit_whose_answer_is_lost_is_counted_once(lake: Lake, catalog: Catalog, table: Table, call: int) -> None:
    append(table, ratings(any_users(60)))
    calls = iter(range(1, 99))

    def lose() -> None:
        if next(calls) == call:
            raise Fault

    lake.after = lose

    erased = erase_table(catalog, NAME, [SUBJECT], "user_id")

    left = rows_of(catalog.load_table(NAME))
    assert erased.rows == any_users(60).count(SUBJECT) == 60 - len(left)


def test_branches_and_tags_lose_the_subject_and_nobody_else(catalog: Catalog, table: Table) -> None:
    append(table, ratings(any_users(40)))
    table = catalog.load_table(NAME)
    first = table.metadata.current_snapshot_id
    assert first
    with table.manage_snapshots() as manage:
        manage.create_tag(first, "audit").create_branch(first, "shadow")
    append(catalog.load_table(NAME), ratings([SUBJECT, "u-shadow"], start=40), branch="shadow")
    append(catalog.load_table(NAME), ratings([SUBJECT, "u-main"], start=42))

    erase_table(catalog, NAME, [SUBJECT], "user_id")
    purge(catalog, NAME, AT_ONCE)

    table = catalog.load_table(NAME)
    old = {f"e-{number:06d}" for number, user in enumerate(any_users(40)) if user != SUBJECT}
    assert set(table.metadata.refs) == {"main", "audit", "shadow"}
    assert set(rows_of(table, "audit")) == old
    assert set(rows_of(table, "shadow")) == old | {"e-000041"}
    assert set(rows_of(table)) == old | {"e-000043"}
    assert where_it_is(SUBJECT) == []


@pytest.fixture
def versioned(lake: Lake) -> Iterator[None]:
    """Let the bucket keep what is overwritten or deleted, as in prod."""
    s3 = boto3.client("s3")
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    yield
    remove(s3, BUCKET, versions(s3, BUCKET, ""))


@pytest.mark.usefixtures("versioned")
def test_versions_of_what_others_deleted_go_too(catalog: Catalog, table: Table) -> None:
    """Landed files lie outside the table's place; a compaction has taken this one out, and an expiry deleted it."""
    [key] = append(table, ratings([SUBJECT] * 5 + ["u-1"] * 0), place="landing/rating/")
    compact(catalog)
    boto3.client("s3").delete_object(Bucket=BUCKET, Key=key)

    erase_table(catalog, NAME, [SUBJECT], "user_id")
    purge(catalog, NAME, AT_ONCE)

    assert where_it_is(SUBJECT) == []
    assert [one for one in versions(boto3.client("s3"), BUCKET, "") if one.marker or not one.latest] == []


def test_a_file_that_a_commit_under_way_may_name_is_left(catalog: Catalog, table: Table) -> None:
    append(table, ratings(any_users(20)))
    young = written(catalog.load_table(NAME), ratings(["u-1"], start=900), 0, 10, "")
    key = young.file_path.removeprefix(f"s3://{BUCKET}/")

    purged = purge(catalog, NAME, timedelta(hours=1))

    assert purged.waiting == 1
    assert key in {one.key for one in versions(boto3.client("s3"), BUCKET, key)}
    assert purge(catalog, NAME, AT_ONCE).files == 1


def test_a_purge_that_was_killed_is_finished_by_the_next(
    catalog: Catalog, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is killed after the snapshots are forgotten, and again half-way through the files."""
    append(table, ratings(any_users(40)), place="landing/rating/")
    erase_table(catalog, NAME, [SUBJECT], "user_id")
    killed = [0, 3]

    def half(s3: Any, bucket: str, some: Iterable[Version]) -> None:
        if killed:
            remove(s3, bucket, list(some)[: killed.pop(0)])
            raise KeyboardInterrupt
        remove(s3, bucket, some)

    monkeypatch.setattr(purging, "remove", half)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            purge(catalog, NAME, timedelta(hours=1))

    purge(catalog, NAME, timedelta(hours=1))

    assert where_it_is(SUBJECT) == []


def test_hundreds_of_people_leave_in_one_commit(catalog: Catalog, table: Table) -> None:
    users: list[str | None] = [f"u-{number:04d}" for number in range(400)]
    append(table, ratings(users), group=20)
    before = len(catalog.load_table(NAME).metadata.snapshots)

    erased = erase_table(catalog, NAME, [f"u-{number:04d}" for number in range(0, 500, 2)], "user_id")

    assert {row["user_id"] for row in rows_of(catalog.load_table(NAME)).values()} == set(users[1::2])
    assert erased.rows == 200
    assert len(catalog.load_table(NAME).metadata.snapshots) == before + 1


def test_statistics_of_the_past_go_too(catalog: Catalog, table: Table) -> None:
    append(table, ratings(any_users(20)))
    table = catalog.load_table(NAME)
    snapshot = table.metadata.current_snapshot_id
    assert snapshot
    path = f"{table.location()}/metadata/x.stats"
    boto3.client("s3").put_object(Bucket=BUCKET, Key=path.removeprefix(f"s3://{BUCKET}/"), Body=SUBJECT.encode())
    said = {"snapshot-id": snapshot, "statistics-path": path, "file-size-in-bytes": 9, "file-footer-size-in-bytes": 1}
    with table.update_statistics() as update:
        update.set_statistics(StatisticsFile.model_validate({**said, "blob-metadata": []}))
    erase_table(catalog, NAME, [SUBJECT], "user_id")

    purge(catalog, NAME, timedelta(hours=1))

    assert where_it_is(SUBJECT) == []
    assert catalog.load_table(NAME).metadata.statistics == []


def test_a_name_is_a_products_where_it_stands_whole_in_a_row_of_somebody_else(table: Table) -> None:
    products = {"u-1": "p-own", "u-2": "p-9", "u-3": "p-99", "u-4": "a@b.net", "u-5": "t1.AAAA", None: "p-nobodys"}
    rows = ratings(list(products))
    column = rows.schema.get_field_index("product_id")
    rows = rows.set_column(column, rows.schema.field(column), [list(products.values())])
    append(table, rows)
    names = ("u-1", "p-own", "p-9", "a@b.net", "t1.AAAA", "p-nobodys", "p-none")
    people = [Person("first", names), Person("second", ("p-99", "u-5"))]

    assert held.categories([table.refresh()], people, lambda: True) == {
        "first": {"p-9", "p-nobodys"},
        "second": {"p-99"},
    }
    assert held.categories([table], [Person("first", ("a@b.net", "t1.AAAA"))], lambda: True) == {}
