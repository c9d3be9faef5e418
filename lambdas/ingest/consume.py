"""Land one batch of the stream in the lake: of one shard of Kinesis, or of some partitions of Kafka."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

import boto3
import msgspec
import pyarrow as pa
import pybase64

from domain import metrics
from domain.ingest.batch import Arrived
from domain.ingest.landing import OPEN, Door, Lander, Landing, Protect, in_clear
from domain.ingest.receipts import Account
from domain.ingest.shards import stream_name
from lambdas.denied import DenyList
from lambdas.ingest import heat, kafka
from lambdas.ingest.bucket import Bucket
from lambdas.ingest.settings import ON, ConsumeSettings

if TYPE_CHECKING:
    from lambdas.keys import Warm

# Arrow's own pool keeps what it freed: with 38,000 framed events the process peaks at 264 MB, with malloc at 208.
pa.set_memory_pool(pa.system_memory_pool())

settings = cache(ConsumeSettings.read)
client = cache(boto3.client)

Shard = tuple[str, str]
MOMENTS = list[Annotated[datetime, msgspec.Meta(tz=True)]]


class MixedBatch(ValueError):
    """A batch holds records of several shards, so that it has no one place in a chain."""


@cache
def positions() -> dict[Shard, int]:
    """Remember, while the process is warm, how far each shard is covered."""
    return {}


def handler(event: dict[str, Any], context: object) -> dict[str, list[object]]:
    """Land a batch; raise only for what a retry can mend, since bad records are set aside."""
    bucket = Bucket(client("s3"), settings().bucket)
    for (stream, shard), records in batches(event):
        landing = land(bucket, stream, shard, records)
        positions()[stream, shard] = landing.position
        count(landing.account, shard)
    return {"batchItemFailures": []}


def batches(event: dict[str, Any]) -> Iterable[tuple[Shard, list[Arrived]]]:
    """Read a batch of either broker, shard by shard."""
    if event.get("eventSource") == kafka.SOURCE:
        return kafka.shards(event)
    shard = origin(event["Records"])
    heat.notice(*shard, event["Records"])
    return [(shard, arrived(event["Records"]))]


def land(bucket: Bucket, stream: str, shard: str, records: Sequence[Arrived]) -> Landing:
    """Land a shard's records from where the process last saw its chain end."""
    attempt, now = lambda: uuid.uuid4().hex, lambda: datetime.now(timezone.utc)
    lander = Lander(bucket, stream, shard, attempt, now, protect(), door())
    return lander.land(records, positions().get((stream, shard)))


@cache
def door() -> Door:
    """Find who keeps erased people out, once for a warm process."""
    return DenyList(client("dynamodb"), client("kms"), settings().erasures) if settings().erasures else OPEN


def protect() -> Protect:
    """Find what treats rows before they rest, with the keys of now; raise KeyUnavailable if a key is gone."""
    if settings().privacy != ON:
        return in_clear
    from domain.privacy.protect import Protection  # noqa: PLC0415  # with its layer, only where privacy is on

    return Protection(keys().ring(), keys().keys_of)


@cache
def keys() -> Warm:
    """Open the keys, once for a warm process."""
    from lambdas.keys import warm  # noqa: PLC0415  # as above

    return warm(client("dynamodb"), client("kms"), settings(), makes=True)


def origin(records: Sequence[dict[str, Any]]) -> Shard:
    """Read which stream and shard a batch comes from."""
    found = {(record["eventSourceARN"], record["eventID"].partition(":")[0]) for record in records}
    if len(found) != 1:
        raise MixedBatch(f"a batch is of one shard of one stream, not of {sorted(found)}")
    [(arn, shard)] = found
    return stream_name(arn), shard


def arrived(records: Sequence[dict[str, Any]]) -> list[Arrived]:
    """Read records as Lambda hands them over (AWS Lambda guide, Kinesis event)."""
    said = [record["kinesis"] for record in records]
    moments = msgspec.convert([record["approximateArrivalTimestamp"] for record in said], MOMENTS, strict=False)
    written = [record["sequenceNumber"] for record in said]
    payloads = [pybase64.b64decode(record["data"], None, True) for record in said]  # by name it takes a third longer
    return list(map(Arrived, map(int, written), moments, payloads, written))


def count(account: Account, shard: str) -> None:
    """Count what became of the records, in the whole and by shard, and what was set aside by reason."""
    metrics.RECEIVED.emit(account.received, Shard=shard)
    metrics.LANDED.emit(sum(account.landed.values()), Shard=shard)
    metrics.DUPLICATES.emit(account.duplicates, Shard=shard)
    metrics.IMBALANCE.emit(account.imbalance, Shard=shard)
    for reason, events in account.quarantined.items():
        metrics.QUARANTINED.emit(events, Shard=shard, Reason=reason)
    if not account.quarantined:
        metrics.QUARANTINED.emit(0, Shard=shard)
