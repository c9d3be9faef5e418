"""The one way in which this app declares a state machine: logged, traced, in a role of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from stacks.config import Config
from stacks.constructs.function import RETENTIONS
from stacks.constructs.nag import accept_wildcards


class StateMachine(Construct):
    """Run a definition in the Amazon States Language."""

    def __init__(self, scope: Construct, id: str, *, name: str, definition: Mapping[str, Any], config: Config) -> None:
        super().__init__(scope, id)
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("states.amazonaws.com"))
        self.logs = logs.LogGroup(
            self,
            "Logs",
            # Names that begin so spare the log service's resource policy from growing past its limit.
            log_group_name=f"/aws/vendedlogs/states/{name}",
            retention=RETENTIONS[config.log_days],
            removal_policy=RemovalPolicy.DESTROY,
        )
        self.machine = sfn.StateMachine(
            self,
            "Machine",
            state_machine_name=name,
            definition_body=sfn.DefinitionBody.from_string(Stack.of(self).to_json_string(definition)),
            role=self.role,
            tracing_enabled=True,
            logs=sfn.LogOptions(destination=self.logs, level=sfn.LogLevel.ALL, include_execution_data=True),
        )
        accept_wildcards(self.role, "Log delivery and X-Ray take no resource.", "*")
