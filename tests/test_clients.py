"""Clients that know nothing of the laptop cloud work against the deployed platform with only its address set."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import awswrangler as wr
import boto3
import duckdb
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from clients.athena import ask
from demo.account import Account
from demo.day import commit_all
from demo.lake import count, output_of
from demo.sending import STREAM
from domain.privacy.release.ledger import TABLE as BUDGETS
from domain.tables import PROPENSITY, QUARANTINE, SESSIONS, TABLES
from local.bootstrap import exports
from local.cloud import Cloud
from stacks import names
from tests.local.builders import until
from tests.platform import DAY, EMPTY_DAY, Day, Platform

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PATIENCE = 300.0
STACKS = ("Lake", "Ingest", "Process", "Train", "Serve", "Experiment", "Privacy", "Orchestrate", "Monitor")
GOOD: Mapping[str, Any] = {
    "device": "mobile",
    "country": "DE",
    "hour": 20,
    "weekday": 5,
    "elapsed": 92.5,
    "page_views": 2,
    "searches": 1,
    "product_views": 2,
    "carts": 0,
    "distinct_products": 2,
    "distinct_categories": 1,
    "mean_price": 24.9,
    "cart_value": 0.0,
    "sessions_before": 3,
    "purchases_before": 1,
    "revenue_before": 59.0,
    "days_since_session": 2.5,
    "days_since_purchase": None,
}


class Sent(NamedTuple):
    """Two records of a newcomer: README's own, and one that is not JSON."""

    event: Mapping[str, Any]
    broken: bytes
    sequence: str


def aws(*arguments: str) -> Any:
    """Run the AWS CLI, and return what it prints, as JSON where it is."""
    command = [str(Path(sys.executable).with_name("aws")), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else done.stdout


def tokens_of(user: str) -> list[str]:
    """Ask as a steward does, at the command line, what a user is called in the lake."""
    why = ["--domain", "user", "--purpose", "find a newcomer's own record"]
    command = [sys.executable, "-m", "clients.privacy", "detokenize", "--values", user, *why]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    [[asked, *tokens]] = [line.split() for line in done.stdout.splitlines()]
    assert asked == user
    return tokens


def snippet(heading: str) -> str:
    """Take the first Python block under a heading of README.md."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {heading}$.*?```python\n(.*?)```", readme, re.DOTALL | re.MULTILINE)
    assert found, f"README.md has no Python under {heading!r}"
    return found[1]


@pytest.fixture(scope="module")
def sent(platform: Platform, again: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Sent:
    """Two records sent after all that is said of the day, landed and committed."""
    s3, before = platform.laptop.client("s3"), Account()
    before.update(s3, platform.bucket)
    known: dict[str, Any] = {}
    exec(snippet("Send a record"), known)
    record = tmp_path_factory.mktemp("sent") / "record"
    record.write_bytes(b"not JSON at all")
    to = ["--stream-name", STREAM, "--partition-key", "u-2"]
    answer = aws("kinesis", "put-record", *to, "--data", f"fileb://{record}")
    end = time.monotonic() + PATIENCE
    settled = before.settled + 2
    while before.settled < settled:
        assert time.monotonic() < end, f"{before.settled} of {settled} records are settled"
        before.update(s3, platform.bucket)
    commit_all(platform.laptop)
    return Sent(known["event"], record.read_bytes(), answer["SequenceNumber"])


def test_the_record_that_readme_sends_lands_in_its_raw_table(platform: Platform, sent: Sent) -> None:
    named = f"SELECT page, device, country, user_id FROM raw.page_view WHERE event_id = '{sent.event['event_id']}'"
    [[*seen, token]] = ask(named)

    assert seen == [sent.event[name] for name in ("page", "device", "country")]
    assert tokens_of(sent.event["user_id"]) == [token]


def test_the_event_that_the_rest_page_posts_with_curl_lands_in_its_raw_table(platform: Platform, sent: Sent) -> None:
    page = (ROOT / "docs" / "rest.md").read_text(encoding="utf-8")
    lines = page.split("```sh\n")[1].split("```")[0]
    [user] = tokens_of("u-1")
    posted = f"SELECT count(*) FROM raw.rating WHERE user_id = '{user}' AND product_id = 'p-1' AND stars = 5"
    [[known]] = ask(posted)
    before = Account()
    before.update(platform.laptop.client("s3"), platform.bucket)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-ec", lines],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PATH": path},
    )
    assert (done.returncode, done.stdout) == (0, '{"accepted": 1, "failed": []}'), done.stderr
    settled, end = before.settled + 1, time.monotonic() + PATIENCE
    while before.settled < settled:
        assert time.monotonic() < end, "the event was not settled"
        before.update(platform.laptop.client("s3"), platform.bucket)
    commit_all(platform.laptop)

    assert [[int(count) for count in row] for row in ask(posted)] == [[int(known) + 1]]


def test_a_record_that_the_aws_cli_sends_and_that_is_not_json_is_quarantined(platform: Platform, sent: Sent) -> None:
    rows = platform.scan_in_clear(QUARANTINE.full_name, "sequence", "reason", "payload").to_pylist()
    [found] = [row for row in rows if row["sequence"] == sent.sequence.zfill(56)]

    assert (found["reason"], found["payload"]) == ("not_json", sent.broken)


def test_the_aws_cli_lists_the_lake(platform: Platform, day: Day) -> None:
    listed = aws("s3", "ls", f"s3://{platform.bucket}/")
    receipts = aws("s3", "ls", f"s3://{platform.bucket}/receipts/{STREAM}/", "--recursive")

    assert {line.split()[-1] for line in listed.splitlines()} >= {
        "curated/",
        "features/",
        "landing/",
        "models/",
        "raw/",
        "receipts/",
        "training/",
    }
    assert len(receipts.splitlines()) >= len(day.account.seen)


def test_the_aws_cli_invokes_the_committer(platform: Platform, day: Day, tmp_path: Path) -> None:
    event, answer = tmp_path / "event.json", tmp_path / "answer.json"
    event.write_text("{}")
    told = aws("lambda", "invoke", "--function-name", names.COMMIT, "--payload", f"fileb://{event}", str(answer))

    assert told["StatusCode"] == 200
    assert json.loads(answer.read_text())["more"] is False


def test_the_aws_cli_lists_the_executions(platform: Platform, day: Day) -> None:
    machines = aws("stepfunctions", "list-state-machines")["stateMachines"]
    daily = next(machine["stateMachineArn"] for machine in machines if machine["name"] == names.DAILY)
    listed = aws("stepfunctions", "list-executions", "--state-machine-arn", daily)["executions"]
    ended = {execution["name"]: execution["status"] for execution in listed}

    assert ended[f"daily-{EMPTY_DAY}"] == ended[f"daily-{DAY}"] == "SUCCEEDED"


@pytest.mark.parametrize("database", ["raw", "curated", "features"])
def test_the_aws_cli_lists_the_tables_that_the_domain_declares(platform: Platform, database: str) -> None:
    tables = aws("glue", "get-tables", "--database-name", database)["TableList"]

    assert {table["Name"] for table in tables} == {table.name for table in TABLES if table.database == database}
    assert {table["Parameters"]["table_type"] for table in tables} == {"ICEBERG"}


def test_awswrangler_reads_the_tables(platform: Platform, day: Day) -> None:
    sql = """SELECT p.session_id, p.split, p.purchased, p.mean_price, s.started_at FROM features.propensity p
             JOIN curated.sessions s ON s.session_id = p.session_id"""
    frame = wr.athena.read_sql_query(sql, database="features", workgroup="rivermill", ctas_approach=False)
    rows = platform.scan(PROPENSITY.full_name, "session_id", "mean_price")

    assert sorted(frame["session_id"]) == sorted(rows["session_id"].to_pylist())
    assert frame["mean_price"].sum() == pytest.approx(sum(filter(None, rows["mean_price"].to_pylist())))
    assert set(frame["split"]) == {"train", "calibrate", "test"}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: str(table.full_name))
def test_pyiceberg_loads_and_scans_every_table(platform: Platform, day: Day, table: Any) -> None:
    read = platform.scan(table.full_name)

    assert read.column_names == [column.name for column in table.columns]
    assert len(read) == count(table)


def test_pyiceberg_needs_no_more_than_what_make_local_exports(platform: Platform, day: Day) -> None:
    port = int(platform.laptop.endpoint.rpartition(":")[2])
    lines = exports(Cloud(port, platform.laptop.logs)).splitlines()
    exported = dict(word.split("=", 1) for line in lines for word in line.split()[1:])
    script = "from pyiceberg.catalog import load_catalog\n"
    script += f"print(len(load_catalog().load_table('{SESSIONS.full_name}').scan().to_arrow()))"
    said = subprocess.run([sys.executable, "-c", script], env=exported, capture_output=True, text=True, check=True)

    assert int(said.stdout) == count(SESSIONS)


def test_duckdb_reads_the_files_of_the_lake(platform: Platform, day: Day, tmp_path: Path) -> None:
    """A table's files are plain Parquet: fetched by boto3, they hold the rows of the table."""
    s3 = platform.laptop.client("s3")
    tasks = platform.catalogue.load_table(SESSIONS.full_name).scan().plan_files()
    for place, task in enumerate(tasks):
        bucket, _, key = task.file.file_path.removeprefix("s3://").partition("/")
        s3.download_file(bucket, key, str(tmp_path / f"{place}.parquet"))
    sql = f"SELECT count(*), count(DISTINCT session_id) FROM '{tmp_path}/*.parquet'"

    assert duckdb.sql(sql).fetchall() == [(count(SESSIONS),) * 2]


def call(url: str, body: bytes, *, signed: bool = True) -> tuple[int, Any]:
    request = AWSRequest(method="POST", url=url, data=body, headers={"Content-Type": "application/json"})
    if signed:
        session = boto3.Session()
        SigV4Auth(session.get_credentials(), "lambda", session.region_name).add_auth(request)
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, dict(request.headers)), timeout=300) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.load(refusal)


def test_a_signed_request_is_answered_with_a_probability_for_each_row(platform: Platform, day: Day) -> None:
    rows = [GOOD, {**GOOD, "carts": 2, "cart_value": 80.0}]
    url, body = output_of(platform.laptop, "PredictUrl"), json.dumps({"instances": rows}).encode()
    status, answer = until(lambda: (found := call(url, body))[0] != HTTPStatus.SERVICE_UNAVAILABLE and found)

    assert status == 200
    assert len(answer["predictions"]) == 2
    assert all(0 < probability < 1 for probability in answer["predictions"])


def row_with(**changes: Any) -> bytes:
    return json.dumps({"instances": [GOOD, {**GOOD, **changes}]}).encode()


def row_without(name: str) -> bytes:
    return json.dumps({"instances": [{field: value for field, value in GOOD.items() if field != name}]}).encode()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{", "body"),
        (b'{"rows": []}', "body"),
        (b'{"instances": []}', "instances"),
        (b'{"instances": [3]}', "instances[0]"),
        (row_without("hour"), "instances[0].hour"),
        (row_with(hour=24), "instances[1].hour"),
        (row_with(carts=-1), "instances[1].carts"),
        (row_with(carts="two"), "instances[1].carts"),
        (row_with(device="toaster"), "instances[1].device"),
        (row_with(country="Germany"), "instances[1].country"),
        (row_with(colour="red"), "instances[1].colour"),
    ],
)
def test_a_request_that_breaks_the_contract_is_refused_with_its_field(
    platform: Platform, body: bytes, field: str
) -> None:
    status, answer = call(output_of(platform.laptop, "PredictUrl"), body)

    assert (status, answer["field"]) == (400, field)
    assert answer["fix"]


def test_a_request_without_a_signature_is_forbidden(platform: Platform) -> None:
    status, _ = call(output_of(platform.laptop, "PredictUrl"), row_with(), signed=False)

    assert status == 403


def test_after_a_deployment_the_cdk_cli_finds_no_difference(platform: Platform, day: Day) -> None:
    platform.laptop.cdk("diff", "--fail")


def test_a_second_deployment_changes_nothing(platform: Platform, day: Day) -> None:
    """The assembly is that of the last synthesis, which the difference above has shown to be the first one's."""
    told = platform.laptop.cdk("deploy", "--all", "--require-approval", "never", "--app", "cdk.out")

    assert told.count("(no changes)") == len(STACKS)


BOOTSTRAP = ("cfn-exec-role", "deploy-role", "file-publishing-role", "image-publishing-role", "lookup-role")
LEFT = {
    # What the lake keeps: data, where it comes in, who is told, and which models there were.
    "bucket": ["cdk-hnb659fds-assets-123456789012-us-east-1", "rivermill-lake-accesslogs*", "rivermill-lake-lake*"],
    "key": ["Rivermill", "Rivermill: signs certificates of erasure", "Rivermill: wraps the keys of fields"],
    "stream": [names.STREAM],
    "queue": [names.FAILED_BATCHES],
    "topic": [names.NOTICES],
    "key-value table": sorted([BUDGETS, names.BANDITS, names.DECISIONS, names.ERASURES, names.KEYS, names.SUBJECTS]),
    "database": ["curated", "features", "raw"],
    "table": sorted(table.full_name for table in TABLES),
    "model package group": [names.PROPENSITY],
    # What the pipeline made by itself, which no stack knows of; neither costs anything.
    "model": [f"{names.PROPENSITY}-1-*"],
    "endpoint configuration": [f"{names.PROPENSITY}-1-*"],
    "log group": [
        "/aws-glue/jobs/error",
        "/aws-glue/jobs/output",
        f"/aws/sagemaker/Endpoints/{names.PROPENSITY}",
        "/aws/sagemaker/ProcessingJobs",
        "/aws/sagemaker/TrainingJobs",
    ],
    # What `cdk bootstrap` made, for other apps too.
    "stack": ["CDKToolkit"],
    "role": [f"cdk-hnb659fds-{role}-123456789012-us-east-1" for role in BOOTSTRAP],
}


def test_destroy_leaves_what_is_retained_and_nothing_else(removed: dict[str, list[str]]) -> None:
    assert removed == LEFT
