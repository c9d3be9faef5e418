from collections.abc import Callable
from datetime import timedelta
from random import Random
from statistics import fmean
from typing import Any

import pytest
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from domain.process.sessions import GAP, is_machine
from domain.tables import OPENINGS, PREFIX_EVENTS, USERS, History, Opening
from glue_jobs.process import features, sessions
from tests.glue_jobs.builders import MORNING, Row, any_event, grouped, minutes, wanderers
from tests.glue_jobs.frames import dicts, framed
from tests.glue_jobs.process.test_sessions import COLUMNS, EVENT

pytestmark = pytest.mark.slow
UNTIL = MORNING + timedelta(days=30)
DAY = timedelta(days=1)
Derive = Callable[[DataFrame], DataFrame]


def openings(events: DataFrame) -> DataFrame:
    return features.openings(events, UNTIL).select(*(column.name for column in OPENINGS.columns))


def users(events: DataFrame) -> DataFrame:
    return features.users(sessions.transform(events), events.where("event = 'purchase'"))


def rows_of(spark: SparkSession, derive: Derive, rows: list[Row]) -> list[Row]:
    return dicts(derive(framed(spark, (*COLUMNS, EVENT), rows)))


def by_session(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: str(row["session_id"]))


def of(rows: list[Row], event: str) -> list[Row]:
    return [row for row in rows if row["event"] == event]


def opened(group: list[Row], session_id: str) -> Row | None:
    """Know a session at its fifth event, by hand."""
    first, rest = group[:PREFIX_EVENTS], group[PREFIX_EVENTS:]
    start, moment, end = group[0]["event_time"], first[-1]["event_time"], group[-1]["event_time"]
    if len(first) < PREFIX_EVENTS or of(first, "purchase") or is_machine(len(group), (end - start).total_seconds()):
        return None
    seen, pages = of(first, "product_view"), of(first, "page_view")
    return {
        "session_id": session_id,
        "user_id": group[0]["user_id"],
        "moment": moment,
        "purchased": bool(of(rest, "purchase")),
        "device": pages[0]["device"] if pages else None,
        "country": pages[0]["country"] if pages else None,
        "hour": start.hour,
        "weekday": start.weekday(),
        "elapsed": pytest.approx((moment - start).total_seconds()),
        "page_views": len(pages),
        "searches": len(of(first, "search")),
        "product_views": len(seen),
        "carts": len(of(first, "add_to_cart")),
        "distinct_products": len({row["product_id"] for row in seen}),
        "distinct_categories": len({row["category"] for row in seen}),
        "mean_price": pytest.approx(fmean(row["price"] for row in seen)) if seen else None,
        "cart_value": pytest.approx(sum(row["quantity"] * row["price"] for row in of(first, "add_to_cart"))),
    }


def known(rows: list[Row], group: list[Row], session_id: str) -> Row:
    """Know a user at a session's start, by hand."""
    user, start = group[0]["user_id"], group[0]["event_time"]
    mine = [row for row in rows if row["user_id"] == user and row["event_time"] < start]
    ends, orders = [one[-1]["event_time"] for one in grouped(mine)], of(mine, "purchase")
    return {
        "session_id": session_id,
        "user_id": user,
        "as_of": start,
        "sessions_before": len(ends),
        "purchases_before": len(orders),
        "revenue_before": pytest.approx(sum(row["amount"] for row in orders)),
        "days_since_session": pytest.approx((start - max(ends)) / DAY) if ends else None,
        "days_since_purchase": (
            pytest.approx((start - max(row["event_time"] for row in orders)) / DAY) if orders else None
        ),
    }


def test_features_are_what_one_counts_by_hand(spark: SparkSession) -> None:
    rows = wanderers(seed=5, users=25, events=90)
    cut = {(row["user_id"], row["started_at"]): row["session_id"] for row in rows_of(spark, sessions.transform, rows)}
    groups = [(group, cut[group[0]["user_id"], group[0]["event_time"]]) for group in grouped(rows)]

    found = by_session(rows_of(spark, openings, rows))
    assert found == by_session([row for row in (opened(*group) for group in groups) if row])
    assert {row["purchased"] for row in found} == {True, False}

    assert by_session(rows_of(spark, users, rows)) == by_session([known(rows, *group) for group in groups])


def test_a_session_that_may_go_on_is_left_out(spark: SparkSession) -> None:
    five = [any_event(at=minutes(at)) for at in range(5)]
    frame = framed(spark, (*COLUMNS, EVENT), five)

    over, open_still = (minutes(4) + GAP, minutes(4) + GAP - timedelta(microseconds=1))

    assert features.openings(frame, over).count() == 1
    assert features.openings(frame, open_still).count() == 0


def test_an_order_at_the_very_start_is_not_before_it(spark: SparkSession) -> None:
    (row,) = rows_of(spark, users, [any_event("purchase")])

    assert (row["purchases_before"], row["days_since_purchase"]) == (0, None)


def altered(random: Random, rows: list[Row], moment: Any) -> list[Row]:
    """Alter or remove what happened after a moment, and add to it."""
    kept = [row for row in rows if row["event_time"] <= moment]
    later = [
        {
            **row,
            "event": random.choice(["purchase", "page_view", row["event"]]),
            "amount": 1e6,
            "price": 1e6,
            "device": "tablet",
            "quantity": 9,
            "product_id": str(random.random()),
            "event_time": row["event_time"] + timedelta(seconds=random.choice([0, 5, 4000])),
        }
        for row in rows
        if row["event_time"] > moment and random.random() < 0.7
    ]
    added = any_event("purchase", moment + timedelta(seconds=1), user_id=rows[0]["user_id"], event_id="added")
    return [*kept, *later, added]


def leaks(spark: SparkSession, derive: Derive, moment: str, watched: set[str]) -> tuple[int, int]:
    """Count the rows known before the future was altered, and those of them whose features it changed.

    Each of 120 altered futures (seed 3) is a user of its own, so that one run of the job tells of all.
    """
    random, rows, pasts, moments = Random(3), list[Row](), list[Row](), {}
    originals = wanderers(seed=3, users=10, events=40)
    for number in range(120):
        mine = [row for row in originals if row["user_id"] == f"u-{number % 10}"]
        name = f"{number}"
        moments[name] = random.choice(mine)["event_time"]
        pasts += [{**row, "user_id": name} for row in mine]
        rows += [{**row, "user_id": name} for row in altered(random, mine, moments[name])]
    before = {(row["user_id"], row[moment]): row for row in rows_of(spark, derive, pasts)}
    after = {(row["user_id"], row[moment]): row for row in rows_of(spark, derive, rows)}
    both = [key for key in before if key in after and key[1] <= moments[key[0]]]
    changed = [key for key in both if any(before[key][name] != after[key][name] for name in watched)]
    return len(both), len(changed)


OPENING = {column.name for column in Opening.columns()}
HISTORY = {column.name for column in History.columns()}


def test_nothing_later_changes_what_was_known_of_a_session(spark: SparkSession) -> None:
    compared, changed = leaks(spark, openings, OPENINGS.sort[1], OPENING)

    assert compared > 100 and changed == 0


def test_nothing_later_changes_what_was_known_of_a_user(spark: SparkSession) -> None:
    compared, changed = leaks(spark, users, USERS.sort[1], HISTORY)

    assert compared > 400 and changed == 0


def test_the_comparison_would_find_features_that_look_past_the_fifth_event(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def any_time(value: Column) -> Column:
        return value

    summed = features.opening

    def leaky() -> dict[str, Column]:
        with monkeypatch.context() as patch:
            patch.setattr(features, "early", any_time)
            return summed()

    monkeypatch.setattr(features, "opening", leaky)

    assert leaks(spark, openings, OPENINGS.sort[1], OPENING)[1] > 0


def test_the_comparison_would_find_a_history_that_looks_ahead(spark: SparkSession) -> None:
    frame = Window.partitionBy("user_id")

    def ahead(events: DataFrame) -> DataFrame:
        return users(events).withColumn("purchases_before", F.sum("purchases_before").over(frame))

    assert leaks(spark, ahead, USERS.sort[1], HISTORY)[1] > 0
