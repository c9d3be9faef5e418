"""Objects of S3 by the names that Iceberg gives them, and every version of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Place:
    """Where an object is."""

    bucket: str
    key: str

    @classmethod
    def of(cls, url: str) -> Place:
        """Read a URL as Iceberg writes it.

        >>> Place.of("s3://lake/raw/search/a.parquet")
        Place(bucket='lake', key='raw/search/a.parquet')
        """
        _, _, rest = url.partition("://")
        bucket, _, key = rest.partition("/")
        return cls(bucket, key)


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an object, or the marker that says that it was deleted."""

    key: str
    id: str
    latest: bool
    marker: bool
    written: datetime
    bytes: int


def read(s3: Any, place: Place) -> bytes:
    """Read an object."""
    return s3.get_object(Bucket=place.bucket, Key=place.key)["Body"].read()  # type: ignore[no-any-return]


def write(s3: Any, place: Place, body: bytes) -> None:
    """Write an object whose key nobody has taken."""
    s3.put_object(Bucket=place.bucket, Key=place.key, Body=body, IfNoneMatch="*")


def versions(s3: Any, bucket: str, prefix: str) -> Iterator[Version]:
    """List every version of the objects below a prefix; without versioning each object has one, named null."""
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        for kind in ("Versions", "DeleteMarkers"):
            for item in page.get(kind, ()):
                yield Version(
                    item["Key"],
                    item["VersionId"],
                    item["IsLatest"],
                    kind == "DeleteMarkers",
                    item["LastModified"],
                    item.get("Size", 0),
                )


class NotRemoved(RuntimeError):
    """S3 refused to delete some versions, as it does when they are locked."""


def remove(s3: Any, bucket: str, some: Iterable[Version]) -> None:
    """Delete versions for good, a thousand a request at most (S3's limit)."""
    named = [{"Key": one.key, "VersionId": one.id} for one in some]
    for start in range(0, len(named), 1000):
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": named[start : start + 1000], "Quiet": True})
        if refused := answer.get("Errors"):
            first = refused[0]
            raise NotRemoved(f"key: {first['Key']}: {first['Code']}; {len(refused)} versions are kept; lift their lock")
