"""Accept a finding of cdk-nag beside the resource that it is about, with the reason."""

from __future__ import annotations

from typing import Any

from aws_cdk import Acknowledgment, Resource, Stack, Token, Validations
from aws_cdk import aws_iam as iam
from constructs import IConstruct


def accept(where: IConstruct, reason: str, *rules: str) -> None:
    """Accept what rules find on a construct and below it; a rule is named as cdk-nag does, without the pack's name."""
    for rule in rules:
        Validations.of(where).acknowledge(Acknowledgment(id=f"AwsSolutions-{rule}", reason=reason))


def accept_wildcards(role: iam.Role, reason: str, *resources: str) -> None:
    """Accept that a role's policy names resources by these patterns, and no others."""
    for resource in resources:
        accept(role, reason, f"IAM5[Resource::{flat(Stack.of(role).resolve(resource))}]")


def seen_from(where: IConstruct, owner: Resource, attribute: str) -> str:
    """Refer to another stack's attribute as that stack's template will say it."""
    same = Stack.of(where) is Stack.of(owner) or not Token.is_unresolved(attribute)
    return attribute if same else Stack.of(owner).export_value(attribute)


def flat(reference: Any) -> str:
    """Spell a CloudFormation reference on one line, as cdk-nag names it in its findings."""
    if isinstance(reference, str):
        return reference
    ((function, arguments),) = reference.items()
    if function == "Fn::Join":
        return str(arguments[0]).join(flat(item) for item in arguments[1])
    if function == "Fn::GetAtt":
        return f"<{'.'.join(arguments)}>"
    return f"<{arguments}>" if function == "Ref" else flat(arguments)
