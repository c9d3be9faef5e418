"""A Kafka cluster in a network of its own, with the topic that events are sent to."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from aws_cdk import CfnResource, Fn, RemovalPolicy
from aws_cdk import aws_applicationautoscaling as scaling
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_msk as msk
from constructs import Construct

from stacks import names
from stacks.config import Config
from stacks.constructs.function import RETENTIONS
from stacks.constructs.nag import accept_wildcards

VERSION = "4.1.x.kraft"  # the newest that standard brokers run; the laptop cloud's broker is 4.1 too
IAM_PORT = 9098  # SASL/IAM over TLS (MSK guide, "Port information")
NETWORK = "10.94.0.0/20"
SUBNET_BITS = 8
LARGEST_MESSAGE = (1 << 20) + (1 << 16)  # a record of 1 MiB, as with Kinesis, and what a batch says of it
STORAGE_TARGET = 60  # per cent; a volume grows by the larger of 10 GB and a tenth, at most every six hours
STORAGE_GROWTH = 10


class Kafka(Construct):
    """Run a provisioned MSK cluster that is reached with IAM over TLS only, and declare its topic.

    Not MSK Serverless: a serverless cluster's topics cannot be declared, only made by a client inside its network.
    """

    def __init__(self, scope: Construct, id: str, *, config: Config, key: kms.Key, removal: RemovalPolicy) -> None:
        super().__init__(scope, id)
        self.zones = zones(config.kafka_brokers)
        self.network = ec2.CfnVPC(
            self, "Network", cidr_block=NETWORK, enable_dns_hostnames=True, enable_dns_support=True
        )
        self.subnets = [self._subnet(number) for number in range(self.zones)]
        self.clients = self._clients()
        self._watch(config)
        self.cluster = self._cluster(config, key)
        self.topic = self._topic(config)
        self._storage(config)
        for found in self.node.find_all():
            # What stays needs its network, so all of it stays or goes together.
            if isinstance(found, CfnResource):
                found.apply_removal_policy(removal)

    def _subnet(self, number: int) -> ec2.CfnSubnet:
        # L1s: without a route table of its own a subnet reaches nothing but its network, and ec2.Vpc would look its
        # zones up at synth.
        return ec2.CfnSubnet(
            self,
            f"Subnet{number}",
            vpc_id=self.network.attr_vpc_id,
            availability_zone=Fn.select(number, Fn.get_azs()),
            cidr_block=Fn.select(number, Fn.cidr(self.network.attr_cidr_block, self.zones, str(SUBNET_BITS))),
            map_public_ip_on_launch=False,
        )

    def _clients(self) -> ec2.CfnSecurityGroup:
        group = ec2.CfnSecurityGroup(
            self,
            "Clients",
            group_description="The brokers, and whoever may reach them",
            vpc_id=self.network.attr_vpc_id,
            security_group_egress=[
                ec2.CfnSecurityGroup.EgressProperty(
                    ip_protocol="tcp",
                    from_port=443,
                    to_port=IAM_PORT,
                    cidr_ip=NETWORK,
                    description="Within the network",
                )
            ],
        )
        ec2.CfnSecurityGroupIngress(
            self,
            "FromClients",
            group_id=group.attr_group_id,
            source_security_group_id=group.attr_group_id,
            ip_protocol="tcp",
            from_port=IAM_PORT,
            to_port=IAM_PORT,
            description="Clients, by IAM over TLS",
        )
        return group

    def _watch(self, config: Config) -> None:
        """Log what the network refuses."""
        group = logs.LogGroup(
            self, "Refused", log_group_name=f"/rivermill/{names.KAFKA}/refused", retention=RETENTIONS[config.log_days]
        )
        role = iam.Role(self, "FlowLogs", assumed_by=iam.ServicePrincipal("vpc-flow-logs.amazonaws.com"))
        actions = ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"]
        role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[group.log_group_arn]))
        accept_wildcards(role, "Flow logs name the streams of their own group.", group.log_group_arn)
        ec2.CfnFlowLog(
            self,
            "Flows",
            resource_id=self.network.attr_vpc_id,
            resource_type="VPC",
            traffic_type="REJECT",
            deliver_logs_permission_arn=role.role_arn,
            log_group_name=group.log_group_name,
        )

    def _cluster(self, config: Config, key: kms.Key) -> msk.CfnCluster:
        group = logs.LogGroup(
            self, "Brokers", log_group_name=f"/rivermill/{names.KAFKA}/brokers", retention=RETENTIONS[config.log_days]
        )
        return msk.CfnCluster(
            self,
            "Cluster",
            cluster_name=names.KAFKA,
            kafka_version=VERSION,
            number_of_broker_nodes=config.kafka_brokers,
            broker_node_group_info=msk.CfnCluster.BrokerNodeGroupInfoProperty(
                client_subnets=[subnet.attr_subnet_id for subnet in self.subnets],
                instance_type=config.kafka_instance,
                security_groups=[self.clients.attr_group_id],
                storage_info=msk.CfnCluster.StorageInfoProperty(
                    ebs_storage_info=msk.CfnCluster.EBSStorageInfoProperty(volume_size=config.kafka_gigabytes)
                ),
            ),
            client_authentication=msk.CfnCluster.ClientAuthenticationProperty(
                sasl=msk.CfnCluster.SaslProperty(iam=msk.CfnCluster.IamProperty(enabled=True)),
                unauthenticated=msk.CfnCluster.UnauthenticatedProperty(enabled=False),
            ),
            encryption_info=msk.CfnCluster.EncryptionInfoProperty(
                encryption_at_rest=msk.CfnCluster.EncryptionAtRestProperty(data_volume_kms_key_id=key.key_arn),
                encryption_in_transit=msk.CfnCluster.EncryptionInTransitProperty(client_broker="TLS", in_cluster=True),
            ),
            logging_info=msk.CfnCluster.LoggingInfoProperty(
                broker_logs=msk.CfnCluster.BrokerLogsProperty(
                    cloud_watch_logs=msk.CfnCluster.CloudWatchLogsProperty(enabled=True, log_group=group.log_group_name)
                )
            ),
        )

    def _topic(self, config: Config) -> msk.CfnTopic:
        return msk.CfnTopic(
            self,
            "Events",
            cluster_arn=self.cluster.attr_arn,
            topic_name=names.STREAM,
            partition_count=config.kafka_partitions,
            replication_factor=self.zones,
            configs=encoded(settings(config, self.zones)),
        )

    def _storage(self, config: Config) -> None:
        """Let the brokers' volumes grow by themselves; they never shrink."""
        target = scaling.CfnScalableTarget(
            self,
            "Storage",
            service_namespace="kafka",
            scalable_dimension="kafka:broker-storage:VolumeSize",
            resource_id=self.cluster.attr_arn,
            min_capacity=1,  # it must be 1 (MSK guide, "Automatic scaling for Amazon MSK clusters")
            max_capacity=config.kafka_gigabytes * STORAGE_GROWTH,
        )
        scaling.CfnScalingPolicy(
            self,
            "StorageUse",
            policy_name=f"{names.KAFKA}-storage",
            policy_type="TargetTrackingScaling",
            scaling_target_id=target.ref,
            target_tracking_scaling_policy_configuration=(
                scaling.CfnScalingPolicy.TargetTrackingScalingPolicyConfigurationProperty(
                    target_value=STORAGE_TARGET,
                    disable_scale_in=True,
                    predefined_metric_specification=scaling.CfnScalingPolicy.PredefinedMetricSpecificationProperty(
                        predefined_metric_type="KafkaBrokerStorageUtilization"
                    ),
                )
            ),
        )


def zones(brokers: int) -> int:
    """Say over how many zones brokers are spread: MSK takes two or three, each with as many."""
    return 3 if brokers % 3 == 0 else 2


def settings(config: Config, replicas: int) -> dict[str, str]:
    """Give the topic's settings."""
    return {
        # The broker's clock, not the producer's: by it a record's lateness is judged, and its day of arrival.
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(LARGEST_MESSAGE),
        "min.insync.replicas": str(replicas - 1),
        "retention.ms": str(config.stream_hours * 3_600_000),
        "unclean.leader.election.enable": "false",  # a broker that lags behind would take confirmed records with it
    }


def encoded(settings: Mapping[str, str]) -> str:
    """Write a topic's settings as CloudFormation takes them.

    >>> encoded({"cleanup.policy": "compact"})
    'Y2xlYW51cC5wb2xpY3k9Y29tcGFjdA=='
    """
    return base64.b64encode("\n".join(f"{name}={value}" for name, value in settings.items()).encode()).decode()


def within(cluster_arn: str, kind: str, name: str) -> str:
    """Spell the ARN of a topic or a group of a cluster."""
    before, after = (Fn.select(half, Fn.split(":cluster/", cluster_arn)) for half in (0, 1))
    return f"{before}:{kind}/{after}/{name}"


def grant_topic(role: iam.Role, *, cluster_arn: str, topic: str, group: str) -> None:
    """Allow a topic to be read in one consumer group, as an event source mapping does.

    Lambda guide, "Configuring Lambda permissions for Amazon MSK event source mappings".
    """
    for actions, resource in (
        (["kafka:DescribeClusterV2"], cluster_arn),
        (["kafka:GetBootstrapBrokers"], "*"),  # it takes no resource (Service Authorization Reference)
        (["kafka-cluster:Connect", "kafka-cluster:DescribeClusterDynamicConfiguration"], cluster_arn),
        (["kafka-cluster:DescribeTopic", "kafka-cluster:ReadData"], within(cluster_arn, "topic", topic)),
        (["kafka-cluster:DescribeGroup", "kafka-cluster:AlterGroup"], within(cluster_arn, "group", group)),
        (NETWORK_ACTIONS, "*"),
    ):
        role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[resource]))


NETWORK_ACTIONS = [
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
]
"""Lambda enters the cluster's network through an interface of its own; it asks for these on all resources."""
