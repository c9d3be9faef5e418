"""What producers of a seed send, and the ledger that says what must become of each record."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from domain.contract.fakes import fake
from domain.events import EVENTS, Event
from domain.ingest import frames

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Fate:
    """What must become of one event: a row of its table, named by its id, or of the quarantine, for a reason."""

    table: str
    name: str
    payload: bytes


@dataclass(slots=True)
class Ledger:
    """What was sent: the fate of each event of a record by the record's bytes, and each user's events in order."""

    fates: dict[bytes, list[Fate]] = field(default_factory=dict)
    valid: dict[str, list[Fate]] = field(default_factory=dict)
    sent: Counter[str] = field(default_factory=Counter)

    def note(self, user: str, record: bytes, fates: list[Fate]) -> None:
        """Note a record before it is sent."""
        self.fates[record] = fates
        known = {fate.name for fate in self.valid.setdefault(user, [])}
        for fate in fates:
            self.sent[fate.table if fate.table != "quarantine" else f"poison: {fate.name}"] += 1
            if fate.table != "quarantine" and fate.name not in known:
                known.add(fate.name)
                self.valid[user].append(fate)


@dataclass(slots=True)
class Producer:
    """Makes up a seed's records: plain events, lines and frames of them, some late, some ahead, some poison."""

    chance: Random
    ledger: Ledger = field(default_factory=Ledger)
    made: int = 0
    kinds: list[type[Event]] = field(init=False)
    users: list[str] = field(init=False)
    poison: float = field(init=False)
    packed: float = field(init=False)
    said: dict[str, list[tuple[bytes, Fate]]] = field(init=False)

    def __post_init__(self) -> None:
        self.kinds = self.chance.sample(list(EVENTS.values()), 2)
        self.users = [f"user-{number}" for number in range(self.chance.randint(2, 6))]
        self.poison = self.chance.choice((0.0, 0.05, 0.3))
        self.packed = self.chance.choice((0.0, 0.2, 0.6))
        self.said: dict[str, list[tuple[bytes, Fate]]] = {user: [] for user in self.users}

    def records(self, count: int, now: datetime) -> Iterator[tuple[str, bytes]]:
        """Make up records, each of one user, with the user as partition key."""
        for _ in range(count):
            user = self.chance.choice(self.users)
            if self.chance.random() < self.packed:
                record, fates = self.pack([self.event(user, now) for _ in range(self.chance.randint(2, 6))])
            else:
                payload, fate = self.event(user, now)
                record, fates = payload, [fate]
            self.ledger.note(user, record, fates)
            yield user, record

    def pack(self, events: list[tuple[bytes, Fate]]) -> tuple[bytes, list[Fate]]:
        """Put events into one record: lines, or a frame of lines; a frame that is damaged is set aside whole."""
        lines = b"\n".join(payload for payload, _ in events)
        fates = [fate for _, fate in events]
        draw = self.chance.random()
        if draw < 0.3 and any(fate.table != "quarantine" for fate in fates):
            return lines, fates
        codec = self.chance.choice((frames.Codec.NONE, frames.Codec.ZSTD, frames.Codec.DEFLATE))
        frame = frames.pack("ndjson", lines, len(events), codec)
        if draw < 0.9:
            return frame, fates
        damaged = frame[:-1] + bytes([frame[-1] ^ 1])
        return damaged, [Fate("quarantine", "bad_frame", damaged)]

    def event(self, user: str, now: datetime) -> tuple[bytes, Fate]:
        """Make up one event, or send one again that was sent before."""
        if self.said[user] and self.chance.random() < 0.1:
            self.ledger.sent["event sent again"] += 1
            return self.chance.choice(self.said[user])
        self.made += 1
        event = self.chance.choice(self.kinds)
        fields = {**fake(event, self.chance, now), "user_id": user, "event_id": f"e-{self.made}"}
        if self.chance.random() < 0.15:  # and so out of order
            self.ledger.sent["event days late"] += 1
            fields["event_time"] = (now - timedelta(hours=self.chance.uniform(24, 72))).isoformat()
        if self.chance.random() < self.poison:
            return self.spoiled(fields, now)
        if self.chance.random() < 0.1:  # a producer one version ahead
            self.ledger.sent["field not declared"] += 1
            fields["not_yet_declared"] = self.made
        payload = json.dumps(fields).encode()
        made = payload, Fate(event.name, fields["event_id"], payload)
        self.said[user].append(made)
        return made

    def spoiled(self, fields: Fields, now: datetime) -> tuple[bytes, Fate]:
        """Spoil an event in a way that has a name."""
        ahead = (now + timedelta(days=self.chance.choice((2, 400)))).isoformat()
        never = "1969-07-20T20:17:40Z"
        ways: dict[str, bytes] = {
            "not_json": json.dumps(fields).encode()[:-1],
            "not_utf8": json.dumps(fields).encode() + b"\xff",
            "ahead_of_time": json.dumps({**fields, "event_time": ahead}).encode(),
            "before_time": json.dumps({**fields, "event_time": never}).encode(),
            "unknown_event": json.dumps({**fields, "event": "next_year"}).encode(),
            "unknown_version": json.dumps({**fields, "version": 2}).encode(),
            "missing_field": json.dumps({**fields, "user_id": None}).encode(),
            "wrong_type": json.dumps({**fields, "event_id": self.made}).encode(),
            "duplicate_key": b'{"event_id":"twice",' + json.dumps(fields).encode()[1:],
        }
        reason = self.chance.choice(list(ways))
        return ways[reason], Fate("quarantine", reason, ways[reason])
