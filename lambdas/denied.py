"""The deny-list as a consumer sees it: read whole once, and from then on only what is new."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from domain.privacy.erasures import CONTEXT, DENIED, KEY, Denied

if TYPE_CHECKING:
    from domain.ingest.batch import Sorted

OVERLAP = timedelta(minutes=5)
"""Clocks of those who write the list may differ by so much; what was read of that time is read again."""

FRESH_SECONDS = 5.0
"""What was read of the list serves for so long, half of what an erasure waits before it looks at what landed.

A process that was idle for longer may have missed a whole erasure, and nobody would look for the files that it writes.
"""


@dataclass(slots=True)
class DenyList:
    """Remembers the deny-list in a warm process; `dynamodb` and `kms` are boto3's clients."""

    dynamodb: Any
    kms: Any
    table: str
    denied: Denied = field(default_factory=lambda: Denied(b""))
    read_to: str = ""
    clock: Callable[[], float] = time.monotonic
    looked_at: float | None = None

    def admit(self, batch: Sorted) -> Sorted:
        """Take the denied out of a batch, by the list as it was a few seconds ago at most."""
        if self.looked_at is None or self.clock() - self.looked_at > FRESH_SECONDS:
            self.has_news()
        from domain.privacy.denial import admitted  # noqa: PLC0415  # Arrow, which those who only look do without

        return admitted(batch, self.denied)

    def has_news(self) -> bool:
        """Look anew; tell whether anybody was denied since the last look."""
        self.looked_at, moments, new = self.clock(), "", set()
        for moment, digest in self._since():
            moments = max(moments, moment)
            new.add(digest)
        new -= set(self.denied.digests)
        self.read_to = max(self.read_to, moments)
        if new:
            self.denied = Denied(self.denied.key or self._key(), frozenset(self.denied.digests) | new)
        return bool(new)

    def _since(self) -> Iterator[tuple[str, str]]:
        since = (datetime.fromisoformat(self.read_to) - OVERLAP).isoformat() if self.read_to else "0"
        pages = self.dynamodb.get_paginator("query").paginate(
            TableName=self.table,
            KeyConditionExpression="#s = :denied AND #i >= :since",
            ExpressionAttributeNames={"#s": "subject", "#i": "item"},
            ExpressionAttributeValues={":denied": {"S": DENIED}, ":since": {"S": since}},
            ConsistentRead=True,
        )
        for page in pages:
            for item in page["Items"]:
                moment, _, digest = item["item"]["S"].rpartition("/")
                yield moment, digest

    def _key(self) -> bytes:
        key = {"subject": {"S": KEY}, "item": {"S": "digests"}}
        wrapped = self.dynamodb.get_item(TableName=self.table, Key=key, ConsistentRead=True)["Item"]["wrapped"]["B"]
        return bytes(self.kms.decrypt(CiphertextBlob=wrapped, EncryptionContext=CONTEXT)["Plaintext"])
