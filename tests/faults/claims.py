"""What must hold after any seed, counted from the broker's records and the senders' ledger alone."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from domain import metrics
from domain.ingest.batch import SEQUENCE_DIGITS
from domain.ingest.receipts import Receipt, linked, read_receipt, shard_prefix
from domain.tables import QUARANTINE, UNDECLARED
from lambdas.ingest.bucket import Bucket
from tests.faults.curating import files, rows
from tests.faults.play import Play
from tests.faults.sky import BUCKET
from tests.faults.streams import Kept


def hold(play: Play) -> dict[str, int]:
    """Assert every claim; return the account of the seed."""
    kept = {shard: play.broker.kept(shard) for shard in play.broker.shards()}
    tables = {table.full_name: read(play, table) for table in play.tables}
    receipts = {shard: chain(play, shard) for shard in kept}
    account = conservation(play, kept, receipts)
    every_row_once(play, kept, receipts, tables)
    rows_are_where_they_arrived(play, kept, tables)
    order_is_kept(play, kept, tables)
    each_event_is_curated_once(play, kept)
    dashboards_add_up(play)
    return account


def read(play: Play, table: Any) -> list[tuple[str, pa.Table]]:
    """Read a raw table: each file that was registered, with its rows."""
    return [(path, rows(play.sky, path)) for path in files(play.sky, table)]


def chain(play: Play, shard: str) -> list[Receipt]:
    """Follow a shard's receipts from the start; a gap or a fork raises."""
    assert play.sky
    s3 = play.sky.calm_s3
    prefix = shard_prefix(play.broker.stream, shard)
    if isinstance(getattr(s3, "objects", None), dict):
        keys = [key for key in s3.objects if key.startswith(prefix)]
    else:
        keys = list(Bucket(s3, BUCKET).keys(prefix))
    return linked(0, [read_receipt(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()) for key in keys])


def conservation(play: Play, kept: dict[str, list[Kept]], receipts: dict[str, list[Receipt]]) -> dict[str, int]:
    """Received = landed + quarantined + duplicate, on every receipt; and each is what the senders say it must be."""
    landed: Counter[str] = Counter()
    quarantined: Counter[str] = Counter()
    for shard, some in receipts.items():
        assert (some[-1].last if some else None) == (kept[shard][-1].position if kept[shard] else None), shard
        for receipt in some:
            assert receipt.account.imbalance == 0
            landed.update(receipt.account.landed)
            quarantined.update(receipt.account.quarantined)
    fates = [fate for records in kept.values() for each in records for fate in play.producer.ledger.fates[each.data]]
    assert +landed == Counter(fate.table for fate in fates if fate.table != "quarantine")
    assert +quarantined == Counter(fate.name for fate in fates if fate.table == "quarantine")
    duplicates = sum(receipt.account.duplicates for some in receipts.values() for receipt in some)
    received = sum(receipt.account.received for some in receipts.values() for receipt in some)
    assert received == landed.total() + quarantined.total() + duplicates == len(fates) + duplicates
    return {
        "received": received,
        "landed": landed.total(),
        "quarantined": quarantined.total(),
        "duplicates": duplicates,
        "sent": len({fate.name for some in play.producer.ledger.valid.values() for fate in some}),
        "receipts": sum(map(len, receipts.values())),
    }


def every_row_once(
    play: Play,
    kept: dict[str, list[Kept]],
    receipts: dict[str, list[Receipt]],
    tables: dict[str, list[tuple[str, pa.Table]]],
) -> None:
    """No file is registered twice, none without a receipt, and the rows are those that the broker's records make."""
    named = Counter(
        f"s3://{BUCKET}/{file.key}" for some in receipts.values() for receipt in some for file in receipt.files
    )
    registered = Counter(path for found in tables.values() for path, _ in found)
    assert registered == named
    assert not named or max(named.values()) == 1
    expected: dict[str, Counter[Any]] = defaultdict(Counter)
    for records in kept.values():
        for each in records:
            for fate in play.producer.ledger.fates[each.data]:
                said = (fate.name, fate.payload) if fate.table == "quarantine" else fate.name
                expected[f"raw.{fate.table}"][each.shard, text(each.position), said] += 1
                if fate.table != "quarantine" and b"not_yet_declared" in fate.payload:
                    expected[UNDECLARED.full_name][each.shard, text(each.position), said] += 1
    for name, found in tables.items():
        assert Counter(key for _, rows in found for key in keys(name, rows)) == expected[name], name


def keys(name: str, rows: pa.Table) -> list[Any]:
    """Name each row by where it came in and what it is."""
    said = ["reason", "payload"] if name == QUARANTINE.full_name else ["event_id"]
    columns = [rows[column].to_pylist() for column in said]
    whats = list(zip(*columns, strict=True)) if len(columns) > 1 else columns[0]
    return list(zip(rows["shard"].to_pylist(), rows["sequence"].to_pylist(), whats, strict=True))


def text(position: int) -> str:
    """Write a position as rows have it."""
    return str(position).zfill(SEQUENCE_DIGITS)


def rows_are_where_they_arrived(
    play: Play, kept: dict[str, list[Kept]], tables: dict[str, list[tuple[str, pa.Table]]]
) -> None:
    """A row's day is the day on which the broker took it, whatever clock its consumer has."""
    arrived = {(each.shard, text(each.position)): each.arrived for records in kept.values() for each in records}
    for name, found in tables.items():
        for path, held in found:
            moments = held["arrived_at"].to_pylist()
            places = zip(held["shard"].to_pylist(), held["sequence"].to_pylist(), strict=True)
            assert [round(moment.timestamp() * 1000) for moment in moments] == [arrived[place] for place in places], (
                name
            )
            assert len({moment.date() for moment in moments}) == 1, path


def order_is_kept(play: Play, kept: dict[str, list[Kept]], tables: dict[str, list[tuple[str, pa.Table]]]) -> None:
    """Per user, rows by lineage and position are in the order in which the broker took them, and the user sent them."""
    lineage = {shard: place for place, shard in enumerate(kept)}
    taken: dict[tuple[str, str], list[str]] = defaultdict(list)
    for records in kept.values():  # parents first
        for each in records:
            for fate in play.producer.ledger.fates[each.data]:
                taken[f"raw.{fate.table}", each.key].append(fate.name)
    seen: dict[tuple[str, str], list[tuple[Any, str]]] = defaultdict(list)
    for name, found in tables.items():
        for user, place, event_id in places(name, found, lineage):
            seen[name, user].append((place, event_id))
    for (name, user), events in seen.items():
        assert [event_id for _, event_id in sorted(events)] == taken[name, user], (name, user)
        if not (play.mixes and moved(user, kept)):
            sent = [fate.name for fate in play.producer.ledger.valid[user] if f"raw.{fate.table}" == name]
            assert list(dict.fromkeys(taken[name, user])) == sent, (name, user)


def places(name: str, found: list[tuple[str, pa.Table]], lineage: dict[str, int]) -> Iterator[tuple[str, Any, str]]:
    """Give each row's user, its place (shard by lineage, position, row in its file), and its id."""
    for path, held in found if name not in (QUARANTINE.full_name, UNDECLARED.full_name) else ():
        said = [held[column].to_pylist() for column in ("user_id", "shard", "sequence", "event_id")]
        for number, (user, shard, sequence, event_id) in enumerate(zip(*said, strict=True)):
            yield user, (lineage[shard], sequence, path, number), event_id


def moved(user: str, kept: dict[str, list[Kept]]) -> bool:
    """Say whether a user's records are in several partitions: Kafka keeps no order across them."""
    return sum(any(each.key == user for each in records) for records in kept.values()) > 1


def each_event_is_curated_once(play: Play, kept: dict[str, list[Kept]]) -> None:
    """The distinct valid events sent are the events curated, each once."""
    sent = {(user, fate.table, fate.name) for user, some in play.producer.ledger.valid.items() for fate in some}
    curated = [
        (user, name, event_id)
        for name, rows in play.curator.curated.items()
        for user, event_id in zip(rows["user_id"].to_pylist(), rows["event_id"].to_pylist(), strict=True)
    ]
    assert len(curated) == len(set(curated))
    assert set(curated) == sent


def dashboards_add_up(play: Play) -> None:
    """What the functions told CloudWatch adds up as the receipts do."""
    assert play.sky
    sums: Counter[str] = Counter()
    for line in play.sky.printed.getvalue().splitlines():
        said = json.loads(line)
        for metric in said["_aws"]["CloudWatchMetrics"][0]["Metrics"]:
            sums[metric["Name"]] += said[metric["Name"]]
    assert sums[metrics.IMBALANCE.name] == 0
    parts = (metrics.LANDED, metrics.QUARANTINED, metrics.DUPLICATES)
    assert sums[metrics.RECEIVED.name] == sum(sums[metric.name] for metric in parts)
