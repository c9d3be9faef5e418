"""What the job writes of a table: checked by DuckDB, which knows nothing of how it was made."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import boto3
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from domain.privacy.anonymize.declaration import Method, RefusedPublication, Sensitive
from domain.publications import VISITORS
from domain.tables import SESSIONS
from glue_jobs.privacy import anonymize
from tests.glue_jobs.builders import MORNING, Row
from tests.glue_jobs.frames import framed
from tests.glue_jobs.tables import BUCKET

pytestmark = pytest.mark.slow

SMALL = replace(VISITORS, k=5, sensitive={"revenue": Sensitive(diverse=1.2, close=0.4, edges=(0.01, 25.0))})
ORDERED = {"revenue": [0.0, 10.0, 30.0]}


def sessions(seed: int = 5, users: int = 150) -> list[Row]:
    """Give each user one to three sessions; who has bought is known by the newest alone."""
    random, rows = Random(seed), []
    counts = [column.name for column in SESSIONS.columns if column.kind is int]
    for user in range(users):
        for number in range(random.randint(1, 3)):
            known: dict[str, Any] = {name: random.randrange(1, 30) for name in counts}
            at = MORNING + timedelta(minutes=user, days=number)
            known |= {"session_id": f"s-{user}-{number}", "user_id": f"u-{user}", "started_at": at, "ended_at": at}
            known |= {"device": random.choice(["mobile", "desktop", None]), "is_bot": False}
            known |= {"country": random.choice(["DE", "FR", "US", "JP", "ZZ"])}
            rows.append(known | {"revenue": random.choice(ORDERED["revenue"])})
    return rows


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return sessions()


@pytest.fixture(scope="module", params=[Method.MONDRIAN, Method.FULL_DOMAIN], ids=lambda method: method.value)
def written(request: pytest.FixtureRequest, spark: SparkSession, rows: list[Row]) -> tuple[pa.Table, Mapping[str, Any]]:
    """What lies in the bucket afterwards, and the report."""
    publication = replace(SMALL, method=request.param, suppress=0.1)
    frame, told = anonymize.publish(spark, framed(spark, SESSIONS.columns, rows), publication)
    files = anonymize.write(frame, BUCKET, f"published/{request.param.value}/", told["people"])
    bodies = [boto3.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read() for key, _ in files]
    return pa.concat_tables([pq.read_table(io.BytesIO(body)) for body in bodies]), told


def ask(published: pa.Table, sql: str) -> list[tuple[Any, ...]]:
    """Ask DuckDB about the table `published`."""
    with duckdb.connect() as connection:
        connection.register("published", published)
        found: list[tuple[Any, ...]] = connection.sql(sql).fetchall()
        return found


def test_k_l_and_t_hold_in_what_was_written(written: tuple[pa.Table, Mapping[str, Any]]) -> None:
    published, told = written
    [found] = ask(
        published,
        """
        WITH whole AS (SELECT revenue, count(*) / sum(count(*)) OVER () AS share FROM published GROUP BY revenue),
        groups AS (SELECT device, country, events, count(*) AS people FROM published GROUP BY ALL),
        cells AS (
            SELECT device, country, events, revenue, people, whole.share AS overall,
                coalesce(counted, 0) / people AS share
            FROM groups CROSS JOIN whole LEFT JOIN
                (SELECT device, country, events, revenue, count(*) AS counted FROM published GROUP BY ALL) AS seen
                USING (device, country, events, revenue)
        ),
        moved AS (
            SELECT *, abs(sum(share - overall) OVER (PARTITION BY device, country, events ORDER BY revenue)) AS carried
            FROM cells
        )
        SELECT min(people), exp(min(entropy)), max(away) FROM (
            SELECT min(people) AS people, sum(CASE WHEN share > 0 THEN -share * ln(share) ELSE 0 END) AS entropy,
                sum(carried) / 2 AS away
            FROM moved GROUP BY device, country, events
        )
        """,
    )
    people, diverse, away = found

    assert people >= 5
    assert diverse >= 1.2 - 1e-9
    assert away <= 0.4 + 0.05  # from all that is published; the promise is about all that there were
    assert told["after"]["k"] == people


def test_each_person_is_there_once_and_nobody_by_name(
    written: tuple[pa.Table, Mapping[str, Any]], rows: list[Row]
) -> None:
    published, told = written

    assert set(published.column_names) == {
        *("device", "country", "events", "revenue", "carts", "purchases", "is_bot"),
        *("page_views", "searches", "product_views"),
    }
    assert told["people"] == len({row["user_id"] for row in rows})
    assert published.num_rows == told["people"] - told["suppressed"]
    assert told["before"]["k"] == 1


def test_only_the_newest_row_of_a_person_counts(written: tuple[pa.Table, Mapping[str, Any]], rows: list[Row]) -> None:
    published, told = written
    newest = {row["user_id"]: row for row in rows}  # later ones come later

    if not told["suppressed"]:
        assert sorted(published["revenue"].to_pylist()) == sorted(row["revenue"] for row in newest.values())
        assert sorted(published["carts"].to_pylist()) == sorted(row["carts"] for row in newest.values())


def test_averages_are_those_of_their_group(written: tuple[pa.Table, Mapping[str, Any]]) -> None:
    published, _ = written
    found = ask(published, "SELECT count(DISTINCT page_views) FROM published GROUP BY device, country, events")

    assert {count for (count,) in found} == {1}


def test_texts_that_name_people_are_refused(spark: SparkSession, rows: list[Row]) -> None:
    told = [{**row, "country": "ann@example.org"} if place % 20 == 0 else row for place, row in enumerate(rows)]

    with pytest.raises(RefusedPublication, match=r"visitors\.country is 'e-mail address in \d+% of texts': drop it"):
        anonymize.publish(spark, framed(spark, SESSIONS.columns, told), SMALL)


def test_too_few_people_are_refused_with_what_would_fit(spark: SparkSession) -> None:
    few = framed(spark, SESSIONS.columns, sessions(users=4))

    with pytest.raises(
        RefusedPublication, match=r"even all 4 people as one group are too few or too alike; at most k=4"
    ):
        anonymize.publish(spark, few, SMALL)


def test_a_publication_that_is_not_declared_is_refused_before_spark_starts() -> None:
    with pytest.raises(RefusedPublication, match="publication is 'nothing': there are visitors"):
        anonymize.asked(["--publication", "nothing", "--day", "2026-03-02"])


def test_what_is_no_number_is_one_value_however_often_it_comes() -> None:
    nan = float("nan")

    assert anonymize._codes(pa.array([1.0, nan, None, float("nan"), 0.5])).tolist() == [1, 2, 2, 2, 0]


def test_whoever_has_no_finite_number_is_left_out(spark: SparkSession) -> None:
    frame = spark.createDataFrame(
        [(value,) for value in (1.0, None, float("nan"), float("inf"), float("-inf"))], "events double"
    )

    assert [row.events for row in anonymize.usable(frame, VISITORS).collect()] == [1.0]
