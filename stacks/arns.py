"""Spell the ARNs of what another stack makes, from its name."""

from __future__ import annotations

from aws_cdk import ArnFormat, Stack
from constructs import Construct

from stacks import names


def arn(scope: Construct, service: str, resource: str, name: str) -> str:
    """Spell `arn:…:<service>:…:<resource>/<name>` in the scope's account and region."""
    return Stack.of(scope).format_arn(service=service, resource=resource, resource_name=name)


def colon_arn(scope: Construct, service: str, resource: str, name: str) -> str:
    """Spell `arn:…:<service>:…:<resource>:<name>` in the scope's account and region."""
    return Stack.of(scope).format_arn(
        service=service, resource=resource, resource_name=name, arn_format=ArnFormat.COLON_RESOURCE_NAME
    )


def state_machine_arn(scope: Construct) -> str:
    """Name the day's state machine."""
    return colon_arn(scope, "states", "stateMachine", names.DAILY)


def function_arn(scope: Construct, name: str) -> str:
    """Name a function."""
    return colon_arn(scope, "lambda", "function", name)


def role_arn(scope: Construct, name: str) -> str:
    """Name a role, which belongs to no region."""
    return Stack.of(scope).format_arn(service="iam", region="", resource="role", resource_name=name)
