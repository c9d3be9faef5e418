from datetime import datetime, timedelta, timezone
from hashlib import sha256
from random import Random
from typing import Any

import pytest
from pyspark.sql import SparkSession

from domain.process.sessions import is_machine
from domain.schema import Column, Field
from domain.tables import CURATED, SESSIONS
from glue_jobs import lake
from glue_jobs.process import sessions
from glue_jobs.process.sessions import interactions
from tests.glue_jobs.builders import Row, any_event, grouped, kinds, minutes, wanderers
from tests.glue_jobs.frames import Lake, dicts, framed
from tests.glue_jobs.tables import BUCKET

pytestmark = pytest.mark.slow
EVENT = Column("event", str, True, Field("Its kind."))
COLUMNS = tuple({c.name: c for table in CURATED.values() for c in table.columns}.values())


def cut(spark: SparkSession, rows: list[Row]) -> list[Row]:
    """Cut sessions with the job."""
    return in_order(dicts(sessions.transform(framed(spark, (*COLUMNS, EVENT), rows))))


def in_order(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row["user_id"], row["started_at"]))


def expected(rows: list[Row]) -> list[Row]:
    """Sum up each session, cut by hand."""
    return in_order([summed(group) for group in grouped(rows)])


def summed(group: list[Row]) -> Row:
    count = {kind: sum(row["event"] == kind for row in group) for kind in {row["event"] for row in group}}
    start, end = group[0]["event_time"], group[-1]["event_time"]
    page: Row = next((row for row in group if row["event"] == "page_view"), {})
    micros = (start - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1)
    user: str = group[0]["user_id"]
    return {
        "session_id": sha256(f"{user}|{micros}".encode()).hexdigest()[:32],
        "user_id": user,
        "started_at": start,
        "ended_at": end,
        "events": len(group),
        "page_views": count.get("page_view", 0),
        "searches": count.get("search", 0),
        "product_views": count.get("product_view", 0),
        "carts": count.get("add_to_cart", 0),
        "purchases": count.get("purchase", 0),
        "revenue": float(sum(row["amount"] for row in group if row["event"] == "purchase")),
        "device": page.get("device"),
        "country": page.get("country"),
        "is_bot": is_machine(len(group), (end - start).total_seconds()),
    }


def test_sessions_are_what_one_cuts_by_hand(spark: SparkSession) -> None:
    rows = wanderers(seed=7, users=30, events=80)

    found = cut(spark, rows)

    assert found == expected(rows)
    assert any(row["is_bot"] for row in found) and any(row["purchases"] for row in found)


def test_a_pause_of_half_an_hour_cuts_and_a_shorter_one_does_not(spark: SparkSession) -> None:
    rows = [any_event(at=minutes(at)) for at in (0, 29.99, 59.99)]

    assert [row["events"] for row in cut(spark, rows)] == [2, 1]


def curated(rows: list[Row], empty_lake: Lake) -> None:
    for event, some in kinds(rows).items():
        empty_lake.append(CURATED[event], some)


def run(monkeypatch: pytest.MonkeyPatch, day: str) -> None:
    monkeypatch.setattr("sys.argv", ["sessions", "--day", day, "--run", f"daily-{day}", "--bucket", BUCKET])
    sessions.main()


def test_rows_that_come_in_any_order_end_in_the_same_sessions(
    empty_lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    random, rows = Random(11), wanderers(seed=11, users=8, events=40)
    random.shuffle(rows)
    batches = [rows[:200], rows[200:205], rows[205:]]
    arrived: list[Row] = []

    for day, batch in zip(("2026-03-03", "2026-03-03", "2026-03-09"), batches, strict=True):
        curated(batch, empty_lake)
        arrived += batch
        run(monkeypatch, day)
        end = datetime.fromisoformat(f"{day}T00:00:00+00:00") + timedelta(days=1)
        assert in_order(empty_lake.rows(SESSIONS)) == expected([row for row in arrived if row["event_time"] < end])


def test_only_sessions_near_a_late_event_are_written_again(empty_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    far = [any_event(at=minutes(at), user_id=user) for user in ("u-1", "u-2") for at in (0, 120, 160)]
    curated(far, empty_lake)
    run(monkeypatch, "2026-03-02")
    before = {row["session_id"] for row in empty_lake.rows(SESSIONS)}

    curated([any_event(at=minutes(140), user_id="u-2")], empty_lake)
    run(monkeypatch, "2026-03-02")

    after = {row["session_id"] for row in empty_lake.rows(SESSIONS)}
    assert (len(before), len(before - after), len(after - before)) == (6, 1, 0)
    written = empty_lake.snapshots(SESSIONS)[0].summary()
    assert written.get("changed-partition-count") == "1"


def test_a_second_run_and_an_earlier_day_change_nothing(empty_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    curated([any_event(at=minutes(at)) for at in (0, 10, 24 * 60)], empty_lake)
    run(monkeypatch, "2026-03-03")
    held, commits = empty_lake.rows(SESSIONS), len(empty_lake.snapshots(SESSIONS))

    run(monkeypatch, "2026-03-03")
    run(monkeypatch, "2026-03-02")

    assert (empty_lake.rows(SESSIONS), len(empty_lake.snapshots(SESSIONS))) == (held, commits)


def test_events_after_the_day_wait_for_theirs(empty_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    curated([any_event(at=minutes(at)) for at in (0, 24 * 60)], empty_lake)

    run(monkeypatch, "2026-03-02")
    assert len(empty_lake.rows(SESSIONS)) == 1
    run(monkeypatch, "2026-03-03")
    assert len(empty_lake.rows(SESSIONS)) == 2


def test_erased_rows_leave_their_sessions(empty_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    curated([any_event(user_id=user) for user in ("u-1", "u-2")], empty_lake)
    run(monkeypatch, "2026-03-02")

    empty_lake.spark.sql(f"DELETE FROM {lake.name(CURATED['page_view'])} WHERE user_id = 'u-1'")
    run(monkeypatch, "2026-03-02")

    assert [row["user_id"] for row in empty_lake.rows(SESSIONS)] == ["u-2"]


def test_events_of_all_kinds_lie_in_one_frame(spark: SparkSession) -> None:
    tables: dict[str, Any] = {
        event: framed(spark, CURATED[event].columns, [any_event(event)]) for event in ("page_view", "purchase")
    }

    rows = {row["event"]: row for row in dicts(interactions(tables))}

    assert (rows["purchase"]["amount"], rows["purchase"]["device"]) == (20.0, None)
    assert (rows["page_view"]["amount"], rows["page_view"]["device"]) == (None, "mobile")
