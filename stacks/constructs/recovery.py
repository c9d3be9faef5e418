"""Redrive, replay and the proof of conservation: three functions, each allowed just what it touches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from constructs import Construct

from domain.settings import Settings
from domain.tables import ACCOUNTS, CURATED, QUARANTINE, RAW, REDRIVEN, UNDECLARED
from lambdas.ingest.settings import ConserveSettings, RedriveSettings, ReplaySettings
from stacks import names
from stacks.arns import arn
from stacks.config import ON, Config
from stacks.constructs.function import Function
from stacks.constructs.grants import grant_files, grant_key, grant_tables
from stacks.constructs.layer import Layer
from stacks.constructs.protection import grant_keys, key_settings
from stacks.constructs.way_in import WayIn
from stacks.jobs import REPLAY
from stacks.lake import LakeStack

AT_SIX = events.Schedule.cron(hour="6", minute="0")  # UTC: the day that began at two is over
QUARTER = Duration.minutes(15)


class Recovery(Construct):
    """Send again what was set aside, curate a span again, prove a day."""

    def __init__(
        self, scope: Construct, id: str, *, lake: LakeStack, config: Config, way_in: WayIn, layers: Sequence[Layer]
    ) -> None:
        super().__init__(scope, id)
        self.lake, self.config, self.layers = lake, config, list(layers)
        self.tables = self.layers[:2]
        self.bucket = lake.bucket.bucket_name
        self._redrive(way_in)
        self._replay()
        self._conserve()

    def _function(self, id: str, *, name: str, settings: Settings, **more: Any) -> Function:
        made = Function(
            self,
            id,
            name=name,
            module=f"ingest.{id.lower()}",
            settings=settings,
            config=self.config,
            timeout=QUARTER,
            memory_mb=1769,  # one whole vCPU ("Configure Lambda function memory")
            retries=0,  # a person, or the next day, asks again
            **more,
        )
        grant_key(made.role, self.lake.key)
        return made

    def _redrive(self, way_in: WayIn) -> None:
        queue = self.lake.failed_batches
        where = {"stream": names.STREAM, "cluster": way_in.cluster, "bridge": way_in.bridge}
        keys = key_settings(self.lake) if self.config.privacy == ON else {}
        settings = RedriveSettings(bucket=self.bucket, queue=queue.queue_url, **where, **keys)
        # Two at once would each send what the other has not noted yet.
        alone = {"layers": self.layers, "reserved_concurrency": 1}
        redrive = self._function("Redrive", name=names.REDRIVE, settings=settings, **alone)
        if keys:
            grant_keys(redrive.role, self.lake)
        grant_tables(redrive.role, self.lake.bucket, reads=[QUARANTINE], writes=[REDRIVEN])
        grant_files(redrive.role, self.lake.bucket, reads=["receipts/"], lists=["receipts/"])
        way_in.grant(redrive.role, "PutRecords", "GetRecords", "GetShardIterator")
        verbs = ("ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility")
        allow(redrive.role, [f"sqs:{verb}" for verb in verbs], queue.queue_arn)

    def _replay(self) -> None:
        settings = ReplaySettings(bucket=self.bucket, job=REPLAY.name)
        replay = self._function("Replay", name=names.REPLAY, settings=settings)
        grant_files(replay.role, self.lake.bucket, reads=["runs/"])
        allow(replay.role, ["glue:StartJobRun", "glue:GetJobRun"], arn(self, "glue", "job", REPLAY.name))

    def _conserve(self) -> None:
        settings = ConserveSettings(bucket=self.bucket, workgroup=names.WORKGROUP)
        alone = {"layers": self.tables, "reserved_concurrency": 1}
        conserve = self._function("Conserve", name=names.CONSERVE, settings=settings, **alone)
        bucket, role = self.lake.bucket, conserve.role
        grant_tables(role, bucket, reads=[*RAW.values(), UNDECLARED, QUARANTINE, *CURATED.values()], writes=[ACCOUNTS])
        places = ["athena/", "conservation/"]
        grant_files(
            role,
            bucket,
            reads=["receipts/", "landing/", *places],
            writes=places,
            lists=["receipts/", *places],
        )
        verbs = ("StartQueryExecution", "GetQueryExecution", "GetQueryResults")
        allow(role, [f"athena:{verb}" for verb in verbs], arn(self, "athena", "workgroup", names.WORKGROUP))
        allow(role, ["s3:GetBucketLocation"], bucket.bucket_arn)  # Athena asks it of where results go
        events.Rule(
            self, "EveryMorning", schedule=AT_SIX, targets=[targets.LambdaFunction(conserve.function, event=YESTERDAY)]
        )


YESTERDAY = events.RuleTargetInput.from_object({})
"""No day: the function takes the last whole one."""


def allow(role: iam.Role, actions: list[str], resource: str) -> None:
    """Allow actions on one resource."""
    role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[resource]))
