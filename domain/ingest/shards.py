"""What one shard of Kinesis takes in a second ("Quotas and limits")."""

from __future__ import annotations

SHARD_BYTES = 1_000_000
SHARD_RECORDS = 1_000
