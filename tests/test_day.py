"""A day, from the records of a simulated world to a model that serves, while things break on the way in."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from demo import endpoint
from demo.day import run_day
from domain.experiment.decision import decide
from domain.experiments import CHECKOUT, COLOUR
from domain.process.sessions import INTERACTIONS
from domain.tables import CURATED, OPENINGS, QUARANTINE, RAW, SESSIONS, STATISTICS
from stacks.names import START
from tests.platform import DAY, FAULTS, REFINED, Day, Platform

pytestmark = pytest.mark.slow

Counts = dict[str, int]


def counts(question: str, **tables: pa.Table) -> Any:
    """Let DuckDB count over Arrow tables, known by their names."""
    session = duckdb.connect()
    for name, table in tables.items():
        session.register(name, table)
    return session.sql(question).fetchall()


def test_a_day_without_events_ends_well_and_says_that_there_is_nothing_to_train_on(empty_day: dict[str, Any]) -> None:
    output = json.loads(empty_day["output"])

    assert empty_day["status"] == "SUCCEEDED"
    assert not output["trainable"]
    assert "there is nothing to train on" in output["reason"]


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_struck(day: Day, fault: str) -> None:
    assert day.struck[fault] >= 1


def test_received_is_landed_and_quarantined_and_duplicate(day: Day) -> None:
    account = day.account

    assert account.received == account.landed.total() + account.quarantined.total() + account.duplicates
    assert account.duplicates > 0


def test_every_record_of_the_stream_is_settled_once(day: Day) -> None:
    assert day.account.settled == len(day.stream)


def test_the_stream_holds_what_was_sent_and_again_what_an_unanswered_put_had_brought(day: Day) -> None:
    sent = Counter(payload for batch in day.world.batches() for _, payload in batch.records)
    taken = Counter(payload for _, _, payload in day.stream)

    assert day.accepted == sent.total()
    assert taken.keys() == sent.keys()
    assert sent <= taken


def test_each_record_of_the_stream_is_one_row_in_a_raw_table_or_in_quarantine(platform: Platform, day: Day) -> None:
    rows = platform.ask(f"SELECT shard, sequence FROM {table.full_name}" for table in (*RAW.values(), QUARANTINE))

    assert Counter(rows) == Counter((shard, sequence.zfill(56)) for shard, sequence, _ in day.stream)


def test_each_broken_record_is_quarantined_with_its_bytes_for_the_reason_it_was_broken_for(
    platform: Platform, day: Day
) -> None:
    reasons = {
        payload: reason
        for batch in day.world.batches()
        for (_, payload), reason in zip(batch.records, batch.sent["reason"].to_pylist(), strict=True)
        if reason
    }
    rows = platform.scan_in_clear("raw.quarantine", "payload", "reason")
    quarantined = Counter(zip(rows["payload"].to_pylist(), rows["reason"].to_pylist(), strict=True))

    assert quarantined == Counter((payload, reasons[payload]) for _, _, payload in day.stream if payload in reasons)


def test_nobody_is_named_where_their_events_rest(platform: Platform, day: Day) -> None:
    """Neither in a column of the lake nor in a file under it, and everybody has one token."""
    people = set(pq.read_table(day.truth.sessions)["user_id"].to_pylist())
    users = platform.scan("curated.page_view", "user_id")["user_id"].unique()
    searched = platform.scan("curated.search", "query")["query"].to_pylist()
    revealed = platform.scan_in_clear("curated.page_view", "user_id")["user_id"].unique()

    assert all(str(user).startswith("t1.") for user in users.to_pylist())
    assert set(revealed.to_pylist()) <= people
    assert len(revealed) == len(users) > 1_000
    assert searched and all(typed.startswith("k1.") for typed in searched)


def test_each_distinct_valid_event_sent_is_curated_once_and_nothing_else_is(platform: Platform, day: Day) -> None:
    kept = Counter(
        platform.ask(f"SELECT '{name}' AS event, event_id FROM {table.full_name}" for name, table in CURATED.items())
    )
    sent = pq.read_table(day.truth.sent)
    distinct = counts("SELECT DISTINCT event, event_id FROM sent WHERE valid", sent=sent)

    assert kept == Counter(distinct)
    assert Counter(event for event, _ in kept) == day.truth.distinct_valid()


def test_the_sessions_are_those_that_the_world_lived(platform: Platform, day: Day) -> None:
    cut = platform.scan_in_clear(SESSIONS.full_name, "user_id", "started_at", "events", "is_bot")
    lived = pq.read_table(day.truth.sessions)
    found, known = (f"SELECT user_id, epoch_ms(started_at), is_bot FROM {name}" for name in ("cut", "lived"))
    done = sum(day.truth.distinct_valid()[event] for event in INTERACTIONS)

    assert counts(f"({found}) EXCEPT ALL ({known})", cut=cut, lived=lived) == []
    assert counts(f"({known}) EXCEPT ALL ({found})", cut=cut, lived=lived) == []
    assert counts("SELECT sum(events)::BIGINT FROM cut", cut=cut) == [(done,)]


def test_each_purchase_is_found_in_the_session_that_it_ended(platform: Platform, day: Day) -> None:
    """People's sessions that came to their fifth event are labelled as the world knows them."""
    labels = platform.scan_in_clear(OPENINGS.full_name, "session_id", "user_id", "moment", "purchased")
    sessions = platform.scan(SESSIONS.full_name, "session_id", "is_bot", "purchases")
    truth = pq.read_table(day.truth.sessions)
    people = """SELECT user_id, epoch_ms(moment), purchased FROM labels JOIN sessions USING (session_id)
                WHERE NOT is_bot"""
    known = "SELECT user_id, epoch_ms(moment), purchased FROM truth WHERE moment IS NOT NULL"
    sent = pq.read_table(day.truth.sent)
    orders = "SELECT count(DISTINCT event_id) FROM sent WHERE valid AND event = 'purchase'"

    assert counts(f"({people}) EXCEPT ALL ({known})", labels=labels, sessions=sessions, truth=truth) == []
    assert counts(f"({known}) EXCEPT ALL ({people})", labels=labels, sessions=sessions, truth=truth) == []
    assert counts("SELECT sum(purchases)::BIGINT FROM sessions", sessions=sessions) == counts(orders, sent=sent)


def test_a_model_was_deployed_and_the_endpoint_scores_as_its_validation_did(platform: Platform, day: Day) -> None:
    rows = endpoint.hold_out(platform.laptop, platform.bucket, day.name)
    serving = platform.laptop.client("sagemaker").describe_endpoint(EndpointName="rivermill-propensity")

    assert day.output["register"]["Payload"]["registered"]
    assert serving["EndpointConfigName"] == day.output["deploy"]["Payload"]["endpoint_config"]
    assert len(rows) >= 200
    assert endpoint.largest_difference(platform.laptop, rows) <= 1e-9


def test_the_day_reads_out_each_exposed_shopper_in_the_arm_that_the_platform_gives(
    platform: Platform, day: Day
) -> None:
    rows = platform.scan(STATISTICS.full_name).to_pylist()
    units: Counter[tuple[str, str]] = Counter()
    for row in rows:
        if row["as_of"].date() == DAY and row["outcome"] is None and row["slice"] == "all":
            units[row["experiment"], row["arm"]] += row["count"]
    sent = pq.read_table(day.truth.sent)
    exposed = counts("SELECT DISTINCT user_id FROM sent WHERE valid AND event = 'exposure'", sent=sent)
    known = Counter((each.name, decide(each, user, {}).arm) for each in (CHECKOUT, COLOUR) for (user,) in exposed)

    assert units == known
    assert known.total() > 1_000


def test_the_same_day_cannot_be_run_twice_under_its_name(platform: Platform, day: Day) -> None:
    client = platform.laptop.client("stepfunctions")
    with pytest.raises(client.exceptions.ExecutionAlreadyExists):
        run_day(platform.laptop, DAY)


def test_the_schedule_that_asks_for_the_same_day_again_starts_nothing(platform: Platform, day: Day) -> None:
    morning = (DAY + timedelta(days=1)).isoformat() + "T02:00:00Z"
    answer = platform.laptop.client("lambda").invoke(FunctionName=START, Payload=json.dumps({"time": morning}))

    assert json.load(answer["Payload"]) == {"day": DAY.isoformat(), "started": False}


def test_the_same_day_under_another_name_changes_no_curated_row(
    platform: Platform, refined: dict[str, pa.Table], again: dict[str, str]
) -> None:
    assert set(again.values()) == {"SUCCEEDED"}
    for table in REFINED:
        assert platform.rows(table).equals(refined[table.full_name])
