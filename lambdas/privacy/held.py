"""Find what the lake's tables hold of people, before any of it is removed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import Catalog
from pyiceberg.expressions import AlwaysTrue, BooleanExpression, In, Reference
from pyiceberg.table import Table

from domain.tables import TABLES
from lambdas.privacy.people import Person

MOST_IN_FILTER = 200
"""Iceberg compares bounds with so many values at most (pyiceberg, IN_PREDICATE_LIMIT)."""

READERS = 8

SUBJECTS = {table.full_name: table.subject for table in TABLES if table.subject}
DATABASES = tuple(dict.fromkeys(table.database for table in TABLES))


RAW = "raw"
PLACE = ("shard", "sequence")
"""The columns of a raw table that say where a row came in."""


def subject_tables(catalog: Catalog) -> dict[str, Table]:
    """Open every table of the lake that says in a column whose a row is.

    Tables come from the catalogue, since a replay makes some that nobody declared.
    """
    names = [name for database in DATABASES for name in sorted(catalog.list_tables(database))]
    with ThreadPoolExecutor(READERS) as pool:
        tables = dict(zip(map(".".join, names), pool.map(catalog.load_table, names), strict=True))
    return {name: table for name, table in tables.items() if column_of(name, table)}


def column_of(name: str, table: Table) -> str | None:
    """Name the column that says whose a row is, if a table has one."""
    names = {field.name for field in table.schema().fields}
    return SUBJECTS.get(name) or next(iter(sorted(set(SUBJECTS.values()) & names)), None)


def bytes_of(table: Table) -> int:
    """Say how large the table's data files are by its own account, as it is now."""
    snapshot = table.current_snapshot()
    summary = snapshot.summary if snapshot else None
    return int((summary and summary["total-files-size"]) or 0)


@dataclass(slots=True)
class Held:
    """What a table holds of people: rows by digest, and where these came in, by shard."""

    rows: dict[str, int]
    places: dict[str, list[str]]


def held(table: Table, column: str, people: Sequence[Person], snapshot: int | None = None) -> dict[str, int]:
    """Count the rows of each person, by digest, in a table as it is or as a snapshot was."""
    owner = owners(people)
    counted: Counter[str] = Counter()
    for batch in of_people(table, (column,), list(owner), snapshot):
        for one in pc.value_counts(batch[column].cast(pa.string())).to_pylist():
            counted[owner[one["values"]]] += one["counts"]
    return dict(counted)


def looked_up(table: Table, column: str, people: Sequence[Person]) -> Held:
    """Find the people's rows in a table as it is; in a raw one, positions in a stream too, which name nobody."""
    if table.name()[0] != RAW:
        return Held(held(table, column, people), {})
    owner, counted = owners(people), Counter[str]()
    found: dict[str, list[str]] = {}
    for batch in of_people(table, (column, *PLACE), list(owner)):
        for row in batch.to_pylist():
            counted[owner[str(row[column])]] += 1
            found.setdefault(row["shard"], []).append(row["sequence"])
    return Held(dict(counted), found)


def owners(people: Sequence[Person]) -> dict[str, str]:
    """Say whose each spelling is, by digest."""
    return {spelling: person.digest for person in people for spelling in person.spellings}


def of_people(
    table: Table, columns: tuple[str, ...], wanted: list[str], snapshot: int | None = None
) -> Iterator[pa.RecordBatch]:
    """Read the rows whose first column is one of some values."""
    values = pa.array(wanted, pa.string())
    scan = table.scan(row_filter=condition(columns[0], wanted), selected_fields=columns, snapshot_id=snapshot)
    for batch in scan.to_arrow_batch_reader():
        yield batch.filter(pc.is_in(batch[columns[0]].cast(pa.string()), value_set=values))


def condition(column: str, values: Sequence[str]) -> BooleanExpression:
    """Say which files may hold values, by their partitions and bounds."""
    few = len(values) <= MOST_IN_FILTER
    return In(Reference(column), values) if few else AlwaysTrue()  # type: ignore[call-arg, arg-type]  # as pyiceberg documents it


def total(found: Mapping[str, Mapping[str, int]], digest: str) -> dict[str, int]:
    """Pick one person's rows by table."""
    return {table: rows[digest] for table, rows in found.items() if rows.get(digest)}
