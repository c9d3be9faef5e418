"""Removal of people: who takes requests, who erases, and the state machine between them."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from constructs import Construct

from domain.tables import TABLES
from lambdas.privacy.settings import ErasureSettings, RequestSettings
from stacks import names
from stacks.arns import arn, colon_arn, function_arn
from stacks.config import KINESIS, ON, Config
from stacks.constructs.function import Function
from stacks.constructs.grants import catalogue_arn, grant_files, grant_key
from stacks.constructs.layer import Layer
from stacks.constructs.nag import accept_wildcards
from stacks.constructs.protection import grant_keys, key_settings
from stacks.constructs.state_machine import StateMachine
from stacks.erasure import definition
from stacks.jobs import JOBS
from stacks.lake import LakeStack

HOURLY = events.Schedule.rate(Duration.hours(1))
DATABASES = tuple(dict.fromkeys(table.database for table in TABLES))


class Erasure(Construct):
    """Take requests, and work on them one job at a time until each has its certificate."""

    def __init__(self, scope: Construct, id: str, *, lake: LakeStack, config: Config) -> None:
        super().__init__(scope, id)
        self.lake, self.config = lake, config
        self.arrow = Layer(self, "Arrow", name="arrow")
        protected = config.privacy == ON
        self.privacy = [Layer(self, "Privacy", name="privacy")] if protected else []
        self.keys = key_settings(lake) if protected else {}
        self._steps()
        learns = config.broker == KINESIS
        told = definition(lake.notices.topic_arn, learns=learns)
        self.machine = StateMachine(self, "Erase", name=names.ERASE, definition=told, config=config)
        asked = [names.ERASURE, names.COMMIT, *([names.LEARN] if learns else [])]
        for actions, resources in (
            (["lambda:InvokeFunction"], [function_arn(self, name) for name in asked]),
            (["sns:Publish"], [lake.notices.topic_arn]),
        ):
            self.machine.role.add_to_policy(iam.PolicyStatement(actions=actions, resources=resources))
        grant_key(self.machine.role, lake.key)
        self._request()

    def _request(self) -> None:
        lake, machine = self.lake, self.machine.machine.state_machine_arn
        request = Function(
            self,
            "Request",
            name=names.ERASURE_REQUEST,
            module="privacy.request",
            settings=RequestSettings(
                erasures=lake.erasures.table_name,
                erasure_key=lake.key.key_arn,
                machine=machine,
                erasure_max_days=str(self.config.erasure_max_days),
                **self.keys,
            ),
            config=self.config,
            layers=[self.arrow, *self.privacy],
            timeout=Duration.seconds(60),
            memory_mb=512,
        )
        verbs = ("GetItem", "PutItem", "Query")
        allow(request.role, [f"dynamodb:{verb}" for verb in verbs], lake.erasures.table_arn)
        allow(request.role, ["states:StartExecution"], machine)
        if self.keys:
            grant_keys(request.role, lake)
        grant_key(request.role, lake.key)
        allow(request.role, ["kms:Encrypt"], lake.key.key_arn)
        # Whatever ended an execution, the next hour's takes up its job.
        nobody = events.RuleTargetInput.from_object({})
        events.Rule(
            self, "EveryHour", schedule=HOURLY, targets=[targets.LambdaFunction(request.function, event=nobody)]
        )

    def _steps(self) -> None:
        lake, config = self.lake, self.config
        steps = Function(
            self,
            "Steps",
            name=names.ERASURE,
            module="privacy.erasure",
            settings=ErasureSettings(
                bucket=lake.bucket.bucket_name,
                erasures=lake.erasures.table_name,
                decisions=lake.decisions.table_name,
                erasure_key=lake.key.key_arn,
                signing_key=lake.certificates.key_arn,
                model_package_group=names.PROPENSITY,
                jobs=",".join(job.name for job in JOBS),
                stream_hours=str(config.stream_hours),
                recovery_days=str(lake.recovery_days),
                log_days=str(config.log_days),
                erasure_max_days=str(config.erasure_max_days),
                **{"subjects": lake.subjects.table_name, **self.keys},
            ),
            config=config,
            layers=[self.arrow, Layer(self, "Iceberg", name="iceberg"), *self.privacy],
            timeout=Duration.minutes(15),
            memory_mb=3008,
        )
        self._grant(steps.role)
        if self.keys:
            grant_keys(steps.role, lake)

    def _grant(self, role: iam.Role) -> None:
        lake = self.lake
        # By the whole bucket: what proves that somebody is gone is that every byte was read.
        writes = [f"{database}/" for database in DATABASES] + ["certificates/", "conservation/"]
        grant_files(role, lake.bucket, reads=[""], writes=writes, deletes=[""], lists=[""])
        every = lake.bucket.arn_for_objects("*")
        allow(role, ["s3:GetObjectVersion", "s3:DeleteObjectVersion"], every)
        allow(role, ["s3:ListBucketVersions"], lake.bucket.bucket_arn)
        grant_key(role, lake.key)
        allow(role, ["kms:Sign"], lake.certificates.key_arn)
        verbs = ("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query")
        allow(role, [f"dynamodb:{verb}" for verb in verbs], lake.erasures.table_arn)
        people = [lake.decisions.table_arn, lake.subjects.table_arn]
        for table in people:
            allow(role, ["dynamodb:Query", "dynamodb:BatchWriteItem"], table)
        self._grant_catalogue(role)
        for job in JOBS:
            allow(role, ["glue:GetJobRuns"], arn(self, "glue", "job", job.name))
        execution = colon_arn(self, "states", "execution", f"{names.ERASE}:*")
        allow(role, ["states:DescribeExecution"], execution)
        accept_wildcards(role, "Executions are named as they are started.", execution)
        self._grant_models(role)

    def _grant_catalogue(self, role: iam.Role) -> None:
        # By database: naming each table would not fit into a role's policy, and a replay makes tables of its own.
        entries = ["catalog", *(f"{kind}/{database}{rest}" for database in DATABASES for kind, rest in PARTS)]
        named = [catalogue_arn(role, entry) for entry in entries]
        actions = [f"glue:{verb}" for verb in ("GetDatabase", "GetTable", "GetTables", "UpdateTable")]
        role.add_to_policy(iam.PolicyStatement(actions=actions, resources=named))
        patterns = [entry for entry in named if "*" in entry]
        accept_wildcards(role, "Every table of the lake is gone through.", *patterns)

    def _grant_models(self, role: iam.Role) -> None:
        group = arn(self, "sagemaker", "model-package-group", names.PROPENSITY)
        packages = arn(self, "sagemaker", "model-package", f"{names.PROPENSITY}/*")
        allow(role, ["sagemaker:ListModelPackages"], group)
        allow(role, ["sagemaker:DescribeModelPackage", "sagemaker:UpdateModelPackage"], packages)
        accept_wildcards(role, "The registry numbers its packages.", packages)


PARTS = (("database", ""), ("table", "/*"))


def allow(role: iam.Role, actions: list[str], resource: str) -> None:
    """Allow actions on one resource."""
    role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[resource]))
