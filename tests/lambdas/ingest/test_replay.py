"""The replay's front: starts one job for a span, follows it, and refuses by name what cannot be done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from lambdas.ingest import replay
from tests.lambdas.ingest.conftest import BUCKET, Lake

pytestmark = pytest.mark.slow

JOB = "rivermill-replay"
SPAN = {"from": "2026-03-01", "to": "2026-03-02T06:00:00+02:00"}


@pytest.fixture
def job(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("JOB", JOB)
    replay.settings.cache_clear()
    replay.client.cache_clear()
    glue = boto3.client("glue")
    glue.create_job(Name=JOB, Role="r", Command={"Name": "glueetl", "ScriptLocation": "s3://x/y.py"})
    yield glue
    glue.delete_job(JobName=JOB)
    replay.settings.cache_clear()
    replay.client.cache_clear()


def test_a_span_starts_the_job_which_swaps_nothing_unless_told(job: Any) -> None:
    told = replay.handler(SPAN, None)

    arguments = job.get_job_run(JobName=JOB, RunId=told["job_run"])["JobRun"]["Arguments"]
    assert arguments == {
        "--from": "2026-03-01T00:00:00+00:00",
        "--to": "2026-03-02T04:00:00+00:00",
        "--run": "replay-20260301T000000-20260302T040000",
        "--swap": "false",
        "--accept": "false",
        "--dry": "false",
    }


def test_the_account_is_told_once_the_job_has_succeeded(job: Any, lake: Lake) -> None:
    told = replay.handler({**SPAN, "swap": True}, None)
    lake.bucket.put(f"runs/{told['run']}/replay.json", json.dumps({"swapped": ["rating"]}).encode())
    # A Glue of moto's ends a job at once, one that a laptop cloud has mended in this process runs it.
    replay.client("glue").get_job_run = lambda **_: {"JobRun": {"JobRunState": "SUCCEEDED"}}

    followed = replay.handler({"run": told["run"], "job_run": told["job_run"]}, None)

    assert (followed["state"], followed["account"]) == ("SUCCEEDED", {"swapped": ["rating"]})
    assert boto3.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="runs/")["KeyCount"] == 1


def test_an_account_that_nobody_wrote_is_refused_by_its_name(job: Any, lake: Lake) -> None:
    replay.client("glue").get_job_run = lambda **_: {"JobRun": {"JobRunState": "SUCCEEDED"}}

    refused = replay.handler({"run": "another", "job_run": "jr_1"}, None)["refused"]

    assert (refused["field"], refused["value"]) == ("run", "another")


@pytest.mark.parametrize(
    ("event", "field", "words"),
    [
        ({}, "from", "write a day, 2026-11-21"),
        ({"from": "2026-03-01"}, "to", "write a day, 2026-11-21"),
        ({"from": "2026-03-02", "to": "2026-03-01"}, "from", "before 'to'"),
        ({"from": "2999-01-01", "to": "2999-01-02"}, "from", "nothing has arrived"),
        ({"from": "0001-01-01T00:00:00+05:00"}, "from", "a moment with its offset"),
        ({"to": "9999-12-31T23:59:59-05:00"}, "to", "a moment with its offset"),
        ({**SPAN, "accept": True}, "accept", "write swap too"),
        ({**SPAN, "swop": True}, "swop", "from, to, swap, accept, dry_run"),
        ({"job_run": "jr_gone", "run": "x"}, "job_run", "there is no such run"),
        ({"job_run": "", "run": "x"}, "job_run", "there is no such run"),
    ],
)
def test_what_cannot_be_done_is_refused_by_field_value_and_fix(
    job: Any, event: dict[str, Any], field: str, words: str
) -> None:
    refused = replay.handler(event, None)["refused"]

    assert (refused["field"], refused["value"]) == (field, event.get(field))
    assert words in refused["fix"]
