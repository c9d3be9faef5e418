"""Experiment: what units get, and what is learned from them."""

from __future__ import annotations

from aws_cdk import CfnOutput, Duration, Environment, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from domain.events import EVENTS
from domain.experiment.declaration import check
from domain.experiments import EXPERIMENTS, READOUTS
from domain.privacy.keyring import TOKENS, UNITS
from domain.tables import STATISTICS
from lambdas.experiment.settings import DecideSettings, LearnSettings, ReportSettings
from stacks import names
from stacks.arns import arn
from stacks.config import ON, Config
from stacks.constructs.function import Function
from stacks.constructs.grants import grant_files, grant_key, grant_tables
from stacks.constructs.layer import Layer
from stacks.constructs.protection import grant_purposes, unit_settings
from stacks.lake import LakeStack, way_in

AT_SIX = events.Schedule.cron(hour="6", minute="0")  # the day has been summed up
EVERYTHING = events.RuleTargetInput.from_object({})
MINUTE = events.Schedule.rate(Duration.minutes(1))


class ExperimentStack(Stack):
    """Decide at serve time by shares that are learned each minute from the rewards that landed."""

    def __init__(self, scope: Construct, id: str, *, env: Environment, lake: LakeStack, config: Config) -> None:
        super().__init__(scope, id, env=env, description="Rivermill: decisions of experiments, and learning from them")
        check(EXPERIMENTS.values(), EVENTS)  # here, since functions that import them need no events
        self.lake, self.config = lake, config
        self.numpy = Layer(self, "Numpy", name="numpy")
        self.protected = config.privacy == ON
        self.keys = unit_settings(lake) if self.protected else {}
        self._decide()
        self._learn()
        self._report()

    def _decide(self) -> None:
        lake, to = self.lake, way_in(self.lake, self.config)
        decide = Function(
            self,
            "Decide",
            name=names.DECIDE,
            module="experiment.decide",
            settings=DecideSettings(
                decisions=lake.decisions.table_name,
                bandits=lake.bandits.table_name,
                stream=to.name,
                cluster=to.cluster,
                bridge=to.bridge,
                **self.keys,
            ),
            config=self.config,
            layers=[self.numpy] if any(each.is_contextual for each in EXPERIMENTS.values()) else [],
            timeout=Duration.seconds(10),
            memory_mb=512,
        )
        allow(decide.role, ["dynamodb:PutItem"], lake.decisions.table_arn)
        allow(decide.role, ["dynamodb:GetItem"], lake.bandits.table_arn)
        to.grant(decide.role, "PutRecord")
        grant_key(decide.role, lake.key)
        if self.protected:  # it calls units by a digest, and cannot turn a token back
            grant_purposes(decide.role, lake, opens=[UNITS], makes=[UNITS])
        url = decide.function.add_function_url(auth_type=lambda_.FunctionUrlAuthType.AWS_IAM)
        CfnOutput(self, "DecideUrl", value=url.url, description="Where decisions are asked for, with SigV4")

    def _learn(self) -> None:
        lake = self.lake
        learn = Function(
            self,
            "Learn",
            name=names.LEARN,
            module="experiment.learn",
            settings=LearnSettings(
                bucket=lake.bucket.bucket_name,
                decisions=lake.decisions.table_name,
                bandits=lake.bandits.table_name,
                **self.keys,
            ),
            config=self.config,
            layers=[Layer(self, "Arrow", name="arrow"), self._computes()],
            timeout=Duration.minutes(5),
            memory_mb=1769,  # one whole vCPU ("Configure Lambda function memory")
            reserved_concurrency=1,  # a second would find the first's marks, and be of no use
            retries=0,  # the next minute comes by itself
            event_age=Duration.minutes(1),
        )
        reads = ["receipts/", "landing/exposure/", "landing/reward/"]
        grant_files(learn.role, lake.bucket, reads=reads, lists=["receipts/"])
        grant_key(learn.role, lake.key)
        allow(learn.role, ["dynamodb:BatchGetItem", "dynamodb:PutItem"], lake.decisions.table_arn)
        if self.protected:  # it joins what landed, by tokens, with decisions, by digests
            grant_purposes(learn.role, lake, opens=[TOKENS, UNITS], makes=[UNITS])
        verbs = ("GetItem", "PutItem", "Query", "UpdateItem")
        allow(learn.role, [f"dynamodb:{verb}" for verb in verbs], lake.bandits.table_arn)
        events.Rule(
            self, "EveryMinute", schedule=MINUTE, targets=[targets.LambdaFunction(learn.function, retry_attempts=0)]
        )

    def _computes(self) -> Layer:
        """Give the layer of numpy, which is also in that of functions that open what is protected."""
        return Layer(self, "Privacy", name="privacy") if self.protected else self.numpy

    def _report(self) -> None:
        bucket = self.lake.bucket
        report = Function(
            self,
            "Report",
            name=names.REPORT,
            module="experiment.report",
            settings=ReportSettings(bucket=bucket.bucket_name, workgroup=names.WORKGROUP),
            config=self.config,
            layers=[self.numpy, Layer(self, "Scipy", name="scipy")],
            timeout=Duration.minutes(5),
            memory_mb=1769,
        )
        grant_tables(report.role, bucket, reads=[STATISTICS])
        grant_files(report.role, bucket, reads=["athena/"], writes=["athena/", READOUTS], lists=["athena/"])
        grant_key(report.role, self.lake.key)
        verbs = ("StartQueryExecution", "GetQueryExecution", "GetQueryResults")
        allow(report.role, [f"athena:{verb}" for verb in verbs], arn(self, "athena", "workgroup", names.WORKGROUP))
        allow(report.role, ["s3:GetBucketLocation"], bucket.bucket_arn)  # Athena asks it of where results go
        events.Rule(
            self, "EveryMorning", schedule=AT_SIX, targets=[targets.LambdaFunction(report.function, event=EVERYTHING)]
        )


def allow(role: iam.Role, actions: list[str], resource: str) -> None:
    """Allow actions on one resource."""
    role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[resource]))
