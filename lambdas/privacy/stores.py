"""Forget people in the stores that are no tables of the lake: keys of their own, and decisions of experiments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

ITEMS_A_REQUEST = 25  # BatchWriteItem


@dataclass(frozen=True, slots=True)
class KeyValues:
    """A DynamoDB table whose partition key is a person; `client` is boto3's."""

    client: Any
    table: str
    keys: tuple[str, ...]

    def forget(self, people: Sequence[str]) -> int:
        """Delete every item of some people; return how many there were."""
        found = [key for person in people for key in self._of(person)]
        for start in range(0, len(found), ITEMS_A_REQUEST):
            requests = [{"DeleteRequest": {"Key": key}} for key in found[start : start + ITEMS_A_REQUEST]]
            self._write(requests)
        return len(found)

    def _write(self, requests: list[dict[str, Any]]) -> None:
        while requests:
            answer = self.client.batch_write_item(RequestItems={self.table: requests})
            requests = answer.get("UnprocessedItems", {}).get(self.table, [])

    def _of(self, person: str) -> Iterator[dict[str, Any]]:
        names = {f"#{place}": name for place, name in enumerate(self.keys)}
        pages = self.client.get_paginator("query").paginate(
            TableName=self.table,
            KeyConditionExpression="#0 = :person",
            ExpressionAttributeNames=names,
            ExpressionAttributeValues={":person": {"S": person}},
            ProjectionExpression=", ".join(names),
            ConsistentRead=True,
        )
        for page in pages:
            yield from page["Items"]
