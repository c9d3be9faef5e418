"""The lake's bucket, as landing and committing see it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

TAKEN = "PreconditionFailed"
CONFLICT = "ConditionalRequestConflict"  # S3 answers so while another conditional write of the key is under way


@dataclass(frozen=True, slots=True)
class Bucket:
    """Reads and writes the objects of one bucket; `client` is boto3's S3 client."""

    client: Any
    name: str

    def get(self, key: str) -> bytes:
        """Read an object."""
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()  # type: ignore[no-any-return]

    def find(self, key: str) -> bytes | None:
        """Read an object, if it exists."""
        try:
            return self.get(key)
        except self.client.exceptions.NoSuchKey:
            return None

    def tail(self, key: str, size: int) -> bytes | None:
        """Read the last bytes of an object, if it exists."""
        try:
            answer = self.client.get_object(Bucket=self.name, Key=key, Range=f"bytes=-{size}")
        except self.client.exceptions.NoSuchKey:
            return None
        return answer["Body"].read()  # type: ignore[no-any-return]

    def put(self, key: str, body: bytes) -> None:
        """Write an object."""
        self.client.put_object(Bucket=self.name, Key=key, Body=body)

    def put_if_absent(self, key: str, body: bytes) -> bool:
        """Write an object unless the key is taken; tell whether it was written."""
        while True:
            try:
                self.client.put_object(Bucket=self.name, Key=key, Body=body, IfNoneMatch="*")
            except ClientError as error:
                if error.response["Error"]["Code"] == TAKEN:
                    return False
                if error.response["Error"]["Code"] != CONFLICT:
                    raise
            else:
                return True

    def delete(self, keys: list[str]) -> None:
        """Remove objects, a thousand a request at most (S3's limit)."""
        for start in range(0, len(keys), 1000):
            some = [{"Key": key} for key in keys[start : start + 1000]]
            self.client.delete_objects(Bucket=self.name, Delete={"Objects": some, "Quiet": True})

    def first_key(self, prefix: str) -> str | None:
        """Find the first key with the prefix, in text order."""
        answer = self.client.list_objects_v2(Bucket=self.name, Prefix=prefix, MaxKeys=1)
        return next((item["Key"] for item in answer.get("Contents", ())), None)

    def keys(self, prefix: str) -> Iterator[str]:
        """List the keys with the prefix, in text order, page by page as they are asked for."""
        return (key for key, _ in self.objects(prefix))

    def objects(self, prefix: str) -> Iterator[tuple[str, datetime]]:
        """List the objects with the prefix with the time of their last write."""
        for page in self.pages(Prefix=prefix):
            for item in page.get("Contents", ()):
                yield item["Key"], item["LastModified"]

    def folders(self, prefix: str) -> list[str]:
        """List what comes after the prefix up to the next slash."""
        return [
            item["Prefix"]
            for page in self.pages(Prefix=prefix, Delimiter="/")
            for item in page.get("CommonPrefixes", ())
        ]

    def pages(self, **where: str) -> Iterator[dict[str, Any]]:
        """List page by page."""
        yield from self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, **where)
