"""MSK clusters of the laptop cloud: each is a real broker, with the topics that MSK's own calls make."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient

from local import spark
from local.cloud import Cloud
from local.kafka import broker, jars
from tests.local.builders import any_name, until
from tests.local.kafka.builders import AUTHENTICATION, PROVISIONED, bootstrap, make_cluster, make_topic, send, state

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster(cloud: Cloud) -> str:
    return make_cluster(cloud)


def test_what_a_client_sends_to_the_bootstrap_brokers_a_client_reads(cloud: Cloud, cluster: str) -> None:
    address, topic = bootstrap(cloud, cluster), make_topic(cloud, cluster)
    send(address, topic, ["one", "two"], key="k")
    own = {"group.id": "any", "auto.offset.reset": "earliest"}
    consumer = Consumer({"bootstrap.servers": address, **own})
    consumer.subscribe([topic])
    found = consumer.consume(2, 120)
    consumer.close()

    assert address.startswith("127.0.0.1:")
    assert [(message.key(), message.value()) for message in found] == [(b"k", b"one"), (b"k", b"two")]


def test_a_topic_has_the_partitions_and_settings_that_it_was_declared_with(cloud: Cloud, cluster: str) -> None:
    topic = make_topic(cloud, cluster, 3, message_timestamp_type="LogAppendTime", min_insync_replicas="2")
    found = cloud.client("kafka").describe_topic(ClusterArn=cluster, TopicName=topic)
    held = AdminClient({"bootstrap.servers": bootstrap(cloud, cluster)}).list_topics(timeout=120).topics[topic]

    assert (found["PartitionCount"], found["ReplicationFactor"], found["Status"]) == (3, 3, "ACTIVE")
    assert "message.timestamp.type=LogAppendTime" in base64.b64decode(found["Configs"]).decode()
    assert len(held.partitions) == 3
    assert found["TopicArn"] == f"{cluster.replace(':cluster/', ':topic/')}/{topic}"


def test_a_topic_grows_and_changes_its_settings_and_goes(cloud: Cloud, cluster: str) -> None:
    kafka, topic = cloud.client("kafka"), make_topic(cloud, cluster, 2)
    configs = base64.b64encode(b"retention.ms=3600000\n").decode()
    kafka.update_topic(ClusterArn=cluster, TopicName=topic, PartitionCount=5, Configs=configs)

    until(lambda: kafka.describe_topic(ClusterArn=cluster, TopicName=topic)["PartitionCount"] == 5)
    settings = base64.b64decode(kafka.describe_topic(ClusterArn=cluster, TopicName=topic)["Configs"]).decode()
    assert "retention.ms=3600000" in settings

    kafka.delete_topic(ClusterArn=cluster, TopicName=topic)
    until(lambda: topic not in [found["TopicName"] for found in kafka.list_topics(ClusterArn=cluster)["Topics"]])


@pytest.mark.parametrize(("again", "code"), [(True, "TopicExistsException"), (False, "NotFoundException")])
def test_a_topic_is_made_once_and_asked_for_only_where_it_is(
    cloud: Cloud, cluster: str, again: bool, code: str
) -> None:
    kafka, topic = cloud.client("kafka"), make_topic(cloud, cluster)
    with pytest.raises(ClientError) as refused:
        if again:
            kafka.create_topic(ClusterArn=cluster, TopicName=topic, PartitionCount=1, ReplicationFactor=1)
        else:
            kafka.describe_topic(ClusterArn=cluster, TopicName="nowhere")

    assert refused.value.response["Error"]["Code"] == code


def test_fewer_partitions_are_refused_with_the_brokers_own_reason(cloud: Cloud, cluster: str) -> None:
    topic = make_topic(cloud, cluster, 3)
    with pytest.raises(ClientError, match=r"currently has 3 partition.s.; 2 would not be an increase"):
        cloud.client("kafka").update_topic(ClusterArn=cluster, TopicName=topic, PartitionCount=2)


def test_a_serverless_cluster_is_a_broker_too_and_ends_when_it_is_deleted(cloud: Cloud) -> None:
    kafka = cloud.client("kafka")
    asked = {"VpcConfigs": [{"SubnetIds": ["subnet-1"]}], "ClientAuthentication": AUTHENTICATION}
    arn = kafka.create_cluster_v2(ClusterName=any_name("cluster"), Serverless=asked)["ClusterArn"]
    until(lambda: state(cloud, arn) == "ACTIVE")
    address = bootstrap(cloud, arn)
    kafka.delete_cluster(ClusterArn=arn)

    assert arn.split("/")[-1].endswith("-s1")
    assert not broker._listens(address)


def test_without_java_the_cluster_fails_and_says_so_in_one_line(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    broker._archive.cache_clear()
    arn = cloud.client("kafka").create_cluster_v2(ClusterName=any_name("cluster"), Provisioned=PROVISIONED)[
        "ClusterArn"
    ]
    until(lambda: state(cloud, arn) == "FAILED")
    said = cloud.client("kafka").describe_cluster_v2(ClusterArn=arn)["ClusterInfo"]["StateInfo"]["Message"]

    assert said.startswith(
        f"Kafka needs Java {spark.LEAST_JAVA} or newer: JAVA_HOME={tmp_path} has no bin/java; install"
    )
    assert "\n" not in said


def test_a_jar_that_is_not_the_pinned_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t").mkdir()
    monkeypatch.setattr(jars, "REPOSITORY", (tmp_path / "t").as_uri())
    first = next(jars.pinned())
    place = tmp_path / "t" / first.group.replace(".", "/") / first.artifact / first.version
    place.mkdir(parents=True)
    (place / first.name).write_bytes(b"another jar")

    with pytest.raises(jars.MissingJar, match=f"{first.name}, but its SHA-256 is not"):
        jars._have(first, tmp_path)
    with pytest.raises(jars.MissingJar, match="let this machine reach Maven Central"):
        jars._have(list(jars.pinned())[1], tmp_path)
