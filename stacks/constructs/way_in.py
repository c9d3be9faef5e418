"""How functions of ours send to the stage's broker: to Kinesis by themselves, to Kafka across a bridge."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from lambdas.ingest.settings import BridgeSettings
from stacks import names
from stacks.arns import function_arn
from stacks.config import Config
from stacks.constructs.function import Function
from stacks.constructs.kafka import NETWORK_ACTIONS, Kafka, within
from stacks.constructs.layer import Layer
from stacks.constructs.nag import accept_wildcards


@dataclass(frozen=True, slots=True)
class WayIn:
    """The stage's stream, or the cluster (ARN) that stands in its place."""

    stream: kinesis.Stream | None = None
    cluster: str = ""

    @property
    def name(self) -> str:
        """Name the stream or the topic."""
        return self.stream.stream_name if self.stream else names.STREAM

    @property
    def bridge(self) -> str:
        """Name the function that bridges, if one does."""
        return names.BRIDGE if self.cluster else ""

    def grant(self, role: iam.Role, *actions: str) -> None:
        """Allow a stream to be used by these actions of Kinesis, or a topic by whatever the bridge does."""
        if self.stream:
            allow(role, [f"kinesis:{action}" for action in actions], self.stream.stream_arn)
        else:
            allow(role, ["lambda:InvokeFunction"], function_arn(role, names.BRIDGE))
            allow(role, ["kafka:GetBootstrapBrokers"], "*")
            accept_wildcards(role, "GetBootstrapBrokers takes no resource.", "*")


class Bridge(Construct):
    """Run the function that sends to the topic and reads from it, in the cluster's network, for functions outside."""

    def __init__(self, scope: Construct, id: str, *, kafka: Kafka, config: Config) -> None:
        super().__init__(scope, id)
        bridge = Function(
            self,
            "Function",
            name=names.BRIDGE,
            module="ingest.bridge",
            settings=BridgeSettings(group=names.BRIDGE),
            config=config,
            layers=[Layer(self, "Kafka", name="kafka")],
            timeout=Duration.seconds(20),
            memory_mb=512,
        )
        enter(bridge.function, kafka)
        allow(bridge.role, NETWORK_ACTIONS, "*")
        cluster = kafka.cluster.attr_arn
        allow(bridge.role, ["kafka-cluster:Connect", "kafka-cluster:WriteDataIdempotently"], cluster)
        allow(
            bridge.role,
            ["kafka-cluster:DescribeTopic", "kafka-cluster:ReadData", "kafka-cluster:WriteData"],
            within(cluster, "topic", names.STREAM),
        )
        allow(bridge.role, ["kafka-cluster:DescribeGroup"], within(cluster, "group", names.BRIDGE))


def enter(function: lambda_.Function, kafka: Kafka) -> None:
    """Put a function into the cluster's network."""
    # By the L1: the L2 asks for a network of ec2.Vpc, and would look its zones up at synth.
    raw = function.node.default_child
    raw.vpc_config = lambda_.CfnFunction.VpcConfigProperty(
        subnet_ids=[subnet.attr_subnet_id for subnet in kafka.subnets],
        security_group_ids=[kafka.clients.attr_group_id],
    )


def allow(role: iam.Role, actions: list[str], resource: str) -> None:
    """Allow actions on one resource."""
    role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[resource]))
