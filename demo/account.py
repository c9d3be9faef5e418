"""Sum the receipts: what consumers were handed and what became of it."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Account:
    """The sum of all receipts seen so far."""

    received: int = 0
    duplicates: int = 0
    landed: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)
    files: int = 0
    bytes: int = 0
    late: int = 0
    seen: set[str] = field(default_factory=set)

    @property
    def settled(self) -> int:
        """How many different records of the stream have landed or are quarantined."""
        return self.landed.total() + self.quarantined.total()

    @property
    def balanced(self) -> bool:
        """Whether everything received landed, is quarantined or was a duplicate delivery."""
        return self.received == self.settled + self.duplicates

    def update(self, s3: Any, bucket: str) -> None:
        """Add the receipts that were not there before."""
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="receipts/")
        keys = [item["Key"] for page in pages for item in page.get("Contents", ()) if item["Key"] not in self.seen]
        with ThreadPoolExecutor(4) as pool:
            for receipt in pool.map(lambda key: json.load(s3.get_object(Bucket=bucket, Key=key)["Body"]), keys):
                self.add(receipt)
        self.seen.update(keys)

    def add(self, receipt: dict[str, Any]) -> None:
        """Add one receipt."""
        self.received += receipt["received"]
        self.duplicates += receipt["duplicates"]
        self.landed.update(receipt["landed"])
        self.quarantined.update(receipt["quarantined"])
        self.files += len(receipt["files"])
        self.bytes += sum(file["bytes"] for file in receipt["files"])
        self.late += sum(file["late"] for file in receipt["files"])
