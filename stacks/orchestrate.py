"""Orchestrate: the day's work, and what starts it."""

from __future__ import annotations

from aws_cdk import Duration, Environment, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from constructs import Construct

from lambdas.orchestrate.settings import StartSettings
from stacks import names
from stacks.arns import arn, function_arn, role_arn
from stacks.config import Config
from stacks.constructs.bundles import source
from stacks.constructs.function import Function
from stacks.constructs.grants import grant_key
from stacks.constructs.nag import accept_wildcards
from stacks.constructs.state_machine import StateMachine
from stacks.daily import Place, definition
from stacks.images import sklearn_image
from stacks.jobs import DAILY
from stacks.lake import LakeStack

AT_TWO = events.Schedule.cron(hour="2", minute="0")  # UTC: the last events of the day have been committed
KINDS = ("Training", "Processing")


class OrchestrateStack(Stack):
    """Run the day's steps in order, and start them every night for the day that is over."""

    def __init__(self, scope: Construct, id: str, *, env: Environment, lake: LakeStack, config: Config) -> None:
        super().__init__(scope, id, env=env, description="Rivermill: the day's state machine")
        place = Place(
            key=lake.key.key_arn,
            notices=lake.notices.topic_arn,
            image=sklearn_image(self.region),
            training_role=role_arn(self, names.TRAINING_ROLE),
            training_instance=config.training_instance,
            source=source(self).s3_object_url,
        )
        self.daily = StateMachine(self, "Daily", name=names.DAILY, definition=definition(place), config=config)
        grant_steps(self.daily.role, place)
        grant_key(self.daily.role, lake.key)
        self._start(config)

    def _start(self, config: Config) -> None:
        machine = self.daily.machine.state_machine_arn
        start = Function(
            self,
            "Start",
            name=names.START,
            module="orchestrate.start",
            settings=StartSettings(state_machine=machine),
            config=config,
            timeout=Duration.seconds(30),
            memory_mb=256,
        )
        start.role.add_to_policy(iam.PolicyStatement(actions=["states:StartExecution"], resources=[machine]))
        events.Rule(self, "EveryNight", schedule=AT_TWO, targets=[targets.LambdaFunction(start.function)])


def grant_steps(role: iam.Role, place: Place) -> None:
    """Allow the steps, as Step Functions' pages on service integrations list them."""
    jobs = [arn(role, "glue", "job", job.name) for job in DAILY]
    functions = [function_arn(role, name) for name in (names.PLAN, names.REGISTER, names.DEPLOY)]
    work = [arn(role, "sagemaker", kind, "rivermill-*") for kind in ("training-job", "processing-job")]
    # Step Functions hears of the end of SageMaker's jobs through these two rules, which it makes itself.
    rules = [arn(role, "events", "rule", f"StepFunctionsGetEventsForSageMaker{kind}JobsRule") for kind in KINDS]
    for actions, resources in (
        (["glue:StartJobRun", "glue:GetJobRun", "glue:GetJobRuns", "glue:BatchStopJobRun"], jobs),
        (["lambda:InvokeFunction"], functions),
        ([f"sagemaker:{verb}{kind}Job" for verb in ("Create", "Describe", "Stop") for kind in KINDS], work),
        (["sagemaker:AddTags"], work),
        (["sagemaker:DescribeEndpoint"], [arn(role, "sagemaker", "endpoint", names.PROPENSITY)]),
        (["events:PutTargets", "events:PutRule", "events:DescribeRule"], rules),
        (["sns:Publish"], [place.notices]),
        (["kms:DescribeKey"], [place.key]),
    ):
        role.add_to_policy(iam.PolicyStatement(actions=actions, resources=resources))
    role.add_to_policy(
        iam.PolicyStatement(
            actions=["iam:PassRole"],
            resources=[place.training_role],
            conditions={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        )
    )
    role.add_to_policy(
        iam.PolicyStatement(
            actions=["kms:CreateGrant"],  # for the disks of SageMaker's jobs
            resources=[place.key],
            conditions={"Bool": {"kms:GrantIsForAWSResource": "true"}},
        )
    )
    accept_wildcards(role, "A run's SageMaker jobs are named after it.", *work)
