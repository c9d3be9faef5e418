"""What is asked of the tables to prove a day, in Athena's SQL; names are declarations, shards are keys of receipts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from domain.ingest.conservation import Chain, Entry
from domain.process.resends import RESEND_WINDOW
from domain.tables import CURATED, QUARANTINE, RAW, UNDECLARED

TABLES = tuple(table.full_name for table in (*RAW.values(), UNDECLARED, QUARANTINE))
DAY = timedelta(days=1)


def literal(moment: datetime) -> str:
    """Spell a moment."""
    return f"TIMESTAMP '{moment:%Y-%m-%d %H:%M:%S} UTC'"


def arrived(entries: Iterable[Entry], day: datetime) -> str:
    """Select the days on which records of some receipts arrived, so that no other is read; files are named by them."""
    days = [day, *(day_of(file.key, day) for entry in entries for file in entry.files)]
    return f"arrived_at >= {literal(min(days))} AND arrived_at < {literal(max(days) + DAY)}"


def day_of(key: str, otherwise: datetime) -> datetime:
    """Read the day from a data file's name.

    >>> from datetime import timezone
    >>> midnight = datetime(2026, 3, 2, tzinfo=timezone.utc)
    >>> day_of("landing/search/s/shard-0/0007-2026-03-01-4f.parquet", midnight).isoformat()
    '2026-03-01T00:00:00+00:00'
    """
    name = key.rpartition("/")[2].partition("-")[2][:10]
    try:
        return datetime.strptime(name, "%Y-%m-%d").replace(tzinfo=otherwise.tzinfo)
    except ValueError:
        return otherwise


def rows(chains: Sequence[Chain], day: datetime) -> str:
    """Count rows by table and shard, within the positions that the day's receipts cover; each chain has some."""
    spans = " OR ".join(
        f"(shard = '{chain.shard}' AND sequence BETWEEN '{chain.entries[0].span[0]}' AND '{chain.entries[-1].span[1]}')"
        for chain in chains
    )
    when = arrived([entry for chain in chains for entry in chain.entries], day)
    return " UNION ALL ".join(
        f"SELECT '{table}' AS name, shard, count(*) AS n FROM {table} WHERE {when} AND ({spans}) GROUP BY shard"  # noqa: S608
        for table in TABLES
    )


def rows_of(chain: Chain, table: str, entries: Sequence[Entry], day: datetime) -> str:
    """Count a table's rows by receipt, named by its first position."""
    spans = ", ".join("('{}', '{}')".format(*entry.span) for entry in entries)
    return (
        f"SELECT lo, count(*) AS n FROM {table} JOIN (VALUES {spans}) AS r (lo, hi) "  # noqa: S608
        f"ON sequence BETWEEN lo AND hi WHERE {arrived(entries, day)} AND shard = '{chain.shard}' GROUP BY lo"
    )


def curated(day: datetime) -> str:
    """Count, by event, the distinct events that arrived on a day, those that are not curated, and those curated twice.

    An event is named by user and event_id.  Curated rows older than the time in which events are sent again are not
    read, as the job that writes them does not.
    """
    today = f"arrived_at >= {literal(day)} AND arrived_at < {literal(day + DAY)}"
    since = f"arrived_at >= {literal(day - RESEND_WINDOW)}"
    return " UNION ALL ".join(
        f"SELECT '{event}' AS name, count(*) AS ids, count(*) - count(held.times) AS missing, "  # noqa: S608
        "count(CASE WHEN held.times > 1 THEN 1 END) AS doubled FROM "
        f"(SELECT DISTINCT user_id, event_id FROM {RAW[event].full_name} WHERE {today}) came LEFT JOIN "
        f"(SELECT user_id, event_id, count(*) AS times FROM {CURATED[event].full_name} "
        f"WHERE {since} GROUP BY 1, 2) held ON came.user_id = held.user_id AND came.event_id = held.event_id"
        for event in RAW
    )
