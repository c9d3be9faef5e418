"""Questions and datasets of which a test says only what it cares for."""

from __future__ import annotations

from typing import Any

from domain.privacy.release.declaration import Dataset, Kind, Question
from domain.tables import SESSIONS


def any_question(kind: Kind, **fields: Any) -> Question:
    """Ask something of a session's events, between 0 and 60."""
    known: dict[str, Any] = {"name": kind.value, "upper": 60.0, "bins": 12}
    if kind is not Kind.COUNT:
        known["column"] = "events"
    return Question(kind=kind, **{**known, **fields})


def any_dataset(*questions: Question, **fields: Any) -> Dataset:
    """Declare sessions, of which a subject counts with one."""
    known: dict[str, Any] = {
        "name": "any",
        "table": SESSIONS,
        "row": "session_id",
        "time": "started_at",
        "rows_per_subject": 1,
        "about": 10_000,
        "epsilon": 4.0,
        "delta": 1e-6,
    }
    return Dataset(questions=questions, **{**known, **fields})
