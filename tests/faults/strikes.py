"""Faults that strike calls of S3, Glue and Kinesis, as a seed has it, and the account of them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from botocore.exceptions import ReadTimeoutError

from tests.faults.memory import error, pages
from tests.faults.turns import Actor, Killed, Turns

WRITES = {"put_object", "update_table", "delete_object", "delete_objects", "put_records", "create_table"}
KINDS = ("kill before", "kill after", "refuse", "conflict", "lose answer", "lose answer, repeat")
RATES = (0.0, 0.0, 0.01, 0.04, 0.12)
COMMITS = 3
"""How many times more often a fault strikes a commit's writes, which are few."""


def place(operation: str, said: dict[str, Any]) -> str:
    """Say what a call writes or reads, in the words of the path of a record."""
    key = str(said.get("Key", said.get("Prefix", "")))
    if operation == "update_table":
        return "commit"
    if operation not in WRITES:
        return "read"
    if operation != "put_object":
        return operation
    if key.startswith("receipts/"):
        return "receipt"
    if key.startswith("landing/"):
        return "quarantine file" if key.startswith("landing/quarantine/") else "data file"
    return "metadata" if key.endswith(".json") else "manifest"


def possible(where: str) -> set[str]:
    """Name the faults that a write can meet: only a conditional one conflicts, only the catalogue's is not repeated."""
    meant = {"receipt": set(), "commit": {"conflict", "lose answer, repeat"}}.get(where, {"conflict"})
    return set(KINDS) - meant


@dataclass
class Strikes:
    """Decides at each call whether a fault strikes: by its rate, or at the `nth` write only, until `most` have."""

    chance: Random
    rates: dict[str, float]
    most: int = 40
    nth: tuple[int, str] | None = None
    struck: Counter[str] = field(default_factory=Counter)
    spent: int = 0
    writes: int = 0

    @classmethod
    def of(cls, chance: Random) -> Strikes:
        """Draw the rates of a seed; some faults are left out of it."""
        return cls(chance, {kind: chance.choice(RATES) for kind in KINDS}, most=chance.randint(5, 60))

    def at(self, operation: str, where: str) -> str | None:
        """Say which fault strikes a call, if one does."""
        self.writes += operation in WRITES
        if self.nth is not None:
            kind = self.nth[1] if operation in WRITES and self.writes == self.nth[0] else None
        elif self.spent >= self.most:
            return None
        else:
            kind = self._drawn(operation, where)
        if kind:
            self.spent += 1
            self.struck[f"{kind}: {where}"] += 1
        return kind

    def note(self, what: str) -> None:
        """Count what happened otherwise."""
        self.struck[what] += 1

    def _drawn(self, operation: str, where: str) -> str | None:
        draw = self.chance.random() / (COMMITS if where in ("manifest", "metadata", "commit") else 1)
        for kind in KINDS if operation in WRITES else ("kill before", "refuse"):
            if kind not in possible(where):
                continue
            if draw < self.rates[kind]:
                return kind
            draw -= self.rates[kind]
        return None


class Struck:
    """A boto3 client whose calls are steps of an actor, and are struck by faults."""

    def __init__(self, client: Any, strikes: Strikes, turns: Turns, tick: Callable[[], None]) -> None:
        self._client, self._strikes, self._turns, self._tick = client, strikes, turns, tick
        self.exceptions = client.exceptions

    def __getattr__(self, operation: str) -> Any:
        call = getattr(self._client, operation)

        def struck(**said: Any) -> Any:
            # A function's own threads only read, while it waits for them: no one else's turn, and no draw.
            if not isinstance(threading.current_thread(), Actor):
                return call(**said)
            return self._call(operation, call, said)

        return struck

    def get_paginator(self, operation: str) -> Any:
        """Page through a listing, each page a call."""
        assert operation == "list_objects_v2"
        outer = self

        class Paginator:
            def paginate(self, **where: Any) -> Iterator[dict[str, Any]]:
                return pages(outer, where)

        return Paginator()

    def _call(self, operation: str, call: Callable[..., Any], said: dict[str, Any]) -> Any:
        where = place(operation, said)
        self._turns.step(where)
        self._tick()
        kind = self._strikes.at(operation, where)
        if kind == "kill before":
            raise Killed
        if kind == "refuse":
            raise error("SlowDown" if "object" in operation else "InternalServiceException", operation, 503)
        if kind == "conflict":
            raise error("ConditionalRequestConflict", operation, 409)
        answer = call(**said)
        self._turns.step(f"{where} done")
        if kind == "kill after":
            raise Killed
        if kind == "lose answer":
            raise ReadTimeoutError(endpoint_url=operation)
        return call(**said) if kind == "lose answer, repeat" else answer
