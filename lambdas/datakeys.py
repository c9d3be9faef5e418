"""Data keys: wrapped by KMS, kept in DynamoDB, in clear only in a warm process and only for a while.

It needs boto3 alone, so that a function that makes somebody wait can use it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from botocore.exceptions import ClientError

from domain.privacy.keyring import PROTECTING, SIZES, DataKey, Keyring, KeyUnavailable

NEWEST, REVOKED = "(newest)", "revoked"
CANCELED = "TransactionCanceledException"
REFRESH_SECONDS = 300.0
"""After so long a process asks KMS and the table again, so that a revoked key seals and opens nothing after that."""


@dataclass(frozen=True, slots=True)
class DataKeys:
    """The table of data keys; `dynamodb` and `kms` are boto3's clients, `master` is the KMS key that wraps.

    An item a version, and one that says which is the newest: so a version that is lost is missed, and never made anew.
    """

    dynamodb: Any
    kms: Any
    table: str
    master: str

    def ring(self, purposes: Iterable[str] = tuple(SIZES), *, make: bool = False) -> Keyring:
        """Open the keys of some purposes; raise KeyUnavailable if the newest of one is missing or revoked.

        With `make`, a key is made for a purpose that never had one; without, such a purpose is left out.
        """
        return Keyring.of(key for purpose in purposes for key in self._opened(purpose, make=make))

    def rotate(self, purpose: str) -> int:
        """Make the next version, which seals from now on; the older ones still open.  Return its number."""
        items = self._items(purpose)
        version = int(items[NEWEST]["version"]["N"]) + 1 if items else 1
        self._make(purpose, version)
        return version

    def revoke(self, purpose: str, version: int) -> None:
        """Let a version seal and open nothing more; what it sealed can be read again once the mark is taken off."""
        self.dynamodb.update_item(
            TableName=self.table,
            Key=_key(purpose, version),
            UpdateExpression="SET revoked = :moment",
            ConditionExpression="attribute_exists(purpose)",
            ExpressionAttributeValues={":moment": {"S": now()}},
        )

    def _opened(self, purpose: str, *, make: bool) -> list[DataKey]:
        items = self._items(purpose)
        if not items:
            if not make:
                return []
            self._make(purpose, 1)
            items = self._items(purpose)
        newest = str(items.pop(NEWEST)["version"]["N"]) if NEWEST in items else "?"
        usable = {name: item for name, item in items.items() if REVOKED not in item}
        if _named(newest) not in usable:
            raise KeyUnavailable(
                f"version {newest} of the key for {purpose} is missing or revoked in {self.table}; "
                "restore it from the table's backup or take its mark off: until then nothing is written"
            )
        return [self._unwrapped(purpose, item) for item in usable.values()]

    def _items(self, purpose: str) -> dict[str, dict[str, Any]]:
        pages = self.dynamodb.get_paginator("query").paginate(
            TableName=self.table,
            KeyConditionExpression="purpose = :purpose",
            ExpressionAttributeValues={":purpose": {"S": purpose}},
            ConsistentRead=True,
        )
        return {item["item"]["S"]: item for page in pages for item in page["Items"]}

    def _unwrapped(self, purpose: str, item: Mapping[str, Any]) -> DataKey:
        version = int(item["version"]["N"])
        try:
            opened = self.kms.decrypt(
                KeyId=self.master, CiphertextBlob=item["wrapped"]["B"], EncryptionContext=_context(purpose, version)
            )
        except ClientError as error:
            raise KeyUnavailable(
                f"KMS does not open version {version} of the key for {purpose}: {error}; enable "
                f"{self.master}, or let this role use it"
            ) from error
        return DataKey(purpose, version, bytes(opened["Plaintext"]))

    def _make(self, purpose: str, version: int) -> None:
        """Make a version unless somebody else makes it at the same time: then theirs stands."""
        made = self.kms.generate_data_key_without_plaintext(
            KeyId=self.master, NumberOfBytes=SIZES[purpose], EncryptionContext=_context(purpose, version)
        )
        number = {"N": str(version)}
        new = {
            **_key(purpose, version),
            "version": number,
            "wrapped": {"B": made["CiphertextBlob"]},
            "made": {"S": now()},
        }
        newest = {"purpose": {"S": purpose}, "item": {"S": NEWEST}, "version": number}
        before = "attribute_not_exists(purpose)" if version == 1 else "version = :before"
        values = {} if version == 1 else {"ExpressionAttributeValues": {":before": {"N": str(version - 1)}}}
        puts = [
            {"Put": {"TableName": self.table, "Item": new, "ConditionExpression": "attribute_not_exists(purpose)"}},
            {"Put": {"TableName": self.table, "Item": newest, "ConditionExpression": before, **values}},
        ]
        all_or_none(self.dynamodb, puts)


@dataclass(slots=True)
class HeldKeys:
    """Keys of some purposes as a warm process holds them, none older than REFRESH_SECONDS; `makes` what never was."""

    data: DataKeys
    purposes: Sequence[str] = PROTECTING
    makes: bool = False
    clock: Callable[[], float] = time.monotonic
    _ring: Keyring | None = None
    _opened_at: float = 0.0

    def ring(self) -> Keyring:
        """Give the keys, and ask again for those that are too old."""
        if self._ring is None or self.clock() - self._opened_at > REFRESH_SECONDS:
            self._ring = None  # if the keys cannot be had now, those of before serve no more
            self._ring = self.data.ring(self.purposes, make=self.makes)
            self._opened_at = self.clock()
        return self._ring


def _key(purpose: str, version: int) -> dict[str, Any]:
    return {"purpose": {"S": purpose}, "item": {"S": _named(version)}}


def _named(version: int | str) -> str:
    return f"version {version}"


def _context(purpose: str, version: int) -> dict[str, str]:
    """Bind a wrapped key to what it is for: swapped with another, KMS does not open it."""
    return {"application": "rivermill", "purpose": purpose, "version": str(version)}


def all_or_none(dynamodb: Any, puts: Sequence[Mapping[str, Any]]) -> bool:
    """Write items together; tell whether they were written, which they are not if a condition does not hold."""
    try:
        dynamodb.transact_write_items(TransactItems=list(puts))
    except ClientError as error:
        if error.response["Error"]["Code"] != CANCELED:
            raise
        return False
    return True


def now() -> str:
    """Write the moment."""
    return datetime.now(timezone.utc).isoformat()
