from datetime import timedelta
from io import BytesIO
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from domain.process.splits import HELD_OUT_EARLY, LATE_SHARE, LEARNING_LATE, place, split
from domain.tables import CURATED, OPENINGS, PREFIX_EVENTS, PROPENSITY, USERS
from glue_jobs import accounts
from glue_jobs.process import features, sessions
from glue_jobs.train import dataset
from tests.glue_jobs.builders import MORNING, Row, any_event, kinds, minutes
from tests.glue_jobs.frames import Lake, dicts, framed
from tests.glue_jobs.tables import BUCKET

pytestmark = pytest.mark.slow


def any_opening(session_id: str, at: float, user_id: str = "u-1", **fields: Any) -> Row:
    numbers = dict.fromkeys([column.name for column in OPENINGS.columns], 0)
    known = {"session_id": session_id, "user_id": user_id, "moment": minutes(at), "purchased": False}
    return {**numbers, "device": None, "country": None, "elapsed": 0.0, "cart_value": 0.0, "mean_price": None} | {
        **known,
        **fields,
    }


def any_history(session_id: str, user_id: str = "u-1") -> Row:
    counts = {"sessions_before": 1, "purchases_before": 0, "revenue_before": 0.0}
    return {"session_id": session_id, "user_id": user_id, "as_of": MORNING, **counts}


def joined(spark: SparkSession, openings: list[Row], histories: list[Row]) -> list[Row]:
    frame = dataset.transform(framed(spark, OPENINGS.columns, openings), framed(spark, USERS.columns, histories))
    return dicts(frame.orderBy("moment"))


def test_spark_places_users_as_python_does(spark: SparkSession) -> None:
    users = [f"u-{number}" for number in range(500)] + ["ü", "☃", ""]
    frame = spark.createDataFrame([(user,) for user in users], "user_id string")

    found = {row["user_id"]: row["place"] for row in frame.withColumn("place", dataset.place()).collect()}

    assert found == {user: place(user) for user in users}


def test_each_row_is_in_the_split_of_its_user_and_time_or_says_why_not(spark: SparkSession) -> None:
    users = [f"u-{number}" for number in range(60)]
    openings = [any_opening(f"{user}-{at}", at, user) for user in users for at in (0, 74.9, 75, 100)]
    histories = [any_history(row["session_id"], row["user_id"]) for row in openings]

    rows = joined(spark, openings, histories)

    assert LATE_SHARE == 0.25
    late = {row["session_id"]: row["moment"] >= minutes(75) for row in rows}
    expected = {row["session_id"]: split(row["user_id"], late[row["session_id"]]) for row in rows}
    assert {row["session_id"]: row["split"] for row in rows} == expected
    assert set(expected.values()) == {"train", "calibrate", "test", None}
    reasons = {late[row["session_id"]]: row["dropped"] for row in rows if row["split"] is None}
    assert reasons == {True: LEARNING_LATE, False: HELD_OUT_EARLY}


def test_a_session_that_only_one_side_knows_is_left_out(spark: SparkSession) -> None:
    rows = joined(spark, [any_opening("a", 0), any_opening("b", 1)], [any_history("b"), any_history("c")])

    assert [row["session_id"] for row in rows] == ["b"]


def test_a_manifest_names_keys_under_the_lakes_prefix() -> None:
    files = ["s3://lake/features/b.parquet", "s3://lake/features/a.parquet"]

    assert dataset.manifest("lake", files) == [{"prefix": "s3://lake/"}, "features/a.parquet", "features/b.parquet"]


def test_a_file_outside_the_lake_is_refused_by_name() -> None:
    with pytest.raises(dataset.ForeignFile, match=r"file: 's3://other/a.parquet' is not under s3://lake/"):
        dataset.manifest("lake", ["s3://other/a.parquet"])


def shoppers(number: int) -> list[Row]:
    """Let each shopper come on four days, look at five pages and on some days buy."""
    return [
        any_event(
            "purchase" if step == PREFIX_EVENTS and (user + day) % 3 == 0 else "page_view",
            minutes(day * 24 * 60 + step + user / 100),
            user_id=f"u-{user}",
            event_id=f"{user}-{day}-{step}",
        )
        for user in range(number)
        for day in range(4)
        for step in range(PREFIX_EVENTS + 1)
    ]


def run(monkeypatch: pytest.MonkeyPatch, *jobs: Any, day: str = "2026-03-05") -> None:
    monkeypatch.setattr("sys.argv", ["job", "--day", day, "--run", f"daily-{day}", "--bucket", BUCKET])
    for job in jobs:
        job.main()


def files(empty_lake: Lake, name: str) -> list[Row]:
    """Read the rows of the files that a run's manifest lists, without Spark."""
    prefix, *keys = empty_lake.json(f"training/{name}/dataset.manifest")
    assert prefix == {"prefix": f"s3://{BUCKET}/"}
    bodies = [accounts.s3().get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys]
    return [row for body in bodies for row in pq.read_table(BytesIO(body)).to_pylist()]


def test_the_manifest_lists_just_the_rows_that_the_description_counts(
    empty_lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    for event, rows in kinds(shoppers(60)).items():
        empty_lake.append(CURATED[event], rows)

    run(monkeypatch, sessions, features, dataset)

    described, listed = empty_lake.json("training/daily-2026-03-05/dataset.json"), files(empty_lake, "daily-2026-03-05")
    assert described["table"] == "features.propensity" and described["day"] == "2026-03-05"
    for name, counts in described["by_split"].items():
        mine = [row for row in listed if row["split"] == name]
        assert counts == {"rows": len(mine), "positives": sum(row["purchased"] for row in mine)} and mine
    assert described["rows"] == len(listed) and len(listed) + sum(described["dropped"].values()) == 240
    assert described["from"] == min(row["moment"] for row in listed).isoformat()
    assert {row["sessions_before"] for row in listed} == {0, 1, 2, 3}

    # Once more: the same snapshot; the next run makes its own and leaves this one's files alone.
    run(monkeypatch, dataset)
    assert empty_lake.json("training/daily-2026-03-05/dataset.json") == described
    run(monkeypatch, sessions, features, dataset, day="2026-03-06")
    assert empty_lake.json("training/daily-2026-03-06/dataset.json")["snapshot_id"] != described["snapshot_id"]
    assert files(empty_lake, "daily-2026-03-05") == listed


def test_an_empty_day_ends_well_with_a_description_of_nothing(
    empty_lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(monkeypatch, sessions, features, dataset)

    described = empty_lake.json("training/daily-2026-03-05/dataset.json")
    assert (described["rows"], described["from"], described["dropped"]) == (0, None, {})
    assert described["by_split"] == {name: {"rows": 0, "positives": 0} for name in ("test", "calibrate", "train")}
    assert files(empty_lake, "daily-2026-03-05") == []
    assert [snapshot.summary().get("total-records") for snapshot in empty_lake.snapshots(PROPENSITY)] == ["0"]


def test_sessions_outside_the_window_are_no_examples(empty_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    old = [any_event(at=MORNING - timedelta(days=100) + timedelta(minutes=at)) for at in range(5)]
    new = [any_event(at=minutes(at)) for at in range(5)]
    empty_lake.append(CURATED["page_view"], [*old, *new])

    run(monkeypatch, sessions, features)

    (row,) = empty_lake.rows(USERS)
    assert row["sessions_before"] == 1
    assert [row["moment"] for row in empty_lake.rows(OPENINGS)] == [minutes(4)]
