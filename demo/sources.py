"""What the demo sends: a simulated world, whose truth is known, or a file of somebody's clicks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Protocol

import duckdb

from clients.progress import counted
from clients.replay.mapping import InvalidMapping
from clients.replay.mapping import Mapping as Columns
from clients.replay.replay import Replay
from clients.replay.rows import UnreadableFile
from clients.send import Report
from clients.world.world import FEWEST_EVENTS, World
from demo.laptop import DemoFailed
from demo.progress import tell
from demo.sending import send_all
from demo.truth import Truth

SEED = 7
MOST_EVENTS = 20_000_000  # a world's plan takes 95 bytes a record, and is kept beside Spark
LONGEST = 20  # digits that are read as a number
SENT = "records sent"


class Source(Protocol):
    """Something that sends events and knows what it sent."""

    @property
    def title(self) -> str:
        """Say what is sent."""

    @property
    def day(self) -> date:
        """The last day of its events, which is the day to run."""

    def send(self, client: Any = None, *, framed: bool = False) -> Report:
        """Send everything, some of it in frames if told, by a client that is not Kinesis's if given."""

    def distinct_valid(self) -> Mapping[str, int]:
        """Count the distinct valid events sent, by event, from the sender's own ledger."""

    def best(self, sessions: list[tuple[str, datetime]]) -> dict[str, Any] | None:
        """Tell the best possible AUC over some sessions, where the truth is known."""

    def effects(self) -> list[dict[str, Any]]:
        """Tell what each arm of the experiments truly does, where it is known."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """Shoppers with known wishes."""

    events: int
    until: date
    folder: Path

    @classmethod
    def of(cls, events: str, until: date, folder: Path) -> Simulation:
        """Make a world of as many records as was asked for; DemoFailed says what may be asked for."""
        number = int(events) if events.isdecimal() and len(events) < LONGEST else 0
        if not FEWEST_EVENTS <= number <= MOST_EVENTS:
            raise DemoFailed(f"EVENTS={events}: give a whole number from {FEWEST_EVENTS} to {MOST_EVENTS}")
        return cls(number, until, folder)

    def world(self) -> World:
        """Make the world."""
        return World(seed=SEED, events=self.events, until=self.until)

    @property
    def title(self) -> str:
        """Say what is sent."""
        return f"{self.events:,} records of a simulated shop"

    @property
    def day(self) -> date:
        """The last simulated day."""
        return self.until

    def send(self, client: Any = None, *, framed: bool = False) -> Report:
        """Send the world's records and keep its ledger."""
        records = counted(Truth(self.folder).record(self.world()), SENT, self.events)
        return send_all(records, client=client, framed=framed)

    def distinct_valid(self) -> Mapping[str, int]:
        """Count from the world's ledger."""
        return Truth(self.folder).distinct_valid()

    def best(self, sessions: list[tuple[str, datetime]]) -> dict[str, Any] | None:
        """Ask the world."""
        return Truth(self.folder).best(sessions)

    def effects(self) -> list[dict[str, Any]]:
        """Read them from the world's ledger."""
        return Truth(self.folder).effects()


@dataclass(frozen=True, slots=True)
class Clicks:
    """A file of somebody's clicks, replayed by a mapping from its columns to our events."""

    replay: Replay
    day: date
    """The last day of the file."""

    @classmethod
    def read(cls, file: Path, mapping: Path, folder: Path) -> Clicks:
        """Open both files; DemoFailed says what is wrong with either."""
        try:
            replay = Replay(file, Columns.read(mapping), folder)
            replay.check_rows()
            return cls(replay, replay.last_day())
        except (InvalidMapping, UnreadableFile) as error:
            raise DemoFailed(str(error)) from error

    @property
    def title(self) -> str:
        """Say what is sent."""
        return f"the clicks of {self.replay.file.name}"

    def send(self, client: Any = None, *, framed: bool = False) -> Report:
        """Send the file and tell what became of its rows."""
        report = send_all(counted(self.replay.records(), SENT), client=client, framed=framed)
        for line in self.replay.account.lines():
            tell(line)
        return report

    def distinct_valid(self) -> Mapping[str, int]:
        """Count from the replay's ledger; DuckDB counts."""
        sql = f"SELECT event, count(DISTINCT event_id) FROM read_json('{self.replay.sent}') GROUP BY event"  # noqa: S608
        return dict(duckdb.sql(sql).fetchall())

    def best(self, sessions: list[tuple[str, datetime]]) -> dict[str, Any] | None:
        """Nobody knows what people wanted."""
        return None

    def effects(self) -> list[dict[str, Any]]:
        """Nothing was planted."""
        return []
