"""Make what tests of Kafka need: a cluster, topics, functions that note what they get."""

from __future__ import annotations

import base64
import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from local.cloud import Cloud
from tests.local.builders import any_name, lag, make_function, until, whole_lines

AUTHENTICATION = {"Sasl": {"Iam": {"Enabled": True}}}
NODES = {"InstanceType": "kafka.t3.small", "ClientSubnets": ["subnet-1", "subnet-2"]}
PROVISIONED = {"BrokerNodeGroupInfo": NODES, "KafkaVersion": "4.1.x.kraft", "NumberOfBrokerNodes": 2}
POLLERS = {"MinimumPollers": 1, "MaximumPollers": 2}

RECORDING = """
import base64, json, os, time

def note(event):
    records = [
        {"place": place, "offset": r["offset"], "data": base64.b64decode(r["value"]).decode()}
        for place, group in event["records"].items() for r in group]
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(json.dumps({"at": time.time(), "records": records, "event": event}) + "\\n")
    return records
"""


def make_cluster(cloud: Cloud) -> str:
    """Create a provisioned cluster and wait until its broker serves; return its ARN."""
    arn: str = cloud.client("kafka").create_cluster_v2(ClusterName=any_name("cluster"), Provisioned=PROVISIONED)[
        "ClusterArn"
    ]
    until(lambda: state(cloud, arn) == "ACTIVE")
    return arn


def state(cloud: Cloud, arn: str) -> str:
    return str(cloud.client("kafka").describe_cluster_v2(ClusterArn=arn)["ClusterInfo"]["State"])


def bootstrap(cloud: Cloud, arn: str) -> str:
    return str(cloud.client("kafka").get_bootstrap_brokers(ClusterArn=arn)["BootstrapBrokerStringSaslIam"])


def make_topic(cloud: Cloud, cluster: str, partitions: int = 1, **settings: str) -> str:
    name = any_name("topic")
    configs = base64.b64encode(
        "".join(f"{key.replace('_', '.')}={value}\n" for key, value in settings.items()).encode()
    )
    asked = {"TopicName": name, "PartitionCount": partitions, "ReplicationFactor": 3, "Configs": configs.decode()}
    cloud.client("kafka").create_topic(ClusterArn=cluster, **asked)
    return name


def send(address: str, topic: str, values: Sequence[str | bytes], **settings: Any) -> None:
    """Produce records with the real client, all to one partition if told."""
    producer = Producer({"bootstrap.servers": address, "log_level": 0})
    for value in values:
        producer.produce(topic, value, **settings)
    assert producer.flush(120) == 0


def recording_function(cloud: Cloud, notes: Path, body: str = "", **settings: Any) -> str:
    """Deploy a function that notes each event's records, then runs `body` with `event` and `records` at hand."""
    source = (
        RECORDING
        + "\ndef handle(event, context):\n    records = note(event)\n"
        + textwrap.indent(textwrap.dedent(body), "    ")
    )
    return make_function(cloud, source, Environment={"Variables": {"NOTES": str(notes)}}, **settings)


def map_topic(cloud: Cloud, cluster: str, topic: str, function: str, **settings: Any) -> str:
    wanted = {"StartingPosition": "TRIM_HORIZON", "ProvisionedPollerConfig": POLLERS, **settings}
    made = cloud.client("lambda").create_event_source_mapping(
        EventSourceArn=cluster, FunctionName=function, Topics=[topic], **wanted
    )
    return str(made["UUID"])


def events(notes: Path) -> list[Mapping[str, Any]]:
    return [json.loads(line) for line in whole_lines(notes)]


def noted(notes: Path) -> list[list[str]]:
    """Return the data of the records of each invocation."""
    return [[record["data"] for record in event["records"]] for event in events(notes)]


def handled(cloud: Cloud, mapping: str) -> None:
    """Wait until a mapping has handled all there is."""
    until(lambda: lag(cloud, mapping) == 0)
