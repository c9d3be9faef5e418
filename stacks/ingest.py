"""Ingest: from the stream to the raw tables."""

from __future__ import annotations

from aws_cdk import Duration, Environment, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from domain.tables import QUARANTINE, RAW, UNDECLARED
from lambdas.ingest.settings import CommitSettings, ConsumeSettings, SweepSettings
from stacks import names
from stacks.config import KAFKA, KINESIS, ON, PROVISIONED, Config
from stacks.constructs.fan_out import source_arn
from stacks.constructs.function import Function
from stacks.constructs.grants import grant_files, grant_key, grant_tables
from stacks.constructs.layer import Layer
from stacks.constructs.protection import grant_keys, key_settings
from stacks.constructs.recovery import Recovery
from stacks.constructs.rest_front import RestFront
from stacks.constructs.scaler import Scaler
from stacks.constructs.way_in import Bridge
from stacks.constructs.widener import Widener
from stacks.kafka import from_topic
from stacks.lake import LakeStack, way_in

BATCH_SIZE = 10_000  # the most there is: fewer, larger files
PARALLELIZATION = 1  # the chain of receipts has one writer a shard
RETRIES = 100
RECORD_AGE = Duration.hours(6)
DAY = events.Schedule.cron(hour="1", minute="10")
MINUTE = events.Schedule.rate(Duration.minutes(1))


class IngestStack(Stack):
    """Consume the stream, commit what was landed, sweep what nobody registered."""

    def __init__(self, scope: Construct, id: str, *, env: Environment, lake: LakeStack, config: Config) -> None:
        super().__init__(scope, id, env=env, description="Rivermill: from the stream to the raw tables")
        self.lake, self.config = lake, config
        self.arrow, self.iceberg = Layer(self, "Arrow", name="arrow"), Layer(self, "Iceberg", name="iceberg")
        self.privacy = [Layer(self, "Privacy", name="privacy")] if config.privacy == ON else []
        self._consume()
        self._commit()
        self._sweep()
        if config.broker == KAFKA:
            Bridge(self, "Bridge", kafka=lake.kafka, config=config)
            Widener(self, "Widener", kafka=lake.kafka, config=config)
        to = way_in(lake, config)
        Recovery(
            self, "Recovery", lake=lake, config=config, way_in=to, layers=[self.arrow, self.iceberg, *self.privacy]
        )
        RestFront(self, "Front", way_in=to, config=config)
        if config.broker == KINESIS and config.capacity == PROVISIONED:
            Scaler(self, "Scaler", lake=lake, config=config)

    def _consume(self) -> None:
        consume = Function(
            self,
            "Consume",
            name=names.CONSUME,
            module="ingest.consume",
            settings=self._consume_settings(),
            config=self.config,
            layers=[self.arrow, *self.privacy],
            timeout=Duration.minutes(5),
            memory_mb=1769,  # one whole vCPU ("Configure Lambda function memory")
        )
        if self.privacy:
            grant_keys(consume.role, self.lake, makes=True)
        grant_files(
            consume.role, self.lake.bucket, reads=["receipts/"], writes=["landing/", "receipts/"], lists=["receipts/"]
        )
        grant_key(consume.role, self.lake.key)
        consume.role.add_to_policy(
            iam.PolicyStatement(
                actions=["dynamodb:Query", "dynamodb:GetItem"],  # who was erased may not come in again
                resources=[self.lake.erasures.table_arn],
            )
        )
        consume.role.add_to_policy(
            iam.PolicyStatement(actions=["sqs:SendMessage"], resources=[self.lake.failed_batches.queue_arn])
        )
        mapping = self._from_topic(consume) if self.config.broker == KAFKA else self._from_stream(consume)
        mapping.node.add_dependency(consume.role)  # Lambda checks the permissions when it makes the mapping

    def _consume_settings(self) -> ConsumeSettings:
        lake, keys = self.lake, key_settings(self.lake) if self.privacy else {}
        return ConsumeSettings(
            bucket=lake.bucket.bucket_name, erasures=lake.erasures.table_name, privacy=self.config.privacy, **keys
        )

    def _from_topic(self, consume: Function) -> lambda_.CfnEventSourceMapping:
        return from_topic(
            self,
            consume,
            config=self.config,
            cluster_arn=self.lake.kafka.cluster.attr_arn,
            failed=self.lake.failed_batches.queue_arn,
            batch=BATCH_SIZE,
            window=self.config.plan.window_seconds,
            retries=RETRIES,
            age=int(RECORD_AGE.to_seconds()),
        )

    def _from_stream(self, consume: Function) -> lambda_.CfnEventSourceMapping:
        grant_stream(consume.role, self.lake.stream.stream_arn)
        # An L1: the L2 makes grants of its own, wider than these.
        return lambda_.CfnEventSourceMapping(
            self,
            "FromEvents",
            event_source_arn=source_arn(self, self.lake.stream, consume.role, fan_out=self.config.fan_out),
            function_name=consume.function.function_name,
            enabled=True,
            starting_position="TRIM_HORIZON",
            batch_size=BATCH_SIZE,
            maximum_batching_window_in_seconds=self.config.plan.window_seconds,
            parallelization_factor=PARALLELIZATION,
            bisect_batch_on_function_error=True,
            maximum_retry_attempts=RETRIES,
            maximum_record_age_in_seconds=int(RECORD_AGE.to_seconds()),
            function_response_types=["ReportBatchItemFailures"],
            destination_config=lambda_.CfnEventSourceMapping.DestinationConfigProperty(
                on_failure=lambda_.CfnEventSourceMapping.OnFailureProperty(
                    destination=self.lake.failed_batches.queue_arn
                )
            ),
        )

    def _commit(self) -> None:
        commit = Function(
            self,
            "Commit",
            name=names.COMMIT,
            module="ingest.commit",
            settings=CommitSettings(bucket=self.lake.bucket.bucket_name),
            config=self.config,
            layers=[self.arrow, self.iceberg],
            timeout=Duration.minutes(5),
            memory_mb=1769,
            reserved_concurrency=1,  # tables have one committer; a second would only meet conflicts
            # The next minute comes by itself; without these, refused starts would pile up for six hours.
            retries=0,
            event_age=Duration.minutes(1),
        )
        tables = [*RAW.values(), UNDECLARED, QUARANTINE]
        grant_files(commit.role, self.lake.bucket, reads=["receipts/"], lists=["receipts/"])
        grant_tables(commit.role, self.lake.bucket, writes=tables)
        grant_key(commit.role, self.lake.key)
        events.Rule(
            self, "EveryMinute", schedule=MINUTE, targets=[targets.LambdaFunction(commit.function, retry_attempts=0)]
        )

    def _sweep(self) -> None:
        sweep = Function(
            self,
            "Sweep",
            name=names.SWEEP,
            module="ingest.sweep",
            settings=SweepSettings(bucket=self.lake.bucket.bucket_name),
            config=self.config,
            layers=[self.arrow],
            timeout=Duration.minutes(15),
            memory_mb=512,
        )
        places = ["landing/", "receipts/"]
        grant_files(sweep.role, self.lake.bucket, reads=["receipts/"], deletes=["landing/"], lists=places)
        grant_key(sweep.role, self.lake.key)
        remove = events.RuleTargetInput.from_object({"remove": True})  # without it a sweep only tells
        events.Rule(self, "EveryDay", schedule=DAY, targets=[targets.LambdaFunction(sweep.function, event=remove)])


def grant_stream(role: iam.Role, stream_arn: str) -> None:
    """Allow a stream to be read, as an event source mapping does."""
    role.add_to_policy(
        iam.PolicyStatement(
            actions=[
                "kinesis:DescribeStream",
                "kinesis:DescribeStreamSummary",
                "kinesis:GetRecords",
                "kinesis:GetShardIterator",
                "kinesis:ListShards",
            ],
            resources=[stream_arn],
        )
    )
