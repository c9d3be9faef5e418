"""Replay a file: its rows in their order become records, and each row is sent, skipped on purpose or written down."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from itertools import islice
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TextIO

from clients.replay.mapping import Mapping
from clients.replay.rows import Row, UnreadableFile, columns, read
from clients.replay.translate import BadRow, Translated, Translator, days_to, read_time

REJECTS_FILE = "rejects.ndjson"
SENT_FILE = "sent.ndjson"


@dataclass(slots=True)
class Account:
    """What became of the rows: rows = sent + skipped + rejected."""

    rows: int = 0
    sent: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    rejected: int = 0

    def lines(self) -> Iterator[str]:
        """Tell it."""
        yield f"{self.rows:,} rows = {self.sent.total():,} sent + {self.skipped:,} skipped + {self.rejected:,} rejected"
        yield from (f"  {event}: {number:,}" for event, number in self.sent.most_common())


@dataclass(slots=True)
class Replay:
    """One replay of a file by a mapping that fits it.

    `records` runs it once, `account` then tells what became of the rows.
    """

    file: Path
    mapping: Mapping
    out: Path
    until: date | None = None
    speed: float = float("inf")
    limit: int | None = None
    account: Account = field(default_factory=Account)

    def __post_init__(self) -> None:
        self.mapping.check_columns(columns(self.file, self.mapping))

    @property
    def rejects(self) -> Path:
        """Where each row that makes no event stands with its number and the reason, one JSON object a line."""
        return self.out / REJECTS_FILE

    @property
    def sent(self) -> Path:
        """Where each event sent stands: event_id, event, user_id and event_time, one JSON object a line."""
        return self.out / SENT_FILE

    def check_rows(self) -> None:
        """Refuse, by `UnreadableFile`, a file of which no row makes an event."""
        translator, number, first = Translator(self.mapping, datetime.now(timezone.utc)), 0, "there is none"
        for number, row in enumerate(islice(read(self.file, self.mapping), self.limit), start=1):
            try:
                if translator.translate(row) is not None:
                    return
            except BadRow as error:
                first = str(error) if number == 1 else first
            else:
                first = "it is skipped by a rule" if number == 1 else first
        raise UnreadableFile(f"{self.file}: none of its {number:,} rows makes an event; of the first: {first}")

    def last_day(self) -> date:
        """Find the day, UTC, on which the last event falls once replayed."""
        return self.until or last_moment(self.file, self.mapping).date()

    def records(self) -> Iterator[tuple[str, bytes]]:
        """Let out the events as (partition key, bytes)."""
        shift = days_to(last_moment(self.file, self.mapping), self.until) if self.until else timedelta(0)
        translator = Translator(self.mapping, datetime.now(timezone.utc), shift)
        self.out.mkdir(parents=True, exist_ok=True)
        with self.rejects.open("w") as rejects, self.sent.open("w") as ledger:
            rows = islice(read(self.file, self.mapping), self.limit)
            for event in noted(paced(translate(rows, translator, self.account, rejects), self.speed), ledger):
                yield event.key, event.payload


def translate(rows: Iterable[Row], translator: Translator, account: Account, rejects: TextIO) -> Iterator[Translated]:
    """Make events of rows, keeping account; a row that makes none is written to `rejects` as one JSON object."""
    for row in rows:
        account.rows += 1
        try:
            event = translator.translate(row)
        except BadRow as error:
            account.rejected += 1
            rejects.write(json.dumps({**_place(row), "reason": str(error), "values": row.values}, default=str) + "\n")
            continue
        if event is None:
            account.skipped += 1
            continue
        account.sent[event.event] += 1
        yield event


def paced(
    events: Iterable[Translated],
    speed: float,
    clock: Callable[[], float] = monotonic,
    wait: Callable[[float], None] = sleep,
) -> Iterator[Translated]:
    """Let events through `speed` times as fast as they happened, in the order of the file; infinity waits for none."""
    first: datetime | None = None
    began = clock()
    for event in events:
        first = first or event.event_time
        due = (event.event_time - first).total_seconds() / speed
        if (left := began + due - clock()) > 0:
            wait(left)
        yield event


def noted(events: Iterable[Translated], ledger: TextIO) -> Iterator[Translated]:
    """Write down each event that is let through: its id, name, user and time."""
    for event in events:
        said = {"event_id": event.event_id, "event": event.event, "user_id": event.key}
        ledger.write(json.dumps({**said, "event_time": event.event_time.isoformat()}) + "\n")
        yield event


def last_moment(path: Path, mapping: Mapping) -> datetime:
    """Find the latest time in a file; rows without a time do not count."""
    return max(filter(None, (_moment(row, mapping) for row in read(path, mapping))), default=datetime.now(timezone.utc))


def _moment(row: Row, mapping: Mapping) -> datetime | None:
    try:
        return read_time(row.values.get(mapping.clock.column), mapping.clock)
    except BadRow:  # told of when the row is translated
        return None


def _place(row: Row) -> dict[str, Any]:
    return {"row": row.number, "part": row.part} if row.part else {"row": row.number}
