"""Two who change a Glue table at once: one of them learns of it, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pyarrow as pa
import pytest
from botocore.exceptions import ClientError
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import CommitFailedException

from local.cloud import Cloud
from tests.local.builders import any_name

WRITERS = 2
APPENDS = 8


@pytest.fixture
def database(cloud: Cloud) -> Iterator[str]:
    name = any_name("shop").replace("-", "_")
    cloud.client("s3").create_bucket(Bucket=name.replace("_", "-"))
    cloud.client("glue").create_database(DatabaseInput={"Name": name})
    yield name
    cloud.client("glue").delete_database(Name=name)


def change(cloud: Cloud, database: str, comment: str, **conditions: object) -> None:
    table = {"Name": "orders", "Parameters": {"comment": comment}}
    cloud.client("glue").update_table(DatabaseName=database, TableInput=table, **conditions)


def read(cloud: Cloud, database: str) -> tuple[str, str]:
    """Return the table's version and its comment."""
    table = cloud.client("glue").get_table(DatabaseName=database, Name="orders")["Table"]
    return table["VersionId"], table["Parameters"]["comment"]


@pytest.fixture
def version(cloud: Cloud, database: str) -> str:
    """The version of a table that both have read."""
    table = {"Name": "orders", "Parameters": {"comment": "as read"}}
    cloud.client("glue").create_table(DatabaseName=database, TableInput=table)
    return read(cloud, database)[0]


def test_a_stale_version_is_refused_and_changes_nothing(cloud: Cloud, database: str, version: str) -> None:
    change(cloud, database, "the first's", VersionId=version)

    with pytest.raises(ClientError, match="ConcurrentModificationException") as refused:
        change(cloud, database, "the second's", VersionId=version)
    assert f"{database}.orders is at version" in str(refused.value)
    assert read(cloud, database)[1] == "the first's"


def test_who_names_no_version_changes_whatever_is_there(cloud: Cloud, database: str, version: str) -> None:
    change(cloud, database, "the first's", VersionId=version)
    change(cloud, database, "the last's")

    assert read(cloud, database)[1] == "the last's"


@pytest.mark.parametrize(("skip", "kept"), [(True, 1), (False, 2)])
def test_the_version_before_is_kept_unless_asked_not_to(
    cloud: Cloud, database: str, version: str, skip: bool, kept: int
) -> None:
    change(cloud, database, "new", VersionId=version, SkipArchive=skip)

    versions = cloud.client("glue").get_table_versions(DatabaseName=database, TableName="orders")["TableVersions"]
    assert len(versions) == kept
    assert read(cloud, database)[1] == "new"


def catalog(cloud: Cloud) -> Catalog:
    keys = {"s3.access-key-id": "laptop", "s3.secret-access-key": "laptop"}
    glue = {"glue.access-key-id": "laptop", "glue.secret-access-key": "laptop", "glue.region": cloud.region}
    endpoints = {"glue.endpoint": cloud.endpoint, "s3.endpoint": cloud.endpoint, "s3.region": cloud.region}
    return load_catalog("lake", type="glue", **keys, **glue, **endpoints)


@pytest.mark.slow
def test_two_writers_at_once_lose_no_append(cloud: Cloud, database: str) -> None:
    schema = pa.schema([("writer", pa.int64()), ("number", pa.int64())])
    place = f"s3://{database.replace('_', '-')}/orders"
    catalog(cloud).create_table(f"{database}.orders", schema, location=place)
    together = Barrier(WRITERS)

    def write(writer: int) -> None:
        mine = catalog(cloud)
        for number in range(APPENDS):
            together.wait()
            append(mine, pa.table({"writer": [writer], "number": [number]}, schema))

    def append(mine: Catalog, rows: pa.Table) -> None:
        for _ in range(20):
            try:
                return mine.load_table(f"{database}.orders").append(rows)
            except CommitFailedException:
                continue
        pytest.fail("twenty times somebody else was first")

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))

    table = catalog(cloud).load_table(f"{database}.orders")
    found = table.scan().to_arrow()
    catalog(cloud).drop_table(f"{database}.orders")
    assert sorted(zip(*(found[name].to_pylist() for name in found.column_names), strict=True)) == [
        (writer, number) for writer in range(WRITERS) for number in range(APPENDS)
    ]
