"""Read a CSV, NDJSON or Parquet file or a web log row by row; a row that cannot be read is told, not dropped."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from clients.replay.mapping import FORMATS, InvalidMapping, Mapping

CLF = re.compile(  # the Common Log Format of NCSA httpd; what follows, such as referrer and agent, is left out
    r'(?P<host>\S+) \S+ (?P<user>\S+) \[(?P<time>[^\]]+)\] "(?:(?P<method>[A-Z]+) )?(?P<path>\S*)[^"]*" '
    r"(?P<status>\d{3}) (?P<bytes>\d+|-)"
)
SAMPLE = 1_000  # rows that tell the columns of a file without a header


@dataclass(frozen=True, slots=True)
class Row:
    """A row by its number (1 is the first after a header; `part` counts within one that was exploded), or why not."""

    number: int
    part: int
    values: dict[str, Any]
    fault: str | None = None


class UnreadableFile(ValueError):
    """A file of clicks cannot be read as what it says it is; the message says why and what to give."""


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error, pa.ArrowException, OverflowError, UnicodeError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or " ".join(str(error).split())
        raise UnreadableFile(f"{path}: {reason.rstrip('.')}; give a whole file of the format of its name") from error


def read(path: Path, mapping: Mapping) -> Iterator[Row]:
    """Read all rows; empty text counts as no value. Raises `UnreadableFile`."""
    with _reading(path):
        yield from _rows(path, mapping)


def _rows(path: Path, mapping: Mapping) -> Iterator[Row]:
    rows = {"csv": _csv, "ndjson": _ndjson, "parquet": _parquet, "clf": _clf}[file_format(path, mapping)](path, mapping)
    return _explode(rows, mapping.explode) if mapping.explode else rows


def columns(path: Path, mapping: Mapping) -> set[str]:
    """Name the columns of a file: those of its header or schema, else those of its first rows.

    Raises `UnreadableFile`.
    """
    with _reading(path):
        return _columns(path, mapping)


def _columns(path: Path, mapping: Mapping) -> set[str]:
    found = file_format(path, mapping)
    if mapping.explode is None and found == "parquet":
        return set(pq.read_schema(path).names)
    if mapping.explode is None and found == "csv":
        return set(_header(path, mapping))
    sample = list(islice(read(path, mapping), SAMPLE))
    if sample and all(row.fault for row in sample):
        fault = f"none of its first {len(sample):,} rows can be read, the first since it is {sample[0].fault}"
        raise UnreadableFile(f"{path}: {fault}; give a whole file of the format of its name")
    return set().union(*(row.values for row in sample if row.fault is None))


def _header(path: Path, mapping: Mapping) -> list[str]:
    with _open(path) as file:
        names = next(csv.reader(file, delimiter=_delimiter(path, mapping)), [])
    if twice := [name for name in names if names.count(name) > 1]:
        raise UnreadableFile(f"{path}: its header names the column {twice[0]!r} twice; give each a name of its own")
    found = next((mark for mark in ";\t|" if len(names) == 1 and mark in names[0]), None)
    if found:
        fix = f"is {found!r} the delimiter? then write [file] delimiter = {json.dumps(found)}"
        raise UnreadableFile(f"{path}: its header is one column, {names[0]!r}; {fix} in the mapping")
    return names


def _delimiter(path: Path, mapping: Mapping) -> str:
    return mapping.delimiter or ("\t" if path.name.removesuffix(".gz").lower().endswith(".tsv") else ",")


def file_format(path: Path, mapping: Mapping) -> str:
    """Tell a file's format by the mapping, else by its ending."""
    if mapping.format:
        return mapping.format
    ending = path.name.removesuffix(".gz").rpartition(".")[2].lower()
    found = {"json": "ndjson", "jsonl": "ndjson", "tsv": "csv", "log": "clf"}.get(ending, ending)
    if found not in FORMATS:
        raise InvalidMapping(f"{path.name}: unknown ending; say [file] format = one of {', '.join(FORMATS)}")
    return found


def _open(path: Path) -> TextIO:
    def file() -> BinaryIO:
        return cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb")

    with file() as begun:
        marked = begun.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    return io.TextIOWrapper(file(), encoding="utf-16" if marked else "utf-8-sig", errors="surrogateescape", newline="")


def _csv(path: Path, mapping: Mapping) -> Iterator[Row]:
    with _open(path) as file:
        table = csv.reader(file, delimiter=_delimiter(path, mapping), strict=True)
        header = next(table, [])
        number = 0
        while (cells := _next(table)) is not None:
            number += bool(cells)  # an empty line is no row
            if isinstance(cells, csv.Error):
                yield Row(number, 0, {}, f"not CSV: {cells}")
            elif cells:
                values = {name: cell or None for name, cell in zip(header, cells, strict=False)}
                fits = len(cells) == len(header)
                yield Row(number, 0, values, None if fits else f"{len(cells)} cells, the header has {len(header)}")


def _next(table: Iterator[list[str]]) -> list[str] | csv.Error | None:
    try:
        return next(table, None)
    except csv.Error as error:  # such as a cell over the module's limit; the reader goes on after it
        return error


def _ndjson(path: Path, mapping: Mapping) -> Iterator[Row]:
    with _open(path) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield _document(number, line)


def _document(number: int, line: str) -> Row:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Row(number, 0, {"line": line.rstrip("\n")}, f"not JSON: {error}")
    if not isinstance(values, dict):
        return Row(number, 0, {"line": line.rstrip("\n")}, "JSON, but no object")
    return Row(number, 0, {name: None if value == "" else value for name, value in values.items()})


def _parquet(path: Path, mapping: Mapping) -> Iterator[Row]:
    number = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches():
            for values in batch.to_pylist():
                number += 1
                yield Row(number, 0, values)


def _clf(path: Path, mapping: Mapping) -> Iterator[Row]:
    with _open(path) as file:
        for number, line in enumerate(file, start=1):
            found = CLF.match(line)
            values = found.groupdict() if found else {"line": line.rstrip("\n")}
            yield Row(number, 0, values, None if found else "not a line of a web server's log")


def _explode(rows: Iterable[Row], name: str) -> Iterator[Row]:
    for row in rows:
        parts = row.values.get(name)
        if row.fault is None and not (isinstance(parts, list) and all(isinstance(part, dict) for part in parts)):
            row = Row(row.number, 0, row.values, f"{name!r} is no list of objects")  # noqa: PLW2901  # the same row
        if row.fault is not None or not isinstance(parts, list):
            yield row
            continue
        beside = {key: value for key, value in row.values.items() if key != name}
        for part, values in enumerate(parts, start=1):
            yield Row(row.number, part, {**beside, **values})
