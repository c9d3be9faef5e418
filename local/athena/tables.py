"""Give DuckDB the tables of the Glue catalogue: the data files of one Iceberg snapshot, or Parquet under a location."""
# ruff: noqa: S608 - the text of a query is what this module makes; names are quoted

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlparse

import duckdb
from botocore.exceptions import ClientError
from pyiceberg.table import Table
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FixedType,
    FloatType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    StringType,
    StructType,
    TimestampType,
    TimestamptzType,
    TimeType,
    UUIDType,
)

from local import iceberg, objects
from local.cloud import Cloud

METADATA = ("snapshots", "files", "history", "manifests", "partitions", "refs")


class QueryError(Exception):
    """A query cannot be run; the message is the reason that the client reads."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A table named in a query, at the snapshot or time asked for."""

    database: str
    name: str
    snapshot: int | None = None
    millis: int | None = None

    @property
    def view(self) -> str:
        """The name that it has in DuckDB, whatever the snapshot."""
        moment = "" if self.snapshot is None and self.millis is None else f"@{self.snapshot or self.millis}"
        return f"{self.name}{moment}"


def expose(cloud: Cloud, session: duckdb.DuckDBPyConnection, references: Iterable[Reference]) -> int:
    """Make a view of each table; return how many bytes their files hold. Raises `QueryError`."""
    size = 0
    for reference in references:
        session.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(reference.database)}")
        select, held = _select(cloud, session, reference)
        session.execute(f"CREATE VIEW {quoted(reference.database)}.{quoted(reference.view)} AS {select}")
        size += held
    return size


def quoted(name: str) -> str:
    """Quote an identifier."""
    return '"' + name.replace('"', '""') + '"'


def _select(cloud: Cloud, session: duckdb.DuckDBPyConnection, reference: Reference) -> tuple[str, int]:
    name, _, metadata = reference.name.partition("$")
    described = _described(cloud, reference.database, name)
    parameters = described.get("Parameters", {})
    if parameters.get("table_type", "").upper() == "ICEBERG":
        table = iceberg.catalogue(cloud).load_table((reference.database, name))
        return (
            _metadata(session, table, reference, metadata) if metadata else _snapshot(cloud, session, table, reference)
        )
    return _plain(cloud, session, described)


_PRESTO = re.compile(r"/\* Presto View: ([A-Za-z0-9+/=]+) \*/")


def view_text(cloud: Cloud, database: str, name: str) -> str | None:
    """Return the query of a view of the catalogue, Athena's own or one of many dialects; None for what is none."""
    with suppress(ClientError):
        described = cloud.client("glue").get_table(DatabaseName=database, Name=name)["Table"]
        if described.get("TableType") == "VIRTUAL_VIEW":
            text = str(described["ViewOriginalText"])
            packed = _PRESTO.fullmatch(text.strip())
            return str(json.loads(b64decode(packed[1]))["originalSql"]) if packed else text
    return None


def _described(cloud: Cloud, database: str, name: str) -> dict[str, Any]:
    try:
        return dict(cloud.client("glue").get_table(DatabaseName=database, Name=name)["Table"])
    except ClientError as failure:
        line = f"TABLE_NOT_FOUND: Table 'awsdatacatalog.{database}.{name}' does not exist"
        raise QueryError(line) from failure


def _metadata(session: duckdb.DuckDBPyConnection, table: Table, reference: Reference, kind: str) -> tuple[str, int]:
    if kind not in METADATA:
        raise QueryError(f"NOT_SUPPORTED: {reference.name}; the laptop's Athena has ${', $'.join(METADATA)}")
    registered = f"{reference.database}.{reference.name}"
    session.register(registered, getattr(table.inspect, kind)())
    return f"SELECT * FROM {quoted(registered)}", 0


def _snapshot(cloud: Cloud, session: duckdb.DuckDBPyConnection, table: Table, reference: Reference) -> tuple[str, int]:
    _refuse_renamed(table)
    tasks = list(table.scan(snapshot_id=_snapshot_id(table, reference)).plan_files())
    if any(task.delete_files for task in tasks):
        raise QueryError(
            f"NOT_SUPPORTED: {reference.database}.{reference.name} has delete files (merge-on-read); "
            "the laptop's Athena reads copy-on-write tables"
        )
    columns = {field.name: duckdb_type(field.field_type) for field in table.schema().fields}
    files = [task.file for task in tasks]
    paths = [_local(cloud, file.file_path) for file in files]
    return _read(session, paths, columns), sum(file.file_size_in_bytes for file in files)


def _refuse_renamed(table: Table) -> None:
    names: dict[int, str] = {}
    for schema in table.schemas().values():
        for field in schema.fields:
            if names.setdefault(field.field_id, field.name) != field.name:
                raise QueryError(
                    f"NOT_SUPPORTED: {table.name()} renamed the column {field.name}; the laptop reads by name"
                )


def _snapshot_id(table: Table, reference: Reference) -> int | None:
    if reference.millis is None:
        return reference.snapshot
    found = table.snapshot_as_of_timestamp(reference.millis)
    if found is None:
        raise QueryError(f"INVALID_ARGUMENTS: {reference.database}.{reference.name} has no snapshot of that time")
    return int(found.snapshot_id)


def _plain(cloud: Cloud, session: duckdb.DuckDBPyConnection, described: dict[str, Any]) -> tuple[str, int]:
    storage = described["StorageDescriptor"]
    if "parquet" not in storage.get("InputFormat", "").lower():
        raise QueryError(f"NOT_SUPPORTED: {described['Name']} is not Parquet, which is what the laptop's Athena reads")
    columns = {column["Name"]: hive_type(column["Type"]) for column in storage["Columns"]}
    keys = {column["Name"]: hive_type(column["Type"]) for column in described.get("PartitionKeys", [])}
    if not keys:
        paths = _listed(cloud, storage["Location"])
        return _read(session, paths, columns), 0
    pages = cloud.client("glue").get_paginator("get_partitions")
    answers = pages.paginate(DatabaseName=described["DatabaseName"], TableName=described["Name"])
    partitions = [partition for answer in answers for partition in answer["Partitions"]]
    return _union(cloud, session, partitions, columns, keys), 0


def _union(
    cloud: Cloud,
    session: duckdb.DuckDBPyConnection,
    partitions: list[dict[str, Any]],
    columns: dict[str, str],
    keys: dict[str, str],
) -> str:
    parts = [f"{_read(session, [], {**columns, **keys})}"]
    for partition in partitions:
        read = _read(session, _listed(cloud, partition["StorageDescriptor"]["Location"]), columns)
        pairs = zip(keys.items(), partition["Values"], strict=True)
        values = ", ".join(f"CAST({_literal(value)} AS {kind}) AS {quoted(key)}" for (key, kind), value in pairs)
        parts.append(f"SELECT *, {values} FROM ({read})")
    return " UNION ALL BY NAME ".join(parts)


def _read(session: duckdb.DuckDBPyConnection, paths: list[str], columns: dict[str, str]) -> str:
    """Return the query that reads these columns; one that no file holds is NULL, as after a column was added."""
    if not paths:
        empty = ", ".join(f"CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in columns.items())
        return f"SELECT {empty} WHERE false"
    source = f"read_parquet([{', '.join(map(_literal, paths))}], union_by_name = true)"
    held = {row[0].lower() for row in session.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
    chosen = [
        f"CAST({quoted(name) if name.lower() in held else 'NULL'} AS {kind}) AS {quoted(name)}"
        for name, kind in columns.items()
    ]
    return f"SELECT {', '.join(chosen)} FROM {source}"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _listed(cloud: Cloud, location: str) -> list[str]:
    address = urlparse(location)
    prefix = address.path.lstrip("/").rstrip("/") + "/"
    pages = cloud.client("s3").get_paginator("list_objects_v2").paginate(Bucket=address.netloc, Prefix=prefix)
    keys = [held["Key"] for page in pages for held in page.get("Contents", []) if held["Size"]]
    shown = [key for key in keys if not any(part[:1] in "._" for part in key[len(prefix) :].split("/"))]
    return [_local(cloud, f"s3://{address.netloc}/{key}") for key in shown]


def _local(cloud: Cloud, address: str) -> str:
    parsed = urlparse(address)
    try:
        return str(objects.file_of(cloud, parsed.netloc, parsed.path.lstrip("/")))
    except FileNotFoundError as missing:
        raise QueryError(
            f"ICEBERG_MISSING_FILE: {address} is gone; it was removed while a table still names it"
        ) from missing


_SIMPLE: dict[type, str] = {
    BooleanType: "BOOLEAN",
    IntegerType: "INTEGER",
    LongType: "BIGINT",
    FloatType: "FLOAT",
    DoubleType: "DOUBLE",
    DateType: "DATE",
    TimeType: "TIME",
    TimestampType: "TIMESTAMP",
    TimestamptzType: "TIMESTAMPTZ",
    StringType: "VARCHAR",
    UUIDType: "UUID",
    BinaryType: "BLOB",
    FixedType: "BLOB",
}


def duckdb_type(kind: IcebergType) -> str:
    """Return DuckDB's name for an Iceberg type."""
    match kind:
        case DecimalType():
            return f"DECIMAL({kind.precision}, {kind.scale})"
        case ListType():
            return f"{duckdb_type(kind.element_type)}[]"
        case MapType():
            return f"MAP({duckdb_type(kind.key_type)}, {duckdb_type(kind.value_type)})"
        case StructType():
            return (
                f"STRUCT({', '.join(f'{quoted(field.name)} {duckdb_type(field.field_type)}' for field in kind.fields)})"
            )
    return _SIMPLE[type(kind)]


_HIVE = {
    "string": "VARCHAR",
    "int": "INTEGER",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "smallint": "SMALLINT",
    "tinyint": "TINYINT",
    "double": "DOUBLE",
    "float": "FLOAT",
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "binary": "BLOB",
}


def hive_type(kind: str) -> str:
    """Return DuckDB's name for one of Glue's column types. Raises `QueryError` for one that is not read here.

    >>> hive_type("array<struct<id:bigint,tags:map<string,int>>>")
    'STRUCT("id" BIGINT, "tags" MAP(VARCHAR, INTEGER))[]'
    """
    kind = kind.strip()
    outer, _, inner = kind.partition("<")
    match outer.strip().lower():
        case "array":
            return f"{hive_type(inner[:-1])}[]"
        case "map":
            key, value = _split(inner[:-1])
            return f"MAP({hive_type(key)}, {hive_type(value)})"
        case "struct":
            fields = [field.partition(":") for field in _split(inner[:-1])]
            return f"STRUCT({', '.join(f'{quoted(name.strip())} {hive_type(of)}' for name, _, of in fields)})"
        case simple if simple in _HIVE:
            return _HIVE[simple]
        case text if text.startswith(("decimal", "varchar", "char")):
            return kind.upper()
    raise QueryError(f"NOT_SUPPORTED: the laptop's Athena does not read the type {kind}")


def _split(text: str) -> list[str]:
    """Split at the commas that stand in no brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "<(") - (letter in ">)")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts
