"""Either broker, and the real consumer over a bucket that fails when told."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import pyarrow.parquet as pq
import pytest

from domain.ingest.receipts import Receipt, linked, read_receipt
from lambdas.ingest import consume
from local.cloud import Cloud
from tests.brokers import Broker, KafkaTopic, Kept, KinesisStream, Sent
from tests.domain.ingest.faulty import Crash, MemoryBucket

_numbers = itertools.count(1)


@dataclass
class Consumer:
    """The consumer's process as a test sees it: it can be handed batches, die, and begin anew."""

    broker: Broker
    bucket: MemoryBucket = field(default_factory=MemoryBucket)

    def hand_over(self, *batches: Sequence[Kept]) -> None:
        """Invoke the handler with a batch at a time."""
        for batch in batches:
            assert consume.handler(self.broker.event(batch), None) == {"batchItemFailures": []}

    def begin_anew(self) -> None:
        """Forget what a warm process knows."""
        consume.positions.cache_clear()

    def die_at(self, write: int, *, after: bool, batch: Sequence[Kept]) -> bool:
        """Hand over a batch to a process that dies before or after its nth write; say whether it came to that."""
        chances = itertools.count(1)

        def strike(_: str) -> None:
            if next(chances) == write:
                raise Crash

        passes = {"before": lambda _: None, "after": lambda _: None, "after" if after else "before": strike}
        with self.bucket.failing(**passes):
            try:
                self.hand_over(batch)
            except Crash:
                self.begin_anew()
                return True
        return False

    def chain(self, shard: str) -> list[Receipt]:
        keys = self.bucket.keys(f"receipts/{self.broker.stream}/{shard}/")
        return linked(0, [read_receipt(self.bucket.get(key)) for key in keys])

    def receipts(self) -> list[Receipt]:
        return [receipt for shard in self.broker.shards() for receipt in self.chain(shard)]

    def account(self) -> Counter[str]:
        """Add up the receipts; proves on the way that each chain holds and each receipt adds up."""
        total: Counter[str] = Counter()
        for receipt in self.receipts():
            found = receipt.account
            total += Counter(received=found.received, landed=sum(found.landed.values()), duplicates=found.duplicates)
            total += Counter(quarantined=sum(found.quarantined.values()))
        assert total["received"] == total["landed"] + total["quarantined"] + total["duplicates"]
        return total

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Read a table's rows as the receipts' files hold them, shard by shard, in the order of their positions."""
        files = [file.key for receipt in self.receipts() for file in receipt.files if file.table == f"raw.{table}"]
        rows = [row for key in files for row in pq.read_table(BytesIO(self.bucket.get(key))).to_pylist()]
        return sorted(rows, key=lambda row: (row["shard"], int(row["sequence"])))


@pytest.fixture(params=["kinesis", "kafka"])
def broker(request: pytest.FixtureRequest) -> Broker:
    name = f"contract-{next(_numbers)}"
    if request.param == "kafka":
        return KafkaTopic(request.getfixturevalue("kafka"), name)
    cloud: Cloud = request.getfixturevalue("cloud")
    return KinesisStream(cloud, name)


@pytest.fixture
def consumer(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Consumer]:
    made = Consumer(broker)
    monkeypatch.setattr(consume, "Bucket", lambda *_: made.bucket)
    monkeypatch.setattr(consume, "client", lambda _: None)
    monkeypatch.setenv("BUCKET", "lake")
    for cached in (consume.settings, consume.positions):
        cached.cache_clear()
    yield made
    for cached in (consume.settings, consume.positions):
        cached.cache_clear()


def searches(count: int, users: int = 5, start: int = 0) -> list[Sent]:
    """Make searches whose query says where each stands in its user's order."""
    return [search(f"u-{number % users}", number) for number in range(start, start + count)]


def search(user: str, number: int) -> Sent:
    said = {"event": "search", "event_id": f"e-{number}", "event_time": "2026-03-01T12:00:00Z", "user_id": user}
    return Sent(user, json.dumps({**said, "query": str(number), "results": 1}).encode())
