"""Keys that protect fields: wrapped by KMS, kept in DynamoDB, in clear only in a warm process and only for a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Protocol

from botocore.exceptions import ClientError

from domain.privacy import sealing
from domain.privacy.keyring import SIZES, DataKey, Keyring, KeyUnavailable, SubjectKey

NEWEST, REVOKED, OWN = "(newest)", "revoked", "key"
CANCELED = "TransactionCanceledException"
ITEMS = 100
"""Items of a BatchGetItem, and actions of a TransactWriteItems, at most."""

READERS = 8
REFRESH_SECONDS = 300.0
"""After so long a process asks KMS and the table again, so that a revoked key seals and opens nothing after that."""

MOST_SUBJECTS = 200_000
"""Subjects' keys that a process remembers at once, at about 300 bytes each."""


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
            ExpressionAttributeValues={":moment": {"S": _now()}},
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
            "made": {"S": _now()},
        }
        newest = {"purpose": {"S": purpose}, "item": {"S": NEWEST}, "version": number}
        before = "attribute_not_exists(purpose)" if version == 1 else "version = :before"
        values = {} if version == 1 else {"ExpressionAttributeValues": {":before": {"N": str(version - 1)}}}
        puts = [
            {"Put": {"TableName": self.table, "Item": new, "ConditionExpression": "attribute_not_exists(purpose)"}},
            {"Put": {"TableName": self.table, "Item": newest, "ConditionExpression": before, **values}},
        ]
        _all_or_none(self.dynamodb, puts)


@dataclass(frozen=True, slots=True)
class SubjectKeys:
    """The table of subjects' own keys; subjects are named by their tokens, and their keys wrapped by the ring's."""

    dynamodb: Any
    table: str

    def of(self, subjects: Sequence[str], ring: Keyring) -> dict[str, SubjectKey]:
        """Give each subject's key, and make one for those who have none; whoever is first has made it."""
        once = list(dict.fromkeys(subjects))
        some = [once[start : start + ITEMS] for start in range(0, len(once), ITEMS)]
        with ThreadPoolExecutor(READERS) as readers:
            found = list(readers.map(lambda each: self._some(each, ring), some))
        return {subject: key for each in found for subject, key in each.items()}

    def find(self, subject: str, id: bytes, ring: Keyring) -> SubjectKey | None:
        """Find the key that sealed something of a subject; none once the subject was forgotten."""
        for item in (OWN, f"{OWN}/{id.hex()}"):
            answer = self.dynamodb.get_item(TableName=self.table, Key=_own(subject, item), ConsistentRead=True)
            if (kept := answer.get("Item")) and kept["id"]["B"] == id:
                return sealing.unwrapped(kept["wrapped"]["S"], id, ring, subject)
        return None

    def _some(self, subjects: list[str], ring: Keyring) -> dict[str, SubjectKey]:
        found = self._known(subjects, ring)
        while new := [subject for subject in subjects if subject not in found]:
            made = {subject: sealing.new_subject_key() for subject in new}
            if self._keep(made, ring):
                return found | made
            found |= self._known(new, ring)  # another has made some of them meanwhile
        return found

    def _known(self, subjects: Sequence[str], ring: Keyring) -> dict[str, SubjectKey]:
        wanted = {self.table: {"Keys": [_own(subject, OWN) for subject in subjects], "ConsistentRead": True}}
        found: dict[str, SubjectKey] = {}
        while wanted:
            answer = self.dynamodb.batch_get_item(RequestItems=wanted)
            for item in answer["Responses"].get(self.table, ()):
                subject, id = item["subject"]["S"], bytes(item["id"]["B"])
                found[subject] = sealing.unwrapped(item["wrapped"]["S"], id, ring, subject)
            wanted = answer.get("UnprocessedKeys", {})
        return found

    def _keep(self, made: Mapping[str, SubjectKey], ring: Keyring) -> bool:
        puts = [
            {
                "Put": {
                    "TableName": self.table,
                    "Item": _own(subject, OWN)
                    | {
                        "id": {"B": key.id},
                        "wrapped": {"S": sealing.wrapped(key, ring, subject)},
                        "made": {"S": _now()},
                    },
                    "ConditionExpression": "attribute_not_exists(subject)",
                }
            }
            for subject, key in made.items()
        ]
        return _all_or_none(self.dynamodb, puts)


@dataclass(slots=True)
class Warm:
    """Keys as a warm process remembers them; after a while it forgets them and asks again; `makes` what never was."""

    data: DataKeys
    subjects: SubjectKeys
    makes: bool = False
    clock: Callable[[], float] = time.monotonic
    _ring: Keyring | None = None
    _opened_at: float = 0.0
    _own: dict[str, SubjectKey] = field(default_factory=dict)

    def ring(self) -> Keyring:
        """Give the keys of all purposes, none older than REFRESH_SECONDS."""
        if self._ring is None or self.clock() - self._opened_at > REFRESH_SECONDS:
            self._ring = None  # if the keys cannot be had now, those of before serve no more
            self._own.clear()
            self._ring = self.data.ring(make=self.makes)
            self._opened_at = self.clock()
        return self._ring

    def keys_of(self, subjects: Sequence[str]) -> Mapping[str, SubjectKey]:
        """Give subjects' own keys."""
        ring = self.ring()
        if len(self._own) > MOST_SUBJECTS:
            self._own.clear()
        if new := [subject for subject in subjects if subject not in self._own]:
            self._own.update(self.subjects.of(new, ring))
        return self._own


class Where(Protocol):
    """The settings of a function that uses keys: two tables, and the KMS key that wraps."""

    @property
    def keys(self) -> str:
        """Name the table of data keys."""

    @property
    def subjects(self) -> str:
        """Name the table of subjects' keys."""

    @property
    def privacy_key(self) -> str:
        """Name the KMS key that wraps."""


def warm(dynamodb: Any, kms: Any, where: Where, *, makes: bool = False) -> Warm:
    """Open the keys where a function's settings say; nothing is asked yet.  Who protects fields `makes` the first."""
    return Warm(DataKeys(dynamodb, kms, where.keys, where.privacy_key), SubjectKeys(dynamodb, where.subjects), makes)


def _key(purpose: str, version: int) -> dict[str, Any]:
    return {"purpose": {"S": purpose}, "item": {"S": _named(version)}}


def _named(version: int | str) -> str:
    return f"version {version}"


def _own(subject: str, item: str) -> dict[str, Any]:
    return {"subject": {"S": subject}, "item": {"S": item}}


def _context(purpose: str, version: int) -> dict[str, str]:
    """Bind a wrapped key to what it is for: swapped with another, KMS does not open it."""
    return {"application": "rivermill", "purpose": purpose, "version": str(version)}


def _all_or_none(dynamodb: Any, puts: Sequence[Mapping[str, Any]]) -> bool:
    """Write items together; tell whether they were written, which they are not if a condition does not hold."""
    try:
        dynamodb.transact_write_items(TransactItems=list(puts))
    except ClientError as error:
        if error.response["Error"]["Code"] != CANCELED:
            raise
        return False
    return True


def _now() -> str:
    return datetime.now(timezone.utc).isoformat()
