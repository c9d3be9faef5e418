"""How the files of the lake's tables are laid out, and for how long their history is kept."""

from __future__ import annotations

from datetime import timedelta

from domain.tables import BY_ARRIVAL, TABLES, Table

MEBIBYTE = 1 << 20

TARGET_FILE_BYTES = 128 * MEBIBYTE
"""How large a compacted file is meant to be: one task reads it, and a day of a busy table is few of them."""

SMALL_FILE_BYTES = TARGET_FILE_BYTES * 3 // 4
"""A smaller file is worth compacting (Iceberg's own share of the target, and Glue's)."""

LARGEST_FILE_BYTES = TARGET_FILE_BYTES * 9 // 5
"""A larger file is worth dividing (Iceberg's own bound, and Glue's)."""

PLANNED_FILE_BYTES = TARGET_FILE_BYTES * 7 // 5
"""What compaction plans its files by: Iceberg divides what is over 1.1 times that, so no half of it is small again."""

ENDED_FILE_BYTES = LARGEST_FILE_BYTES * 19 // 20
"""Where compaction ends a file that came out larger than planned; a row group more, and it is still none too large."""

FEWEST_INPUT_FILES = 5
"""So many small files of a partition are rewritten; fewer wait, so that nothing is rewritten for little."""

ORPHAN_AGE = timedelta(days=3)
"""A file that no snapshot holds is removed when it is this old: no writer works as long before it commits."""

LOOKED_UP = ("event_id", "session_id")
"""Keys by which one row is asked for, and which no sort order brings together: they get Bloom filters."""

GROUP_ROWS = 65_536
"""How many values a filter is sized for: row groups of people hold half to one and a half times as many."""

GROUP_BYTES = 16 * MEBIBYTE
PERSON_GROUP_BYTES = 3 * MEBIBYTE
"""How large a row group is before compression; where rows are people's, an erasure writes one again, so it is small."""

PROPERTIES = {
    "write.format.default": "parquet",
    "write.parquet.compression-codec": "zstd",
    # Against 3, level 9 gains a twentieth of the bytes for twice the time.
    "write.parquet.compression-level": "3",
    # Not v2, whose differences suit times and ids: Spark fails to read such pages of strings (Iceberg 1.11).
    "write.parquet.page-version": "v1",
    "write.target-file-size-bytes": str(TARGET_FILE_BYTES),
    # SageMaker and erasure read data files, so no row may be deleted beside them.
    "write.delete.mode": "copy-on-write",
    "write.update.mode": "copy-on-write",
    "write.merge.mode": "copy-on-write",
    # A partition is written by one task, which sorts it.
    "write.distribution-mode": "hash",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    # A committer and a compaction may meet.
    "commit.retry.num-retries": "10",
    "history.expire.min-snapshots-to-keep": "1",
}


def history(table: Table) -> timedelta:
    """Say for how long a table's snapshots are kept: a raw table gains one a minute, the others a few a day."""
    return timedelta(days=3 if table.partition == BY_ARRIVAL else 30)


def looked_up(table: Table) -> tuple[str, ...]:
    """Name the columns of a table that get a Bloom filter."""
    return tuple(column.name for column in table.columns if column.name in LOOKED_UP)


def properties(table: Table) -> dict[str, str]:
    """Say it as Iceberg's table properties, which every writer of the table obeys (Iceberg, "Configuration")."""
    blooms = looked_up(table)
    return {
        **PROPERTIES,
        "comment": table.doc,
        # Of people 30 thousand rows of a wide event, up to 90 thousand of a narrow one: a look-up reads one such group.
        "write.parquet.row-group-size-bytes": str(PERSON_GROUP_BYTES if table.subject else GROUP_BYTES),
        "history.expire.max-snapshot-age-ms": str(history(table) // timedelta(milliseconds=1)),
        **{f"write.parquet.bloom-filter-enabled.column.{name}": "true" for name in blooms},
        # Else each filter takes the most there may be, 1 MiB, however few values it holds.
        **{f"write.parquet.bloom-filter-ndv.column.{name}": str(GROUP_ROWS) for name in blooms},
    }


def named(*names: str) -> tuple[Table, ...]:
    """Find tables by their full names, all of them if none is named; raise ValueError for a name that no table has."""
    known = {table.full_name: table for table in TABLES}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"no table {', '.join(unknown)}; there are {', '.join(known)}")
    return tuple(known[name] for name in names) or TABLES
