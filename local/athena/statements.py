"""Run one statement of Athena's SQL: a query, CREATE TABLE AS, UNLOAD, SHOW or DESCRIBE."""
# ruff: noqa: S608 - the text of a query is what this module makes; names are quoted

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import duckdb
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from local.athena import results
from local.athena.tables import QueryError, Reference, expose, quoted, view_text
from local.cloud import Cloud

INFORMATION_SCHEMA = "athena_information_schema"

_TRINO = {"string": "varchar", "int": "integer", "binary": "varbinary", "float": "real"}  # from Glue's words

_UNLOAD = re.compile(
    r"^\s*UNLOAD\s*\((?P<query>.*)\)\s*TO\s*'(?P<to>[^']*)'\s*WITH\s*\((?P<options>.*)\)\s*$", re.I | re.S
)
_SHOW_DATABASES = re.compile(r"^\s*SHOW\s+(DATABASES|SCHEMAS)\s*(LIKE\s*'(?P<like>[^']*)')?\s*$", re.I)
_SHOW_TABLES = re.compile(r"^\s*SHOW\s+TABLES(\s+(IN|FROM)\s+(?P<database>[\w`\"]+))?\s*(?P<like>'[^']*')?\s*$", re.I)
_DESCRIBE = re.compile(
    r"^\s*(?P<verb>DESCRIBE|DESC|SHOW\s+COLUMNS\s+(IN|FROM))\s+(FORMATTED\s+|EXTENDED\s+)?(?P<table>[\w`\".$]+)\s*$",
    re.I,
)
_CREATE_DATABASE = re.compile(
    r"^\s*CREATE\s+(DATABASE|SCHEMA)\s+(?P<quiet>IF\s+NOT\s+EXISTS\s+)?(?P<name>[\w`\"]+)\s*$", re.I
)
_DROP_TABLE = re.compile(r"^\s*DROP\s+TABLE\s+(?P<quiet>IF\s+EXISTS\s+)?(?P<table>[\w`\".]+)\s*$", re.I)
_STYLE = re.compile(r"\x1b\[\d*m")
_OPTION = re.compile(r"(\w+)\s*=\s*'([^']*)'")


@dataclass(slots=True)
class Query:
    """One execution: what was asked, and how far it is."""

    id: str
    sql: str
    database: str
    workgroup: str
    output: str
    parameters: list[str] = field(default_factory=list)
    state: str = "RUNNING"
    reason: str = ""
    type: str = "DML"
    subtype: str = "SELECT"
    location: str = ""
    manifest: str = ""
    scanned: int = 0
    columns: list[results.Column] = field(default_factory=list)
    submitted_at: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    completed_at: datetime | None = None


def run(cloud: Cloud, query: Query, scratch: Path) -> None:
    """Run a query and write its result to S3. Raises `QueryError`."""
    text = query.sql.strip().rstrip(";")
    if match := _UNLOAD.match(text):
        _unload(cloud, query, match, scratch)
    elif (rows := _catalogue_answer(cloud, query, text)) is not None:
        query.location = f"{query.output}{query.id}.txt"
        results.write_text(cloud, query.location, query.columns, rows)
    else:
        _select_or_create(cloud, query, _parsed(text, query.parameters), scratch)


def _parsed(text: str, parameters: list[str]) -> exp.Expression:
    try:
        statement = sqlglot.parse_one(text, read="trino")
        values = iter(sqlglot.parse_one(parameter, read="trino") for parameter in parameters)
        return statement.transform(lambda node: next(values) if isinstance(node, exp.Placeholder) else node)
    except SqlglotError as fault:
        plain = _STYLE.sub("", str(fault))
        raise QueryError(f"SYNTAX_ERROR: {' '.join(plain.split())}") from fault
    except StopIteration as missing:
        raise QueryError("SYNTAX_ERROR: fewer execution parameters than question marks") from missing


def _select_or_create(cloud: Cloud, query: Query, statement: exp.Expression, scratch: Path) -> None:
    if isinstance(statement, exp.Create) and statement.kind == "TABLE" and isinstance(statement.expression, exp.Query):
        _create_as(cloud, query, statement, scratch)
    elif isinstance(statement, exp.Query):
        with _session() as session:
            select = _prepared(cloud, session, query, statement)
            query.location = f"{query.output}{query.id}.csv"
            query.columns = results.write_csv(cloud, session, select, query.location, scratch / f"{query.id}.csv")
    else:
        verb = query.sql.split(maxsplit=1)[0].upper()
        raise QueryError(f"NOT_SUPPORTED: the laptop's Athena reads tables and makes new ones; it does not do {verb}")


def _session() -> duckdb.DuckDBPyConnection:
    session = duckdb.connect(config={"threads": 2, "memory_limit": "1500MB"})
    # Trino's division of integers is integer, and its times are in UTC.
    session.execute("SET TimeZone = 'UTC'; SET integer_division = true; SET enable_progress_bar = false")
    return session


def _prepared(cloud: Cloud, session: duckdb.DuckDBPyConnection, query: Query, statement: exp.Expression) -> str:
    """Make the views that a query reads and return the query in DuckDB's words."""
    _name_columns(statement)
    _open_views(cloud, statement, query.database)
    references = _localize(statement, query.database)
    if any(reference.database == INFORMATION_SCHEMA for reference in references):
        _expose_information_schema(cloud, session)
    wanted = {reference for reference in references if reference.database != INFORMATION_SCHEMA}
    query.scanned = expose(cloud, session, sorted(wanted, key=lambda reference: reference.view))
    return str(statement.sql("duckdb"))


def _name_columns(statement: exp.Expression) -> None:
    """Athena calls an unnamed column `_col` and its position."""
    select = statement
    while isinstance(select, exp.SetOperation):
        select = select.left
    if isinstance(select, exp.Select):
        for position, column in enumerate(select.expressions):
            if not isinstance(column, (exp.Alias, exp.Column, exp.Star, exp.Dot)):
                column.replace(exp.alias_(column.copy(), f"_col{position}"))


def _open_views(cloud: Cloud, statement: exp.Expression, default: str) -> None:
    """Put the query of each view of the catalogue in its place, also where a view reads another."""
    for table in list(_named_tables(statement)):
        database, name = (table.db or default).lower(), table.name.lower()
        text = view_text(cloud, database, name)
        if text is None:
            continue
        inner = _parsed(text, [])
        _open_views(cloud, inner, database)
        alias = table.args.get("alias") or exp.TableAlias(this=exp.to_identifier(name, quoted=True))
        table.replace(exp.Subquery(this=inner, alias=alias))


def _localize(statement: exp.Expression, default: str) -> set[Reference]:
    """Point every table of the query at the view that will stand for it, and list those tables."""
    found = set()
    for table in _named_tables(statement):
        reference = _reference(table, default)
        found.add(reference)
        alias = table.args.get("alias") or exp.TableAlias(this=exp.to_identifier(table.name.lower(), quoted=True))
        table.set("this", exp.to_identifier(reference.view, quoted=True))
        table.set("db", exp.to_identifier(reference.database, quoted=True))
        for part, value in (("catalog", None), ("version", None), ("alias", alias)):
            table.set(part, value)
    return found


def _named_tables(statement: exp.Expression) -> Iterator[exp.Table]:
    """Find the tables and views that a query names, but for those that it defines itself."""
    own = {cte.alias.lower() for cte in statement.find_all(exp.CTE)}
    for table in statement.find_all(exp.Table):
        if isinstance(table.this, exp.Identifier) and (table.db or table.name.lower() not in own):
            yield table


def _reference(table: exp.Table, default: str) -> Reference:
    database, name = (table.db or default).lower(), table.name.lower()
    if database == "information_schema":
        return Reference(INFORMATION_SCHEMA, name)
    version = table.args.get("version")
    if version is None:
        return Reference(database, name)
    if version.name == "VERSION" or version.this == "VERSION":
        return Reference(database, name, snapshot=int(version.expression.name))
    with _session() as session:
        moment = session.execute(f"SELECT epoch_ms(CAST({version.expression.sql('duckdb')} AS TIMESTAMPTZ))").fetchone()
    assert moment is not None
    return Reference(database, name, millis=int(moment[0]))


def _expose_information_schema(cloud: Cloud, session: duckdb.DuckDBPyConnection) -> None:
    session.execute(f"CREATE SCHEMA {INFORMATION_SCHEMA}")
    here = "'awsdatacatalog'"
    tables = [(database, table) for database in _databases(cloud) for table in _tables(cloud, database)]
    session.execute(f"CREATE TABLE {INFORMATION_SCHEMA}.schemata (catalog_name VARCHAR, schema_name VARCHAR)")
    for database in _databases(cloud):
        session.execute(f"INSERT INTO {INFORMATION_SCHEMA}.schemata VALUES ({here}, ?)", [database])
    session.execute(
        f"CREATE TABLE {INFORMATION_SCHEMA}.tables "
        "(table_catalog VARCHAR, table_schema VARCHAR, table_name VARCHAR, table_type VARCHAR)"
    )
    session.execute(
        f"CREATE TABLE {INFORMATION_SCHEMA}.columns (table_catalog VARCHAR, table_schema VARCHAR, table_name VARCHAR, "
        "column_name VARCHAR, ordinal_position BIGINT, data_type VARCHAR, comment VARCHAR)"
    )
    for database, table in tables:
        name = table["Name"]
        session.execute(
            f"INSERT INTO {INFORMATION_SCHEMA}.tables VALUES ({here}, ?, ?, 'BASE TABLE')", [database, name]
        )
        for position, (column, kind, comment) in enumerate(_columns(table), 1):
            values = [database, name, column, position, _TRINO.get(kind, kind), comment]
            session.execute(f"INSERT INTO {INFORMATION_SCHEMA}.columns VALUES ({here}, ?, ?, ?, ?, ?, ?)", values)


def _databases(cloud: Cloud) -> list[str]:
    pages = cloud.client("glue").get_paginator("get_databases").paginate()
    return sorted(database["Name"] for page in pages for database in page["DatabaseList"])


def _tables(cloud: Cloud, database: str) -> list[dict[str, Any]]:
    glue = cloud.client("glue")
    try:
        pages = list(glue.get_paginator("get_tables").paginate(DatabaseName=database))
    except glue.exceptions.EntityNotFoundException as missing:
        raise QueryError(f"SCHEMA_NOT_FOUND: Schema '{database}' does not exist") from missing
    return sorted((table for page in pages for table in page["TableList"]), key=lambda table: str(table["Name"]))


def _columns(table: dict[str, Any]) -> list[tuple[str, str, str]]:
    held = table.get("StorageDescriptor", {}).get("Columns", []) + table.get("PartitionKeys", [])
    return [(column["Name"], column["Type"], column.get("Comment", "")) for column in held]


def _create_as(cloud: Cloud, query: Query, statement: exp.Expression, scratch: Path) -> None:
    target = statement.this
    properties = {
        str(held.this.name if isinstance(held, exp.Property) and held.this else "").lower(): held
        for held in (statement.args.get("properties") or exp.Properties(expressions=[])).expressions
    }
    format = statement.find(exp.FileFormatProperty)
    if format is not None and format.name.upper() != "PARQUET":
        raise QueryError(f"NOT_SUPPORTED: CREATE TABLE AS with format {format.name}; the laptop writes PARQUET")
    for refused in ("partitioned_by", "bucketed_by", "table_type"):
        if refused in properties:
            raise QueryError(f"NOT_SUPPORTED: CREATE TABLE AS with {refused} on the laptop")
    given = properties.get("external_location")
    location = given.args["value"].name if given is not None else f"{query.output}tables/{query.id}"
    query.type, query.subtype = "DDL", "CREATE_TABLE_AS_SELECT"
    query.location = f"{query.output}tables/{query.id}"
    with _session() as session:
        select = _prepared(cloud, session, query, statement.expression)
        _write_parquet(cloud, session, query, select, location, scratch)
    _create_table(cloud, target.db or query.database, target.name, location, query.columns)


def _write_parquet(  # noqa: PLR0917 - what to run, where it goes and where it may be written on the way
    cloud: Cloud, session: duckdb.DuckDBPyConnection, query: Query, select: str, location: str, scratch: Path
) -> None:
    address = f"{location.rstrip('/')}/{query.id}.parquet"
    query.columns, rows = results.write_parquet(cloud, session, select, address, scratch / f"{query.id}.parquet")
    query.manifest = f"{query.location}-manifest.csv"
    results.put(cloud, query.manifest, f"{address}\n".encode() if rows else b"")
    results.put(cloud, f"{query.location}.metadata", results.metadata(query.columns))


def _create_table(cloud: Cloud, database: str, name: str, location: str, columns: list[results.Column]) -> None:
    serde = {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"}
    storage = {
        "Columns": [{"Name": column.name, "Type": column.hive_type} for column in columns],
        "Location": location,
        "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
        "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
        "SerdeInfo": serde,
    }
    given = {"Name": name.lower(), "TableType": "EXTERNAL_TABLE", "StorageDescriptor": storage}
    given["Parameters"] = {"EXTERNAL": "TRUE", "classification": "parquet"}
    glue = cloud.client("glue")
    try:
        glue.create_table(DatabaseName=database.lower(), TableInput=given)
    except glue.exceptions.AlreadyExistsException as taken:
        raise QueryError(f"TABLE_ALREADY_EXISTS: table '{database}.{name}' already exists") from taken


def _unload(cloud: Cloud, query: Query, match: re.Match[str], scratch: Path) -> None:
    options = {key.lower(): value for key, value in _OPTION.findall(match["options"])}
    if options.get("format", "").upper() != "PARQUET" or "partitioned_by" in match["options"].lower():
        raise QueryError("NOT_SUPPORTED: the laptop's Athena unloads unpartitioned PARQUET only")
    query.type, query.subtype, query.location = "DML", "UNLOAD", f"{query.output}{query.id}"
    with _session() as session:
        select = _prepared(cloud, session, query, _parsed(match["query"], query.parameters))
        _write_parquet(cloud, session, query, select, match["to"], scratch)


def _catalogue_answer(cloud: Cloud, query: Query, text: str) -> list[tuple[str, ...]] | None:
    """Return the rows of a statement about the catalogue itself, or nothing if it is another statement."""
    for pattern, answer in (
        (_SHOW_DATABASES, _show_databases),
        (_SHOW_TABLES, _show_tables),
        (_DESCRIBE, _describe),
        (_CREATE_DATABASE, _create_database),
        (_DROP_TABLE, _drop_table),
    ):
        if match := pattern.match(text):
            query.type, query.subtype = "DDL", pattern.pattern.split(r"\s")[1].lstrip("*(").upper()
            names, rows = answer(cloud, query, match)
            query.columns = [results.Column(name, "string") for name in names]
            return rows
    return None


Rows = tuple[list[str], list[tuple[str, ...]]]


def _like(names: list[str], pattern: str | None) -> list[str]:
    if not pattern:
        return names
    wanted = re.compile(pattern.strip("'").replace("*", ".*").replace("%", ".*"), re.I)
    return [name for name in names if wanted.fullmatch(name)]


def _show_databases(cloud: Cloud, _: Query, match: re.Match[str]) -> Rows:
    return ["database_name"], [(name,) for name in _like(_databases(cloud), match["like"])]


def _show_tables(cloud: Cloud, query: Query, match: re.Match[str]) -> Rows:
    database = (match["database"] or query.database).strip('`"')
    return ["tab_name"], [
        (name,) for name in _like([table["Name"] for table in _tables(cloud, database)], match["like"])
    ]


def _named(query: Query, text: str) -> tuple[str, str]:
    parts = [part.strip('`"').lower() for part in text.split(".")]
    return (parts[-2] if len(parts) > 1 else query.database), parts[-1]


def _describe(cloud: Cloud, query: Query, match: re.Match[str]) -> Rows:
    database, name = _named(query, match["table"])
    table = next((held for held in _tables(cloud, database) if held["Name"] == name), None)
    if table is None:
        raise QueryError(f"TABLE_NOT_FOUND: Table '{database}.{name}' does not exist")
    if match["verb"].upper().startswith("SHOW"):
        return ["field"], [(column,) for column, _, _ in _columns(table)]
    return ["col_name", "data_type", "comment"], list(_columns(table))


def _create_database(cloud: Cloud, _: Query, match: re.Match[str]) -> Rows:
    glue, name = cloud.client("glue"), match["name"].strip('`"').lower()
    try:
        glue.create_database(DatabaseInput={"Name": name})
    except glue.exceptions.AlreadyExistsException as taken:
        if not match["quiet"]:
            raise QueryError(f"SCHEMA_ALREADY_EXISTS: {name}") from taken
    return [], []


def _drop_table(cloud: Cloud, query: Query, match: re.Match[str]) -> Rows:
    glue, (database, name) = cloud.client("glue"), _named(query, match["table"])
    try:
        glue.delete_table(DatabaseName=database, Name=name)
    except glue.exceptions.EntityNotFoundException as missing:
        if not match["quiet"]:
            raise QueryError(f"TABLE_NOT_FOUND: Table '{quoted(database)}.{quoted(name)}' does not exist") from missing
    return [], []
