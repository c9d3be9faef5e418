"""Where the demo's records go: the stage's stream, or the topic that stands in its place."""

from __future__ import annotations

from typing import Any

import confluent_kafka

from clients.producer.kafka import CONFIG, KafkaTopics
from demo.lake import output_of
from demo.laptop import DemoFailed, Laptop

KINESIS, KAFKA = "kinesis", "kafka"


def known(broker: str) -> str:
    """Return the broker's name; DemoFailed says which there are."""
    if broker not in {KINESIS, KAFKA}:
        raise DemoFailed(f"BROKER={broker}: choose {KINESIS} or {KAFKA}; see docs/kafka.md")
    return broker


def client_of(laptop: Laptop, broker: str) -> Any:
    """Connect to what the stage was deployed with; both clients take `put_records`."""
    if broker == KINESIS:
        return laptop.client("kinesis")
    answer = laptop.client("kafka").get_bootstrap_brokers(ClusterArn=output_of(laptop, "Cluster"))
    return KafkaTopics(confluent_kafka.Producer({**CONFIG, "bootstrap.servers": answer["BootstrapBrokerString"]}))
