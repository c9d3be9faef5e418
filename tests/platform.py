"""One platform for all tests of a whole day: the real app in a laptop cloud, and a world sent under faults."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import awswrangler as wr
import boto3
import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog, load_catalog

from clients.world.world import World
from demo.account import Account
from demo.day import commit_all, run_day, wait_until_landed
from demo.faults import struck, switch_on
from demo.lake import output_of
from demo.laptop import Laptop, laptop_cloud
from demo.sending import STREAM
from demo.sources import SEED, Simulation
from demo.truth import Truth
from domain.privacy import tokens
from domain.privacy.domains import DOMAINS
from domain.tables import CURATED, QUARANTINE, SESSIONS, Table
from lambdas.datakeys import DataKeys
from lambdas.privacy import stored
from stacks import names

EVENTS = 60_000  # the gate asks for 200 sessions of unseen users, which 40,000 events do not bring
DAY = datetime.now(timezone.utc).date() - timedelta(days=1)
EMPTY_DAY = DAY - timedelta(days=30)  # long before the world's first event
CONSUME, COMMIT = "rivermill-consume", "rivermill-commit"
POLL_SECONDS = 0.5
GOING = ("STARTING", "RUNNING", "STOPPING")
REFINED = (*CURATED.values(), SESSIONS)
USER = "user_id"

FAULTS: dict[str, dict[str, Any]] = {
    "a share of a put is throttled": {"fault": "throttle", "stream": STREAM, "probability": 0.2, "share": 0.3}
    | {"seed": 1},
    "a whole put is throttled": {"fault": "throttle", "stream": STREAM, "nth": 3, "whole": True},
    "a record meets an internal failure": {"fault": "throttle", "stream": STREAM, "nth": 5, "share": 0.1}
    | {"code": "InternalFailure"},
    "the answer to a put is lost": {"fault": "drop", "service": "kinesis", "operation": "PutRecords", "nth": 7},
    "a consumer dies before a write": {"fault": "kill", "function": CONSUME, "service": "s3", "operation": "PutObject"}
    | {"when": "before", "nth": 4},
    "a consumer dies after a write": {"fault": "kill", "function": CONSUME, "service": "s3", "operation": "PutObject"}
    | {"when": "after", "nth": 30},
    "the answer to a consumer's write is lost": {"fault": "drop", "function": CONSUME, "service": "s3"}
    | {"operation": "PutObject", "probability": 0.2, "seed": 2, "times": 8},
    "a batch is delivered twice": {"fault": "duplicate", "function": CONSUME, "nth": 2},
    "a batch is delivered twice, cut elsewhere, at once": {"fault": "duplicate", "function": CONSUME}
    | {"probability": 0.5, "recut": True, "at_once": True, "seed": 4},
    "the answer to a commit is lost": {"fault": "drop", "function": COMMIT, "service": "glue"}
    | {"operation": "UpdateTable", "nth": 2},
    "the committer dies after a commit": {"fault": "kill", "function": COMMIT, "service": "glue"}
    | {"operation": "UpdateTable", "nth": 5, "when": "after"},
}


@dataclass(frozen=True)
class Platform:
    """The deployed platform and the seconds that its steps took."""

    laptop: Laptop
    bucket: str
    seconds: dict[str, float]

    @property
    def catalogue(self) -> Catalog:
        return load_catalog("lake", **{"type": "glue", "s3.endpoint": self.laptop.endpoint})

    def scan(self, table: str, *columns: str) -> pa.Table:
        return self.catalogue.load_table(table).scan(selected_fields=columns or ("*",)).to_arrow()

    def scan_in_clear(self, table: str, *columns: str) -> pa.Table:
        """Read a table with its tokens turned back and what is sealed of the quarantine opened, by the keys alone."""
        keys = DataKeys(self.laptop.client("dynamodb"), self.laptop.client("kms"), names.KEYS, names.PRIVACY)
        rows, ring = self.scan(table, *columns), keys.ring()
        if USER in rows.column_names:
            place = rows.schema.get_field_index(USER)
            rows = rows.set_column(place, USER, tokens.revealed(rows[USER], ring, DOMAINS["user"]))
        return stored.set_aside_in_clear(rows, ring) if table == QUARANTINE.full_name else rows

    def ask(self, selections: Iterable[str]) -> list[tuple[str, ...]]:
        """Let Athena read several selections at once, as rows of text."""
        found = wr.athena.read_sql_query(
            " UNION ALL ".join(selections), database="curated", workgroup="rivermill", ctas_approach=False
        )
        return list(found.itertuples(index=False, name=None))

    def rows(self, table: Table) -> pa.Table:
        """Read a table by user and the key of its rows, so that two readings compare."""
        key = "session_id" if table is SESSIONS else "event_id"
        return self.scan(table.full_name).sort_by([("user_id", "ascending"), (key, "ascending")])


@dataclass(frozen=True)
class Day:
    """A day that was run: what was sent, what the stream holds, what receipts say, what the faults did."""

    source: Simulation
    accepted: int
    stream: list[tuple[str, str, bytes]]  # shard, sequence number, payload
    account: Account
    struck: dict[str, int]
    execution: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.execution["name"])

    @property
    def output(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.execution["output"])
        return found

    @property
    def truth(self) -> Truth:
        return Truth(self.source.folder)

    @property
    def world(self) -> World:
        return World(seed=SEED, events=self.source.events, until=self.source.until)


@contextmanager
def deployed(folder: Path, *what: str) -> Iterator[Platform]:
    """Run a laptop cloud with the app, or some of its stacks; afterwards the process's environment is as it was."""
    seconds: dict[str, float] = {}
    before = dict(os.environ)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boto3, "DEFAULT_SESSION", None)  # it keeps the credentials that it met first
        try:
            with laptop_cloud(folder) as laptop:
                with timed(seconds, "bootstrap"):
                    laptop.bootstrap()
                with timed(seconds, "deploy"):
                    laptop.cdk("deploy", *(what or ["--all"]), "--require-approval", "never", "--concurrency", "4")
                yield Platform(laptop, output_of(laptop, "Bucket"), seconds)
        finally:
            os.environ.clear()
            os.environ.update(before)


def run_under_faults(platform: Platform, folder: Path) -> Day:
    """Send a world while things break, let it land and be committed, then run its day."""
    source = Simulation(events=EVENTS, until=DAY, folder=folder)
    laptop = platform.laptop
    switch_on(laptop, list(FAULTS.values()))
    with timed(platform.seconds, "send"):
        report = source.send()
        assert not report.refused
    with timed(platform.seconds, "read the stream"):
        stream = read_stream(laptop)
    with timed(platform.seconds, "land and commit"):
        account = wait_until_landed(laptop, platform.bucket, len(stream))
        commit_all(laptop)
        account.update(laptop.client("s3"), platform.bucket)
    strikes = dict(zip(FAULTS, (times for _, times in struck(laptop)), strict=True))
    switch_on(laptop, [])
    with timed(platform.seconds, "day"):
        execution = run_day(laptop, DAY)
    return Day(source, report.accepted, stream, account, strikes, execution)


def run_job(laptop: Laptop, job: str, run: str, day: date) -> str:
    """Run a Spark job of a day under the name of some run, and return how it ended."""
    glue = laptop.client("glue")
    started = glue.start_job_run(JobName=job, Arguments={"--day": day.isoformat(), "--run": run})["JobRunId"]
    while (state := glue.get_job_run(JobName=job, RunId=started)["JobRun"]["JobRunState"]) in GOING:
        time.sleep(POLL_SECONDS)
    return str(state)


def read_stream(laptop: Laptop) -> list[tuple[str, str, bytes]]:
    """Read every record that the stream holds: shard, sequence number, payload."""
    kinesis = laptop.client("kinesis")
    shards = [shard["ShardId"] for shard in kinesis.list_shards(StreamName=STREAM)["Shards"]]
    return [record for shard in shards for record in read_shard(kinesis, shard)]


def read_shard(kinesis: Any, shard: str) -> Iterator[tuple[str, str, bytes]]:
    place = kinesis.get_shard_iterator(StreamName=STREAM, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    iterator = place["ShardIterator"]
    while iterator:  # a shard that the scaler closed has an end
        answer = kinesis.get_records(ShardIterator=iterator)
        yield from ((shard, record["SequenceNumber"], record["Data"]) for record in answer["Records"])
        if not answer["Records"] and not answer["MillisBehindLatest"]:
            return
        iterator = answer.get("NextShardIterator")


@contextmanager
def timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    seconds[step] = time.monotonic() - started


def inventory(laptop: Laptop) -> dict[str, list[str]]:
    """List what the account holds, by kind; kinds of which there is nothing are left out."""
    found = {
        kind: sorted(unnumbered(entry[name] if name else entry) for entry in entries(laptop, service, call, held))
        for kind, (service, call, held, name) in KINDS.items()
    }
    catalogue = load_catalog("lake", **{"type": "glue", "s3.endpoint": laptop.endpoint})
    found["table"] = sorted(
        ".".join(name) for database in catalogue.list_namespaces() for name in catalogue.list_tables(database)
    )
    keys = [
        laptop.client("kms").describe_key(KeyId=key["KeyId"]) for key in entries(laptop, "kms", "list_keys", "Keys")
    ]
    own = [key["KeyMetadata"] for key in keys if key["KeyMetadata"]["KeyManager"] == "CUSTOMER"]
    found["key"] = sorted(key["Description"] for key in own if key["KeyState"] == "Enabled")
    return {kind: held for kind, held in found.items() if held}


def unnumbered(name: str) -> str:
    """Take off a name what stands before it in an ARN or URL, and what is by chance in it."""
    return re.sub(
        r"[0-9a-f]{8}(-[0-9a-f]{12})?$",
        "*",
        re.split("[:/]", name)[-1] if "://" in name or name.startswith("arn:") else name,
    )


def entries(laptop: Laptop, service: str, call: str, held: str) -> list[Any]:
    return [entry for page in pages(laptop, service, call) for entry in page[held]]


def pages(laptop: Laptop, service: str, call: str) -> Iterator[dict[str, Any]]:
    client = laptop.client(service)
    if client.can_paginate(call):
        yield from client.get_paginator(call).paginate()
    else:
        yield getattr(client, call)()


KINDS = {
    "stack": ("cloudformation", "describe_stacks", "Stacks", "StackName"),
    "bucket": ("s3", "list_buckets", "Buckets", "Name"),
    "stream": ("kinesis", "list_streams", "StreamNames", ""),
    "key-value table": ("dynamodb", "list_tables", "TableNames", ""),
    "queue": ("sqs", "list_queues", "QueueUrls", ""),
    "topic": ("sns", "list_topics", "Topics", "TopicArn"),
    "database": ("glue", "get_databases", "DatabaseList", "Name"),
    "Spark job": ("glue", "get_jobs", "Jobs", "Name"),
    "function": ("lambda", "list_functions", "Functions", "FunctionName"),
    "layer": ("lambda", "list_layers", "Layers", "LayerName"),
    "event source": ("lambda", "list_event_source_mappings", "EventSourceMappings", "UUID"),
    "state machine": ("stepfunctions", "list_state_machines", "stateMachines", "name"),
    "schedule": ("events", "list_rules", "Rules", "Name"),
    "model package group": (
        "sagemaker",
        "list_model_package_groups",
        "ModelPackageGroupSummaryList",
        "ModelPackageGroupName",
    ),
    "model": ("sagemaker", "list_models", "Models", "ModelName"),
    "endpoint configuration": ("sagemaker", "list_endpoint_configs", "EndpointConfigs", "EndpointConfigName"),
    "endpoint": ("sagemaker", "list_endpoints", "Endpoints", "EndpointName"),
    "role": ("iam", "list_roles", "Roles", "RoleName"),
    "log group": ("logs", "describe_log_groups", "logGroups", "logGroupName"),
    "alarm": ("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
    "dashboard": ("cloudwatch", "list_dashboards", "DashboardEntries", "DashboardName"),
}
"""What an account can hold of ours: service, call, and where the answer names each."""
