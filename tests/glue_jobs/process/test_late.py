"""An event that comes a day late and out of order is found in its own day, everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from domain.tables import CURATED, OPENINGS, RAW, SESSIONS, USERS
from glue_jobs.process import curate, features, sessions
from tests.glue_jobs.builders import MORNING, Row, any_event, kinds, minutes
from tests.glue_jobs.frames import Lake
from tests.glue_jobs.tables import BUCKET

pytestmark = pytest.mark.slow


def arrive(empty_lake: Lake, rows: Sequence[Row]) -> None:
    for event, some in kinds(rows).items():
        empty_lake.append(RAW[event], some)


def refine(monkeypatch: pytest.MonkeyPatch, day: str) -> None:
    """Run the day's jobs, one after another."""
    monkeypatch.setattr("sys.argv", ["job", "--day", day, "--run", f"daily-{day}", "--bucket", BUCKET])
    for job in (curate, sessions, features):
        job.main()


def test_an_event_that_is_a_day_late_lands_in_its_own_day_of_every_table(
    empty_lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    tomorrow = MORNING + timedelta(days=1)
    on_time = [any_event(at=minutes(at)) for at in (0, 5, 15, 20)]
    late: dict[str, Any] = any_event(at=minutes(10)) | {"arrived_at": tomorrow, "sequence": "9"}
    arrive(empty_lake, on_time)
    refine(monkeypatch, "2026-03-02")
    assert empty_lake.rows(OPENINGS) == []  # four events, and a session is scored at its fifth

    arrive(empty_lake, [any_event(at=tomorrow), late])
    refine(monkeypatch, "2026-03-03")

    kept = sorted((row["event_time"], row["arrived_at"]) for row in empty_lake.rows(CURATED["page_view"]))
    assert kept[2] == (minutes(10), tomorrow)
    cut = sorted((row["started_at"], row["ended_at"], row["events"]) for row in empty_lake.rows(SESSIONS))
    assert cut == [(minutes(0), minutes(20), 5), (tomorrow, tomorrow, 1)]
    [scored] = empty_lake.rows(OPENINGS)
    assert (scored["moment"], scored["page_views"]) == (minutes(20), 5)
    assert sorted(row["as_of"] for row in empty_lake.rows(USERS)) == [minutes(0), tomorrow]
