"""S3 and Glue in memory, as far as ingestion asks for them: fast enough for hundreds of seeds.

The same seeds run against the laptop cloud's S3 and Glue (`Sky.laptop` in `sky.py`), and must come out the same.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

PAGE = 5
"""Keys of a page: few, so that others write between two pages."""


def error(code: str, operation: str, status: int = 400) -> ClientError:
    """Make out an AWS error."""
    answer = {"Error": {"Code": code, "Message": "asked for"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, operation)


class NoSuchKey(ClientError):  # type: ignore[misc]
    """S3 has no such object."""


class EntityNotFoundException(ClientError):  # type: ignore[misc]
    """Glue has no such table."""


class ConcurrentModificationException(ClientError):  # type: ignore[misc]
    """Glue's table is at another version."""


class AlreadyExistsException(ClientError):  # type: ignore[misc]
    """Glue has such a table."""


def raised(kind: type[ClientError], operation: str) -> ClientError:
    """Make out an error of a kind."""
    return kind({"Error": {"Code": kind.__name__, "Message": "asked for"}}, operation)


class S3:
    """One bucket: strongly consistent, listed in the order of UTF-8, conditional writes (S3 User Guide)."""

    class exceptions:
        NoSuchKey = NoSuchKey

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.objects: dict[str, tuple[bytes, datetime]] = {}
        self._now = now

    def put_object(self, *, Bucket: str, Key: str, Body: bytes, IfNoneMatch: str | None = None) -> dict[str, Any]:
        if IfNoneMatch == "*" and Key in self.objects:
            raise error("PreconditionFailed", "PutObject", 412)
        self.objects[Key] = (bytes(Body), self._now())
        return {}

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        if Key not in self.objects:
            raise raised(NoSuchKey, "GetObject")
        return {"Body": io.BytesIO(self.objects[Key][0])}

    def head_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        if Key not in self.objects:
            raise error("404", "HeadObject", 404)
        return {"ContentLength": len(self.objects[Key][0])}

    def list_objects_v2(
        self,
        *,
        Bucket: str,
        Prefix: str = "",
        MaxKeys: int = PAGE,
        Delimiter: str = "",
        ContinuationToken: str = "",
    ) -> dict[str, Any]:
        found: dict[str, dict[str, Any]] = {}
        for key in sorted(self.objects, key=str.encode):
            if not key.startswith(Prefix):
                continue
            end = key.find(Delimiter, len(Prefix)) if Delimiter else -1
            name = key if end < 0 else key[: end + len(Delimiter)]
            if name > ContinuationToken:
                found[name] = {"Prefix": name} if end >= 0 else {"Key": name, "LastModified": self.objects[name][1]}
        page = list(found.items())[:MaxKeys]
        answer: dict[str, Any] = {"Contents": [item for _, item in page if "Key" in item]}
        answer["CommonPrefixes"] = [item for _, item in page if "Prefix" in item]
        if len(found) > len(page):
            answer["NextContinuationToken"] = page[-1][0]
        return answer

    def delete_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:
        self.objects.pop(Key, None)
        return {}


class Glue:
    """A catalogue with the lock that VersionId is (Glue API Reference, UpdateTable)."""

    class exceptions:
        EntityNotFoundException = EntityNotFoundException
        ConcurrentModificationException = ConcurrentModificationException
        AlreadyExistsException = AlreadyExistsException

    def __init__(self) -> None:
        self.tables: dict[tuple[str, str], dict[str, Any]] = {}

    def get_database(self, *, Name: str) -> dict[str, Any]:
        return {"Database": {"Name": Name}}

    def create_table(self, *, DatabaseName: str, TableInput: dict[str, Any]) -> dict[str, Any]:
        name = (DatabaseName, TableInput["Name"])
        if name in self.tables:
            raise raised(AlreadyExistsException, "CreateTable")
        self.tables[name] = copy.deepcopy({**TableInput, "DatabaseName": DatabaseName, "VersionId": "0"})
        return {}

    def get_table(self, *, DatabaseName: str, Name: str) -> dict[str, Any]:
        if (DatabaseName, Name) not in self.tables:
            raise raised(EntityNotFoundException, "GetTable")
        return {"Table": copy.deepcopy(self.tables[DatabaseName, Name])}  # callers change what they were given

    def update_table(
        self,
        *,
        DatabaseName: str,
        TableInput: dict[str, Any],
        VersionId: str | None = None,
        SkipArchive: bool = False,
    ) -> dict[str, Any]:
        current = self.get_table(DatabaseName=DatabaseName, Name=TableInput["Name"])["Table"]
        if VersionId is not None and VersionId != current["VersionId"]:
            raise raised(ConcurrentModificationException, "UpdateTable")
        version = str(int(current["VersionId"]) + 1)
        changed = {**TableInput, "DatabaseName": DatabaseName, "VersionId": version}
        self.tables[DatabaseName, TableInput["Name"]] = copy.deepcopy(changed)
        return {}


def pages(client: Any, where: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """List page by page, each a call of its own."""
    more: dict[str, Any] = {}
    while True:
        page = client.list_objects_v2(**where, **more)
        yield page
        if not page.get("NextContinuationToken"):
            return
        more = {"ContinuationToken": page["NextContinuationToken"]}
