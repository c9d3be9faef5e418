"""Consume the topic of a Kafka cluster, and say when the cluster is too small for its stream."""

from __future__ import annotations

from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from stacks import names
from stacks.config import Config
from stacks.constructs.function import Function
from stacks.constructs.kafka import grant_topic
from stacks.signals import STREAM, Signal

GROUP = names.CONSUME
LAG_SECONDS = 15 * 60
LAG_RECORDS = 5_000_000
BUSY = 60.0
FULL = 85.0
NAMESPACE = "AWS/Kafka"


def from_topic(
    scope: Construct,
    consume: Function,
    *,
    config: Config,
    cluster_arn: str,
    failed: str,
    batch: int,
    window: int,
    retries: int,
    age: int,
) -> lambda_.CfnEventSourceMapping:
    """Map the cluster's topic to the consumer.

    In provisioned mode, for two reasons: only there are retries limited, batches halved and failures reported (else
    one bad batch blocks its partitions until its data expires), and it needs no VPC endpoints.
    """
    grant_topic(consume.role, cluster_arn=cluster_arn, topic=names.STREAM, group=GROUP)
    return lambda_.CfnEventSourceMapping(
        scope,
        "FromTopic",
        event_source_arn=cluster_arn,
        function_name=consume.function.function_name,
        enabled=True,
        topics=[names.STREAM],
        starting_position="TRIM_HORIZON",
        amazon_managed_kafka_event_source_config=(
            lambda_.CfnEventSourceMapping.AmazonManagedKafkaEventSourceConfigProperty(consumer_group_id=GROUP)
        ),
        provisioned_poller_config=lambda_.CfnEventSourceMapping.ProvisionedPollerConfigProperty(
            minimum_pollers=1, maximum_pollers=config.kafka_most_partitions
        ),
        batch_size=batch,
        maximum_batching_window_in_seconds=window,
        bisect_batch_on_function_error=True,
        maximum_retry_attempts=retries,
        maximum_record_age_in_seconds=age,
        function_response_types=["ReportBatchItemFailures"],
        destination_config=lambda_.CfnEventSourceMapping.DestinationConfigProperty(
            on_failure=lambda_.CfnEventSourceMapping.OnFailureProperty(destination=failed)
        ),
    )


def of_topic(config: Config) -> tuple[Signal, ...]:
    """Watch the topic and its brokers (MSK guide, "Metrics for monitoring standard brokers with CloudWatch")."""
    cluster = {"Cluster Name": names.KAFKA}
    group = {**cluster, "Consumer Group": GROUP, "Topic": names.STREAM}
    brokers = [(str(number), {**cluster, "Broker ID": str(number)}) for number in range(1, config.kafka_brokers + 1)]
    return (
        Signal(
            id="TopicLagSeconds",
            meaning="The consumer is fifteen minutes behind; each half hour the topic gets twice the partitions.",
            namespace=NAMESPACE,
            name="EstimatedMaxTimeLag",
            dimensions=group,
            statistic="Maximum",
            limit=LAG_SECONDS,
            alarm=names.TOPIC_LAG,
        ),
        Signal(
            id="TopicLagRecords",
            meaning="A partition has five million records before its consumer: raise Config.kafka_most_partitions.",
            namespace=NAMESPACE,
            name="MaxOffsetLag",
            dimensions=group,
            statistic="Maximum",
            limit=LAG_RECORDS,
        ),
        Signal(
            id="OfflinePartitions",
            meaning="A partition has no broker that leads it, so that nothing can be sent to it.",
            namespace=NAMESPACE,
            name="OfflinePartitionsCount",
            dimensions=cluster,
            statistic="Maximum",
            limit=0,
        ),
        *(
            Signal(
                id=f"Broker{broker}Busy",
                meaning=f"Broker {broker} is busier than MSK advises: raise Config.kafka_brokers or kafka_instance.",
                namespace=NAMESPACE,
                name="CpuUser",
                dimensions=dimensions,
                statistic="Average",
                limit=BUSY,
            )
            for broker, dimensions in brokers
        ),
        *(
            Signal(
                id=f"Broker{broker}Full",
                meaning=f"Broker {broker}'s volume fills faster than it grows: raise Config.kafka_gigabytes.",
                namespace=NAMESPACE,
                name="KafkaDataLogsDiskUsed",
                dimensions=dimensions,
                statistic="Maximum",
                limit=FULL,
            )
            for broker, dimensions in brokers
        ),
        *(signal for signal in STREAM if signal.namespace == "AWS/SQS"),
    )
