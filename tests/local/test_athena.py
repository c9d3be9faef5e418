"""Athena as awswrangler and boto3 see it, against what pyiceberg reads from the same tables."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import awswrangler as wr
import boto3
import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local import iceberg
from local.athena import results
from local.cloud import Cloud

ROWS = 3_000
START = datetime(2026, 3, 1, tzinfo=timezone.utc)
FIELDS = {
    "event_id": "string",
    "amount": "double",
    "at": "timestamptz",
    "items": "int",
    "payload": "binary",
    "day": "date",
}
Ask = Callable[..., Any]


def any_visits(first: int) -> pa.Table:
    numbers = range(first, first + ROWS)
    return pa.table(
        {
            "event_id": [f'e-{number}, "quoted"\nand split' for number in numbers],
            "amount": [None if number % 10 == 0 else number / 3 for number in numbers],
            "at": [START + timedelta(minutes=number) for number in numbers],
            "items": pa.array(list(numbers), pa.int32()),
            "payload": [b"\x00\xff"] * ROWS,
            "day": [date(2026, 3, 1)] * ROWS,
        },
        schema=pa.schema(
            [
                pa.field("event_id", pa.string(), nullable=False),
                ("amount", pa.float64()),
                ("at", pa.timestamp("us", "UTC")),
                ("items", pa.int32()),
                ("payload", pa.binary()),
                ("day", pa.date32()),
            ]
        ),
    )


@pytest.fixture(scope="module")
def visits(cloud: Cloud) -> Any:
    """A table of two snapshots, its column `extra` added after the first."""
    cloud.client("s3").create_bucket(Bucket="test-athena")
    cloud.client("glue").create_database(DatabaseInput={"Name": "shop"})
    configuration = {"ResultConfiguration": {"OutputLocation": "s3://test-athena/results/"}}
    cloud.client("athena").create_work_group(Name="shop", Configuration=configuration)
    fields = [
        {"Id": number, "Name": name, "Type": kind, "Required": name == "event_id"}
        for number, (name, kind) in enumerate(FIELDS.items(), 1)
    ]
    described = {"Location": "s3://test-athena/visits/", "Schema": {"Type": "struct", "Fields": fields}}
    iceberg.create(cloud, "shop", "visits", described)
    table = iceberg.catalogue(cloud).load_table("shop.visits")
    table.append(any_visits(0))
    fields.append({"Id": len(fields) + 1, "Name": "extra", "Type": "long", "Required": False})
    iceberg.evolve(cloud, "shop", "visits", described)
    table.refresh()
    table.append(any_visits(ROWS).append_column("extra", pa.array([1] * ROWS, pa.int64())))
    return table


@pytest.fixture
def session(cloud: Cloud) -> boto3.Session:
    return boto3.Session(aws_access_key_id="a", aws_secret_access_key="b", region_name=cloud.region)


@pytest.fixture
def ask(cloud: Cloud, visits: Any) -> Ask:
    """Run a query; return its rows as text, or the reason for its failure."""
    athena = cloud.client("athena")

    def run(sql: str, **options: Any) -> Any:
        context = {"Database": "shop"}
        started = athena.start_query_execution(
            QueryString=sql, WorkGroup="shop", QueryExecutionContext=context, **options
        )
        identity = started["QueryExecutionId"]
        while (held := athena.get_query_execution(QueryExecutionId=identity)["QueryExecution"])["Status"][
            "State"
        ] == "RUNNING":
            pass
        if held["Status"]["State"] == "FAILED":
            return held["Status"]["StateChangeReason"]
        pages = athena.get_paginator("get_query_results").paginate(QueryExecutionId=identity)
        rows = [row["Data"] for page in pages for row in page["ResultSet"]["Rows"]]
        return [[value.get("VarCharValue") for value in row] for row in rows]

    return run


@pytest.mark.parametrize(
    "approach",
    [
        {"ctas_approach": False},
        {"ctas_approach": True},
        {"ctas_approach": False, "unload_approach": True, "s3_output": "s3://test-athena/unloaded/"},
    ],
    ids=["csv", "ctas", "unload"],
)
def test_awswrangler_reads_what_pyiceberg_reads(visits: Any, session: boto3.Session, approach: dict[str, Any]) -> None:
    sql = "SELECT event_id, amount, items, payload, day, extra FROM visits ORDER BY items"
    frame = wr.athena.read_sql_query(sql, database="shop", workgroup="shop", boto3_session=session, **approach)
    expected = visits.scan().to_arrow().sort_by("items")

    assert frame["event_id"].tolist() == expected["event_id"].to_pylist()
    assert (
        frame["amount"].astype(object).where(frame["amount"].notna(), None).tolist() == expected["amount"].to_pylist()
    )
    assert frame["items"].tolist() == expected["items"].to_pylist()
    if approach["ctas_approach"]:  # in a CSV, Athena writes bytes as hexadecimal text, which awswrangler leaves
        assert [bytes(value) for value in frame["payload"]] == expected["payload"].to_pylist()
    assert frame["extra"].isna().sum() == ROWS


def test_the_way_through_ctas_leaves_no_table_behind(cloud: Cloud, visits: Any, session: boto3.Session) -> None:
    wr.athena.read_sql_query("SELECT 1 AS one", database="shop", workgroup="shop", boto3_session=session)
    tables = cloud.client("glue").get_tables(DatabaseName="shop")["TableList"]

    assert [table["Name"] for table in tables] == ["visits"]


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT count(*) FROM visits", [["_col0"], [str(2 * ROWS)]]),
        ("SELECT 7 / 2 AS whole, 'a' || 'b' AS text, NULL AS none", [["whole", "text", "none"], ["3", "ab", None]]),
        ("SELECT max(at) AS m FROM shop.visits WHERE items < 3", [["m"], ["2026-03-01 00:02:00.000 UTC"]]),
        (
            "SELECT date_trunc('hour', at) h, count(*) n FROM visits WHERE items < 90 GROUP BY 1 ORDER BY 1",
            [["h", "n"], ["2026-03-01 00:00:00.000 UTC", "60"], ["2026-03-01 01:00:00.000 UTC", "30"]],
        ),
        ("WITH visits AS (SELECT 1 AS one) SELECT one FROM visits", [["one"], ["1"]]),
        ("SELECT a.items FROM visits a JOIN visits b ON a.items = b.items + 1 WHERE a.items < 2", [["items"], ["1"]]),
        (
            "SELECT array_agg(items ORDER BY items) AS a, row(1, 'x') AS r FROM visits WHERE items < 3",
            [["a", "r"], ["[0, 1, 2]", "{_0=1, _1=x}"]],
        ),
        ("SELECT count_if(amount IS NULL) AS n FROM visits", [["n"], [str(2 * ROWS // 10)]]),
        ('SELECT count(*) AS n FROM "visits$snapshots"', [["n"], ["2"]]),
        ("SHOW TABLES IN shop", [["visits"]]),
        (
            "DESCRIBE visits",
            [
                [f"{name}\t{kind}\t"]
                for name, kind in [
                    ("event_id", "string"),
                    ("amount", "double"),
                    ("at", "timestamp"),
                    ("items", "int"),
                    ("payload", "binary"),
                    ("day", "date"),
                    ("extra", "bigint"),
                ]
            ],
        ),
        ("SELECT count(*) AS n FROM information_schema.columns WHERE table_schema = 'shop'", [["n"], ["7"]]),
    ],
)
def test_a_query_answers(ask: Ask, sql: str, rows: list[list[str | None]]) -> None:
    assert ask(sql) == rows


def test_parameters_are_values_not_text(ask: Ask) -> None:
    assert ask(
        "SELECT count(*) AS n FROM visits WHERE items < ? AND event_id LIKE ?", ExecutionParameters=["5", "'e-%'"]
    ) == [["n"], ["5"]]


def test_an_earlier_snapshot_can_be_read(ask: Ask, visits: Any) -> None:
    first = visits.metadata.snapshots[0].snapshot_id

    assert ask(f"SELECT count(*) AS n FROM visits FOR VERSION AS OF {first}") == [["n"], [str(ROWS)]]


def test_pages_hold_every_row_once(ask: Ask) -> None:
    rows = ask("SELECT items FROM visits")

    assert sorted(int(row[0]) for row in rows[1:]) == list(range(2 * ROWS))


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT * FROM nowhere", "TABLE_NOT_FOUND: Table 'awsdatacatalog.shop.nowhere' does not exist"),
        ("SELECT nothing FROM visits", "nothing"),
        ("SELEC 1", "SYNTAX_ERROR"),
        ("INSERT INTO visits SELECT * FROM visits", "NOT_SUPPORTED: .* does not do INSERT"),
        ("CREATE TABLE t WITH (format = 'ORC') AS SELECT 1 AS a", "NOT_SUPPORTED: .*ORC"),
        ("SELECT count(*) FROM visits WHERE items < ?", "SYNTAX_ERROR: fewer execution parameters"),
    ],
)
def test_a_query_that_cannot_run_fails_with_the_reason(ask: Ask, sql: str, reason: str) -> None:
    answer = ask(sql)

    assert re.search(reason, str(answer)), answer


def test_an_enforced_work_group_decides_where_results_go(cloud: Cloud, visits: Any) -> None:
    athena = cloud.client("athena")
    elsewhere = {"OutputLocation": "s3://elsewhere/"}
    started = athena.start_query_execution(QueryString="SELECT 1", WorkGroup="shop", ResultConfiguration=elsewhere)
    held = athena.get_query_execution(QueryExecutionId=started["QueryExecutionId"])["QueryExecution"]

    assert (
        held["ResultConfiguration"]["OutputLocation"] == f"s3://test-athena/results/{started['QueryExecutionId']}.csv"
    )


def test_a_plain_parquet_table_with_partitions_is_read(cloud: Cloud, ask: Ask, session: boto3.Session) -> None:
    frame = pd.DataFrame({"n": [1, 2, 3], "country": ["fr", "fr", "de"]})
    wr.s3.to_parquet(
        frame,
        path="s3://test-athena/plain/",
        dataset=True,
        database="shop",
        table="plain",
        partition_cols=["country"],
        boto3_session=session,
    )
    answer = ask("SELECT country, sum(n) AS n FROM plain GROUP BY 1 ORDER BY 1")
    cloud.client("glue").delete_table(DatabaseName="shop", Name="plain")

    assert answer == [["country", "n"], ["de", "3"], ["fr", "3"]]


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\r"), max_size=12)


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(rows=st.lists(st.tuples(st.none() | text, st.none() | text), min_size=1, max_size=5))
def test_any_text_and_null_survive_the_csv(
    cloud: Cloud, visits: Any, tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str | None, str | None]]
) -> None:
    path: Path = tmp_path_factory.mktemp("csv") / "held.csv"
    session = duckdb.connect()
    session.execute("CREATE TABLE held (a VARCHAR, b VARCHAR)")
    session.executemany("INSERT INTO held VALUES (?, ?)", [list(row) for row in rows])
    address = "s3://test-athena/held.csv"
    results.write_csv(cloud, session, "SELECT a, b FROM held", address, path)
    read: list[list[str | None]] = []
    at = 0
    while at >= 0:
        page, at = results.page(cloud, address, at, 2)
        read += page

    assert read == [["a", "b"], *[list(row) for row in rows]]


def test_metadata_names_the_columns(cloud: Cloud, ask: Ask, visits: Any) -> None:
    shown = json.loads(results.metadata([results.Column("price", "decimal(10,2)")]))

    assert (shown[0]["Name"], shown[0]["Type"], shown[0]["Precision"], shown[0]["Scale"]) == ("price", "decimal", 10, 2)


def any_view(name: str, text: str) -> dict[str, Any]:
    """Describe a view as the catalogue does."""
    return {"Name": name, "TableType": "VIRTUAL_VIEW", "ViewOriginalText": text}


def test_a_view_is_read_by_its_query_and_may_read_another(cloud: Cloud, ask: Ask) -> None:
    glue = cloud.client("glue")
    glue.create_table(DatabaseName="shop", TableInput=any_view("few", "SELECT event_id AS id FROM shop.visits LIMIT 3"))
    packed = b64encode(json.dumps({"originalSql": "SELECT count(id) AS n FROM few"}).encode()).decode()
    glue.create_table(DatabaseName="shop", TableInput=any_view("counted", f"/* Presto View: {packed} */"))

    assert ask("SELECT n FROM counted") == [["n"], ["3"]]
    assert ask("SELECT few.id IS NOT NULL AS known FROM few JOIN shop.counted c ON c.n = 3 LIMIT 1")[1] == ["true"]
