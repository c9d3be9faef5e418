"""Read every byte that is left in the bucket, and delete what nobody needs in which somebody erased still stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from pyiceberg.catalog import Catalog

from domain.ingest.commits import position
from domain.ingest.landing import ROOT as LANDING
from domain.ingest.receipts import read_receipt, receipt_key
from domain.privacy import residue
from lambdas.privacy.held import DATABASES, SUBJECTS
from lambdas.privacy.objects import Place, Version, read, remove
from lambdas.privacy.purge import keys, reachable

PAGE = 200
READERS = 8
MODELS = "models/"
COLUMNS = frozenset(SUBJECTS.values())
REMOVED, LIVE, BLOCKED = "removed", "live", "blocked"


@dataclass(slots=True)
class Swept:
    """What a sweep read, and where it found somebody: what it removed, what is in use, what it may not touch."""

    versions: int = 0
    bytes: int = 0
    removed: list[str] = field(default_factory=list)
    live: list[str] = field(default_factory=list)
    blocked: list[str] = field(default_factory=list)

    def add(self, fate: str | None, version: Version) -> None:
        """Count a version of an object."""
        self.versions += 1
        self.bytes += version.bytes
        if fate:
            getattr(self, fate).append(version.key)

    def said(self) -> dict[str, Any]:
        """Say it in JSON."""
        return asdict(self)


def total(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Add up the parts of one sweep."""
    return {
        "versions": sum(part["versions"] for part in parts),
        "bytes": sum(part["bytes"] for part in parts),
        **{fate: sorted({key for part in parts for key in part[fate]}) for fate in (REMOVED, LIVE, BLOCKED)},
    }


@dataclass
class Sweep:
    """Reads a bucket for some spellings of people; `s3` is boto3's client.

    What is too `common` a word to be looked for among bytes is looked for in columns of Parquet files that name people.
    """

    s3: Any
    catalog: Catalog
    bucket: str
    wanted: Sequence[str]
    common: Sequence[str] = ()

    def run(self, after: Mapping[str, str], has_time: Callable[[], bool]) -> tuple[Swept, dict[str, str]]:
        """Read on after a place, all that there is time for; return what was found, and where to go on."""
        swept = Swept()
        while True:
            page = self.s3.list_object_versions(Bucket=self.bucket, MaxKeys=PAGE, **after)
            some = [version for version in versions(page) if not version.marker]
            with ThreadPoolExecutor(READERS) as pool:
                for version, fate in zip(some, pool.map(self.judge, some), strict=True):
                    swept.add(fate, version)
            if not page["IsTruncated"]:
                return swept, {}
            after = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}
            if not has_time():
                return swept, after

    def judge(self, version: Version) -> str | None:
        """Say what becomes of a version: nothing if nobody stands in it."""
        body = self.body(version)
        if body is None or not self.holds(version.key, body):
            return None
        if version.latest and (version.key in self.in_use or self.is_pending(version.key)):
            return LIVE
        if version.key.startswith(MODELS):
            return BLOCKED
        remove(self.s3, self.bucket, [version])
        return REMOVED

    def holds(self, key: str, body: bytes) -> bool:
        """Tell whether somebody stands in an object or in its name."""
        if residue.found(body, self.wanted) or residue.found(key.encode(), self.wanted):
            return True
        return bool(self.common and residue.named(body, COLUMNS, self.common))

    def body(self, version: Version) -> bytes | None:
        """Read a version; None if it is gone since it was listed."""
        try:
            answer = self.s3.get_object(Bucket=self.bucket, Key=version.key, VersionId=version.id)
        except self.s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchVersion"):
                return None
            raise
        return answer["Body"].read()  # type: ignore[no-any-return]

    @cached_property
    def in_use(self) -> set[str]:
        """Name the files of the tables as they are."""
        tables = (
            self.catalog.load_table(name) for database in DATABASES for name in self.catalog.list_tables(database)
        )
        return {
            key
            for table in tables
            for key in keys(reachable(table, [table.metadata], whole=False) | {table.metadata_location})
        }

    def is_pending(self, key: str) -> bool:
        """Tell whether a landed file waits for the committer: it must be registered before it can be rewritten."""
        if not key.startswith(LANDING):
            return False
        _, table, stream, shard, name = key.split("/")
        follows = int(name.partition("-")[0])
        try:
            receipt = read_receipt(read(self.s3, Place(self.bucket, receipt_key(stream, shard, follows))))
        except self.s3.exceptions.NoSuchKey:
            return False
        reached = position(self.catalog.load_table(f"raw.{table}").properties, stream, shard)
        return reached <= follows and any(file.key == key for file in receipt.files)


def versions(page: Mapping[str, Any]) -> list[Version]:
    """Read a page of the versions of objects; their markers hold no byte."""
    return [
        Version(item["Key"], item["VersionId"], item["IsLatest"], False, item["LastModified"], item["Size"])
        for item in page.get("Versions", ())
    ]
