"""Follow the chain of receipts as a learner does: what came in of exposures and rewards, and where."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from domain.experiment.learning import Feedback
from domain.ingest.receipts import ROOT, START, DataFile, Receipt, followed, linked, read_receipt
from domain.tables import RAW

FIRST_LOOK = timedelta(days=2)
"""How far back a shard is read that was never read before; landed files stay where they are for longer."""

RECEIPTS_AT_ONCE = 200
TABLES = (RAW["exposure"].full_name, RAW["reward"].full_name)


Called = Callable[[pa.ChunkedArray], Sequence[str]]
"""Says of the users of rows what each is called among the decisions."""


def by_name(users: pa.ChunkedArray) -> Sequence[str]:
    """Call users what their rows call them."""
    return users.to_pylist()  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Receipts:
    """The lake's bucket, as far as a learner reads it; `client` is boto3's S3 client."""

    client: Any
    bucket: str
    called: Called = by_name

    def shards(self) -> list[str]:
        """List the shards, each as `<stream>/<shard>`."""
        return [shard for stream in self._folders(ROOT) for shard in self._folders(f"{ROOT}{stream}/", stream)]

    def after(self, shard: str, position: int | None, now: datetime) -> list[Receipt]:
        """Read a shard's receipts from a position on, the oldest of them first; prove that none is missing.

        A shard that was never read begins two days ago, before which nobody was given a decision that is still new.
        """
        if position is None:
            chosen = self._recent(shard, now)
            position = chosen[0].follows if chosen else START
        else:
            chosen = self._since(shard, position)
        return linked(position, chosen)

    def feedback(self, receipt: Receipt) -> tuple[list[Feedback], list[Feedback]]:
        """Read what a receipt's files hold: exposures and rewards, in the shard's order."""
        return tuple(self._rows(receipt, table) for table in TABLES)  # type: ignore[return-value]

    def _since(self, shard: str, position: int) -> list[Receipt]:
        keys = list(takewhile(lambda key: followed(key) >= position, self._keys(f"{ROOT}{shard}/")))
        return [self._receipt(key) for key in keys[::-1][:RECEIPTS_AT_ONCE]]

    def _recent(self, shard: str, now: datetime) -> list[Receipt]:
        found = map(self._receipt, self._keys(f"{ROOT}{shard}/"))
        return list(takewhile(lambda receipt: now - receipt.written_at < FIRST_LOOK, found))[::-1]

    def _rows(self, receipt: Receipt, table: str) -> list[Feedback]:
        return [row for file in receipt.files if file.table == table for row in self._file(file)]

    def _file(self, file: DataFile) -> Iterator[Feedback]:
        body = self.client.get_object(Bucket=self.bucket, Key=file.key)["Body"].read()
        rows = pq.read_table(pa.BufferReader(body))
        for unit, row in zip(self.called(rows["user_id"]), rows.to_pylist(), strict=True):
            yield Feedback(row["event_id"], unit, row["experiment"], row["arm"], row.get("value"))

    def _receipt(self, key: str) -> Receipt:
        return read_receipt(self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read())

    def _keys(self, prefix: str) -> Iterator[str]:
        for page in self._pages(Prefix=prefix):
            yield from (item["Key"] for item in page.get("Contents", ()))

    def _folders(self, prefix: str, of: str = "") -> list[str]:
        found = [
            item["Prefix"].removeprefix(prefix).rstrip("/")
            for page in self._pages(Prefix=prefix, Delimiter="/")
            for item in page.get("CommonPrefixes", ())
        ]
        return [f"{of}/{name}" if of else name for name in found]

    def _pages(self, **where: str) -> Iterator[dict[str, Any]]:
        yield from self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, **where)
