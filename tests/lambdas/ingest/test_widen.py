"""Partitions are raised while the alarm of the lag rings, on a real broker, and never lowered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from lambdas.ingest import widen
from local.cloud import Cloud
from tests.local.builders import any_name, until
from tests.local.kafka.builders import make_cluster, make_topic

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Topic:
    """A topic of a cluster of the laptop cloud, and the alarms that decide over it."""

    cloud: Cloud
    cluster: str
    name: str
    lag: str
    failure: str

    def partitions(self) -> int:
        found = self.cloud.client("kafka").describe_topic(ClusterArn=self.cluster, TopicName=self.name)
        return int(found["PartitionCount"])

    def ring(self, alarm: str, state: str) -> None:
        self.cloud.client("cloudwatch").set_alarm_state(AlarmName=alarm, StateValue=state, StateReason="told")


@pytest.fixture(scope="module")
def cluster(cloud: Cloud) -> Iterator[str]:
    arn = make_cluster(cloud)
    yield arn
    cloud.client("kafka").delete_cluster(ClusterArn=arn)


@pytest.fixture
def topic(cloud: Cloud, cluster: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Topic]:
    found = Topic(cloud, cluster, make_topic(cloud, cluster, 3), any_name("lag"), any_name("failure"))
    for alarm in (found.lag, found.failure):
        rule: dict[str, Any] = {"MetricName": "m", "Namespace": "n", "Period": 300, "Statistic": "Maximum"}
        rule |= {"EvaluationPeriods": 1, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold"}
        cloud.client("cloudwatch").put_metric_alarm(AlarmName=alarm, **rule)
        found.ring(alarm, "OK")
    told = {"CLUSTER": cluster, "TOPIC": found.name, "MOST": "10", "LAG": found.lag, "FAILURE": found.failure}
    for name, value in {**cloud.environment(), **told}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    forget()
    yield found
    forget()


def forget() -> None:
    widen.settings.cache_clear()
    widen.client.cache_clear()


def look() -> dict[str, Any]:
    return widen.handler({}, None)


def widened(topic: Topic) -> int | None:
    """Look once, and wait until the broker tells of the partitions that it took."""
    target: int | None = look()["target"]
    if target is not None:
        until(lambda: topic.partitions() == target)
    return target


def test_partitions_double_while_the_alarm_rings_up_to_the_most_there_may_be(topic: Topic) -> None:
    topic.ring(topic.lag, "ALARM")

    seen = [(widened(topic), topic.partitions()) for _ in range(3)]

    assert seen == [(6, 6), (10, 10), (None, 10)]


def test_at_the_most_there_may_be_somebody_is_told(topic: Topic, capsys: pytest.CaptureFixture[str]) -> None:
    topic.ring(topic.lag, "ALARM")
    for _ in range(3):
        widened(topic)

    assert '"Starved": true' in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize("state", ["OK", "INSUFFICIENT_DATA"])
def test_while_nothing_rings_partitions_stay(topic: Topic, state: str) -> None:
    topic.ring(topic.lag, state)

    assert (look()["target"], topic.partitions()) == (None, 3)


def test_they_are_not_lowered_when_the_alarm_is_over(topic: Topic) -> None:
    topic.ring(topic.lag, "ALARM")
    widened(topic)
    topic.ring(topic.lag, "OK")

    assert (look()["target"], topic.partitions()) == (None, 6)


def test_a_consumer_that_fails_is_not_given_more_to_fail_at(topic: Topic) -> None:
    for alarm in (topic.lag, topic.failure):
        topic.ring(alarm, "ALARM")

    told = look()

    assert (told["target"], topic.partitions()) == (None, 3)
    assert "mend it" in told["reason"]


def test_an_alarm_that_is_gone_is_not_taken_for_a_quiet_one(topic: Topic) -> None:
    topic.cloud.client("cloudwatch").delete_alarms(AlarmNames=[topic.lag])

    with pytest.raises(widen.MissingAlarm, match="there is no alarm"):
        look()
