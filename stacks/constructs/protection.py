"""Let functions use the keys that protect fields."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_iam as iam

from stacks.constructs.grants import grant_key
from stacks.lake import LakeStack


def key_settings(lake: LakeStack) -> dict[str, str]:
    """Say where keys are, and what wraps them, as the settings of a function."""
    tables = {"keys": lake.keys.table_name, "subjects": lake.subjects.table_name}
    return tables | {"privacy_key": lake.privacy_key.key_arn}


def unit_settings(lake: LakeStack) -> dict[str, str]:
    """Say where data keys are, and what wraps them, to functions that need no subject's own."""
    return {"keys": lake.keys.table_name, "privacy_key": lake.privacy_key.key_arn}


def grant_purposes(role: iam.Role, lake: LakeStack, opens: Sequence[str], makes: Sequence[str]) -> None:
    """Allow data keys of some purposes alone to be opened, and of some to be made by who needs them first."""
    for purposes, verbs, action in (
        (opens, ["kms:Decrypt"], "dynamodb:Query"),
        (makes, ["kms:GenerateDataKeyWithoutPlaintext"], "dynamodb:PutItem"),
    ):
        wrapped_for = {"kms:EncryptionContext:application": "rivermill", "kms:EncryptionContext:purpose": purposes}
        kept_for = {"dynamodb:LeadingKeys": purposes}  # the table's key is the purpose
        for actions, resource, conditions in (
            (verbs, lake.privacy_key.key_arn, {"StringEquals": wrapped_for}),
            ([action], lake.keys.table_arn, {"ForAllValues:StringEquals": kept_for}),
        ):
            role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[resource], conditions=conditions))
    grant_key(role, lake.key)


def grant_keys(role: iam.Role, lake: LakeStack, *, makes: bool = False) -> None:
    """Allow keys to be opened; and, to who protects fields first, to be made."""
    # A purpose and a version go with each wrapped key, so that none serves as another; see lambdas/keys.py.
    open_or_make = ["kms:Decrypt", *(["kms:GenerateDataKeyWithoutPlaintext"] if makes else [])]
    role.add_to_policy(
        iam.PolicyStatement(
            actions=open_or_make,
            resources=[lake.privacy_key.key_arn],
            conditions={"StringEquals": {"kms:EncryptionContext:application": "rivermill"}},
        )
    )
    writes = ["dynamodb:PutItem"] if makes else []
    for actions, table in (
        (["dynamodb:Query", *writes], lake.keys),
        (["dynamodb:BatchGetItem" if makes else "dynamodb:GetItem", *writes], lake.subjects),
    ):
        role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[table.table_arn]))
    grant_key(role, lake.key)
