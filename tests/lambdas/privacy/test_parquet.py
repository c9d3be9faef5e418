"""Erasing subjects from objects of S3: what did not change never leaves it, and nobody's write is lost."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from botocore.exceptions import ClientError

from domain.privacy.erasure.file import erase
from lambdas.privacy.objects import Place, versions
from lambdas.privacy.parquet import Overtaken, erase_object
from lambdas.privacy.upload import Remote, store
from local.cloud import Cloud

pytestmark = pytest.mark.slow

BUCKET = "erasure-of-objects"
PLACE = Place(BUCKET, "exports/people.parquet")
USERS, GROUPS, GROUP = 500, 24, 10_000
MEBIBYTE = 1 << 20


@pytest.fixture
def s3(cloud: Cloud) -> Iterator[Any]:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    yield s3
    for one in versions(s3, BUCKET, ""):
        s3.delete_object(Bucket=BUCKET, Key=one.key, VersionId=one.id)
    s3.delete_bucket(Bucket=BUCKET)


@pytest.fixture(scope="module")
def people() -> pa.Table:
    """About 30 MB that do not compress, sorted by user."""
    chance, count = np.random.default_rng(11), GROUPS * GROUP
    users = np.sort(chance.integers(0, USERS, count))
    payload = pa.Array.from_buffers(pa.binary(128), count, [None, pa.py_buffer(chance.bytes(128 * count))])
    return pa.table({"user_id": [f"u-{user:06d}" for user in users], "n": np.arange(count), "payload": payload})


@pytest.fixture(scope="module")
def content(people: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(people, sink, row_group_size=GROUP, compression="zstd", write_page_index=True)
    return sink.getvalue()


def held(s3: Any) -> pa.Table:
    return pq.read_table(io.BytesIO(s3.get_object(Bucket=BUCKET, Key=PLACE.key)["Body"].read()))


def test_only_the_row_group_and_the_footer_are_sent(s3: Any, people: pa.Table, content: bytes) -> None:
    s3.put_object(Bucket=BUCKET, Key=PLACE.key, Body=content)
    subject = people["user_id"][len(people) // 2].as_py()

    erased = erase_object(s3, PLACE, "user_id", [subject])

    assert held(s3).equals(people.filter(pa.array([user != subject for user in people["user_id"].to_pylist()])))
    assert erased.row_groups <= 2
    assert erased.copied > len(content) - 8 * MEBIBYTE
    assert erased.sent < 8 * MEBIBYTE
    assert [one.latest for one in versions(s3, BUCKET, PLACE.key)] == [True]


def test_another_object_whose_key_begins_alike_keeps_its_versions(s3: Any, people: pa.Table, content: bytes) -> None:
    for _ in range(2):
        s3.put_object(Bucket=BUCKET, Key=f"{PLACE.key}.old", Body=b"x")
    s3.put_object(Bucket=BUCKET, Key=PLACE.key, Body=content)

    erase_object(s3, PLACE, "user_id", [people["user_id"][0].as_py()])

    assert len(list(versions(s3, BUCKET, f"{PLACE.key}.old"))) == 2


def test_a_write_in_between_is_not_lost(s3: Any, people: pa.Table, content: bytes) -> None:
    s3.put_object(Bucket=BUCKET, Key=PLACE.key, Body=content)
    source = Remote.open(s3, PLACE)
    done = erase(source, "user_id", pa.array([people["user_id"][0].as_py()]))
    s3.put_object(Bucket=BUCKET, Key=PLACE.key, Body=b"another's")

    assert done is not None
    with pytest.raises(ClientError, match="PreconditionFailed"):
        store(source, done, PLACE)
    assert s3.get_object(Bucket=BUCKET, Key=PLACE.key)["Body"].read() == b"another's"
    assert not s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads")


def test_what_was_written_meanwhile_is_erased_too(
    s3: Any, people: pa.Table, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second try reads the object anew."""
    s3.put_object(Bucket=BUCKET, Key=PLACE.key, Body=content)
    subject, begin, times = people["user_id"][0].as_py(), s3.create_multipart_upload, iter(range(9))

    def overtaken(**where: Any) -> Any:
        if next(times) == 0:
            s3.put_object(Bucket=BUCKET, Key=PLACE.key, Body=content)
        return begin(**where)

    monkeypatch.setattr(s3, "create_multipart_upload", overtaken)

    erase_object(s3, PLACE, "user_id", [subject])

    assert subject not in set(held(s3)["user_id"].to_pylist())
    assert len(list(versions(s3, BUCKET, PLACE.key))) == 1


def test_an_object_that_never_rests_is_told(s3: Any, people: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = io.BytesIO()
    pq.write_table(people.slice(0, 10), sink)
    s3.put_object(Bucket=BUCKET, Key=PLACE.key, Body=sink.getvalue())
    read, times = s3.get_object, iter(range(99))

    def overtaken(**where: Any) -> Any:
        s3.put_object(Bucket=BUCKET, Key=PLACE.key, Body=sink.getvalue() + bytes([next(times)]))
        return read(**where)

    monkeypatch.setattr(s3, "get_object", overtaken)

    with pytest.raises(Overtaken, match=PLACE.key):
        erase_object(s3, PLACE, "user_id", ["u-000000"])


def test_an_object_of_the_subject_alone_is_gone(s3: Any) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"user_id": ["u-1", "u-1"]}), sink)
    s3.put_object(Bucket=BUCKET, Key=PLACE.key, Body=sink.getvalue())

    erased = erase_object(s3, PLACE, "user_id", ["u-1"])

    assert erased.rows == 2
    assert list(versions(s3, BUCKET, PLACE.key)) == []
