"""The same platform on Kafka: what its templates promise."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from lambdas.ingest import kafka
from stacks import names
from stacks.config import CONFIGS, KAFKA, Config, RefusedConfig, with_said
from stacks.constructs.kafka import NETWORK_ACTIONS
from stacks.ingest import BATCH_SIZE, RECORD_AGE, RETRIES
from stacks.limits import breaches
from tests.stacks.synthesized import ROOT, Assembly, Template, all_resources, only, resources, stage, synthesize
from tests.test_iam import TAKE_NO_RESOURCE, allowed, listed

LAKE, INGEST, MONITOR = "Rivermill-Lake", "Rivermill-Ingest", "Rivermill-Monitor"
ALARM = "AWS::CloudWatch::Alarm"
STATE = ("AWS::MSK::Cluster", "AWS::MSK::Topic", "AWS::EC2::VPC", "AWS::EC2::Subnet", "AWS::EC2::SecurityGroup")

pytestmark = pytest.mark.slow


@cache
def on_kafka(name: str) -> Assembly:
    return synthesize(replace(CONFIGS[name], broker=KAFKA))


@pytest.fixture
def config() -> Config:
    """One stage, since a synth takes its time; three zones and other sizes have a test of their own."""
    return replace(CONFIGS["dev"], broker=KAFKA)


@pytest.fixture
def templates(config: Config) -> dict[str, Template]:
    return on_kafka(config.stage).templates


def topic_settings(template: Template) -> dict[str, str]:
    lines = base64.b64decode(only(template, "AWS::MSK::Topic")["Configs"]).decode().splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_the_topic_takes_the_streams_place(templates: dict[str, Template]) -> None:
    kinds = {found["Type"] for template in templates.values() for found in template["Resources"].values()}

    assert "AWS::Kinesis::Stream" not in kinds
    assert only(templates[LAKE], "AWS::MSK::Topic")["TopicName"] == names.STREAM
    assert {"Bucket", "Stream", "Cluster"} <= templates[LAKE]["Outputs"].keys()
    assert not [kind for kind in kinds if kind.startswith("Custom::")]


def test_brokers_are_reached_with_iam_over_tls_and_in_no_other_way(templates: dict[str, Template]) -> None:
    cluster = only(templates[LAKE], "AWS::MSK::Cluster")

    assert cluster["ClientAuthentication"] == {
        "Sasl": {"Iam": {"Enabled": True}},
        "Unauthenticated": {"Enabled": False},
    }
    assert cluster["EncryptionInfo"]["EncryptionInTransit"] == {"ClientBroker": "TLS", "InCluster": True}
    assert cluster["EncryptionInfo"]["EncryptionAtRest"]["DataVolumeKMSKeyId"]
    assert "ConnectivityInfo" not in cluster["BrokerNodeGroupInfo"]


def test_brokers_stand_in_subnets_that_lead_nowhere(config: Config, templates: dict[str, Template]) -> None:
    lake = templates[LAKE]
    subnets = resources(lake, "AWS::EC2::Subnet")
    [ingress] = resources(lake, "AWS::EC2::SecurityGroupIngress").values()
    ways_out = ("AWS::EC2::InternetGateway", "AWS::EC2::NatGateway", "AWS::EC2::Route", "AWS::EC2::VPCEndpoint")

    assert len(only(lake, "AWS::MSK::Cluster")["BrokerNodeGroupInfo"]["ClientSubnets"]) == len(subnets)
    assert config.kafka_brokers % len(subnets) == 0
    assert len({json.dumps(subnet["Properties"]["AvailabilityZone"]) for subnet in subnets.values()}) == len(subnets)
    assert not any(resources(lake, kind) for kind in ways_out)
    assert "CidrIp" not in ingress["Properties"]
    assert ingress["Properties"]["SourceSecurityGroupId"] == ingress["Properties"]["GroupId"]


def test_every_setting_of_kafka_reaches_its_own_property() -> None:
    sizes: dict[str, Any] = {"kafka_brokers": 9, "kafka_gigabytes": 211, "kafka_partitions": 17, "stream_hours": 29}
    sizes["kafka_most_partitions"] = 31
    found = synthesize(replace(CONFIGS["dev"], broker=KAFKA, kafka_instance="kafka.m7g.xlarge", **sizes)).templates
    cluster, topic = only(found[LAKE], "AWS::MSK::Cluster"), only(found[LAKE], "AWS::MSK::Topic")
    volume = cluster["BrokerNodeGroupInfo"]["StorageInfo"]["EBSStorageInfo"]["VolumeSize"]

    assert (cluster["NumberOfBrokerNodes"], volume) == (9, 211)
    assert cluster["BrokerNodeGroupInfo"]["InstanceType"] == "kafka.m7g.xlarge"
    assert (topic["PartitionCount"], topic["ReplicationFactor"]) == (17, 3)
    assert topic_settings(found[LAKE])["retention.ms"] == str(29 * 3_600_000)
    assert mapping(found)["ProvisionedPollerConfig"]["MaximumPollers"] == 31
    widen = [each["Properties"] for each in functions(found).values() if named(each) == names.WIDEN]
    assert widen[0]["Environment"]["Variables"]["MOST"] == "31"


def test_the_topic_tells_times_by_the_brokers_clock_and_loses_no_confirmed_record(
    templates: dict[str, Template],
) -> None:
    found = topic_settings(templates[LAKE])
    replicas = only(templates[LAKE], "AWS::MSK::Topic")["ReplicationFactor"]

    assert (found["message.timestamp.type"], kafka.BROKERS_CLOCK) == ("LogAppendTime", "LOG_APPEND_TIME")
    assert int(found["max.message.bytes"]) > 1 << 20
    assert int(found["min.insync.replicas"]) == replicas - 1
    assert found["unclean.leader.election.enable"] == "false"


def mapping(templates: Mapping[str, Template]) -> Template:
    return only(templates[INGEST], "AWS::Lambda::EventSourceMapping")


def test_the_mapping_gives_up_what_no_retry_mends_and_says_so(config: Config, templates: dict[str, Template]) -> None:
    found = mapping(templates)
    wanted = {
        "Topics": [names.STREAM],
        "StartingPosition": "TRIM_HORIZON",
        "BatchSize": BATCH_SIZE,
        "MaximumBatchingWindowInSeconds": config.plan.window_seconds,
        "BisectBatchOnFunctionError": True,
        "MaximumRetryAttempts": RETRIES,
        "MaximumRecordAgeInSeconds": int(RECORD_AGE.to_seconds()),
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "AmazonManagedKafkaEventSourceConfig": {"ConsumerGroupId": names.CONSUME},
        "ProvisionedPollerConfig": {"MinimumPollers": 1, "MaximumPollers": config.kafka_most_partitions},
    }

    assert {name: found[name] for name in wanted} == wanted
    assert found["DestinationConfig"]["OnFailure"]["Destination"]
    assert "ParallelizationFactor" not in found


def test_a_mapping_without_provisioned_mode_is_refused_at_synth() -> None:
    template = json.loads(json.dumps(on_kafka("dev").templates[INGEST]))
    del mapping({INGEST: template})["ProvisionedPollerConfig"]

    assert any("Kafka's retries have no end" in str(breach) for breach in breaches(template))


def reach(templates: Mapping[str, Template], role: str) -> dict[str, str]:
    """Say for each action of Kafka, its network and functions what a role may do it to."""
    return {
        action: json.dumps(statement["Resource"])
        for who, statement in allowed(dict(templates))
        if who.partition("/")[2].startswith(role)
        for action in listed(statement["Action"])
        if action.startswith(("kafka", "ec2:", "lambda:"))
    }


def test_the_consumer_may_read_one_topic_in_one_group(templates: dict[str, Template]) -> None:
    reached = reach(templates, "ConsumeRole")

    assert f"/{names.STREAM}" in reached["kafka-cluster:ReadData"]
    assert ":topic/" in reached["kafka-cluster:ReadData"]
    assert f"/{names.CONSUME}" in reached["kafka-cluster:AlterGroup"]
    assert ":group/" in reached["kafka-cluster:AlterGroup"]
    assert not [action for action in reached if "Write" in action or "*" in action]
    assert {action for action, where in reached.items() if where == '"*"'} - TAKE_NO_RESOURCE == set(NETWORK_ACTIONS)


def test_the_bridge_stands_in_the_brokers_network_and_may_use_one_topic(templates: dict[str, Template]) -> None:
    reached = reach(templates, "BridgeFunctionRole")
    inside = [each["Properties"] for each in functions(templates).values() if "VpcConfig" in each["Properties"]]
    subnets = resources(templates[LAKE], "AWS::EC2::Subnet")

    assert [each["FunctionName"] for each in inside] == [names.BRIDGE]
    assert len(inside[0]["VpcConfig"]["SubnetIds"]) == len(subnets)
    assert ":topic/" in reached["kafka-cluster:WriteData"]
    assert f"/{names.STREAM}" in reached["kafka-cluster:WriteData"]
    assert {action for action, where in reached.items() if where == '"*"'} == set(NETWORK_ACTIONS)


@pytest.mark.parametrize("role", ["FrontCollectRole", "RecoveryRedriveRole", "DecideRole"])
def test_whoever_sends_calls_the_bridge_and_has_no_way_to_the_brokers(
    templates: dict[str, Template], role: str
) -> None:
    reached = reach(templates, role)

    assert reached.keys() == {"lambda:InvokeFunction", "kafka:GetBootstrapBrokers"}
    assert names.BRIDGE in reached["lambda:InvokeFunction"]


@pytest.mark.parametrize("name", [names.COLLECT, names.REDRIVE, names.DECIDE])
def test_whoever_sends_is_told_the_cluster_and_the_bridge(templates: dict[str, Template], name: str) -> None:
    [found] = [each["Properties"] for each in functions(templates).values() if named(each) == name]
    told = found["Environment"]["Variables"]

    assert (told["STREAM"], told["BRIDGE"]) == (names.STREAM, names.BRIDGE)
    assert told["CLUSTER"]


def test_with_kafka_nothing_is_left_out(templates: dict[str, Template]) -> None:
    ours = {named(each) for each in functions(templates).values()}
    without = {named(each) for each in functions(stage("dev").templates).values()}

    assert without - ours == {names.SCALE}
    assert ours - without == {names.BRIDGE, names.WIDEN}


def test_partitions_are_raised_by_one_who_may_alter_this_topic_and_asks_alarms_that_are_there(
    templates: dict[str, Template],
) -> None:
    reached = reach(templates, "WidenerWidenRole")
    [widen] = [each["Properties"] for each in functions(templates).values() if named(each) == names.WIDEN]
    asked = {widen["Environment"]["Variables"][name] for name in ("LAG", "FAILURE")}
    alarms = {found["Properties"].get("AlarmName") for found in resources(templates[MONITOR], ALARM).values()}

    assert f"/{names.STREAM}" in reached["kafka-cluster:AlterTopic"]
    assert not [action for action, where in reached.items() if where == '"*"']
    assert asked <= alarms
    assert widen["ReservedConcurrentExecutions"] == 1


def functions(templates: Mapping[str, Template]) -> dict[str, Template]:
    return all_resources(dict(templates), "AWS::Lambda::Function")


def named(function: Template) -> str:
    return str(function["Properties"].get("FunctionName"))


def test_all_resources_are_named_only_where_an_action_takes_none(templates: dict[str, Template]) -> None:
    found = {a for _, s in allowed(templates) if "*" in listed(s["Resource"]) for a in listed(s["Action"])}

    assert found <= TAKE_NO_RESOURCE | set(NETWORK_ACTIONS)


def test_what_outlives_a_deployment_keeps_the_network_that_it_stands_in(templates: dict[str, Template]) -> None:
    for kind in STATE:
        for found in resources(templates[LAKE], kind).values():
            assert (found["DeletionPolicy"], found["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain"), kind
        assert not any(resources(template, kind) for stack, template in templates.items() if stack != LAKE)


def test_volumes_grow_by_themselves_and_alarms_tell_what_to_raise(
    config: Config, templates: dict[str, Template]
) -> None:
    policy = only(templates[LAKE], "AWS::ApplicationAutoScaling::ScalingPolicy")
    alarms = [alarm["Properties"] for alarm in resources(templates[MONITOR], ALARM).values()]
    ours = [alarm for alarm in alarms if alarm["Namespace"] == "AWS/Kafka"]
    fields = {field for alarm in ours for field in re.findall(r"Config\.(\w+)", alarm["AlarmDescription"])}

    assert policy["TargetTrackingScalingPolicyConfiguration"]["DisableScaleIn"] is True
    assert sum(alarm["MetricName"] == "CpuUser" for alarm in ours) == config.kafka_brokers
    assert {"MaxOffsetLag", "EstimatedMaxTimeLag", "KafkaDataLogsDiskUsed"} <= {alarm["MetricName"] for alarm in ours}
    assert fields == {"kafka_most_partitions", "kafka_brokers", "kafka_gigabytes"}
    assert all(hasattr(config, field) for field in fields)
    assert not [alarm for alarm in alarms if alarm["MetricName"] == "IteratorAge"]


def test_cfn_lint_finds_nothing() -> None:
    linter = shutil.which("cfn-lint")
    assert linter
    paths = [str(on_kafka("dev").folder / f"{stack}.template.json") for stack in (LAKE, INGEST, MONITOR)]
    done = subprocess.run(
        [linter, "--ignore-checks", "W3005", "--", *paths], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, "")


def test_another_broker_is_refused_with_those_there_are() -> None:
    with pytest.raises(RefusedConfig, match=r"Config\.broker is 'rabbit'; allowed: kinesis or kafka"):
        with_said(CONFIGS["dev"], broker="rabbit")


@pytest.mark.parametrize("brokers", [1, 5, 31])
def test_brokers_that_zones_cannot_share_evenly_are_refused(brokers: int) -> None:
    with pytest.raises(RefusedConfig, match="a multiple of 2 or 3 from 2 to 30"):
        replace(CONFIGS["dev"], kafka_brokers=brokers)


def test_the_command_line_is_told_in_one_line() -> None:
    context = json.dumps({"broker": "rabbit"})
    done = subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env={**os.environ, "CDK_CONTEXT_JSON": context},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == "rivermill: Config.broker is 'rabbit'; allowed: kinesis or kafka"
