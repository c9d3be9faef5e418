"""Say how the columns of a file become events: the mapping file, read and checked before anything is sent.

# A mapping is TOML.  A source is a constant, {column = "…"} or {template = "{one}/{another}"}.
user_id = {column = "visitor"}
event_id = {column = "id"}            # left out: a digest of the row and its number
ignore = ["referer"]                  # columns that nothing uses; any other unused column is an error

[file]                                # may be left out
format = "csv"                        # csv, ndjson, parquet or clf (a web server's log); else the ending says
delimiter = ";"
explode = "clicks"                    # a list of objects: each becomes a row, the row's other columns beside it

[time]
column = "ts"
format = "%d.%m.%Y %H:%M:%S"          # or rfc3339, epoch_s, epoch_ms, epoch_us
zone = "Europe/Berlin"                # where the format has no offset
# clf gives the columns host, user, time (%d/%b/%Y:%H:%M:%S %z), method, path, status and bytes.

[[event]]                             # the first rule that fits a row makes its event
name = "page_view"
when = {action = ["open", "reload"]}  # a column is a value, or one of several; {matches = "…"} takes a pattern
page = {template = "/p/{page}"}
device = {column = "agent", values = {iPhone = "mobile"}, otherwise = "desktop"}
country = "DE"

[[skip]]                              # rows that are left out on purpose, and counted
when = {action = "ping"}
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from string import Formatter
from typing import Any, NoReturn, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import tomllib

from domain.contract.wording import expectation
from domain.events import EVENTS, Event
from domain.ingest.contract import reason_of

FORMATS = ("csv", "ndjson", "parquet", "clf")
EPOCHS = {"epoch_s": 1, "epoch_ms": 1_000, "epoch_us": 1_000_000}
LONGEST_LIST = 400  # characters of the columns that a refusal names
T = TypeVar("T")
OWN_FIELDS = {column.name for column in Event.columns()}  # set for all rules together


class InvalidMapping(ValueError):
    """A mapping cannot work; names its line, what is wrong and what would be right."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a field's value comes from: exactly one of a constant, a column and a template."""

    constant: Any = None
    column: str | None = None
    template: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
    otherwise: Any = None

    @property
    def columns(self) -> set[str]:
        """Name the columns that it reads."""
        if self.template is not None:
            return {name for _, name, _, _ in Formatter().parse(self.template) if name}
        return {self.column} if self.column is not None else set()


@dataclass(frozen=True, slots=True)
class Rule:
    """Which rows it is for (patterns of a column's whole text), and what it makes of them, if anything."""

    when: dict[str, re.Pattern[str]]
    event: type[Event] | None
    fields: dict[str, Source]

    @property
    def columns(self) -> set[str]:
        """Name the columns that it reads."""
        return set(self.when).union(*(source.columns for source in self.fields.values()))


@dataclass(frozen=True, slots=True)
class Clock:
    """Where a row's time stands and how it is written; `zone` counts where it has no offset."""

    column: str
    format: str
    zone: ZoneInfo | None


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping that is sound in itself; `check_columns` holds it against a file."""

    text: str
    user: Source
    event_id: Source | None
    clock: Clock
    rules: tuple[Rule, ...]
    ignore: frozenset[str]
    format: str | None
    delimiter: str | None
    explode: str | None
    name: str = "the mapping"

    @classmethod
    def read(cls, path: Path) -> Mapping:
        """Read a mapping file, or raise InvalidMapping."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = (isinstance(error, OSError) and error.strerror) or "it is no text in UTF-8"
            raise InvalidMapping(f"{path}: {reason}; name a mapping file, see docs/replay.md") from error
        return _Reader(text, path.name).mapping()

    @property
    def columns(self) -> set[str]:
        """Name the columns that anything reads."""
        own = self.user.columns | (self.event_id.columns if self.event_id else set()) | {self.clock.column}
        return own.union(*(rule.columns for rule in self.rules))

    def check_columns(self, present: set[str]) -> None:
        """Hold the mapping against the columns of a file, or raise InvalidMapping."""
        missing, unused = sorted(self.columns - present), sorted(present - self.columns - self.ignore)
        if missing:
            place = f"{self.name}, line {find_line(self.text, missing[0])}"
            raise InvalidMapping(f"{place}: the file has no column {missing[0]!r}; it has {_list(present)}")
        if unused:
            raise InvalidMapping(f"nothing uses the column(s) {_list(set(unused))}: map them, or list them in 'ignore'")


def find_line(text: str, word: str, after: int = 0) -> int:
    """Find the line (counted from 1) on which a word first stands after the given one, or the given one itself."""
    pattern = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)")
    lines = text.splitlines()
    return next((number for number, line in enumerate(lines, 1) if number > after and pattern.search(line)), after or 1)


@dataclass(frozen=True, slots=True)
class _Reader:
    text: str
    name: str

    def mapping(self) -> Mapping:
        document = self.parse()
        known = {"user_id", "event_id", "ignore", "file", "time", "event", "skip"}
        self.check_keys(document, known, "a mapping", 0)
        file = self.typed(document.get("file", {}), "file", dict, "a table: [file]")
        self.check_keys(file, {"format", "delimiter", "explode"}, "[file]", self.line("file"))
        if file.get("format") not in (None, *FORMATS):
            self.fail("format", f"{file['format']!r} is no format; use one of {_list(set(FORMATS))}", self.line("file"))
        delimiter = file.get("delimiter")
        if delimiter is not None and (not isinstance(delimiter, str) or len(delimiter) != 1):
            self.fail("delimiter", f"{delimiter!r} is no delimiter; use one character, such as ';'", self.line("file"))
        ignore = document.get("ignore", [])
        if not isinstance(ignore, list) or not all(isinstance(name, str) for name in ignore):
            self.fail("ignore", "write a list of columns, such as ['referer']")
        rules = (*self.rules(document, "skip"), *self.rules(document, "event"))
        if not any(rule.event for rule in rules):
            self.fail("event", "there is no [[event]]; write at least one rule")
        return Mapping(
            text=self.text,
            user=self.source(document.get("user_id"), "user_id", 0),
            event_id=self.source(document["event_id"], "event_id", 0) if "event_id" in document else None,
            clock=self.clock(document.get("time")),
            rules=rules,
            ignore=frozenset(ignore),
            format=file.get("format"),
            delimiter=delimiter,
            explode=self.optional(file.get("explode"), "explode", self.line("file")),
            name=self.name,
        )

    def parse(self) -> dict[str, Any]:
        try:
            return tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:  # it names line and column
            raise InvalidMapping(f"{self.name}: {error}") from error

    def clock(self, stated: Any) -> Clock:
        if not isinstance(stated, dict) or not {"column", "format"} <= stated.keys():
            self.fail("time", "write [time] with a column and a format")
        line = self.line("time")
        self.check_keys(stated, {"column", "format", "zone"}, "[time]", line)
        column = self.typed(stated["column"], "column", str, "the name of a column", line)
        format_ = self.typed(stated["format"], "format", str, "text", line)
        zone = self.optional(stated.get("zone"), "zone", line)
        has_offset = format_ in ("rfc3339", *EPOCHS) or "%z" in format_
        if "%" not in format_ and not has_offset:
            self.fail("format", f"{format_!r} is no time format; use rfc3339, {', '.join(EPOCHS)} or %Y-%m-%d …", line)
        if not has_offset and zone is None:
            self.fail("format", f"{format_!r} has no offset; add the zone, such as zone = 'UTC'", line)
        if "%" in format_ and (fault := _format_fault(format_)):
            self.fail("format", f"{format_!r} is no time format: {fault}", line)
        return Clock(column, format_, self.zone(zone, line))

    def zone(self, name: str | None, line: int) -> ZoneInfo | None:
        if name is None:
            return None
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):  # "Europe" is a folder
            self.fail("zone", f"there is no time zone {name!r}; use a name such as 'Europe/Berlin'", line)

    def rules(self, document: dict[str, Any], kind: str) -> Iterator[Rule]:
        line = 0
        stated_rules = document.get(kind, [])
        if not isinstance(stated_rules, list) or not all(isinstance(stated, dict) for stated in stated_rules):
            self.fail(kind, f"write each rule as [[{kind}]], with two brackets")
        for stated in stated_rules:
            line = find_line(self.text, f"[{kind}]", line)
            yield self.skip(stated, line) if kind == "skip" else self.rule(stated, line)

    def skip(self, stated: dict[str, Any], line: int) -> Rule:
        self.check_keys(stated, {"when"}, "[[skip]]", line)
        return Rule(self.when(stated, line), None, {})

    def rule(self, stated: dict[str, Any], line: int) -> Rule:
        name = stated.get("name")
        event = EVENTS.get(name) if isinstance(name, str) else None
        if event is None:
            self.fail("name", f"{name!r} is no event; use one of {_list(set(EVENTS))}", line)
        columns = {column.name: column for column in event.columns() if column.name not in OWN_FIELDS}
        self.check_keys(stated, {"name", "when", *columns}, event.name, line)
        missing = [name for name, column in columns.items() if column.required and name not in stated]
        if missing:
            problem = f"{event.name} needs {_list(set(missing))}; give each a column or a constant"
            raise InvalidMapping(f"{self.name}, line {line}, {missing[0]}: {problem}")
        fields = {name: self.source(stated[name], name, line) for name in columns if name in stated}
        for name, source in fields.items():
            if source.constant is not None and reason_of(source.constant, columns[name]) is not None:
                problem = f"{source.constant!r} keeps no contract; it takes {expectation(columns[name])}"
                self.fail(name, problem, line)
        return Rule(self.when(stated, line), event, fields)

    def when(self, stated: dict[str, Any], line: int) -> dict[str, re.Pattern[str]]:
        when = stated.get("when", {})
        if not isinstance(when, dict):
            self.fail("when", "write it as {column = 'value'} or {column = ['one', 'another']}", line)
        return {column: self.pattern(wanted, line) for column, wanted in when.items()}

    def pattern(self, wanted: Any, line: int) -> re.Pattern[str]:
        if not isinstance(wanted, dict):
            values = wanted if isinstance(wanted, list) else [wanted]
            return re.compile("|".join(re.escape(str(value)) for value in values))
        self.check_keys(wanted, {"matches"}, "a condition", line)
        try:
            return re.compile(wanted["matches"])
        except (re.error, TypeError, KeyError) as error:
            self.fail("matches", f"{wanted.get('matches')!r} is no regular expression: {error}", line)

    def source(self, stated: Any, name: str, line: int) -> Source:
        if stated is None:
            self.fail(name, "is not given; write it as {column = '…'}")
        if not isinstance(stated, dict):
            return Source(constant=stated)
        self.check_keys(stated, {"column", "template", "values", "otherwise"}, name, line)
        if ("column" in stated) == ("template" in stated):
            self.fail(name, "takes either a column or a template", line)
        self.optional(stated.get("column"), "column", line)
        self.typed(stated.get("values", {}), "values", dict, "a table: {theirs = 'ours'}", line)
        self.check_template(self.optional(stated.get("template"), "template", line), line)
        return Source(**stated)

    def check_template(self, template: str | None, line: int) -> None:
        try:
            parts = list(Formatter().parse(template or ""))
        except ValueError as error:
            self.fail("template", f"{template!r} is no template: {error}; write '{{column}}'", line)
        if any(name is not None and (not name or spec or turned) for _, name, spec, turned in parts):
            self.fail("template", f"{template!r} names no column between braces; write '{{column}}'", line)

    def optional(self, stated: Any, key: str, line: int = 0) -> str | None:
        return None if stated is None else self.typed(stated, key, str, "text", line)

    def typed(self, stated: Any, key: str, kind: type[T], words: str, line: int = 0) -> T:
        if not isinstance(stated, kind):
            self.fail(key, f"is {stated!r}; write {words}", line)
        return stated

    def check_keys(self, stated: dict[str, Any], known: set[str], where: str, line: int) -> None:
        unknown = [key for key in stated if key not in known]
        if unknown:
            self.fail(unknown[0], f"{where} knows no {unknown[0]!r}; it takes {_list(known)}", line)

    def line(self, word: str) -> int:
        return find_line(self.text, f"[{word}]")

    def fail(self, key: str, problem: str, after: int = 0) -> NoReturn:
        line = find_line(self.text, key, after - 1 if after else 0)
        raise InvalidMapping(f"{self.name}, line {line}, {key}: {problem}")


def _format_fault(written: str) -> str | None:
    try:
        datetime.strptime("", written)  # noqa: DTZ007  # only the format is tried
    except ValueError as error:  # of a sound format, that the empty text does not match it
        return None if "does not match format" in str(error) else str(error)
    return None


def _list(names: set[str] | frozenset[str]) -> str:
    shown = [name if name.isprintable() and name.strip() else repr(name) for name in sorted(names)]
    return textwrap.shorten(", ".join(shown), LONGEST_LIST, placeholder=" …") or "none"
