"""The files of tables as an erasure reads and writes them: in one request, and what never changes only once."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest

from lambdas.privacy import files
from tests.lambdas.ingest.conftest import BUCKET, Lake

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("lake")]

METADATA, DATA = f"s3://{BUCKET}/t/metadata/1.metadata.json", f"s3://{BUCKET}/t/data/1.parquet"


@pytest.fixture(autouse=True)
def process() -> Iterator[None]:
    """A process of its own that keeps nothing."""
    files.client.cache_clear()
    files.kept.clear()
    yield
    files.client.cache_clear()
    files.kept.clear()


def write(location: str, body: bytes) -> None:
    with files.Files().new_output(location).create() as stream:
        stream.write(body)


def read(location: str) -> bytes:
    with files.Files().new_input(location).open() as stream:
        return bytes(stream.read())


@pytest.mark.parametrize("location", [METADATA, DATA])
def test_what_is_written_is_read(location: str) -> None:
    write(location, b"some bytes")
    files.kept.clear()

    assert read(location) == b"some bytes"
    assert len(files.Files().new_input(location)) == 10
    assert files.Files().new_output(location).exists()


def test_a_file_that_never_changes_is_read_once_and_any_other_as_it_is(lake: Lake) -> None:
    for location in (METADATA, DATA):
        write(location, b"first")
        assert read(location) == b"first"
        lake.bucket.put(location.removeprefix(f"s3://{BUCKET}/"), b"second")

    assert (read(METADATA), read(DATA)) == (b"first", b"second")


def test_what_is_kept_has_an_end_and_what_was_asked_for_last_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "KEPT_BYTES", 30)
    kept = files.Kept()
    for name in "abc":
        kept.put(f"{name}.avro", name.encode() * 10)
    kept.get("a.avro")
    kept.put("d.avro", b"d" * 10)
    kept.put("d.avro", b"e" * 10)

    assert [kept.get(f"{name}.avro") for name in "abcd"] == [b"a" * 10, None, b"c" * 10, b"e" * 10]


@pytest.mark.parametrize("location", [METADATA, DATA])
def test_a_file_that_is_gone_is_said_to_be(location: str) -> None:
    named = files.Files().new_input(location)

    assert not named.exists()
    for ask in (named.open, named.__len__):
        with pytest.raises(FileNotFoundError, match=location):
            ask()


def test_no_file_is_written_over_unless_it_is_meant(lake: Lake) -> None:
    write(METADATA, b"first")

    with pytest.raises(FileExistsError):
        write(METADATA, b"second")
    with files.Files().new_output(METADATA).create(overwrite=True) as stream:
        stream.write(b"third")
    assert lake.bucket.get("t/metadata/1.metadata.json") == read(METADATA) == b"third"


def test_a_large_file_is_read_by_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    write(DATA, bytes(range(100)))
    monkeypatch.setattr(files, "READ_WHOLE", 10)
    named = files.catalogue()._load_file_io(location=DATA).new_input(DATA)

    with named.open() as stream:
        stream.seek(90)
        assert stream.read(5) == bytes(range(90, 95))


def test_a_file_that_is_deleted_is_gone() -> None:
    write(DATA, b"x")

    files.Files().delete(DATA)

    assert boto3.client("s3").list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0
