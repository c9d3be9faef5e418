"""Replay a file of clicks (CSV, NDJSON or Parquet) to a stream, as events."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from itertools import islice
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TextIO

from clients.progress import counted
from clients.replay.mapping import InvalidMapping, Mapping
from clients.replay.rows import Row, columns, read
from clients.replay.translate import BadRow, Translated, Translator, days_to, read_time
from clients.send import send

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


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; 2 if nothing could be sent, 1 if the stream refused records."""
    chosen = _parser().parse_args(arguments)
    try:
        mapping = Mapping.read(chosen.mapping)
        mapping.check_columns(columns(chosen.file, mapping))
    except (InvalidMapping, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    shift = days_to(last_moment(chosen.file, mapping), chosen.until) if chosen.until else timedelta(0)
    translator = Translator(mapping, datetime.now(timezone.utc), shift)
    account = Account()
    chosen.out.mkdir(parents=True, exist_ok=True)
    with (chosen.out / REJECTS_FILE).open("w") as rejects, (chosen.out / SENT_FILE).open("w") as ledger:
        rows = islice(read(chosen.file, mapping), chosen.limit)
        events = noted(paced(translate(rows, translator, account, rejects), chosen.speed), ledger)
        report = send(counted(((event.key, event.payload) for event in events), "events"), chosen.stream)
    print("\n".join(account.lines()))
    if account.rejected:
        print(f"the rejected rows, with their numbers and reasons: {chosen.out / REJECTS_FILE}")
    if report.refused:
        print(f"{chosen.stream} refused {dict(report.refused)}", file=sys.stderr)
    return 1 if report.refused else 0


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


def _speed(text: str) -> float:
    speed = float("inf") if text == "max" else float(text)
    if not speed > 0:
        raise argparse.ArgumentTypeError(f"{text}: take a number above 0 (60 is an hour a minute) or max")
    return speed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m clients.replay", description=__doc__)
    parser.add_argument("file", type=Path, help="the clicks; .gz is read too")
    parser.add_argument("--mapping", type=Path, required=True, help="how its columns become events (TOML)")
    parser.add_argument("--stream", required=True, help="name of the Kinesis stream")
    parser.add_argument("--speed", type=_speed, default="max", help="times as fast as it happened, or max")
    parser.add_argument("--limit", type=int, help="rows to read at most")
    parser.add_argument(
        "--until", type=date.fromisoformat, help="move all times by whole days; the last day becomes this"
    )
    parser.add_argument("--out", type=Path, default=Path("build/replay"), help="folder for the ledger and the rejects")
    return parser


if __name__ == "__main__":
    sys.exit(main())
