"""Judge what was set aside again, by today's contract, and know each event that was sent again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.ingest.batch import Arrived, sort
from domain.ingest.contract import Reason
from domain.ingest.limits import LARGEST_RECORD
from domain.tables import QUARANTINE
from domain.text import is_text

FAILED_BATCH = "failed_batch"
ANY = "any"
REASONS = (*(reason.value for reason in Reason), FAILED_BATCH, ANY)
"""What can be asked for: a reason of the quarantine, the batches that were given up, or all of the quarantine."""

LONGEST_KEY = 256  # characters of a partition key at most (Kinesis PutRecords)

Key = tuple[str, str, str]
"""Names an event once and for all: shard, sequence, digest of its bytes; the digest tells a record's events apart."""


@dataclass(frozen=True, slots=True)
class Aside:
    """An event or record that rests outside the raw tables: its bytes, and where, when and why."""

    shard: str
    sequence: str
    payload: bytes
    reason: str
    arrived_at: datetime
    event: str | None = None

    @property
    def key(self) -> Key:
        """Name it."""
        return self.shard, self.sequence, hashlib.sha256(self.payload).hexdigest()

    @property
    def partition_key(self) -> str:
        """Choose the partition key that its producer would have chosen: the user's id, if it can be read."""
        try:
            user = json.loads(self.payload)["user_id"]
        except (ValueError, KeyError, TypeError, RecursionError):
            user = None
        key = user if isinstance(user, str) and 0 < len(user) <= LONGEST_KEY and is_text(user) else self.sequence
        # The stream took it with its key, so that one of a single byte fits beside it too.
        return key if len(self.payload) + len(key.encode()) <= LARGEST_RECORD else self.sequence[-1:]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What today's contract says: good, or the reason for which it would be set aside again."""

    aside: Aside
    reason: str | None

    @property
    def good(self) -> bool:
        """Say whether at least one event of it would land."""
        return self.reason is None


def judge(waiting: Sequence[Aside]) -> list[Verdict]:
    """Hold each against the contract as the consumer does, in one go.

    Times are held against the record's own arrival: a clock that ran ahead is not right because time has passed.
    """
    records = [Arrived(number, aside.arrived_at, aside.payload) for number, aside in enumerate(waiting)]
    landed: set[int] = set()
    refused: dict[int, str] = {}
    for part in sort(records, "judged").parts:
        numbers = [int(sequence) for sequence in part.rows["sequence"].to_pylist()]
        if part.table is QUARANTINE:
            refused.update(zip(numbers, part.rows["reason"].to_pylist(), strict=True))
        else:
            landed.update(numbers)
    return [Verdict(aside, None if n in landed else refused[n]) for n, aside in enumerate(waiting)]
