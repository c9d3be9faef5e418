import json
from datetime import timedelta
from typing import Any

import pytest
from pyspark.sql import SparkSession

from domain.tables import CURATED, RAW
from glue_jobs import lake
from glue_jobs.process import curate
from tests.glue_jobs.builders import MORNING, Row, any_event, minutes
from tests.glue_jobs.frames import Lake, dicts, framed
from tests.glue_jobs.tables import BUCKET

COLUMNS = RAW["page_view"].columns
ARGUMENTS = ["curate", "--day", "2026-03-02", "--run", "daily-2026-03-02", "--bucket", BUCKET]
pytestmark = pytest.mark.slow


def fresh(spark: SparkSession, arrived: list[Row], known: list[Row]) -> list[Row]:
    return dicts(curate.transform(framed(spark, COLUMNS, arrived), framed(spark, COLUMNS, known)))


def sent(event_id: str, sequence: str = "1", **fields: Any) -> Row:
    return any_event(event_id=event_id, sequence=sequence, **fields)


def test_the_earliest_arrival_of_an_event_is_kept(spark: SparkSession) -> None:
    arrived = [
        sent("a", "3", arrived_at=minutes(1)),
        sent("a", "2", arrived_at=minutes(1)),
        sent("a", "1", arrived_at=minutes(2)),
    ]

    assert [row["sequence"] for row in fresh(spark, arrived, [])] == ["2"]


def test_an_event_that_is_known_is_not_taken_again(spark: SparkSession) -> None:
    assert [row["event_id"] for row in fresh(spark, [sent("a", "9"), sent("b")], [sent("a")])] == ["b"]


def test_ids_are_a_users_own(spark: SparkSession) -> None:
    rows = fresh(spark, [sent("a", user_id="u-1"), sent("a", user_id="u-2")], [sent("a", user_id="u-3")])

    assert sorted(row["user_id"] for row in rows) == ["u-1", "u-2"]


def test_an_id_sent_with_two_contents_is_marked_and_the_first_wins(spark: SparkSession) -> None:
    arrived = [sent("a", "1", page="/"), sent("a", "2", page="/other"), sent("b", "3"), sent("b", "4")]

    rows = {row["event_id"]: row for row in fresh(spark, arrived, [])}

    assert (rows["a"]["page"], rows["a"]["conflicting"], rows["b"]["conflicting"]) == ("/", True, False)


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Run the job and give the account of the page views."""
    monkeypatch.setattr("sys.argv", [*ARGUMENTS, "--JOB_NAME", "rivermill-curate"])
    capsys.readouterr()
    curate.main()
    account: dict[str, Any] = json.loads(capsys.readouterr().out)["events"]["page_view"]
    return account


def test_whatever_happens_to_the_raw_table_each_event_is_curated_once(
    empty_lake: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, curated, spark = RAW["page_view"], CURATED["page_view"], empty_lake.spark

    def ids() -> list[str]:
        return sorted(row["event_id"] for row in empty_lake.rows(curated))

    assert run(monkeypatch, capsys) == {"read": 0, "written": 0, "duplicates": 0, "conflicting": 0}

    empty_lake.append(raw, [sent("a"), sent("b", "2"), sent("b", "3", page="/other")])
    assert run(monkeypatch, capsys) == {"read": 3, "written": 2, "duplicates": 1, "conflicting": 1}
    assert ids() == ["a", "b"]

    commits = len(empty_lake.snapshots(curated))
    assert run(monkeypatch, capsys) == {"read": 0, "written": 0, "duplicates": 0, "conflicting": 0}
    assert len(empty_lake.snapshots(curated)) == commits

    # A resend and an event that is a week late, then a compaction: only what was appended is read.
    late = sent("late", "4", event_time=MORNING - timedelta(days=7))
    empty_lake.append(raw, [sent("a", "5", arrived_at=minutes(60)), late])
    spark.sql(f"CALL lake.system.rewrite_data_files('{raw.full_name}', options => map('rewrite-all', 'true'))")
    assert next(snapshot.operation() for snapshot in empty_lake.snapshots(raw)) == "replace"
    assert run(monkeypatch, capsys) == {"read": 2, "written": 1, "duplicates": 1, "conflicting": 0}

    # Rows removed between two runs are not brought back from the files that once appended them.
    empty_lake.append(raw, [sent("gone", "6"), sent("c", "7")])
    spark.sql(f"DELETE FROM {lake.name(raw)} WHERE event_id = 'gone'")
    assert run(monkeypatch, capsys)["written"] == 1

    # The position has expired: everything is read, nothing is written twice.
    empty_lake.append(raw, [sent("d", "8")])
    spark.sql(f"CALL lake.system.expire_snapshots('{raw.full_name}', TIMESTAMP '2100-01-01', 1)")
    assert run(monkeypatch, capsys) == {"read": 7, "written": 1, "duplicates": 6, "conflicting": 0}

    assert ids() == ["a", "b", "c", "d", "late"]
    assert empty_lake.json("runs/daily-2026-03-02/curate.json")["events"]["page_view"]["written"] == 1


def test_rows_and_position_are_one_commit(
    empty_lake: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    empty_lake.append(RAW["page_view"], [sent("a")])

    run(monkeypatch, capsys)

    (commit,) = empty_lake.snapshots(CURATED["page_view"])
    (source,) = empty_lake.snapshots(RAW["page_view"])
    summary = commit.summary()
    assert (summary.get("added-records"), summary.get(curate.POSITION)) == ("1", str(source.snapshotId()))
