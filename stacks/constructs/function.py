"""The one way in which this app declares a Lambda function."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from domain.settings import Settings
from stacks.config import Config
from stacks.constructs.code import ROOT, only
from stacks.constructs.layer import Layer
from stacks.constructs.nag import accept, accept_wildcards

UNZIPPED_LIMIT = 250 * 1024 * 1024  # Lambda quotas: "Deployment package (.zip file archive) size", layers included
SHARED = tuple(f"lambdas/{name}.py" for name in ("__init__", "athena", "catalogue", "datakeys", "denied", "keys"))
RETENTIONS = {
    7: logs.RetentionDays.ONE_WEEK,
    14: logs.RetentionDays.TWO_WEEKS,
    30: logs.RetentionDays.ONE_MONTH,
    90: logs.RetentionDays.THREE_MONTHS,
    365: logs.RetentionDays.ONE_YEAR,
    731: logs.RetentionDays.TWO_YEARS,
}


class TooLarge(ValueError):
    """A function that Lambda would refuse, since its code and layers unpack to more than it takes."""


class Function(Construct):
    """Run `handler` of `lambdas.<module>` with its settings, in a role of its own that can log and trace."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        name: str,
        module: str,
        settings: Settings,
        config: Config,
        timeout: Duration,
        memory_mb: int,
        layers: Sequence[Layer] = (),
        reserved_concurrency: int | None = None,
        retries: int | None = None,
        event_age: Duration | None = None,
    ) -> None:
        super().__init__(scope, id)
        self.name = name
        capability = module.partition(".")[0]
        check_size(name, [ROOT / "domain", ROOT / "lambdas" / capability], layers)
        self.logs = logs.LogGroup(
            self,
            "Logs",
            log_group_name=f"/aws/lambda/{name}",
            retention=RETENTIONS[config.log_days],
            removal_policy=RemovalPolicy.DESTROY,
        )
        self.role = execution_role(self, self.logs)
        self.function = lambda_.Function(
            self,
            "Function",
            function_name=name,
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,
            code=lambda_.Code.from_asset(str(ROOT), **only("domain", *SHARED, f"lambdas/{capability}")),
            handler=f"lambdas.{module}.handler",
            environment=settings.write(),
            role=self.role,
            timeout=timeout,
            memory_size=memory_mb,
            layers=list(layers),
            tracing=lambda_.Tracing.ACTIVE,
            log_group=self.logs,
            reserved_concurrent_executions=reserved_concurrency,
            retry_attempts=retries,
            max_event_age=event_age,
        )
        accept(self.function, "Glue 6.0 runs Python 3.13: the core that both import is tested on it.", "L1")


def execution_role(scope: Construct, group: logs.LogGroup) -> iam.Role:
    """Make a role that can write to one log group, and traces."""
    # The managed AWSLambdaBasicExecutionRole would allow every log group.
    role = iam.Role(scope, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    role.add_to_policy(
        iam.PolicyStatement(actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[group.log_group_arn])
    )
    accept_wildcards(role, "Lambda names the log streams of the function's own group.", group.log_group_arn)
    accept_wildcards(role, "X-Ray's two write actions take no resource.", "*")
    return role


def check_size(name: str, folders: Sequence[Path], layers: Sequence[Layer]) -> None:
    """Raise TooLarge for a function whose code and layers unpack to more than Lambda takes."""
    code = sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())
    unzipped = code + sum(layer.unzipped for layer in layers)
    if unzipped > UNZIPPED_LIMIT:
        raise TooLarge(f"{name}: code and layers unpack to {unzipped:,} bytes; Lambda takes {UNZIPPED_LIMIT:,}")
