"""The tables, the stream and the bucket on the laptop cloud, and the functions pointed at them, in this process."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import boto3
import pytest

from domain.experiment.declaration import Experiment
from domain.experiments import EXPERIMENTS
from lambdas.experiment import decide, learn
from lambdas.experiment.bandits import Bandits
from lambdas.experiment.decisions import Decisions
from lambdas.ingest import consume
from local.cloud import Cloud
from tests.local.builders import any_name

SHARD = "shardId-000000000000"
FIRST = 49590338271490256608559692538361571095921575989136588898
KEYS = {"decisions": "unit", "bandits": "experiment"}


@dataclass
class Remaining:
    """Tells how much time an invocation has left."""

    seconds: float = 900.0

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1000)


@dataclass
class Service:
    """The deployed service as a test sees it."""

    stream: str
    bucket: str
    decisions: Decisions
    bandits: Bandits
    landed: int = 0
    experiments: dict[str, Experiment] = field(default_factory=lambda: dict(EXPERIMENTS))

    def ask(self, experiment: str, unit: str, **context: str) -> dict[str, Any]:
        status, said = self.post({"experiment": experiment, "unit": unit, "context": context})
        assert status == 200, said
        return said

    def post(self, body: Any, method: str = "POST") -> tuple[int, dict[str, Any]]:
        text = body if isinstance(body, str) else json.dumps(body)
        event = {"requestContext": {"http": {"method": method}}, "body": text, "isBase64Encoded": False}
        answer = decide.handler(event, None)
        return answer["statusCode"], json.loads(answer["body"])

    def land(self, events: Sequence[dict[str, Any]], shard: str = SHARD) -> None:
        """Let the real consumer land events as one batch of the stream."""
        consume.handler(batch(self.stream, events, self.landed, shard), None)
        self.landed += len(events)

    def learn(self) -> dict[str, Any]:
        return learn.handler({}, Remaining())

    def exposures(self) -> list[dict[str, Any]]:
        """Read every exposure on the stream."""
        kinesis = boto3.client("kinesis")
        place = kinesis.get_shard_iterator(StreamName=self.stream, ShardId=SHARD, ShardIteratorType="TRIM_HORIZON")
        records = kinesis.get_records(ShardIterator=place["ShardIterator"], Limit=10_000)["Records"]
        return [json.loads(record["Data"]) for record in records]

    def counted(self, experiment: str = "ranking") -> dict[str, tuple[int, int]]:
        """Sum a bandit's counters: by arm, how many rewards and their sum in billionths."""
        sums: dict[str, tuple[int, int]] = {}
        for _, arm_to_count in self.bandits.counts(experiment, ""):
            for arm, count in arm_to_count.items():
                pulls, total = sums.get(arm, (0, 0))
                sums[arm] = (pulls + count.pulls, total + count.total)
        return sums


def batch(stream: str, events: Sequence[dict[str, Any]], start: int, shard: str = SHARD) -> dict[str, Any]:
    """Write records as Lambda hands them over."""
    return {
        "Records": [
            {
                "eventSource": "aws:kinesis",
                "eventSourceARN": f"arn:aws:kinesis:us-east-1:123456789012:stream/{stream}",
                "eventID": f"{shard}:{FIRST + number}",
                "kinesis": {
                    "data": base64.b64encode(json.dumps(event).encode()).decode(),
                    "partitionKey": str(event.get("user_id")),
                    "sequenceNumber": str(FIRST + number),
                    "approximateArrivalTimestamp": datetime.now(timezone.utc).timestamp(),
                },
            }
            for number, event in enumerate(events, start=start)
        ]
    }


@pytest.fixture
def service(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Service]:
    names = {kind: any_name(kind) for kind in (*KEYS, "stream", "bucket")}
    for name, value in {**cloud.environment(), **{kind.upper(): name for kind, name in names.items()}}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    for wait in ("CONNECT_SECONDS", "READ_SECONDS"):  # nothing here depends on a machine's speed
        monkeypatch.setattr(decide, wait, 120.0)
    forget()
    dynamodb, kinesis = boto3.client("dynamodb"), boto3.client("kinesis")
    for kind, key in KEYS.items():
        make_table(dynamodb, names[kind], key)
    kinesis.create_stream(StreamName=names["stream"], ShardCount=1)
    boto3.client("s3").create_bucket(Bucket=names["bucket"])
    yield Service(
        names["stream"], names["bucket"], Decisions(dynamodb, names["decisions"]), Bandits(dynamodb, names["bandits"])
    )
    kinesis.delete_stream(StreamName=names["stream"])
    forget()


def make_table(dynamodb: Any, name: str, key: str) -> None:
    """Make a table as the lake's stack declares it."""
    columns = (key, "item")
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": column, "AttributeType": "S"} for column in columns],
        KeySchema=[
            {"AttributeName": column, "KeyType": kind} for column, kind in zip(columns, ("HASH", "RANGE"), strict=True)
        ],
    )


def forget() -> None:
    """Start each function's process anew."""
    for module in (decide, learn, consume):
        module.settings.cache_clear()
        module.client.cache_clear()
    for remembered in (decide.memory, decide.stream, decide.keys, consume.keys):
        remembered.cache_clear()
    consume.positions.cache_clear()


def reward(unit: str, arm: str, value: float, event_id: str, experiment: str = "ranking") -> dict[str, Any]:
    """Write a reward as the contract's event."""
    return {
        "event": "reward",
        "event_id": event_id,
        "event_time": datetime.now(timezone.utc).isoformat(),
        "user_id": unit,
        "experiment": experiment,
        "arm": arm,
        "value": value,
    }
