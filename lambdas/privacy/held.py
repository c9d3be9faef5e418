"""Find what the lake's tables hold of people, before any of it is removed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import Catalog
from pyiceberg.expressions import AlwaysTrue, BooleanExpression, In, Reference
from pyiceberg.table import Table

from domain.tables import TABLES
from lambdas.privacy.people import Person

MOST_IN_FILTER = 200
"""Iceberg compares bounds with so many values at most (pyiceberg, IN_PREDICATE_LIMIT)."""

SUBJECTS = {table.full_name: table.subject for table in TABLES if table.subject}
DATABASES = tuple(dict.fromkeys(table.database for table in TABLES))


def subject_tables(catalog: Catalog) -> dict[str, str]:
    """Name the column that says whose a row is, for every table of the lake that has one.

    Tables come from the catalogue, since a replay makes some that nobody declared.
    """
    usual = set(SUBJECTS.values())
    found = {}
    for database in DATABASES:
        for identifier in sorted(catalog.list_tables(database)):
            name = ".".join(identifier)
            names = {field.name for field in catalog.load_table(identifier).schema().fields}
            if column := SUBJECTS.get(name) or next(iter(sorted(usual & names)), None):
                found[name] = column
    return found


def held(table: Table, column: str, people: Sequence[Person], snapshot: int | None = None) -> dict[str, int]:
    """Count the rows of each person, by digest, in a table as it is or as a snapshot was."""
    owner = {spelling: person.digest for person in people for spelling in person.spellings}
    wanted = pa.array(list(owner), pa.string())
    counted: Counter[str] = Counter()
    scan = table.scan(row_filter=condition(column, list(owner)), selected_fields=(column,), snapshot_id=snapshot)
    for batch in scan.to_arrow_batch_reader():
        values = batch.column(0).cast(pa.string())
        for one in pc.value_counts(values.filter(pc.is_in(values, value_set=wanted))).to_pylist():
            counted[owner[one["values"]]] += one["counts"]
    return dict(counted)


def places(table: Table, column: str, people: Sequence[Person]) -> dict[str, list[str]]:
    """Say where the people's rows of a raw table came in, by shard: positions in a stream, which name nobody."""
    wanted = pa.array([spelling for person in people for spelling in person.spellings], pa.string())
    fields = (column, "shard", "sequence")
    found: dict[str, list[str]] = {}
    scan = table.scan(row_filter=condition(column, wanted.to_pylist()), selected_fields=fields)
    for batch in scan.to_arrow_batch_reader():
        for row in batch.filter(pc.is_in(batch[column].cast(pa.string()), value_set=wanted)).to_pylist():
            found.setdefault(row["shard"], []).append(row["sequence"])
    return found


def condition(column: str, values: Sequence[str]) -> BooleanExpression:
    """Say which files may hold values, by their partitions and bounds."""
    few = len(values) <= MOST_IN_FILTER
    return In(Reference(column), values) if few else AlwaysTrue()  # type: ignore[call-arg, arg-type]  # as pyiceberg documents it


def total(found: Mapping[str, Mapping[str, int]], digest: str) -> dict[str, int]:
    """Pick one person's rows by table."""
    return {table: rows[digest] for table, rows in found.items() if rows.get(digest)}
