"""What a shard is called, by either broker, and what one of Kinesis takes in a second ("Quotas and limits")."""

from __future__ import annotations

SHARD_BYTES = 1_000_000
SHARD_RECORDS = 1_000


def stream_name(arn: str) -> str:
    """Read the stream's name from its ARN, or from that of a consumer registered on it.

    >>> stream_name("arn:aws:kinesis:us-east-1:123456789012:stream/clicks/consumer/mine:1772366400")
    'clicks'
    """
    return arn.partition(":stream/")[2].partition("/")[0]


def partition_name(cluster: str, partition: int) -> str:
    """Name a partition, and the identity of its cluster (an ARN) with it, as it stands in receipts.

    Another cluster counts its offsets from 0 again: in the old one's chain its records would all seem covered.

    >>> partition_name("arn:aws:kafka:us-east-1:1:cluster/events/751d2973-a626-431c-9d4e-2", 7)
    'partition-007-751d2973'
    """
    identity = cluster.rpartition("/")[2].partition("-")[0]
    return f"partition-{partition:03d}-{identity}"


def partition_number(cluster: str, name: str) -> int | None:
    """Read a partition's number from its name; None for one of another cluster.

    >>> partition_number("arn:aws:kafka:us-east-1:1:cluster/events/751d2973-a626-431c-9d4e-2", "partition-007-751d2973")
    7
    """
    digits = name.removeprefix("partition-").partition("-")[0]
    return int(digits) if digits.isdecimal() and partition_name(cluster, int(digits)) == name else None
