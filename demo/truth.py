"""What the sender says that it sent, kept in files, so that others can count it independently."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow.parquet as pq

from clients.world.__main__ import EFFECTS_FILE, SENT_FILE, SESSIONS_FILE, records, write_truth
from clients.world.truth import best_possible_auc
from clients.world.world import World

POINTS = 100  # of a drawn ROC curve


@dataclass(frozen=True, slots=True)
class Truth:
    """The ledger of a simulated world: each record sent, each session with its true probability, each arm's effect."""

    folder: Path

    @property
    def sent(self) -> Path:
        """Where each record sent has a row (`clients.world.stream.SENT`)."""
        return self.folder / SENT_FILE

    @property
    def sessions(self) -> Path:
        """Where each session has a row (`clients.world.truth.session_table`)."""
        return self.folder / SESSIONS_FILE

    def record(self, world: World) -> Iterator[tuple[str, bytes]]:
        """Let a world's records through and write down what was sent."""
        write_truth(world, self.folder)
        return records(world, self.sent)

    def effects(self) -> list[dict[str, Any]]:
        """Read what each arm of the world's experiments truly does (`clients.world.trials.Effect`)."""
        found: list[dict[str, Any]] = json.loads((self.folder / EFFECTS_FILE).read_text(encoding="utf-8"))
        return found

    def distinct_valid(self) -> dict[str, int]:
        """Count the distinct valid events that were sent, by event; DuckDB counts, over the ledger alone."""
        rows = duckdb.sql(
            f"SELECT event, count(DISTINCT event_id) FROM '{self.sent}' WHERE valid GROUP BY event"  # noqa: S608
        )
        return dict(rows.fetchall())

    def best(self, sessions: Iterable[tuple[str, datetime]]) -> dict[str, Any]:
        """Compute the best possible AUC and its ROC curve over some sessions, given by user and start."""
        keys = set(sessions)
        known = pq.read_table(self.sessions)
        rows = [
            (row["probability"], row["purchased"])
            for row in known.select(["user_id", "started_at", "probability", "purchased"]).to_pylist()
            if row["probability"] is not None and (row["user_id"], row["started_at"]) in keys
        ]
        scores, outcomes = (np.array(column) for column in zip(*rows, strict=True))
        return {"auc": best_possible_auc(known, keys), "roc": roc_points(scores, outcomes), "sessions": len(rows)}


def roc_points(scores: np.ndarray[Any, Any], outcomes: np.ndarray[Any, Any]) -> list[list[float]]:
    """Return points of the ROC curve, as [false positive rate, true positive rate].

    >>> roc_points(np.array([0.9, 0.1]), np.array([True, False]))
    [[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    """
    order = np.argsort(-scores, kind="stable")
    hits = np.concatenate([[0], np.cumsum(outcomes[order])]) / max(outcomes.sum(), 1)
    misses = np.concatenate([[0], np.cumsum(~outcomes[order])]) / max((~outcomes).sum(), 1)
    kept = np.unique(np.linspace(0, len(hits) - 1, POINTS).astype(int))
    return [[float(x), float(y)] for x, y in zip(misses[kept], hits[kept], strict=True)]
