"""Keys as a Spark job opens them: the ring of tokens, and subjects' own keys, which move with their tokens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from domain.privacy import sealing
from domain.privacy.keyring import DataKey, Keyring

PURPOSE = "purpose"
OWN = "key"


@dataclass(frozen=True, slots=True)
class Keys:
    """The tables of lambdas/keys.py, opened for a rotation; `dynamodb` and `kms` are boto3's clients."""

    dynamodb: Any
    kms: Any
    keys: str
    subjects: str

    def ring(self, *purposes: str) -> Keyring:
        """Open every version that is not revoked."""
        return Keyring.of(
            self._opened(purpose, item)
            for purpose in purposes
            for item in self._items(self.keys, PURPOSE, purpose)
            if "wrapped" in item and "revoked" not in item
        )

    def move(self, old: str, new: str, ring: Keyring) -> int:
        """Name a subject's keys by the newer token, so that they still open what they sealed; return how many.

        What is done twice is done once: a key is first there under the new name, then gone under the old.
        """
        moved = 0
        for item in self._items(self.subjects, "subject", old):
            id = bytes(item["id"]["B"])
            key = sealing.unwrapped(item["wrapped"]["S"], id, ring, old)
            named = {**item, "subject": {"S": new}, "item": {"S": f"{OWN}/{id.hex()}"}}
            self.dynamodb.put_item(
                TableName=self.subjects, Item=named | {"wrapped": {"S": sealing.wrapped(key, ring, new)}}
            )
            self.dynamodb.delete_item(TableName=self.subjects, Key={"subject": item["subject"], "item": item["item"]})
            moved += 1
        return moved

    def _opened(self, purpose: str, item: dict[str, Any]) -> DataKey:
        version = item["version"]["N"]
        context = {"application": "rivermill", "purpose": purpose, "version": version}
        opened = self.kms.decrypt(CiphertextBlob=item["wrapped"]["B"], EncryptionContext=context)
        return DataKey(purpose, int(version), bytes(opened["Plaintext"]))

    def _items(self, table: str, of: str, value: str) -> Iterator[dict[str, Any]]:
        pages = self.dynamodb.get_paginator("query").paginate(
            TableName=table,
            KeyConditionExpression="#of = :value",
            ExpressionAttributeNames={"#of": of},
            ExpressionAttributeValues={":value": {"S": value}},
            ConsistentRead=True,
        )
        for page in pages:
            yield from page["Items"]
