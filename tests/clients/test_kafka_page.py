"""The page about Kafka shows code that runs: here against a real broker, which has neither TLS nor IAM."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import boto3
import confluent_kafka
import pytest

from stacks import names
from tests.brokers import KafkaTopic

PAGE = (Path(__file__).parents[2] / "docs" / "kafka.md").read_text(encoding="utf-8")
EVENT = {
    "event": "search",
    "event_id": "e-1",
    "event_time": "2026-03-01T12:00:00Z",
    "user_id": "u",
    "query": "q",
    "results": 1,
}
OF_AWS = ("security.protocol", "sasl.mechanism", "oauth_cb")


@pytest.mark.slow
def test_both_ways_to_send_reach_the_topic(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    topic = KafkaTopic(kafka, names.STREAM, 1)
    real, told = confluent_kafka.Producer, []

    def plain(settings: dict[str, object]) -> object:
        told.append({name for name in OF_AWS if name in settings})
        return real({name: value for name, value in settings.items() if name not in OF_AWS})

    answer = {"BootstrapBrokerStringSaslIam": kafka}
    monkeypatch.setattr(boto3, "client", lambda _: SimpleNamespace(get_bootstrap_brokers=lambda ClusterArn: answer))
    monkeypatch.setattr(confluent_kafka, "Producer", plain)
    signer = ModuleType("aws_msk_iam_sasl_signer")
    signer.MSKAuthTokenProvider = None  # type: ignore[attr-defined]  # asked for a token by AWS's brokers only
    monkeypatch.setitem(sys.modules, "aws_msk_iam_sasl_signer", signer)
    known: dict[str, object] = {"cluster": "any", "event": EVENT}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(compile(block, "docs/kafka.md", "exec"), known)

    assert told == [set(OF_AWS), set()]
    assert len(topic.read("partition-000-751d2973")) == 2
