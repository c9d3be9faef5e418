"""Scale the stream's shards by its load, each minute."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from constructs import Construct

from lambdas.ingest.settings import ScaleSettings
from stacks import names
from stacks.config import Config
from stacks.constructs.function import Function
from stacks.constructs.grants import grant_files, grant_key
from stacks.constructs.nag import accept_wildcards
from stacks.lake import LakeStack

CHANGES = "scaling/"
MINUTE = events.Schedule.rate(Duration.minutes(1))


class Scaler(Construct):
    """Run the scaler each minute, alone, within the bounds of the stage's plan."""

    def __init__(self, scope: Construct, id: str, *, lake: LakeStack, config: Config) -> None:
        super().__init__(scope, id)
        scale = Function(
            self,
            "Scale",
            name=names.SCALE,
            module="ingest.scale",
            settings=ScaleSettings(
                bucket=lake.bucket.bucket_name,
                stream=lake.stream.stream_name,
                floor=str(config.plan.floor),
                ceiling=str(config.plan.ceiling),
            ),
            config=config,
            timeout=Duration.minutes(1),
            memory_mb=256,
            reserved_concurrency=1,
            retries=0,  # the next minute comes by itself
            event_age=Duration.minutes(1),
        )
        grant_files(scale.role, lake.bucket, reads=[CHANGES], writes=[CHANGES], lists=[CHANGES])
        grant_key(scale.role, lake.key)
        scale.role.add_to_policy(
            iam.PolicyStatement(
                actions=["kinesis:DescribeStreamSummary", "kinesis:UpdateShardCount"],
                resources=[lake.stream.stream_arn],
            )
        )
        scale.role.add_to_policy(
            iam.PolicyStatement(actions=["kinesis:DescribeLimits", "cloudwatch:GetMetricData"], resources=["*"])
        )
        accept_wildcards(scale.role, "DescribeLimits and GetMetricData take no resource.", "*")
        events.Rule(
            self, "EveryMinute", schedule=MINUTE, targets=[targets.LambdaFunction(scale.function, retry_attempts=0)]
        )
