"""S3 as boto3 sees it: ranges, conditional writes, policies and both ways to address a bucket."""

from __future__ import annotations

import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlparse

import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from local import objects
from local.cloud import Cloud

CONTENT = bytes(range(256)) * 200  # large enough to rest on disk


@pytest.fixture(scope="module")
def bucket(cloud: Cloud) -> str:
    cloud.client("s3").create_bucket(Bucket="test-objects")
    cloud.client("s3").put_object(Bucket="test-objects", Key="content", Body=CONTENT)
    return "test-objects"


@settings(max_examples=30, deadline=None)
@given(first=st.integers(0, len(CONTENT) - 1), length=st.integers(1, len(CONTENT) * 2))
def test_a_range_is_a_slice(cloud: Cloud, bucket: str, first: int, length: int) -> None:
    asked = f"bytes={first}-{first + length - 1}"
    answer = cloud.client("s3").get_object(Bucket=bucket, Key="content", Range=asked)

    assert answer["Body"].read() == CONTENT[first : first + length]
    assert answer["ContentRange"].endswith(f"/{len(CONTENT)}")


def test_the_last_bytes_can_be_asked_for(cloud: Cloud, bucket: str) -> None:
    answer = cloud.client("s3").get_object(Bucket=bucket, Key="content", Range="bytes=-8")

    assert answer["Body"].read() == CONTENT[-8:]


def test_a_range_past_the_end_is_refused(cloud: Cloud, bucket: str) -> None:
    with pytest.raises(ClientError, match="InvalidRange"):
        cloud.client("s3").get_object(Bucket=bucket, Key="content", Range=f"bytes={len(CONTENT)}-")


@pytest.mark.parametrize("attempt", range(4))
def test_one_of_many_first_writers_wins(cloud: Cloud, bucket: str, attempt: int) -> None:
    def write(number: int) -> bool:
        # large, so that moto lets others run between its check and its write
        body = bytes([number]) * 1_000_000
        try:
            cloud.client("s3").put_object(Bucket=bucket, Key=f"receipt-{attempt}", Body=body, IfNoneMatch="*")
        except ClientError as refused:
            assert refused.response["ResponseMetadata"]["HTTPStatusCode"] == 412
            return False
        return True

    with ThreadPoolExecutor(16) as writers:
        assert sum(writers.map(write, range(16))) == 1


def begun(cloud: Cloud, bucket: str, key: str) -> dict[str, str]:
    """Begin to write an object of parts, and name it as later calls do."""
    where = {"Bucket": bucket, "Key": key}
    return {**where, "UploadId": cloud.client("s3").create_multipart_upload(**where)["UploadId"]}


def test_a_part_is_copied_only_of_the_object_that_is_meant(cloud: Cloud, bucket: str) -> None:
    s3, upload = cloud.client("s3"), begun(cloud, bucket, "copied")
    etag = s3.head_object(Bucket=bucket, Key="content")["ETag"]
    asked = {**upload, "PartNumber": 1, "CopySource": f"{bucket}/content", "CopySourceRange": "bytes=5-9"}

    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.upload_part_copy(**asked, CopySourceIfMatch='"0"')
    part = s3.upload_part_copy(**asked, CopySourceIfMatch=etag)["CopyPartResult"]
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    assert s3.get_object(Bucket=bucket, Key="copied")["Body"].read() == CONTENT[5:10]


def test_an_upload_is_completed_only_over_the_object_that_is_meant(cloud: Cloud, bucket: str) -> None:
    s3 = cloud.client("s3")
    old = s3.put_object(Bucket=bucket, Key="over", Body=b"old")["ETag"]
    upload = begun(cloud, bucket, "over")
    part = s3.upload_part(**upload, PartNumber=1, Body=b"new")
    made = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}

    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.complete_multipart_upload(**upload, MultipartUpload=made, IfMatch='"0"')
    assert s3.get_object(Bucket=bucket, Key="over")["Body"].read() == b"old"
    s3.complete_multipart_upload(**upload, MultipartUpload=made, IfMatch=old)
    assert s3.get_object(Bucket=bucket, Key="over")["Body"].read() == b"new"


def test_a_policy_that_asks_for_tls_does_not_lock_the_laptop_out(cloud: Cloud, bucket: str) -> None:
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{bucket}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    cloud.client("s3").put_bucket_policy(Bucket=bucket, Policy=policy)
    cloud.client("s3").put_object(Bucket=bucket, Key="plain", Body=b"x")

    assert cloud.client("s3").get_object(Bucket=bucket, Key="plain")["Body"].read() == b"x"


def test_a_bucket_is_also_reached_by_its_own_host_name(cloud: Cloud, bucket: str) -> None:
    client = http.client.HTTPConnection("127.0.0.1", cloud.port)
    signed = urlparse(cloud.client("s3").generate_presigned_url("get_object", {"Bucket": bucket, "Key": "content"}))
    path = signed.path.removeprefix(f"/{bucket}")
    client.request("GET", f"{path}?{signed.query}", headers={"Host": f"{bucket}.localhost:{cloud.port}"})

    assert client.getresponse().read() == CONTENT


def test_bodies_rest_in_the_state_folder_until_deleted(cloud: Cloud, bucket: str) -> None:
    cloud.client("s3").put_object(Bucket=bucket, Key="brief", Body=CONTENT)
    held: Path = objects.file_of(cloud, bucket, "brief")

    assert held.parent == cloud.state / "objects"
    assert held.read_bytes() == CONTENT
    cloud.client("s3").delete_object(Bucket=bucket, Key="brief")
    assert not held.exists()


@settings(max_examples=20, deadline=None)
@given(names=st.sets(st.text("ab/<&é ", min_size=1, max_size=6), min_size=1, max_size=8), pages=st.integers(1, 3))
def test_a_listing_shows_every_key_once_in_order(cloud: Cloud, bucket: str, names: set[str], pages: int) -> None:
    keys = sorted(f"list/x{name}x" for name in names)
    client = cloud.client("s3")
    for key in keys:
        client.put_object(Bucket=bucket, Key=key, Body=b"content")
    listing = client.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix="list/", PaginationConfig={"PageSize": pages}
    )
    held = [(item["Key"], item["Size"]) for page in listing for item in page["Contents"]]
    client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})

    assert held == [(key, len(b"content")) for key in keys]


def test_a_listing_of_versions_shows_each_once_the_newest_first(cloud: Cloud) -> None:
    s3, name = cloud.client("s3"), "test-versions"
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    written = {key: [put(cloud, name, key, b"x" * n) for n in range(3)][::-1] for key in ("a/1", "a/2", "b&<c>")}
    marker = s3.delete_object(Bucket=name, Key="a/2")["VersionId"]
    everything = [(key, version) for key, some in written.items() for version in some]
    everything.insert(3, ("a/2", marker))

    for size in (1, 2, 1000):
        pages = s3.get_paginator("list_object_versions").paginate(Bucket=name, MaxKeys=size)
        shown = [one for page in pages for kind in ("Versions", "DeleteMarkers") for one in page.get(kind, ())]
        assert {(one["Key"], one["VersionId"]) for one in shown} == set(everything)
        assert len(shown) == len(everything)
        latest = {one["Key"]: one["VersionId"] for one in shown if one["IsLatest"]}
        assert latest == {key: some[0] for key, some in written.items()} | {"a/2": marker}
    below = s3.list_object_versions(Bucket=name, Prefix="b")
    assert [one["Size"] for one in below["Versions"]] == [2, 1, 0]
    assert [one["Key"] for one in below["Versions"]] == ["b&<c>"] * 3


def test_a_listing_goes_on_after_a_version_that_is_gone_meanwhile(cloud: Cloud) -> None:
    """Whoever deletes what it lists must see the rest."""
    s3, name = cloud.client("s3"), "test-versions-going"
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    for key in ("a", "b", "c"):
        put(cloud, name, key, b"x")
    first = s3.list_object_versions(Bucket=name, MaxKeys=1)
    s3.delete_object(Bucket=name, Key="a", VersionId=first["Versions"][0]["VersionId"])

    markers = {"KeyMarker": first["NextKeyMarker"], "VersionIdMarker": first["NextVersionIdMarker"]}
    rest = s3.list_object_versions(Bucket=name, **markers)

    assert [one["Key"] for one in rest["Versions"]] == ["b", "c"]


def put(cloud: Cloud, bucket: str, key: str, body: bytes) -> str:
    return str(cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=body)["VersionId"])


def test_a_listing_folds_folders(cloud: Cloud, bucket: str) -> None:
    for key in ("fold/a/1", "fold/a/2", "fold/b/1", "fold/c"):
        cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=b"")
    listed = cloud.client("s3").list_objects_v2(Bucket=bucket, Prefix="fold/", Delimiter="/")

    assert [folder["Prefix"] for folder in listed["CommonPrefixes"]] == ["fold/a/", "fold/b/"]
    assert [item["Key"] for item in listed["Contents"]] == ["fold/c"]
