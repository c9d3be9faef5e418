"""Replay: a span is curated again beside the table, compared, and swapped in only if it may be."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from domain.tables import CURATED, RAW
from glue_jobs import lake
from glue_jobs.process import curate, replay
from tests.glue_jobs.builders import MORNING, any_event, minutes
from tests.glue_jobs.frames import Lake
from tests.glue_jobs.tables import BUCKET

pytestmark = pytest.mark.slow

VIEWS, KEPT = RAW["page_view"], CURATED["page_view"]
SPAN = ["--from", minutes(0).isoformat(), "--to", minutes(60).isoformat()]


def sent(event_id: str, minute: float = 1, **fields: Any) -> dict[str, Any]:
    fields = {"arrived_at": minutes(minute), "sequence": str(minute), **fields}
    return any_event(event_id=event_id, **fields)


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *flags: str) -> dict[str, Any]:
    monkeypatch.setattr(
        "sys.argv", ["replay", *SPAN, "--run", "replay-x", "--bucket", BUCKET, "--TempDir", "x", *flags]
    )
    capsys.readouterr()
    replay.main()
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def curated(empty_lake: Lake) -> None:
    """Fill the tables: before, within and after the span, with a resend across its start and a late event."""
    empty_lake.append(VIEWS, [sent("before", -30), sent("a"), sent("b", 2), sent("b", 3), sent("before", 4)])
    empty_lake.append(VIEWS, [sent("late", 5, event_time=MORNING - timedelta(days=1)), sent("after", 90)])
    spark = empty_lake.spark
    curate.curate(spark, curate.plan(spark, "page_view"))


def ids(empty_lake: Lake) -> list[str]:
    return sorted(row["event_id"] for row in empty_lake.rows(KEPT))


def tamper(empty_lake: Lake, sql: str) -> None:
    """Spoil the curated table as a faulty job would."""
    empty_lake.spark.sql(sql.format(table=lake.name(KEPT)))


def test_a_span_that_is_curated_rightly_is_equal_and_nothing_is_swapped(
    empty_lake: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    curated(empty_lake)
    commits = len(empty_lake.snapshots(KEPT))

    told = run(monkeypatch, capsys, "--swap", "true")

    assert told["events"]["page_view"]["equal"]
    assert (told["events"]["page_view"]["rows"], told["swapped"], told["refused"]) == (3, [], [])
    assert len(empty_lake.snapshots(KEPT)) == commits
    assert empty_lake.json("runs/replay-x/replay.json") == told


def test_what_was_lost_is_put_back_and_a_second_replay_changes_nothing(
    empty_lake: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    curated(empty_lake)
    tamper(empty_lake, "DELETE FROM {table} WHERE event_id IN ('b', 'late')")

    dry = run(monkeypatch, capsys, "--dry", "true")
    compared = run(monkeypatch, capsys)
    held = ids(empty_lake)
    told = run(monkeypatch, capsys, "--swap", "true")
    again = run(monkeypatch, capsys, "--swap", "true")

    assert dry["would_read"] == {"page_view": 5}
    assert (compared["events"]["page_view"]["added"], compared["swapped"], held) == (2, [], ["a", "after", "before"])
    assert compared["events"]["page_view"]["days"] == ["2026-03-01", "2026-03-02"]
    assert told["swapped"] == ["page_view"]
    assert ids(empty_lake) == ["a", "after", "b", "before", "late"]
    assert (again["swapped"], again["events"]["page_view"]["equal"]) == ([], True)
    # The daily job goes on from where it was: nothing is taken twice.
    todo = curate.plan(empty_lake.spark, "page_view")
    assert todo.idle
    assert curate.curate(empty_lake.spark, todo) == 0


def test_a_shadow_that_changes_or_loses_events_is_swapped_only_if_accepted(
    empty_lake: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    curated(empty_lake)
    tamper(empty_lake, "UPDATE {table} SET page = '/wrong' WHERE event_id = 'a'")
    empty_lake.append(KEPT, [sent("invented", 6)])

    refused = run(monkeypatch, capsys, "--swap", "true")
    held = ids(empty_lake)
    told = run(monkeypatch, capsys, "--swap", "true", "--accept", "true")

    seen = refused["events"]["page_view"]
    assert (seen["changed"], seen["lost"], refused["refused"], refused["swapped"]) == (1, 1, ["page_view"], [])
    assert "invented" in held
    assert told["swapped"] == ["page_view"]
    assert {row["event_id"]: row["page"] for row in empty_lake.rows(KEPT)} == dict.fromkeys(
        ["a", "after", "b", "before", "late"], "/"
    )


def test_a_table_that_moved_meanwhile_is_not_overwritten(empty_lake: Lake) -> None:
    curated(empty_lake)
    tamper(empty_lake, "DELETE FROM {table} WHERE event_id = 'b'")
    asked = replay.Arguments.read([*SPAN, "--run", "x", "--bucket", BUCKET])
    replay.build(empty_lake.spark, "page_view", asked)
    empty_lake.append(KEPT, [sent("new", 95)])

    with pytest.raises(Exception, match=r"[Cc]annot fast-forward"):
        replay.swap(empty_lake.spark, "page_view")

    assert ids(empty_lake) == ["a", "after", "before", "late", "new"]
