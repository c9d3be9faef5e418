"""Watch the consumer's batches for partition keys that are too hot, and tell people.

A partition key is a person's identifier unless its sender says otherwise, and a log is no place for one: the line names
the shard and the sequence number of a record of the key, by which who may read the stream, or the raw tables, finds it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from random import Random
from typing import Any

from domain import metrics
from domain.ingest.heat import SAMPLE, HotKey, Watch, weigh


@cache
def watches() -> defaultdict[tuple[str, str], Watch]:
    """Remember, while the process is warm, what each shard's keys took."""
    return defaultdict(Watch)


@cache
def chance() -> Random:
    """Draw samples."""
    return Random()  # noqa: S311  # no secret


def notice(stream: str, shard: str, records: Sequence[dict[str, Any]]) -> None:
    """Weigh the partition keys of a batch, or of a sample of it; report where a window ends."""
    some = records if len(records) <= SAMPLE else chance().choices(records, k=SAMPLE)
    said = [record["kinesis"] for record in some]
    keys = [each.get("partitionKey", "") for each in said]
    sizes = [len(each["data"]) * 3 // 4 for each in said]
    first, last = (records[end]["kinesis"]["approximateArrivalTimestamp"] for end in (0, -1))
    found = watches()[stream, shard].see(weigh(keys, sizes, len(records) / len(some)), first, last)
    if found is None:
        return
    metrics.HOT_KEYS.emit(len(found))
    for hot in found:
        print(report(hot, stream, shard, said))


def report(hot: HotKey, stream: str, shard: str, said: Sequence[dict[str, Any]]) -> str:
    """Write a line that leads to the key without saying it."""
    sequence = next((each["sequenceNumber"] for each in reversed(said) if each.get("partitionKey") == hot.key), None)
    return json.dumps(
        {
            "hot_key": {"stream": stream, "shard": shard, "sequence": sequence},
            "share_of_shard": round(hot.share, 3),
            "seconds": round(hot.seconds, 1),
            "proposal": hot.proposal,
        }
    )
