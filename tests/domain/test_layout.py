"""The layout that is declared is one that Iceberg and Glue can keep."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pyiceberg.table import TableProperties

from domain import layout
from domain.tables import CURATED, QUARANTINE, RAW, TABLES, Table


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.full_name)
def test_a_table_has_a_filter_for_each_key_that_its_order_does_not_find(table: Table) -> None:
    declared = layout.properties(table)
    filtered = {name.rpartition(".")[2] for name in declared if name.startswith("write.parquet.bloom-filter-enabled")}

    assert filtered == {"event_id", "session_id"} & {column.name for column in table.columns}
    assert filtered.isdisjoint(table.sort)


def test_events_are_sorted_by_whose_they_are() -> None:
    assert {table.sort for table in (*RAW.values(), *CURATED.values())} == {("user_id", "event_time")}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.full_name)
def test_row_groups_of_people_are_small(table: Table) -> None:
    """An erasure writes one again."""
    size = int(layout.properties(table)[TableProperties.PARQUET_ROW_GROUP_SIZE_BYTES])

    assert (size == layout.PERSON_GROUP_BYTES) == (table.subject is not None)
    assert layout.PERSON_GROUP_BYTES < layout.GROUP_BYTES


def test_the_names_are_those_that_pyiceberg_knows_too() -> None:
    declared = layout.properties(QUARANTINE)

    assert declared[TableProperties.PARQUET_COMPRESSION] == "zstd"
    assert declared[TableProperties.PARQUET_COMPRESSION_LEVEL] == "3"
    assert declared[TableProperties.MAX_SNAPSHOT_AGE_MS] == str(3 * 86_400_000)
    assert int(declared[TableProperties.PARQUET_ROW_GROUP_SIZE_BYTES]) < layout.TARGET_FILE_BYTES
    assert int(declared[TableProperties.WRITE_TARGET_FILE_SIZE_BYTES]) == layout.TARGET_FILE_BYTES


def test_history_is_whole_days_as_glue_counts() -> None:
    assert all(layout.history(table) % timedelta(days=1) == timedelta() for table in TABLES)
    assert timedelta(days=1) <= layout.ORPHAN_AGE  # Iceberg refuses less


def test_tables_are_found_by_name() -> None:
    assert layout.named("raw.search", "curated.sessions")[0] is RAW["search"]
    assert layout.named() == TABLES
    with pytest.raises(ValueError, match=r"no table raw\.searches; there are raw\."):
        layout.named("raw.searches")
