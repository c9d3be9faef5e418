"""Kafka from a template: CloudFormation makes the network, the cluster and the topic, changes and removes them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from local.cloud import Cloud
from local.kafka import broker
from tests.local.builders import any_name, until
from tests.local.kafka.builders import NODES, bootstrap

pytestmark = pytest.mark.slow

SUBNET = {"Fn::Select": [0, {"Fn::Cidr": [{"Fn::GetAtt": ["Network", "CidrBlock"]}, 2, 8]}]}
ZONE = {"Fn::Select": [0, {"Fn::GetAZs": ""}]}
RULE = {"IpProtocol": "tcp", "FromPort": 9098, "ToPort": 9098, "SourceSecurityGroupId": {"Ref": "Clients"}}


def template(partitions: int) -> str:
    network = {"Ref": "Network"}
    nodes = {**NODES, "ClientSubnets": [{"Ref": "Subnet"}], "SecurityGroups": [{"Ref": "Clients"}]}
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "Network": ("AWS::EC2::VPC", {"CidrBlock": "10.9.0.0/20", "EnableDnsHostnames": True}),
        "Subnet": ("AWS::EC2::Subnet", {"VpcId": network, "CidrBlock": SUBNET, "AvailabilityZone": ZONE}),
        "Clients": ("AWS::EC2::SecurityGroup", {"GroupDescription": "any", "VpcId": network}),
        "FromClients": ("AWS::EC2::SecurityGroupIngress", {"GroupId": {"Ref": "Clients"}, **RULE}),
        "Cluster": (
            "AWS::MSK::Cluster",
            {
                "ClusterName": "declared",
                "KafkaVersion": "4.1.x.kraft",
                "NumberOfBrokerNodes": 2,
                "BrokerNodeGroupInfo": nodes,
                "Tags": {"project": "any"},
            },
        ),
        "Topic": (
            "AWS::MSK::Topic",
            {
                "ClusterArn": {"Ref": "Cluster"},
                "TopicName": "declared",
                "PartitionCount": partitions,
                "ReplicationFactor": 2,
                "Configs": base64.b64encode(b"retention.ms=7200000").decode(),
            },
        ),
    }
    resources = {name: {"Type": kind, "Properties": properties} for name, (kind, properties) in kinds.items()}
    outputs = {name: {"Value": {"Ref": name}} for name in ("Cluster", "Topic", "Subnet")}
    return json.dumps({"Resources": resources, "Outputs": outputs})


def test_a_stack_has_its_cluster_and_topic_and_takes_them_along(cloud: Cloud) -> None:
    stacks, kafka, name = cloud.client("cloudformation"), cloud.client("kafka"), any_name("stack")
    stacks.create_stack(StackName=name, TemplateBody=template(2))
    until(lambda: status(stacks, name).endswith("COMPLETE"))
    outputs = {
        out["OutputKey"]: out["OutputValue"] for out in stacks.describe_stacks(StackName=name)["Stacks"][0]["Outputs"]
    }
    cluster, address = outputs["Cluster"], bootstrap(cloud, outputs["Cluster"])
    made = kafka.describe_topic(ClusterArn=cluster, TopicName="declared")
    [subnet] = cloud.client("ec2").describe_subnets(SubnetIds=[outputs["Subnet"]])["Subnets"]

    assert (made["TopicArn"], made["PartitionCount"]) == (outputs["Topic"], 2)
    assert "retention.ms=7200000" in base64.b64decode(made["Configs"]).decode()
    assert (subnet["CidrBlock"], subnet["AvailabilityZone"]) == ("10.9.0.0/24", "us-east-1a")

    stacks.update_stack(StackName=name, TemplateBody=template(5))
    until(lambda: status(stacks, name) == "UPDATE_COMPLETE")
    until(lambda: kafka.describe_topic(ClusterArn=cluster, TopicName="declared")["PartitionCount"] == 5)
    stacks.delete_stack(StackName=name)
    until(lambda: not broker._listens(address))


def status(stacks: Any, name: str) -> str:
    return str(stacks.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])
