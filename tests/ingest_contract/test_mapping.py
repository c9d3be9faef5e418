"""The deployed consumer behind each broker's event source mapping, while it is killed and batches come twice."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow.parquet as pq
import pytest

from domain.ingest.receipts import Receipt, linked, read_receipt
from lambdas.ingest.bucket import Bucket
from local.cloud import Cloud
from local.pace import pace
from stacks.constructs.code import ROOT
from stacks.constructs.layer import REQUIREMENTS, build
from tests.brokers import Sent
from tests.ingest_contract.conftest import searches
from tests.local.builders import any_name, any_role, control, lag, make_stream, map_stream, until, zipped
from tests.local.kafka.builders import bootstrap, make_cluster, make_topic, map_topic, send

pytestmark = pytest.mark.slow

CODE = ("domain/**/*.py", "lambdas/*.py", "lambdas/ingest/*.py")
RULES: dict[str, Any] = {"BisectBatchOnFunctionError": True, "MaximumRetryAttempts": 50, "BatchSize": 100}
POISON = [Sent("u-0", b"broken"), Sent("u-1", b"")]


@pytest.fixture(scope="module")
def bucket(cloud: Cloud) -> Bucket:
    name = any_name("lake")
    cloud.client("s3").create_bucket(Bucket=name)
    return Bucket(cloud.client("s3"), name)


@pytest.fixture(scope="module")
def layer(cloud: Cloud, bucket: Bucket) -> str:
    bucket.put("arrow.zip", build(REQUIREMENTS / "arrow.txt").path.read_bytes())
    where = {"S3Bucket": bucket.name, "S3Key": "arrow.zip"}
    made = cloud.client("lambda").publish_layer_version(LayerName=any_name("arrow"), Content=where)
    return str(made["LayerVersionArn"])


@pytest.fixture
def function(cloud: Cloud, bucket: Bucket, layer: str) -> Iterator[str]:
    name = any_name("consume")
    files = {str(path.relative_to(ROOT)): path.read_bytes() for pattern in CODE for path in ROOT.glob(pattern)}
    cloud.client("lambda").create_function(
        FunctionName=name,
        Role=any_role(cloud),
        Runtime="python3.13",
        Handler="lambdas.ingest.consume.handler",
        Code={"ZipFile": zipped(files)},
        Layers=[layer],
        Environment={"Variables": {"BUCKET": bucket.name}},
        Timeout=60,
        MemorySize=1769,
    )
    pace(cloud).speed = 1000
    strike: dict[str, Any] = {"fault": "kill", "function": name, "service": "s3", "operation": "PutObject"}
    faults = [
        {**strike, "when": "before", "nth": 3},
        {**strike, "when": "after", "nth": 7},
        {"fault": "duplicate", "function": name, "nth": 2},
        {"fault": "duplicate", "function": name, "probability": 0.5, "recut": True, "at_once": True, "seed": 4},
    ]
    control(cloud, "/_cloud/faults", faults)
    yield name
    assert [found["struck"] for found in control(cloud, "/_cloud/faults")][:3] == [1, 1, 1]
    control(cloud, "/_cloud/faults", [])
    pace(cloud).speed = 1


def through_kinesis(cloud: Cloud, function: str, records: Sequence[Sent]) -> tuple[str, str]:
    stream = make_stream(cloud, 2)
    for start in range(0, len(records), 400):
        entries = [{"Data": record.data, "PartitionKey": record.key} for record in records[start : start + 400]]
        assert cloud.client("kinesis").put_records(StreamName=stream, Records=entries)["FailedRecordCount"] == 0
    return stream, map_stream(cloud, stream, function, **RULES)


def through_kafka(cloud: Cloud, function: str, records: Sequence[Sent]) -> tuple[str, str]:
    cluster = make_cluster(cloud)
    topic = make_topic(cloud, cluster, 2, message_timestamp_type="LogAppendTime")
    for user in sorted({record.key for record in records}):
        values = [record.data for record in records if record.key == user]
        send(bootstrap(cloud, cluster), topic, values, key=user)
    return topic, map_topic(cloud, cluster, topic, function, **RULES)


@pytest.mark.parametrize("through", [through_kinesis, through_kafka], ids=["kinesis", "kafka"])
def test_every_record_is_accounted_for_and_lands_once(
    cloud: Cloud, bucket: Bucket, function: str, through: Any
) -> None:
    stream, mapping = through(cloud, function, [*searches(1_000), *POISON])
    until(lambda: lag(cloud, mapping) == 0, 120)
    receipts = [receipt for chain in chains(bucket, stream) for receipt in chain]
    rows = [row for key in files(receipts, "raw.search") for row in read(bucket, key)]
    accounts = [receipt.account for receipt in receipts]

    assert sum(sum(account.landed.values()) for account in accounts) == 1_000
    assert sum(sum(account.quarantined.values()) for account in accounts) == len(POISON)
    assert sum(account.received - account.duplicates for account in accounts) == 1_000 + len(POISON)
    assert sorted(int(row["query"]) for row in rows) == list(range(1_000))
    assert len({(row["shard"], row["sequence"]) for row in rows}) == 1_000


def chains(bucket: Bucket, stream: str) -> list[list[Receipt]]:
    """Read each shard's receipts; raises if they do not follow one another."""
    shards = bucket.folders(f"receipts/{stream}/")
    return [linked(0, [read_receipt(bucket.get(key)) for key in bucket.keys(shard)]) for shard in shards]


def files(receipts: Sequence[Receipt], table: str) -> list[str]:
    return [file.key for receipt in receipts for file in receipt.files if file.table == table]


def read(bucket: Bucket, key: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(bucket.get(key))).to_pylist()
    return rows
