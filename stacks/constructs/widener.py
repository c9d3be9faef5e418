"""Give a topic more partitions while its consumer lags, each half hour."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from constructs import Construct

from lambdas.ingest.settings import WidenSettings
from stacks import names
from stacks.arns import colon_arn
from stacks.config import Config
from stacks.constructs.function import Function
from stacks.constructs.kafka import Kafka, within
from stacks.constructs.way_in import allow

SETTLES = Duration.minutes(30)  # the consumer catches up, and the alarm goes off, before it is asked again


class Widener(Construct):
    """Run the function that doubles partitions, up to `Config.kafka_most_partitions`."""

    def __init__(self, scope: Construct, id: str, *, kafka: Kafka, config: Config) -> None:
        super().__init__(scope, id)
        cluster = kafka.cluster.attr_arn
        widen = Function(
            self,
            "Widen",
            name=names.WIDEN,
            module="ingest.widen",
            settings=WidenSettings(
                cluster=cluster,
                topic=names.STREAM,
                most=str(config.kafka_most_partitions),
                lag=names.TOPIC_LAG,
                failure=names.CONSUME_ERRORS,
            ),
            config=config,
            timeout=Duration.minutes(1),
            memory_mb=256,
            reserved_concurrency=1,
            retries=0,  # the next half hour comes by itself
            event_age=Duration.minutes(1),
        )
        # MSK guide, "Topic operations": MSK's calls about topics are allowed by the actions of Kafka itself.
        allow(widen.role, ["kafka-cluster:Connect"], cluster)
        verbs = ("DescribeTopic", "DescribeTopicDynamicConfiguration", "AlterTopic")
        allow(widen.role, [f"kafka-cluster:{verb}" for verb in verbs], within(cluster, "topic", names.STREAM))
        for alarm in (names.TOPIC_LAG, names.CONSUME_ERRORS):
            allow(widen.role, ["cloudwatch:DescribeAlarms"], colon_arn(self, "cloudwatch", "alarm", alarm))
        schedule = events.Schedule.rate(SETTLES)
        target = targets.LambdaFunction(widen.function, retry_attempts=0)
        events.Rule(self, "EveryHalfHour", schedule=schedule, targets=[target])
