"""Find what the lake's tables hold of people, before any of it is removed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import Catalog
from pyiceberg.expressions import AlwaysTrue, BooleanExpression, In, Or, Reference
from pyiceberg.table import Table

from domain.privacy.words import CATEGORIES, may_be_a_category
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


def all_tables(catalog: Catalog) -> dict[str, Table]:
    """Open every table of the lake; from the catalogue, since a replay makes some that nobody declared."""
    names = [name for database in DATABASES for name in sorted(catalog.list_tables(database))]
    with ThreadPoolExecutor(READERS) as pool:
        return dict(zip(map(".".join, names), pool.map(catalog.load_table, names), strict=True))


def subject_tables(tables: Mapping[str, Table]) -> dict[str, Table]:
    """Pick the tables that say in a column whose a row is."""
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
    scan = table.scan(row_filter=condition(columns[0], wanted), selected_fields=columns, snapshot_id=snapshot)
    for batch in scan.to_arrow_batch_reader():
        yield batch.filter(one_of(batch, columns[0], wanted))


def condition(column: str, values: Sequence[str]) -> BooleanExpression:
    """Say which files may hold values, by their partitions and bounds."""
    few = len(values) <= MOST_IN_FILTER
    return In(Reference(column), values) if few else AlwaysTrue()  # type: ignore[call-arg, arg-type]  # as pyiceberg documents it


def categories(tables: Iterable[Table], people: Sequence[Person], has_time: Callable[[], bool]) -> dict[str, set[str]]:
    """Find the spellings of each person, by digest, that stand in others' rows as a product or the like.

    What there is no time for is not found, and so is looked for as any name.
    """
    owner = owners(people)
    wanted = [each for each in owner if may_be_a_category(each)]
    if not wanted:
        return {}
    with ThreadPoolExecutor(READERS) as pool:
        found = set().union(*pool.map(lambda table: of_others(table, wanted, list(owner), has_time), tables))
    return {one.digest: found.intersection(one.spellings) for one in people}


def of_others(table: Table, wanted: list[str], spellings: list[str], has_time: Callable[[], bool]) -> set[str]:
    """Tell which values stand, whole, in columns that name what is nobody, in rows that are none of the people's."""
    columns = [field.name for field in table.schema().fields if field.name in CATEGORIES]
    subject, found = column_of(".".join(table.name()), table), set[str]()
    if not columns:
        return found
    row_filter = reduce(Or, [condition(column, wanted) for column in columns])
    scan = table.scan(row_filter=row_filter, selected_fields=(*columns, *filter(None, [subject])))
    for batch in scan.to_arrow_batch_reader():
        rows = batch if subject is None else batch.filter(pc.invert(one_of(batch, subject, spellings)))
        for column in columns:
            found.update(rows[column].filter(one_of(rows, column, wanted)).cast(pa.string()).to_pylist())
        if len(found) == len(wanted) or not has_time():
            break
    return found


def one_of(batch: pa.RecordBatch, column: str, values: list[str]) -> pa.Array:
    """Tell of each row whether a column has one of some values; null is none of them."""
    return pc.is_in(batch[column].cast(pa.string()), value_set=pa.array(values, pa.string()))


def total(found: Mapping[str, Mapping[str, int]], digest: str) -> dict[str, int]:
    """Pick one person's rows by table."""
    return {table: rows[digest] for table, rows in found.items() if rows.get(digest)}
