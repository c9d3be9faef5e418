"""Write query results as Athena does: CSV with every value quoted, Parquet for CREATE TABLE AS, text for SHOW."""
# ruff: noqa: S608 - the text of a query is what this module makes; names are quoted

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import duckdb

from local.cloud import Cloud

_FIELD = re.compile(r'"((?:[^"]|"")*)"|([^,\n]*)')
_PLACES = re.compile(r"\((\d+),\s*(\d+)\)")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a result: its name and Athena's name for its type."""

    name: str
    type: str

    @property
    def hive_type(self) -> str:
        """What Glue calls the type."""
        kind = self.type
        for trino, hive in (("varchar", "string"), ("integer", "int"), ("varbinary", "binary"), ("real", "float")):
            kind = re.sub(rf"\b{trino}\b", hive, kind)
        kind = kind.replace("timestamp with time zone", "timestamp")
        for outer, inner in (("array", "array"), ("map", "map")):
            kind = kind.replace(f"{outer}(", f"{inner}<")
        return kind if kind.startswith("decimal") else kind.replace(")", ">")

    def shown(self) -> dict[str, Any]:
        """Return the column as GetQueryResults shows it."""
        precision, scale = map(int, found.groups()) if (found := _PLACES.search(self.type)) else (0, 0)
        kind = self.type.partition("(")[0]
        return {
            "CatalogName": "hive",
            "SchemaName": "",
            "TableName": "",
            "Name": self.name,
            "Label": self.name,
            "Type": kind,
            "Precision": precision or _PRECISION.get(kind, 0),
            "Scale": scale,
            "Nullable": "UNKNOWN",
            "CaseSensitive": kind in ("varchar", "string"),
        }


_PRECISION = {"varchar": 2147483647, "bigint": 19, "integer": 10, "double": 17, "float": 17, "timestamp": 3}

_TYPES = {
    "BOOLEAN": "boolean",
    "TINYINT": "tinyint",
    "SMALLINT": "smallint",
    "INTEGER": "integer",
    "BIGINT": "bigint",
    "HUGEINT": "bigint",
    "UBIGINT": "bigint",
    "UINTEGER": "bigint",
    "FLOAT": "float",
    "DOUBLE": "double",
    "DATE": "date",
    "TIME": "time",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
    "BLOB": "varbinary",
}


def athena_type(kind: Any) -> str:
    """Return Athena's name for a type of DuckDB's."""
    if kind.id == "decimal":
        places = dict(kind.children)
        return f"decimal({places['precision']},{places['scale']})"
    if kind.id in ("list", "array"):
        return f"array({athena_type(kind.children[0][1])})"
    if kind.id == "map":
        return f"map({athena_type(kind.children[0][1])}, {athena_type(kind.children[1][1])})"
    if kind.id == "struct":
        return f"row({', '.join(f'{name} {athena_type(of)}' for name, of in kind.children)})"
    return _TYPES.get(str(kind), "varchar")


def text_of(value: str, kind: Any) -> str:
    """Return the DuckDB expression of a value's text as Athena writes it in CSV."""
    match kind.id:
        case "timestamp" | "timestamp_ms" | "timestamp_ns" | "timestamp_s":
            return f"strftime({value}, '%Y-%m-%d %H:%M:%S.%g')"
        case "timestamp with time zone":
            return f"strftime({value} AT TIME ZONE 'UTC', '%Y-%m-%d %H:%M:%S.%g') || ' UTC'"
        case "blob":
            return f"rtrim(regexp_replace(lower(hex({value})), '(..)', '\\1 ', 'g'))"
        case "list":
            inner = text_of("item", kind.children[0][1])
            return (
                f"'[' || array_to_string(list_transform({value}, lambda item: coalesce({inner}, 'null')), ', ') || ']'"
            )
        case "struct":
            parts = [(f"struct_extract({value}, '{name}')", of) for name, of in kind.children]
            texts = [f"coalesce({text_of(part, of)}, 'null')" for part, of in parts]
            named = [f"'{name}=' || {text}" for (name, _), text in zip(kind.children, texts, strict=True)]
            return "'{' || " + " || ', ' || ".join(named) + " || '}'"
    return f"CAST({value} AS VARCHAR)"


def _q(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _typed(session: duckdb.DuckDBPyConnection, select: str) -> list[tuple[str, Any]]:
    relation = session.sql(select)
    return list(zip(relation.columns, relation.types, strict=True))


def write_csv(cloud: Cloud, session: duckdb.DuckDBPyConnection, select: str, address: str, path: Path) -> list[Column]:
    """Run a query and put its rows and its metadata at `address`; return its columns."""
    typed = _typed(session, select)
    texts = ", ".join(f"{text_of(f'#{at}', kind)} AS {_q(name)}" for at, (name, kind) in enumerate(typed, 1))
    options = "FORMAT csv, HEADER true, FORCE_QUOTE *, NULLSTR '', QUOTE '\"', ESCAPE '\"'"
    session.execute(f"COPY (SELECT {texts} FROM ({select})) TO '{path}' ({options})")
    columns = [Column(name, athena_type(kind)) for name, kind in typed]
    _upload(cloud, address, path)
    put(cloud, f"{address}.metadata", metadata(columns))
    return columns


def write_parquet(
    cloud: Cloud, session: duckdb.DuckDBPyConnection, select: str, address: str, path: Path
) -> tuple[list[Column], int]:
    """Run a query and put its rows at `address`, unless there are none; return its columns and how many rows."""
    typed = _typed(session, select)
    casts = ", ".join(f"{_stored(f'#{at}', kind)} AS {_q(name)}" for at, (name, kind) in enumerate(typed, 1))
    written = session.execute(f"COPY (SELECT {casts} FROM ({select})) TO '{path}' (FORMAT parquet)").fetchone()
    rows = int(written[0]) if written else 0
    if rows:
        _upload(cloud, address, path)
    path.unlink(missing_ok=True)
    return [Column(name, athena_type(kind)) for name, kind in typed], rows


def _stored(value: str, kind: Any) -> str:
    if str(kind) in ("HUGEINT", "UBIGINT"):
        return f"CAST({value} AS BIGINT)"
    # A Hive table's timestamp has no zone.
    return f"{value} AT TIME ZONE 'UTC'" if str(kind) == "TIMESTAMP WITH TIME ZONE" else value


def write_text(cloud: Cloud, address: str, columns: list[Column], rows: Iterable[tuple[str, ...]]) -> None:
    """Put the answer to SHOW or DESCRIBE at `address`, tabs between values."""
    put(cloud, address, "".join("\t".join(row) + "\n" for row in rows).encode())
    put(cloud, f"{address}.metadata", metadata(columns))


def metadata(columns: list[Column]) -> bytes:
    """Return what stands beside a result; AWS's own is an undocumented binary, which no client reads."""
    return json.dumps([column.shown() for column in columns]).encode()


def put(cloud: Cloud, address: str, content: bytes) -> None:
    """Put bytes at an S3 address."""
    parsed = urlparse(address)
    cloud.client("s3").put_object(Bucket=parsed.netloc, Key=parsed.path.lstrip("/"), Body=content)


def _upload(cloud: Cloud, address: str, path: Path) -> None:
    parsed = urlparse(address)
    cloud.client("s3").upload_file(str(path), parsed.netloc, parsed.path.lstrip("/"))
    path.unlink()


def page(cloud: Cloud, address: str, start: int, most: int) -> tuple[list[list[str | None]], int]:
    """Return up to `most` rows of a result from a byte offset, and the offset of the next, or -1 at the end."""
    parsed = urlparse(address)
    answer = cloud.client("s3").get_object(Bucket=parsed.netloc, Key=parsed.path.lstrip("/"))
    text = answer["Body"].read()[start:].decode()
    read = _text_row if address.endswith(".txt") else _csv_row
    rows: list[list[str | None]] = []
    at = 0
    while at < len(text) and len(rows) < most:
        row, at = read(text, at)
        rows.append(row)
    return rows, start + len(text[:at].encode()) if at < len(text) else -1


def _text_row(text: str, at: int) -> tuple[list[str | None], int]:
    end = text.index("\n", at)
    return [text[at:end]], end + 1


def _csv_row(text: str, at: int) -> tuple[list[str | None], int]:
    row: list[str | None] = []
    while True:
        found = _FIELD.match(text, at)
        assert found is not None
        row.append(found[1].replace('""', '"') if found[1] is not None else (found[2] or None))
        at = found.end() + 1
        if found.end() >= len(text) or text[found.end()] == "\n":
            return row, at
