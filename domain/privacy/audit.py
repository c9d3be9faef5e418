"""Say who undid a token, had a person removed or published a release: one JSON line each, and never about whom."""

from __future__ import annotations

import json
from datetime import datetime
from enum import Enum

WITHHELD = "not repeated"
"""Stands in a refusal in the place of a value that says who somebody is."""


class Act(str, Enum):
    """What is written down of every time that it is done."""

    REVERSAL = "reversal"
    ERASURE = "erasure"
    RELEASE = "release"


def line(act: Act, *, who: str, at: datetime, subjects: tuple[str, ...] = (), **more: str | int | float) -> str:
    """Write an act down; `subjects` are keyed digests, `more` says what else an auditor asks for.

    >>> from datetime import timezone
    >>> line(Act.ERASURE, who="arn:…:eraser", at=datetime(2026, 3, 1, tzinfo=timezone.utc), subjects=("5f",), job="j")
    '{"audit": "erasure", "who": "arn:…:eraser", "at": "2026-03-01T00:00:00+00:00", "subjects": ["5f"], "job": "j"}'
    """
    said = {"audit": act.value, "who": who, "at": at.isoformat(), "subjects": list(subjects), **more}
    return json.dumps(said, ensure_ascii=False)
